//! The bounded queue of encoded packets in front of one session's socket, and the only slow-member
//! policy.
//!
//! Whoever has something for a session pushes; whoever owns its transport drains. A push never
//! waits: at the bound the oldest crowd packets make room, and what still does not fit is dropped
//! (crowd) or ends the session (everything else, which is never dropped for a live session). Three
//! quarters of the bound are for all, the last quarter is for what must not be dropped.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::{Disconnect, Lane};

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

/// A WebSocket opcode a server sends (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Ping,
    Pong,
}

/// One packet, encoded once as a ready WebSocket frame and shared by all who receive it. A polling
/// transport sends the same bytes without the frame header.
#[derive(Debug, Clone)]
pub struct Packet {
    frame: Bytes,
    /// Length of the frame header; `None` for a control frame, which only a WebSocket understands.
    header_bytes: Option<u8>,
    lane: Lane,
}

const OPCODE_TEXT: u8 = 0x1;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xA;
const FINAL: u8 = 0x80;

impl Packet {
    /// A text frame, unmasked as servers send it (RFC 6455, section 5.1).
    pub fn text(text: &str, lane: Lane) -> Self {
        let (frame, header_bytes) = frame(OPCODE_TEXT, text.as_bytes());
        Self { frame, header_bytes: Some(header_bytes), lane }
    }

    /// A control frame; its payload is at most 125 bytes and cut there.
    pub fn control(control: Control, payload: &[u8]) -> Self {
        let opcode = match control {
            Control::Ping => OPCODE_PING,
            Control::Pong => OPCODE_PONG,
        };
        let (frame, _) = frame(opcode, &payload[..payload.len().min(125)]);
        Self { frame, header_bytes: None, lane: Lane::Money }
    }

    /// The whole WebSocket frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The text alone; `None` for a control frame.
    pub fn payload(&self) -> Option<Bytes> {
        self.header_bytes.map(|header| self.frame.slice(usize::from(header)..))
    }
}

fn frame(opcode: u8, payload: &[u8]) -> (Bytes, u8) {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(FINAL | opcode);
    match payload.len() {
        len @ 0..=125 => frame.put_u8(len as u8),
        len @ 126..=0xFFFF => {
            frame.put_u8(126);
            frame.put_u16(len as u16);
        }
        len => {
            frame.put_u8(127);
            frame.put_u64(len as u64);
        }
    }
    let header_bytes = frame.len() as u8;
    frame.put_slice(payload);
    (frame.freeze(), header_bytes)
}

/// How much may wait for one session.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    pub packets_max: usize,
    pub bytes_max: usize,
}

impl OutboxLimits {
    /// What packets that may be dropped can take; the rest is kept for those that may not.
    fn shared_packets(self) -> usize {
        self.packets_max - self.packets_max / 4
    }

    fn shared_bytes(self) -> usize {
        self.bytes_max - self.bytes_max / 4
    }
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// Queued or dropped, but the outbox is at its bound: whoever watches slow members should.
    Full,
    /// The session is over.
    Closed,
}

#[derive(Debug)]
struct Inner {
    queue: VecDeque<Packet>,
    bytes: usize,
    /// Since when the bound is hit; cleared when the drain has made half of the room free.
    full_since: Option<Instant>,
    closed: Option<Disconnect>,
    drainer: Option<Waker>,
    socket: Option<Arc<SocketHandle>>,
    dropped_count: u64,
}

/// The outbox of one session. Shared by the hub, the session and its transport; the lock is held
/// for a few instructions and never across a wait.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    inner: Mutex<Inner>,
}

