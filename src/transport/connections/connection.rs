//! The state of one HTTP connection, shared by its own task and the sweep.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::{EVICTABLE_AFTER, millis};

/// The activity of a connection. Only in `Serving` does it wait for the server and not for its
/// client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// Waits for the client's next request.
    Idle = 0,
    /// Waits for the rest of a request's head.
    ReadingHead = 1,
    /// A request is being served.
    Serving = 2,
    /// Waits for the client to read more of a response.
    WriteBlocked = 3,
}

impl ConnectionState {
    const BITS: u32 = 2;

    /// State and time in one word, so that a reader never sees one without the other.
    fn since(self, at_ms: u64) -> u64 {
        at_ms << Self::BITS | self as u64
    }

    fn unpack(word: u64) -> (Self, u64) {
        let state = match word & 3 {
            0 => Self::Idle,
            1 => Self::ReadingHead,
            2 => Self::Serving,
            _ => Self::WriteBlocked,
        };
        (state, word >> Self::BITS)
    }
}

/// The bytes that may be read from a connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All bytes.
    Anything,
    /// The end of the stream alone: a request is being served, and bytes would be the next one.
    EofOnly,
}

/// One HTTP connection. Its own task changes it; others may only cut it. All access is relaxed,
/// because nothing else is published through it.
#[derive(Debug)]
pub struct Connection {
    /// The address whose limit it counts for; `None`: a trusted proxy, which has no such limit.
    pub(super) address: Option<IpAddr>,
    /// Its index in the list of its address. Changed under the lock of that list only.
    slot: AtomicUsize,
    began: Instant,
    state: AtomicU64,
    serving: AtomicBool,
    /// More of the body of the request being served is expected.
    body_open: AtomicBool,
    /// A read was refused although there may be bytes, so its task must be woken to read again.
    read_deferred: AtomicBool,
    /// The client closed its sending side.
    read_eof: AtomicBool,
    cut: AtomicBool,
    task: AtomicWaker,
}

impl Connection {
    /// A connection that was accepted at `now_ms` after `began`.
    pub(super) fn new(address: Option<IpAddr>, slot: usize, began: Instant, now_ms: u64) -> Self {
        Self {
            address,
            slot: AtomicUsize::new(slot),
            began,
            state: AtomicU64::new(ConnectionState::ReadingHead.since(now_ms)),
            serving: AtomicBool::new(false),
            body_open: AtomicBool::new(false),
            read_deferred: AtomicBool::new(false),
            read_eof: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Its state, and since when in milliseconds.
    pub(super) fn state(&self) -> (ConnectionState, u64) {
        ConnectionState::unpack(self.state.load(Ordering::Relaxed))
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        self.set_state_at(state, millis(self.began.elapsed()));
    }

    pub(super) fn set_state_at(&self, state: ConnectionState, at_ms: u64) {
        self.state.store(state.since(at_ms), Ordering::Relaxed);
    }

    /// Since when it has waited for its client, if that is long enough for it to be evicted.
    pub(super) fn evictable_since(&self, now_ms: u64) -> Option<u64> {
        let (state, since_ms) = self.state();
        let may = state != ConnectionState::Serving
            && !self.is_cut()
            && since_ms + millis(EVICTABLE_AFTER) <= now_ms;
        may.then_some(since_ms)
    }

    /// Makes its task close it. Returns whether it was not cut before.
    pub(super) fn cut(&self) -> bool {
        let is_new = !self.cut.swap(true, Ordering::Relaxed);
        self.task.wake();
        is_new
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Notes the task to wake when it is cut or may read again.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Takes it out of the list of its address.
    pub(super) fn remove_from(&self, list: &mut Vec<Arc<Self>>) {
        let slot = self.slot.load(Ordering::Relaxed);
        list.swap_remove(slot);
        if let Some(moved) = list.get(slot) {
            moved.slot.store(slot, Ordering::Relaxed);
        }
    }

    pub(super) fn reading(&self) -> Reading {
        let is_next_request = self.serving.load(Ordering::Relaxed) && !self.expects_body();
        if is_next_request {
            Reading::EofOnly
        } else {
            Reading::Anything
        }
    }

    /// Whether more of a body is expected.
    pub(super) fn expects_body(&self) -> bool {
        self.body_open.load(Ordering::Relaxed)
    }

    /// A read was refused; [`Connection::resume_read`] wakes the task.
    pub(super) fn defer_read(&self) {
        self.read_deferred.store(true, Ordering::Relaxed);
    }

    fn resume_read(&self) {
        if self.read_deferred.swap(false, Ordering::Relaxed) {
            self.task.wake();
        }
    }

    /// The client sent a part of a request.
    pub(super) fn note_received(&self) {
        if self.state().0 == ConnectionState::Idle {
            self.set_state(ConnectionState::ReadingHead);
        }
    }

    pub(super) fn note_read_eof(&self) {
        self.read_eof.store(true, Ordering::Relaxed);
    }

    /// Whether the client closed its sending side. It may still read.
    pub(super) fn has_read_eof(&self) -> bool {
        self.read_eof.load(Ordering::Relaxed)
    }

    /// All of a response that was blocked has been written.
    pub(super) fn note_flushed(&self) {
        self.set_state(if self.serving.load(Ordering::Relaxed) {
            ConnectionState::Serving
        } else {
            ConnectionState::Idle
        });
        self.resume_read();
    }

    pub(super) fn begin_request(&self, has_body: bool) {
        self.serving.store(true, Ordering::Relaxed);
        self.body_open.store(has_body, Ordering::Relaxed);
        // The response before may still be blocked, and then the client's time goes on.
        if self.state().0 != ConnectionState::WriteBlocked {
            self.set_state(ConnectionState::Serving);
        }
    }

    pub(super) fn end_body(&self) {
        self.body_open.store(false, Ordering::Relaxed);
    }

    pub(super) fn end_request(&self) {
        self.serving.store(false, Ordering::Relaxed);
        self.end_body();
        if self.state().0 != ConnectionState::WriteBlocked {
            self.set_state(ConnectionState::Idle);
        }
        self.resume_read();
    }
}
