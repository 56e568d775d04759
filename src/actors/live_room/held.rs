//! What a room holds of its live's row, for the registry to compare with the store without asking the
//! room.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{Live, LiveStatus};
use crate::storage::LiveState;

/// Written by the room alone, and only when its live changes.
#[derive(Debug)]
pub struct HeldLive(Mutex<Held>);

#[derive(Debug)]
struct Held {
    status: LiveStatus,
    title: String,
    version: u64,
}

impl HeldLive {
    pub fn new(live: &Live) -> Self {
        Self(Mutex::new(Held { status: live.status, title: live.title.clone(), version: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Every change under the lock is made of plain assignments: nothing is half done after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is another one after each change. `None` once the live has ended: an end is final,
    /// so there is nothing left to compare.
    pub fn version(&self) -> Option<u64> {
        let held = self.lock();
        (held.status != LiveStatus::Ended).then_some(held.version)
    }

    /// Whether the room still holds what it held at `version`, and `row` says something else.
    pub fn differs(&self, version: u64, row: &LiveState) -> bool {
        let held = self.lock();
        held.version == version && (held.status != row.status || held.title != row.title)
    }

    pub(super) fn set(&self, live: &Live) {
        let mut held = self.lock();
        if held.status != live.status || held.title != live.title {
            held.status = live.status;
            held.title.clone_from(&live.title);
            held.version += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Coins, LiveId, UserId};

    fn live(status: LiveStatus, title: &str) -> Live {
        let (id, owner) = (LiveId::new(1).unwrap(), UserId::new(1).unwrap());
        Live { id, owner, status, title: title.to_owned(), coin: Coins::ZERO, look_count: 0 }
    }

    fn row(status: LiveStatus, title: &str) -> LiveState {
        LiveState { id: LiveId::new(1).unwrap(), status, title: title.to_owned() }
    }

    #[test]
    fn a_row_that_was_read_before_the_latest_change_differs_from_nothing() {
        let held = HeldLive::new(&live(LiveStatus::OnAir, "a"));
        let version = held.version().unwrap();
        assert!(!held.differs(version, &row(LiveStatus::OnAir, "a")));
        assert!(held.differs(version, &row(LiveStatus::Paused, "a")));
        assert!(held.differs(version, &row(LiveStatus::OnAir, "b")));
        held.set(&live(LiveStatus::OnAir, "a"));
        assert_eq!(held.version(), Some(version), "nothing changed");
        held.set(&live(LiveStatus::Paused, "a"));
        assert!(!held.differs(version, &row(LiveStatus::OnAir, "a")), "read before the change");
        assert!(held.differs(held.version().unwrap(), &row(LiveStatus::OnAir, "a")), "read after it");
    }

    #[test]
    fn an_ended_live_is_not_compared() {
        let held = HeldLive::new(&live(LiveStatus::OnAir, "a"));
        held.set(&live(LiveStatus::Ended, "a"));
        assert_eq!(held.version(), None);
    }
}
