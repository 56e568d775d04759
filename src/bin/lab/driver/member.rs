//! One member: who it is, where it stands, how it reads.

use std::collections::{BTreeSet, HashSet};

use super::holds::Holds;
use super::moderation::News;
use crate::client::{Carrier, Connection, Kind, Polling};
use crate::offset_tracker::OffsetTracker;
use crate::online::Recent;
use crate::standings::Standings;

/// Where a member stands with its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Not connected.
    Away,
    /// Connecting, until it may speak.
    Connecting,
    /// Asked to join.
    Joining,
    In,
    /// Asked to leave.
    Leaving,
    /// Connected, but not in the room.
    Out,
}

/// How fast a member reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Full,
    Slow {
        bytes_per_s: u64,
    },
    /// Nothing, once it is in.
    Stopped,
}

pub struct Member {
    pub room: usize,
    /// Which of the world's users it is; `None` is the owner of the lives.
    pub user: Option<usize>,
    pub kind: Kind,
    pub carrier: Carrier,
    pub reading: Reading,
    pub seat: Seat,
    /// The WebSocket. Beside `polling`, it is on trial.
    pub conn: Option<Connection>,
    pub polling: Option<Box<Polling>>,
    /// Counts connections, so that what was planned for an earlier one is dropped.
    pub session: u32,
    pub offsets: OffsetTracker,
    /// Numbers of commands that wait for their answer.
    pub pending: Vec<usize>,
    /// Its place in the room's list of members that are in.
    pub slot: usize,
    /// Where it left off, if it is to resume there.
    pub resume_from: Option<u64>,
    pub has_been_in: bool,
    /// When it came in last.
    pub entered_ns: u64,
    /// Events up to here are replayed to it: it joined at this offset.
    pub replay_until: u64,
    /// It came back at the end of the run to read again what it had read: that is no delivery.
    pub rereads: bool,
    pub news: News,
    /// A slow or stopped reader, now or before: nobody promised it every comment.
    pub may_miss_crowd: bool,
    /// It reads nothing once it is in, or did.
    pub is_stopped_reader: bool,
    /// The server ended a connection while the member was in.
    pub was_cut: bool,
}

impl Member {
    pub fn new(
        room: usize,
        user: Option<usize>,
        (kind, carrier): (Kind, Carrier),
        reading: Reading,
    ) -> Self {
        Self {
            room,
            user,
            kind,
            carrier,
            reading,
            seat: Seat::Away,
            conn: None,
            polling: None,
            session: 0,
            offsets: OffsetTracker::default(),
            pending: Vec::new(),
            slot: usize::MAX,
            resume_from: None,
            has_been_in: false,
            entered_ns: 0,
            replay_until: 0,
            rereads: false,
            news: News::default(),
            may_miss_crowd: reading != Reading::Full,
            is_stopped_reader: reading == Reading::Stopped,
            was_cut: false,
        }
    }

    /// The owner of the lives, whose comments no server may drop.
    pub fn is_streamer(&self) -> bool {
        self.user.is_none()
    }

    pub fn is_connected(&self) -> bool {
        self.conn.is_some() || self.polling.is_some()
    }

    /// Whether a WebSocket is still to take over from polling.
    pub fn is_upgrading(&self) -> bool {
        self.carrier == Carrier::Upgrade && self.polling.is_some()
    }

    /// Whether its bytes are read as they come.
    pub fn reads_at_once(&self) -> bool {
        match self.reading {
            Reading::Full => true,
            // They read the handshake and the answer to the join like everybody.
            Reading::Slow { .. } | Reading::Stopped => {
                !matches!(self.seat, Seat::In | Seat::Leaving)
            }
        }
    }
}

/// One room as its members see it.
pub struct Room {
    pub live_id: i64,
    /// Which `[[room]]` of the script it is.
    pub plan: usize,
    pub log: crate::room_log::RoomLog,
    /// Its members, joined or not.
    pub members: std::ops::Range<usize>,
    /// Those that are in.
    pub joined: Vec<usize>,
    pub joined_peak: usize,
    /// Of those that are in, how many were promised every comment.
    pub attentive: usize,
    /// Numbers of the comments that a closed loop has on their way.
    pub flights: BTreeSet<usize>,
    pub deliveries: u64,
    /// Presence events as they were read.
    pub presence: Recent,
    /// The users that were named as moderators; `None` before the streamer is in.
    pub moderators: Option<Vec<usize>>,
    pub standings: Standings,
    /// The users that have given something, or may have.
    pub givers: HashSet<usize>,
    pub holds: Holds,
    /// The comments that were to be taken down one by one.
    pub deleted: HashSet<String>,
    /// Comments in whose place a removal was replayed: offset and the position of the member.
    pub replaced: Vec<(u64, u64)>,
    /// The streamer asked to end it.
    pub is_ended: bool,
}
