//! The bounded queue of encoded packets in front of one session's socket, and the only slow-member
//! policy.
//!
//! Whoever has something for a session pushes. If nothing waits and a WebSocket carries the session,
//! the push writes to the socket itself: that is the whole path of an event to a member that keeps
//! up, with no copy, no allocation and no task woken. What the socket does not take at once waits
//! here for whoever owns the transport. A push never waits: at the bound the oldest events of the
//! crowd make room, superseded states among them, then the latest states, and what still does not fit ends the session, because the rest is
//! never dropped for a live session. Three quarters of the bound are for all, the last quarter is for
//! what must not be dropped.

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

use crate::domain::{Disconnect, Lane};

pub use packet::{Control, Packet, Standing, State, StateKey, Superseded};
pub use run::Run;

use queue::{Entry, Queue};

/// Pieces of memory handed to the kernel in one call.
const SLICES_MAX: usize = 64;

/// How much is drained at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    pub packets_max: usize,
    /// About: one packet that is larger goes alone.
    pub bytes_max: usize,
}

impl Portion {
    pub const ALL: Portion = Portion { packets_max: usize::MAX, bytes_max: usize::MAX };
}

/// How much may wait for one session.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Packets, or runs of packets that were told at once.
    pub packets_max: usize,
    pub bytes_max: usize,
}

impl OutboxLimits {
    /// What packets that may be dropped can take; the rest is kept for those that may not.
    fn shared(self) -> Self {
        Self { packets_max: self.packets_max - self.packets_max / 4, bytes_max: self.bytes_max - self.bytes_max / 4 }
    }

    fn hold(self, (packets, bytes): (usize, usize)) -> bool {
        packets <= self.packets_max && bytes <= self.bytes_max
    }
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Written or queued.
    Queued,
    /// Queued or dropped, but the outbox is at its bound: whoever watches slow members should.
    Full,
    /// The session is over.
    Closed,
}

