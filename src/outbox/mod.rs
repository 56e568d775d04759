//! The bounded queue of encoded packets in front of one session's socket, and the only slow-member
//! policy.
//!
//! Whoever has something for a session pushes. If nothing waits and a WebSocket carries the session,
//! the push writes to the socket itself: that is the whole path of an event to a member that keeps
//! up, with no copy, no allocation and no task woken. What the socket does not take at once waits
//! here for whoever owns the transport. A push never waits: at the bound the oldest events of the
//! crowd make room, then states, and what still does not fit ends the session, because the rest is
//! never dropped for a live session. Three quarters of the bound are for all, the last quarter is for
//! what must not be dropped.

mod packet;
mod queue;
mod run;

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::domain::{Disconnect, Lane};

pub use packet::{Control, Packet, Standing, StateKey};
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { packets_max: 8, bytes_max: 4_096 };

    fn drain(outbox: &Outbox) -> Vec<String> {
        let mut packets = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(())) = outbox.poll_drain(&mut cx, Portion::ALL, &mut packets) {}
        let payloads = packets.iter().filter_map(Packet::payload);
        payloads.map(|payload| String::from_utf8(payload.to_vec()).unwrap()).collect()
    }

    #[test]
    fn crowd_packets_give_way_oldest_first() {
        let outbox = Outbox::new(LIMITS);
        for n in 0..6 {
            assert_eq!(outbox.push(Packet::text(&n.to_string(), Lane::Crowd)), Pushed::Queued);
        }
        assert_eq!(outbox.push(Packet::text("6", Lane::Crowd)), Pushed::Full);
        assert_eq!(outbox.push(Packet::text("gift", Lane::Money)), Pushed::Full);
        assert_eq!(outbox.dropped_count(), 1);
        assert_eq!(drain(&outbox), ["1", "2", "3", "4", "5", "6", "gift"]);
        assert_eq!(outbox.full_for(), None);
    }

    #[test]
    fn the_last_quarter_is_kept_for_what_must_not_be_dropped() {
        let outbox = Outbox::new(LIMITS);
        for _ in 0..8 {
            outbox.push(Packet::text("gift", Lane::Money));
        }
        assert_eq!(outbox.closed(), None);
        assert_eq!(outbox.push(Packet::text("comment", Lane::Crowd)), Pushed::Full);
        assert_eq!(outbox.closed(), None, "a dropped comment ends nobody");
        outbox.push(Packet::text("one more gift", Lane::Money));
        assert_eq!(outbox.closed(), Some(Disconnect::Slow), "a gift that cannot be kept ends the session");
        assert_eq!(outbox.push(Packet::text("late", Lane::Money)), Pushed::Closed);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let outbox = Outbox::new(LIMITS);
        outbox.push(Packet::text(&"a".repeat(2_000), Lane::Crowd));
        outbox.push(Packet::text(&"b".repeat(2_000), Lane::Crowd));
        let (packets, bytes) = outbox.queued();
        assert_eq!(packets, 1);
        assert!(bytes <= LIMITS.bytes_max);
        assert!(outbox.full_for().is_some());
    }

    #[test]
    fn a_portion_is_bounded_in_packets_and_bytes_but_never_empty() {
        let outbox = Outbox::new(LIMITS);
        for text in ["a", "b", "c", "large", "d"] {
            outbox.push(Packet::text(text, Lane::Crowd));
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut portions = Vec::new();
        for _ in 0..4 {
            let mut packets = Vec::new();
            let portion = Portion { packets_max: 2, bytes_max: 6 };
            assert_eq!(outbox.poll_drain(&mut cx, portion, &mut packets), Poll::Ready(Ok(())));
            portions.push(packets.len());
        }
        assert_eq!(portions, [2, 1, 1, 1]);
    }

    #[test]
    fn what_was_queued_before_the_close_is_still_drained() {
        let outbox = Outbox::new(LIMITS);
        outbox.push(Packet::text("bye", Lane::Money));
        outbox.close(Disconnect::Kicked);
        outbox.close(Disconnect::Fault);
        assert_eq!(drain(&outbox), ["bye"]);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(outbox.poll_drain(&mut cx, Portion::ALL, &mut Vec::new()), Poll::Ready(Err(Disconnect::Kicked)));
    }

    fn run(texts: &[(&str, Standing)]) -> Run {
        let packets: Vec<Packet> = texts.iter().map(|(text, standing)| Packet::text(text, *standing)).collect();
        Run::of(&packets).unwrap()
    }

    const CROWD: Standing = Standing { lane: Lane::Crowd, state: None };
    const MONEY: Standing = Standing { lane: Lane::Money, state: None };
    const STATE: Standing = Standing { lane: Lane::Crowd, state: Some(StateKey(7)) };

    #[test]
    fn a_run_is_one_entry_and_loses_single_events() {
        let outbox = Outbox::new(LIMITS);
        let long = "x".repeat(1_000);
        assert_eq!(outbox.push_run(&run(&[(&long, CROWD), ("gift", MONEY), ("late", CROWD)])), Pushed::Queued);
        assert_eq!(outbox.queued().0, 1);
        assert_eq!(outbox.push(Packet::text(&"y".repeat(2_060), Lane::Crowd)), Pushed::Full);
        assert_eq!(outbox.dropped_count(), 1);
        assert_eq!(drain(&outbox)[..2], ["gift", "late"]);
    }

    #[test]
    fn a_run_that_is_too_much_by_itself_keeps_its_latest() {
        let outbox = Outbox::new(LIMITS);
        let text = "x".repeat(1_000);
        let texts = ["1", "2", "3", "4", "5"].map(|n| format!("{n}{text}"));
        let events: Vec<(&str, Standing)> = texts.iter().map(|text| (text.as_str(), CROWD)).collect();
        assert_eq!(outbox.push_run(&run(&events)), Pushed::Full);
        assert_eq!(drain(&outbox), texts[2..]);
    }

    #[test]
    fn a_state_takes_the_place_of_an_earlier_one() {
        let outbox = Outbox::new(LIMITS);
        outbox.push_run(&run(&[("a", CROWD), ("one online", STATE), ("b", CROWD)]));
        outbox.push(Packet::text("other room", Standing { lane: Lane::Crowd, state: Some(StateKey(8)) }));
        outbox.push(Packet::text("two online", STATE));
        assert_eq!(outbox.dropped_count(), 0);
        assert_eq!(drain(&outbox), ["a", "b", "other room", "two online"]);
    }

    #[test]
    fn a_state_outlives_the_events_of_the_crowd() {
        let outbox = Outbox::new(LIMITS);
        outbox.push(Packet::text("two online", STATE));
        for n in 0..20 {
            outbox.push(Packet::text(&n.to_string(), Lane::Crowd));
        }
        assert_eq!(drain(&outbox)[0], "two online");
    }

    async fn sockets() -> (Arc<TcpStream>, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.writable().await.unwrap();
        (Arc::new(server), client)
    }

    #[actix_web::test]
    async fn a_push_reaches_a_socket_that_keeps_up_by_itself() {
        let (server, mut client) = sockets().await;
        let outbox = Outbox::new(LIMITS);
        outbox.attach_socket(server, Bytes::new());
        assert_eq!(outbox.push(Packet::text("a", Lane::Crowd)), Pushed::Queued);
        assert_eq!(outbox.push_run(&run(&[("b", CROWD), ("c", CROWD)])), Pushed::Queued);
        assert_eq!(outbox.queued(), (0, 0));
        let mut heard = [0; 9];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut heard).await.unwrap();
        assert_eq!(&heard, b"\x81\x01a\x81\x01b\x81\x01c");
    }

    #[actix_web::test]
    async fn a_stopped_reader_costs_its_bound_and_hears_whole_frames_in_order_when_it_reads_on() {
        const BOUND: OutboxLimits = OutboxLimits { packets_max: 64, bytes_max: 64 << 10 };
        let (server, mut client) = sockets().await;
        socket2::SockRef::from(&*server).set_send_buffer_size(4_096).unwrap();
        let outbox = Outbox::new(BOUND);
        outbox.attach_socket(server, Bytes::from_static(b"head"));
        let filler = "x".repeat(997);
        let mut pushed = 0;
        while outbox.dropped_count() == 0 {
            let (one, other) = (format!("{pushed:04}{filler}"), format!("{:04}{filler}", pushed + 1));
            outbox.push_run(&run(&[(&one, CROWD), (&other, CROWD)]));
            pushed += 2;
            let (entries, bytes) = outbox.queued();
            assert!(entries <= BOUND.packets_max && bytes <= BOUND.bytes_max);
        }
        assert!(outbox.full_for().is_some());
        outbox.close(Disconnect::Kicked);

        let mut heard = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut heard);
        let writing = async {
            let end = std::future::poll_fn(|cx| outbox.poll_flush(cx)).await;
            outbox.kill_socket();
            outbox.detach_socket();
            end
        };
        let (read, end) = futures_util::future::join(reading, writing).await;
        read.unwrap();
        assert_eq!(end, FlushEnd::Closed(Disconnect::Kicked));
        let frames = heard.strip_prefix(b"head").unwrap().chunks(1_001 + 4);
        let numbers: Vec<usize> =
            frames.map(|frame| std::str::from_utf8(&frame[4..8]).unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.last() == Some(&(pushed - 1)), "{numbers:?}");
        assert_eq!(numbers.len() as u64 + outbox.dropped_count(), pushed as u64);
    }
}
