//! The bounded queue of encoded packets in front of one session's socket, and the only slow-member
//! policy.
//!
//! Senders push packets. If the queue is empty and a WebSocket carries the session, the push writes
//! to the socket itself: that is the whole path of an event to a member that keeps up, with no
//! copy, no allocation and no task woken. Bytes that the socket does not take at once wait here for
//! the owner of the transport. A push never waits. At the bound the oldest droppable events are
//! dropped, superseded states among them, then the latest states; if the queue is still over the
//! bound, the session ends, because other packets are never dropped for a live session. Droppable
//! packets may fill three quarters of the bound; the last quarter is reserved for the others.

mod packet;
mod queue;
mod run;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::domain::{Disconnect, Priority};

pub use packet::{ControlFrame, DropPolicy, KeyedState, Packet, StateKey, Superseded};
pub use run::Run;

use queue::{Queue, QueueItem};

/// Most buffers passed to the kernel in one call.
const SLICES_MAX: usize = 64;

/// How much one drain takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainLimits {
    pub packets_max: usize,
    /// A single packet may be larger; it is drained alone.
    pub bytes_max: usize,
}

impl DrainLimits {
    pub const ALL: DrainLimits = DrainLimits {
        packets_max: usize::MAX,
        bytes_max: usize::MAX,
    };
}

/// The bounds of one outbox.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Packets, or runs of packets.
    pub packets_max: usize,
    pub bytes_max: usize,
}

impl OutboxLimits {
    /// The bound for droppable packets; the rest is reserved for others.
    fn shared(self) -> Self {
        Self {
            packets_max: self.packets_max - self.packets_max / 4,
            bytes_max: self.bytes_max - self.bytes_max / 4,
        }
    }

    fn hold(self, (packets, bytes): (usize, usize)) -> bool {
        packets <= self.packets_max && bytes <= self.bytes_max
    }
}

/// The result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Written or queued.
    Queued,
    /// Queued or dropped, and the outbox is at its bound: the caller should watch this slow member.
    Full,
    /// The session is over.
    Closed,
}

/// What was dropped because an outbox was full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Droppable events, and states that a later one supersedes.
    pub events: u32,
    /// The latest states, which are dropped after all of those.
    pub states: u32,
}

/// What others look at in an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxState {
    /// Why the session ended, once it has.
    pub closed: Option<Disconnect>,
    /// Whether it is at its bound.
    pub is_full: bool,
}

/// Why a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushEnd {
    /// The session ended, and all queued packets are written.
    Closed(Disconnect),
    /// The socket takes no more bytes, ever.
    Broken,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// Since when the outbox is at its bound; cleared when it has drained to half of it.
    full_since: Option<Instant>,
    /// Since they were last taken.
    dropped: Dropped,
    closed: Option<Disconnect>,
    drainer: Option<Waker>,
    stream: Option<Arc<TcpStream>>,
}

/// The outbox of one session. Shared by the hub, the session and its transport; the lock is held
/// for a few instructions or one write that does not block, and never across a wait.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    inner: Mutex<Inner>,
}

