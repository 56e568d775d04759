//! A live and what its status permits.

use super::{Coins, EntryContent, LiveId, Reject, RoomEvent, UserId};

/// Where a broadcast stands. The numbers are those of the system this replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LiveStatus {
    /// 0: created, not started.
    Scheduled,
    /// 1
    OnAir,
    /// 2: behaves as on air; clients show a pause.
    Paused,
    /// 3: final.
    Ended,
}

impl LiveStatus {
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Scheduled),
            1 => Some(Self::OnAir),
            2 => Some(Self::Paused),
            3 => Some(Self::Ended),
            _ => None,
        }
    }

    pub const fn code(self) -> i16 {
        match self {
            Self::Scheduled => 0,
            Self::OnAir => 1,
            Self::Paused => 2,
            Self::Ended => 3,
        }
    }

    /// Whether the stream is running, be it paused.
    pub const fn is_on_air(self) -> bool {
        matches!(self, Self::OnAir | Self::Paused)
    }

    /// Refuses what needs a running broadcast: joining, commenting, giving.
    pub const fn require_open(self) -> Result<(), Reject> {
        match self {
            Self::Scheduled => Err(Reject::LiveNotStarted),
            Self::OnAir | Self::Paused => Ok(()),
            Self::Ended => Err(Reject::LiveEnded),
        }
    }
}

/// One broadcast, as a room needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub id: LiveId,
    pub owner: UserId,
    pub title: String,
    pub status: LiveStatus,
    /// Sum of all gifts of this live.
    pub coin: Coins,
    /// Users who ever joined, each counted once.
    pub look_count: i64,
}

impl Live {
    /// The entry by which its room learns its status.
    pub fn status_entry(&self) -> EntryContent {
        let title = self.title.as_str().into();
        EntryContent::Event(RoomEvent::Live {
            live_id: self.id,
            status: self.status,
            title,
        })
    }

    /// Whether `asker` may know the key of the stream. It lets its holder publish, so before the
    /// show and after it only the owner gets it; while the live is on air everybody needs it to
    /// play.
    pub fn shows_key_to(&self, asker: Option<UserId>) -> bool {
        self.status.is_on_air() || asker == Some(self.owner)
    }
}