impl Outbox {
    pub fn new(limits: OutboxLimits) -> Arc<Self> {
        let inner = Inner {
            queue: VecDeque::new(),
            bytes: 0,
            full_since: None,
            closed: None,
            drainer: None,
            socket: None,
            dropped_count: 0,
        };
        Arc::new(Self { limits, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a packet under the policy above and wakes the transport.
    pub fn push(&self, packet: Packet) -> Pushed {
        let mut inner = self.lock();
        if inner.closed.is_some() {
            return Pushed::Closed;
        }
        let len = packet.frame.len();
        let (packets_max, bytes_max) = match packet.lane {
            Lane::Crowd => (self.limits.shared_packets(), self.limits.shared_bytes()),
            Lane::Voice | Lane::Money => (self.limits.packets_max, self.limits.bytes_max),
        };
        let fits = |inner: &Inner| inner.queue.len() < packets_max && inner.bytes + len <= bytes_max;
        if !fits(&inner) {
            inner.full_since.get_or_insert_with(Instant::now);
            while !fits(&inner) && inner.drop_oldest_crowd() {}
        }
        if fits(&inner) {
            inner.bytes += len;
            inner.queue.push_back(packet);
        } else if packet.lane == Lane::Crowd {
            inner.dropped_count += 1;
        } else {
            inner.end(Disconnect::Slow);
        }
        let pushed = if inner.full_since.is_some() { Pushed::Full } else { Pushed::Queued };
        let drainer = inner.drainer.take();
        drop(inner);
        if let Some(drainer) = drainer {
            drainer.wake();
        }
        pushed
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
            match &mut inner.drainer {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let (mut packets, mut bytes) = (0, 0);
        while let Some(packet) = inner.queue.front() {
            let len = packet.frame.len();
            if packets > 0 && (packets == portion.packets_max || bytes + len > portion.bytes_max) {
                break;
            }
            packets += 1;
            bytes += len;
            inner.bytes -= len;
            into.extend(inner.queue.pop_front());
        }
        if inner.queue.len() <= self.limits.packets_max / 2 && inner.bytes <= self.limits.bytes_max / 2 {
            inner.full_since = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Wakes the drainer although nothing was pushed: something else about the session changed.
    pub fn nudge(&self) {
        let drainer = self.lock().drainer.take();
        if let Some(drainer) = drainer {
            drainer.wake();
        }
    }

    /// Ends the session after what is already queued. The first reason stays.
    pub fn close(&self, reason: Disconnect) {
        let mut inner = self.lock();
        inner.closed.get_or_insert(reason);
        let drainer = inner.drainer.take();
        drop(inner);
        if let Some(drainer) = drainer {
            drainer.wake();
        }
    }

    /// Ends the session and forgets what is queued: the peer does not read anyway.
    pub fn cut(&self, reason: Disconnect) {
        let mut inner = self.lock();
        inner.end(reason);
        let drainer = inner.drainer.take();
        drop(inner);
        if let Some(drainer) = drainer {
            drainer.wake();
        }
    }

    /// Why the session ended, once it has.
    pub fn closed(&self) -> Option<Disconnect> {
        self.lock().closed
    }

    /// How long the outbox has been at its bound.
    pub fn full_for(&self) -> Option<Duration> {
        self.lock().full_since.map(|since| since.elapsed())
    }

    /// Packets and bytes waiting.
    pub fn queued(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.queue.len(), inner.bytes)
    }

    /// Crowd packets dropped since the session began.
    pub fn dropped_count(&self) -> u64 {
        self.lock().dropped_count
    }

    /// Names the socket that [`Outbox::kill_socket`] shuts down.
    pub fn attach_socket(&self, socket: Arc<SocketHandle>) {
        self.lock().socket = Some(socket);
    }

    /// Shuts the socket down from outside: the only thing that reaches a transport whose peer does
    /// not read.
    pub fn kill_socket(&self) {
        let socket = self.lock().socket.take();
        if let Some(socket) = socket {
            socket.kill();
        }
    }
}

impl Inner {
    fn drop_oldest_crowd(&mut self) -> bool {
        let Some(oldest) = self.queue.iter().position(|packet| packet.lane == Lane::Crowd) else { return false };
        if let Some(packet) = self.queue.remove(oldest) {
            self.bytes -= packet.frame.len();
            self.dropped_count += 1;
        }
        true
    }

    fn end(&mut self, reason: Disconnect) {
        self.closed.get_or_insert(reason);
        self.queue.clear();
        self.bytes = 0;
    }
}

/// A second descriptor of a socket, to shut it down from outside its event loop. Holding it keeps
/// the connection open, so the transport releases it when it is done.
#[derive(Debug)]
pub struct SocketHandle(Mutex<Option<OwnedFd>>);

impl SocketHandle {
    pub fn new(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(fd))))
    }

    fn take(&self) -> Option<OwnedFd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the connection in both directions now.
    pub fn kill(&self) {
        if let Some(fd) = self.take() {
            // The peer may be gone already, which is what we want.
            let _ = socket2::SockRef::from(&fd).shutdown(Shutdown::Both);
        }
    }

    /// Lets go: the transport closed the socket itself.
    pub fn release(&self) {
        self.take();
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
    fn frames_have_the_header_their_length_needs() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let packet = Packet::text(&"x".repeat(len), Lane::Crowd);
            assert_eq!(packet.frame().len(), len + header, "payload of {len}");
            assert_eq!(packet.payload().unwrap().len(), len);
        }
        assert_eq!(Packet::control(Control::Ping, b"").frame().as_ref(), [0x89, 0]);
        assert!(Packet::control(Control::Pong, b"x").payload().is_none());
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
}