/// Why there is nothing more to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushEnd {
    /// The session ended, and all it had to say was written.
    Closed(Disconnect),
    /// The socket takes no more bytes, ever.
    Broken,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// Since when the bound is hit; cleared when the drain has made half of the room free.
    full_since: Option<Instant>,
    closed: Option<Disconnect>,
    drainer: Option<Waker>,
    stream: Option<Arc<TcpStream>>,
    dropped_count: u64,
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
            closed: None,
            drainer: None,
            stream: None,
            dropped_count: 0,
        };
        Arc::new(Self { limits, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes or queues a packet under the policy above.
    pub fn push(&self, packet: Packet) -> Pushed {
        let standing = packet.standing();
        let mut inner = self.lock();
        let written = match inner.write_now(packet.frame()) {
            Ok(written) => written,
            Err(pushed) => return pushed,
        };
        self.keep(inner, Entry::Packet(packet), written, standing.lane == Lane::Crowd)
    }

    /// The same for a run of packets.
    pub fn push_run(&self, run: &Run) -> Pushed {
        let mut inner = self.lock();
        let written = match inner.write_now(run.bytes()) {
            Ok(written) => written,
            Err(pushed) => return pushed,
        };
        let may_drop = run.standings().any(|standing| standing.lane == Lane::Crowd);
        self.keep(inner, Entry::Run(run.clone()), written, may_drop)
    }

    /// Queues what was not written at once.
    fn keep(&self, mut inner: MutexGuard<'_, Inner>, entry: Entry, written: usize, may_drop: bool) -> Pushed {
        let was_empty = inner.queue.is_empty();
        inner.queue.push(entry);
        inner.queue.advance(written);
        let limits = if may_drop { self.limits.shared() } else { self.limits };
        if !limits.hold(inner.queue.size()) {
            inner.full_since.get_or_insert_with(Instant::now);
            while !limits.hold(inner.queue.size()) && inner.queue.drop_oldest_crowd() {
                inner.dropped_count += 1;
            }
            while !limits.hold(inner.queue.size()) && inner.queue.drop_oldest_state() {
                inner.dropped_count += 1;
            }
            if !self.limits.hold(inner.queue.size()) {
                inner.end(Disconnect::Slow);
            }
        }
        let pushed = if inner.full_since.is_some() { Pushed::Full } else { Pushed::Queued };
        // Whoever drains has been told already when something waits.
        let drainer = if was_empty || inner.closed.is_some() { inner.drainer.take() } else { None };
        drop(inner);
        wake(drainer);
        pushed
    }

    /// Whether so many bytes fit beside what waits, with the last quarter of the bound still free.
    pub fn has_room(&self, bytes: usize) -> bool {
        let (packets, waiting) = self.queued();
        self.limits.shared().hold((packets + 1, waiting + bytes))
    }

    /// Moves at least one waiting packet, and more as far as `portion` goes, into `into`. When the
    /// outbox is empty: waits, or says why the session ended. One drainer at a time: the last to
    /// poll is woken.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        portion: Portion,
        into: &mut Vec<Packet>,
    ) -> Poll<Result<(), Disconnect>> {
        let mut inner = self.lock();
        if inner.queue.is_empty() {
            if let Some(reason) = inner.closed {
                return Poll::Ready(Err(reason));
            }
            inner.await_with(cx);
            return Poll::Pending;
        }
        inner.queue.take(portion, into);
        inner.note_room(self.limits);
        Poll::Ready(Ok(()))
    }

    /// Writes what waits to the attached socket as far as that takes it, and waits for more. Like
    /// [`Outbox::poll_drain`] for one drainer at a time.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<FlushEnd> {
        loop {
            let mut inner = self.lock();
            let Some(stream) = inner.stream.clone() else { return Poll::Ready(FlushEnd::Broken) };
            match inner.write_waiting(&stream) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    inner.note_room(self.limits);
                    // A close must be noticed however long the peer takes nothing.
                    inner.await_with(cx);
                    drop(inner);
                    match ready!(stream.poll_write_ready(cx)) {
                        Ok(()) => continue,
                        Err(_) => return Poll::Ready(FlushEnd::Broken),
                    }
                }
                Err(_) => return Poll::Ready(FlushEnd::Broken),
            }
            inner.note_room(self.limits);
            if let Some(reason) = inner.closed {
                return Poll::Ready(FlushEnd::Closed(reason));
            }
            inner.await_with(cx);
            return Poll::Pending;
        }
    }

    /// Wakes the drainer although nothing was pushed: something else about the session changed.
    pub fn nudge(&self) {
        let drainer = self.lock().drainer.take();
        wake(drainer);
    }

    /// Ends the session after what is already queued. The first reason stays.
    pub fn close(&self, reason: Disconnect) {
        let mut inner = self.lock();
        inner.closed.get_or_insert(reason);
        let drainer = inner.drainer.take();
        drop(inner);
        wake(drainer);
    }

    /// Ends the session and forgets what is queued: the peer does not read anyway.
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

    /// How long the outbox has been at its bound.
    pub fn full_for(&self) -> Option<Duration> {
        self.lock().full_since.map(|since| since.elapsed())
    }

    /// Packets, or runs of them, and bytes waiting.
    pub fn queued(&self) -> (usize, usize) {
        self.lock().queue.size()
    }

    /// Packets dropped since the session began.
    pub fn dropped_count(&self) -> u64 {
        self.lock().dropped_count
    }

    /// From here on pushes write to this socket, after `first` and what waits.
    pub fn attach_socket(&self, stream: Arc<TcpStream>, first: Bytes) {
        let mut inner = self.lock();
        inner.stream = Some(stream);
        inner.queue.begin_with(first);
    }

    /// Takes out all that waits, as bytes for a WebSocket: whoever carries on begins with them.
    pub fn take_bytes(&self) -> Bytes {
        self.lock().queue.take_bytes()
    }

    /// Lets go of the socket.
    pub fn detach_socket(&self) {
        self.lock().stream = None;
    }

    /// Shuts the socket down from outside: the only thing that reaches a transport whose peer does
    /// not read.
    pub fn kill_socket(&self) {
        let stream = self.lock().stream.take();
        if let Some(stream) = stream {
            // The peer may be gone already, which is what we want.
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
    /// Writes to the socket if nothing waits before. Returns how much it took, or, when there is
    /// nothing more to do, what became of the push.
    fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Pushed> {
        if self.closed.is_some() {
            return Err(Pushed::Closed);
        }
        let Some(stream) = self.stream.as_ref().filter(|_| self.queue.is_empty()) else { return Ok(0) };
        match stream.try_write(bytes) {
            Ok(written) if written == bytes.len() => Err(Pushed::Queued),
            Ok(written) => Ok(written),
            // A broken socket is noticed by whoever reads it; until then this is bounded like any
            // other that takes nothing.
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

    fn note_room(&mut self, limits: OutboxLimits) {
        let half = OutboxLimits { packets_max: limits.packets_max / 2, bytes_max: limits.bytes_max / 2 };
        if half.hold(self.queue.size()) {
            self.full_since = None;
        }
    }

    fn await_with(&mut self, cx: &Context<'_>) {
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
