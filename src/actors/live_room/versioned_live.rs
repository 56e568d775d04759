//! The status and title that a room has of its live, with a version, and the versions of what it
//! has of its users' standings and of its modes, for the registry to compare with the store without
//! asking the room; and its figures, for operators.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::figures::PublishedFigures;
use crate::domain::{Live, LiveStatus, Timestamp, UserId};
use crate::storage::LiveState;

/// Status and title of a live. Written by the room alone, and only when its live changes.
#[derive(Debug)]
pub struct VersionedLive {
    live: Mutex<Versioned>,
    owner: UserId,
    /// The streamer's change of a standing up to which the room knows all.
    moderation_version: AtomicU64,
    /// The change of the modes up to which the room knows all.
    modes_version: AtomicU64,
    /// When the room opened on this node.
    pub opened_at: Timestamp,
    pub figures: PublishedFigures,
}

#[derive(Debug)]
struct Versioned {
    status: LiveStatus,
    title: String,
    version: u64,
}

impl VersionedLive {
    pub fn new(live: &Live, opened_at: Timestamp) -> Self {
        Self {
            live: Mutex::new(Versioned {
                status: live.status,
                title: live.title.clone(),
                version: 0,
            }),
            owner: live.owner,
            moderation_version: AtomicU64::new(0),
            modes_version: AtomicU64::new(0),
            opened_at,
            figures: PublishedFigures::default(),
        }
    }

    /// The streamer, who never changes.
    pub fn owner(&self) -> UserId {
        self.owner
    }

    pub fn status(&self) -> LiveStatus {
        self.lock().status
    }

    pub fn title(&self) -> String {
        self.lock().title.clone()
    }

    /// Whether the title contains `lower_case`, in any case.
    pub fn title_contains(&self, lower_case: &str) -> bool {
        self.lock().title.to_lowercase().contains(lower_case)
    }

    /// Whether changes of standings are missing that were made when `row` was read.
    pub fn lacks_standings(&self, row: &LiveState) -> bool {
        self.moderation_version.load(Ordering::Relaxed) < row.moderation_version
    }

    /// Whether a change of the modes is missing that was made when `row` was read.
    pub fn lacks_modes(&self, row: &LiveState) -> bool {
        self.modes_version.load(Ordering::Relaxed) < row.modes_version
    }

    pub(super) fn set_versions(&self, moderation: u64, modes: u64) {
        self.moderation_version.store(moderation, Ordering::Relaxed);
        self.modes_version.store(modes, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Versioned> {
        // Every change under the lock is made of plain assignments: nothing is half done after a
        // panic.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that changes with each change of the live. `None` once the live has ended: an end
    /// is final, so there is nothing left to compare.
    pub fn version(&self) -> Option<u64> {
        let live_row = self.lock();
        (live_row.status != LiveStatus::Ended).then_some(live_row.version)
    }

    /// Whether the live is unchanged since `version`, and `row` differs from it.
    pub fn differs(&self, version: u64, row: &LiveState) -> bool {
        let live_row = self.lock();
        live_row.version == version
            && (live_row.status != row.status || live_row.title != row.title)
    }

    pub(super) fn set(&self, live: &Live) {
        let mut live_row = self.lock();
        if live_row.status != live.status || live_row.title != live.title {
            live_row.status = live.status;
            live_row.title.clone_from(&live.title);
            live_row.version += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Coins, LiveId, UserId};

    fn live(status: LiveStatus, title: &str) -> Live {
        let (id, owner) = (LiveId::new(1).unwrap(), UserId::new(1).unwrap());
        Live {
            id,
            owner,
            status,
            title: title.to_owned(),
            coin: Coins::ZERO,
            look_count: 0,
        }
    }

    fn row(status: LiveStatus, title: &str) -> LiveState {
        LiveState {
            id: LiveId::new(1).unwrap(),
            status,
            title: title.to_owned(),
            moderation_version: 0,
            modes_version: 0,
        }
    }

    #[test]
    fn a_row_that_was_read_before_the_latest_change_differs_from_nothing() {
        let live_row = VersionedLive::new(&live(LiveStatus::OnAir, "a"), Timestamp(0));
        let version = live_row.version().unwrap();
        assert!(!live_row.differs(version, &row(LiveStatus::OnAir, "a")));
        assert!(live_row.differs(version, &row(LiveStatus::Paused, "a")));
        assert!(live_row.differs(version, &row(LiveStatus::OnAir, "b")));
        live_row.set(&live(LiveStatus::OnAir, "a"));
        assert_eq!(live_row.version(), Some(version), "nothing changed");
        live_row.set(&live(LiveStatus::Paused, "a"));
        assert!(
            !live_row.differs(version, &row(LiveStatus::OnAir, "a")),
            "read before the change"
        );
        assert!(
            live_row.differs(live_row.version().unwrap(), &row(LiveStatus::OnAir, "a")),
            "read after it"
        );
    }

    #[test]
    fn an_ended_live_is_not_compared() {
        let live_row = VersionedLive::new(&live(LiveStatus::OnAir, "a"), Timestamp(0));
        live_row.set(&live(LiveStatus::Ended, "a"));
        assert_eq!(live_row.version(), None);
    }
}