impl Outbox {
    pub fn new(limits: OutboxLimits) -> Arc<Self> {
        let inner = Inner {
            queue: Queue::default(),
            full_since: None,
            dropped: Dropped::default(),
            closed: None,
            drainer: None,
            stream: None,
        };
        Arc::new(Self {
            limits,
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes or queues a packet under the policy above.
    pub fn push(&self, packet: Packet) -> Pushed {
        let drop_policy = packet.drop_policy();
        let mut inner = self.lock();
        let written = match inner.write_now(packet.frame()) {
            Ok(written) => written,
            Err(pushed) => return pushed,
        };
        self.enqueue(
            inner,
            QueueItem::Packet(packet),
            written,
            drop_policy.priority == Priority::Droppable,
        )
    }

    /// The same for a run of packets.
    pub fn push_run(&self, run: &Run) -> Pushed {
        let mut inner = self.lock();
        let written = match inner.write_now(run.bytes()) {
            Ok(written) => written,
            Err(pushed) => return pushed,
        };
        let may_drop = run
            .drop_policies()
            .any(|drop_policy| drop_policy.priority == Priority::Droppable);
        self.enqueue(inner, QueueItem::Run(run.clone()), written, may_drop)
    }

    /// Queues what was not written at once.
    fn enqueue(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        item: QueueItem,
        written: usize,
        may_drop: bool,
    ) -> Pushed {
        let was_empty = inner.queue.is_empty();
        inner.queue.push(item);
        inner.queue.advance(written);
        let limits = if may_drop {
            self.limits.shared()
        } else {
            self.limits
        };
        if !limits.hold(inner.queue.size()) {
            inner.full_since.get_or_insert_with(Instant::now);
            while !limits.hold(inner.queue.size()) && inner.queue.drop_oldest_droppable() {
                inner.dropped.events = inner.dropped.events.saturating_add(1);
            }
            while !limits.hold(inner.queue.size()) && inner.queue.drop_oldest_state() {
                inner.dropped.states = inner.dropped.states.saturating_add(1);
            }
            if !self.limits.hold(inner.queue.size()) {
                inner.end(Disconnect::Slow);
            }
        }
        let pushed = if inner.full_since.is_some() {
            Pushed::Full
        } else {
            Pushed::Queued
        };
        // The drainer was woken when the first packet was queued.
        let drainer = if was_empty || inner.closed.is_some() {
            inner.drainer.take()
        } else {
            None
        };
        drop(inner);
        wake(drainer);
        pushed
    }

    /// Whether so many bytes fit beside the queued ones, with the last quarter of the bound still
    /// free.
    pub fn has_room(&self, bytes: usize) -> bool {
        let (packets, waiting) = self.queued();
        self.limits.shared().hold((packets + 1, waiting + bytes))
    }

    /// Moves at least one waiting packet, and more as far as `limits` goes, into `into`. When the
    /// outbox is empty: waits, or returns why the session ended. One drainer at a time: the last to
    /// poll is woken.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        limits: DrainLimits,
        into: &mut Vec<Packet>,
    ) -> Poll<Result<(), Disconnect>> {
        let mut inner = self.lock();
        if inner.queue.is_empty() {
            if let Some(reason) = inner.closed {
                return Poll::Ready(Err(reason));
            }
            inner.set_drainer(cx);
            return Poll::Pending;
        }
        inner.queue.take(limits, into);
        inner.clear_full_if_drained(self.limits);
        Poll::Ready(Ok(()))
    }

    /// Writes queued packets to the attached socket as far as it takes them, and waits for more.
    /// Like [`Outbox::poll_drain`] for one drainer at a time.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<FlushEnd> {
        loop {
            let mut inner = self.lock();
            let Some(stream) = inner.stream.clone() else {
                return Poll::Ready(FlushEnd::Broken);
            };
            match inner.write_waiting(&stream) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    inner.clear_full_if_drained(self.limits);
                    // A close must be noticed however long the peer takes nothing.
                    inner.set_drainer(cx);
                    drop(inner);
                    match ready!(stream.poll_write_ready(cx)) {
                        Ok(()) => continue,
                        Err(_) => return Poll::Ready(FlushEnd::Broken),
                    }
                }
                Err(_) => return Poll::Ready(FlushEnd::Broken),
            }
            inner.clear_full_if_drained(self.limits);
            if let Some(reason) = inner.closed {
                return Poll::Ready(FlushEnd::Closed(reason));
            }
            inner.set_drainer(cx);
            return Poll::Pending;
        }
    }

    /// Wakes the drainer without a push, after another change of the session.
    pub fn wake_drainer(&self) {
        let drainer = self.lock().drainer.take();
        wake(drainer);
    }

    /// Ends the session after the queued packets. The first reason stays.
    pub fn close(&self, reason: Disconnect) {
        let mut inner = self.lock();
        inner.closed.get_or_insert(reason);
        let drainer = inner.drainer.take();
        drop(inner);
        wake(drainer);
    }

    /// Ends the session and clears the queue, for a peer that does not read.
    pub fn cut(&self, reason: Disconnect) {
        let mut inner = self.lock();
        inner.end(reason);
        let drainer = inner.drainer.take();
        drop(inner);
        wake(drainer);
    }

    /// Why the session ended, once it has.
    pub fn closed(&self) -> Option<Disconnect> {
        self.lock().closed
    }

    /// Whether the session has ended, and whether the outbox is at its bound.
    pub fn state(&self) -> OutboxState {
        let inner = self.lock();
        OutboxState {
            closed: inner.closed,
            is_full: inner.full_since.is_some(),
        }
    }

    /// What was dropped since this was last called.
    pub fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut self.lock().dropped)
    }

    /// How long the outbox has been at its bound.
    pub fn full_for(&self) -> Option<Duration> {
        self.lock().full_since.map(|since| since.elapsed())
    }

    /// Packets, or runs of them, and bytes waiting.
    pub fn queued(&self) -> (usize, usize) {
        self.lock().queue.size()
    }

    /// From here on pushes write to this socket, after `first` and the queued packets.
    pub fn attach_socket(&self, stream: Arc<TcpStream>, first: Bytes) {
        let mut inner = self.lock();
        inner.stream = Some(stream);
        inner.queue.set_prefix(first);
    }

    /// Takes all queued bytes, as WebSocket frames: the next owner of the socket writes them first.
    pub fn take_bytes(&self) -> Bytes {
        self.lock().queue.take_bytes()
    }

    /// Detaches the socket.
    pub fn detach_socket(&self) {
        self.lock().stream = None;
    }

    /// Shuts the socket down from outside: this alone ends a transport whose peer does not read.
    pub fn kill_socket(&self) {
        let stream = self.lock().stream.take();
        if let Some(stream) = stream {
            // The peer may have disconnected already.
            let _ = socket2::SockRef::from(&*stream).shutdown(Shutdown::Both);
        }
    }
}

fn wake(drainer: Option<Waker>) {
    if let Some(drainer) = drainer {
        drainer.wake();
    }
}

impl Inner {
    /// Writes to the socket if the queue is empty. Returns the bytes written, or, when nothing is
    /// left to queue, the result of the push.
    fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Pushed> {
        if self.closed.is_some() {
            return Err(Pushed::Closed);
        }
        let Some(stream) = self.stream.as_ref().filter(|_| self.queue.is_empty()) else {
            return Ok(0);
        };
        match stream.try_write(bytes) {
            Ok(written) if written == bytes.len() => Err(Pushed::Queued),
            Ok(written) => Ok(written),
            // The reader notices a broken socket; until then the queue is bounded as for a slow
            // one.
            Err(_) => Ok(0),
        }
    }

    fn write_waiting(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = self.queue.slices(&mut slices);
            let written = stream.try_write_vectored(&slices[..filled])?;
            self.queue.advance(written);
        }
        Ok(())
    }

    fn clear_full_if_drained(&mut self, limits: OutboxLimits) {
        let half = OutboxLimits {
            packets_max: limits.packets_max / 2,
            bytes_max: limits.bytes_max / 2,
        };
        if half.hold(self.queue.size()) {
            self.full_since = None;
        }
    }

    fn set_drainer(&mut self, cx: &Context<'_>) {
        match &mut self.drainer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn end(&mut self, reason: Disconnect) {
        self.closed.get_or_insert(reason);
        self.queue.clear();
    }
}
