//! The bound on pushed messages that the engine has not handled yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Most messages in the backlog of one connection. Beyond, they are dropped, and rooms read their
/// logs.
const BACKLOG_MAX: usize = 65_536;

/// The backlogs of all connections.
#[derive(Default)]
pub struct Backlog {
    has_overflowed: Arc<AtomicBool>,
}

impl Backlog {
    /// The backlog of a new connection.
    pub fn of_connection(&self) -> ConnectionBacklog {
        ConnectionBacklog {
            messages_count: Arc::default(),
            has_overflowed: self.has_overflowed.clone(),
        }
    }

    /// Whether a message was dropped since this was asked last.
    pub fn take_overflow(&self) -> bool {
        self.has_overflowed.swap(false, Ordering::Relaxed)
    }
}

/// The messages of one connection that are not handled yet.
#[derive(Clone)]
pub struct ConnectionBacklog {
    messages_count: Arc<AtomicUsize>,
    has_overflowed: Arc<AtomicBool>,
}

impl ConnectionBacklog {
    /// Takes a place for a message; `None` if the backlog is full: the message is to be dropped.
    pub fn take_slot(&self) -> Option<BacklogSlot> {
        let slot = BacklogSlot(self.messages_count.clone());
        if self.messages_count.fetch_add(1, Ordering::Relaxed) < BACKLOG_MAX {
            return Some(slot);
        }
        self.has_overflowed.store(true, Ordering::Relaxed);
        None
    }
}

/// The place of one message in the backlog of its connection. Dropping it frees the place, also
/// when the message is ignored because another connection replaced it.
pub struct BacklogSlot(Arc<AtomicUsize>);

impl Drop for BacklogSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_takes_a_message_once_one_was_handled() {
        let all = Backlog::default();
        let backlog = all.of_connection();
        let mut slots: Vec<_> = (0..BACKLOG_MAX)
            .filter_map(|_| backlog.take_slot())
            .collect();
        assert_eq!(slots.len(), BACKLOG_MAX);
        assert!(!all.take_overflow());
        assert!(backlog.take_slot().is_none());
        assert!(all.take_overflow() && !all.take_overflow());
        slots.pop();
        assert!(backlog.take_slot().is_some());
        drop(slots);
        assert_eq!(backlog.messages_count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_of_the_connection_before_frees_its_own_place_and_none_of_the_next() {
        let all = Backlog::default();
        let (before, next) = (all.of_connection(), all.of_connection());
        let late = before.take_slot().expect("it is empty");
        let _first = next.take_slot().expect("it is empty");
        drop(late);
        let count = |of: &ConnectionBacklog| of.messages_count.load(Ordering::Relaxed);
        assert_eq!((count(&before), count(&next)), (0, 1));
    }
}
