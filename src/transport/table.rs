//! The Engine.IO sessions that began by polling, by their sid.
//!
//! Each request of such a session may arrive on another connection and another worker thread; this
//! is the state they share. Sessions that began on a WebSocket keep one connection and are not in
//! the table.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::Addr;
use actix_http::RequestHead;
use actix_web::rt::time::sleep;
use tokio::sync::{Notify, oneshot};

use super::owner::Owner;
use crate::actors::Session;
use crate::domain::Disconnect;
use crate::outbox::{DrainLimits, Outbox, Packet};
use crate::protocol::EngineVersion;

/// How long a session ended by the server keeps its last packets for the next poll: as long as
/// engine.io does (`closeTimeout`).
const LINGER: Duration = Duration::from_secs(30);

/// Sessions that ended and wait for their last poll, and the bytes of their last packets, at most.
/// Beyond either the oldest are dropped, and the client is answered that its sid is unknown.
const ENDED_MAX: usize = 4_096;
const ENDED_BYTES_MAX: usize = 16 << 20;

/// While a client probes a WebSocket, the longest that its poll hangs: it upgrades only once its
/// last poll was answered. The interval at which engine.io checks.
const RELEASE: Duration = Duration::from_millis(100);

/// The transport that carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Polling,
    /// Polling still, while a WebSocket asks to take over. `answered`: its probe was.
    Probing {
        answered: bool,
    },
    WebSocket,
}

#[derive(Debug)]
struct State {
    carrier: Carrier,
    /// A GET is waiting.
    polling: bool,
    /// A POST is being read.
    posting: bool,
    /// The session ended, and a poll was answered with its last packet.
    final_packet_sent: bool,
    /// Resolves when the session has ended; for the WebSocket that takes over.
    over: Option<oneshot::Receiver<()>>,
}

/// Why a request cannot be served: another of its kind is under way, or the session has left
/// polling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CarrierConflict {
    /// The client breaks the protocol; engine.io ends such a session.
    Overlap,
    /// The session is carried by a WebSocket, or about to be.
    OtherCarrier,
}

/// The answer to a poll.
#[derive(Debug)]
pub(super) enum Polled {
    Packets(Vec<Packet>),
    /// No packets, but the poll must not wait any longer.
    Released,
    /// The session is over. `hung`: it ended while the poll waited.
    Ended {
        reason: Disconnect,
        hung: bool,
    },
}

/// One session, as its requests see it.
pub(super) struct EngineEntry {
    pub(super) sid: Arc<str>,
    pub(super) version: EngineVersion,
    pub(super) owner: Owner,
    pub(super) outbox: Arc<Outbox>,
    pub(super) session: Addr<Session>,
    state: Mutex<State>,
    /// Notified when the session has ended, for the body that is being read.
    ended: Notify,
}

impl EngineEntry {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is a few assignments, so a poisoned lock guards whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is over for its client too, which then reads that the sid is unknown. A
    /// session that the node ended still owes its client what waits in the outbox, and the close
    /// packet if it is not to come back; one that its client ended or broke owes nothing.
    pub(super) fn is_over(&self) -> bool {
        let Some(reason) = self.outbox.closed() else {
            return false;
        };
        if reason.is_final() {
            return self.lock().final_packet_sent;
        }
        let by_peer = matches!(
            reason,
            Disconnect::ByClient
                | Disconnect::Malformed
                | Disconnect::TooBig
                | Disconnect::PingTimeout
        );
        by_peer || self.outbox.queued().0 == 0
    }

    /// Ends the session because of what its client did. Requests that follow find it over, however
    /// long the session itself takes to notice.
    pub(super) fn end(&self, reason: Disconnect) {
        self.outbox.close(reason);
        super::gone(&self.session, reason);
    }

    /// Records that a poll was answered with the last packet of the session.
    pub(super) fn mark_final_packet_sent(&self) {
        self.lock().final_packet_sent = true;
    }

    /// Begins a poll: one at a time, as long as polling carries the session.
    pub(super) fn begin_poll(self: &Arc<Self>) -> Result<PollGuard, CarrierConflict> {
        let mut state = self.lock();
        if state.carrier == Carrier::WebSocket {
            return Err(CarrierConflict::OtherCarrier);
        }
        if std::mem::replace(&mut state.polling, true) {
            return Err(CarrierConflict::Overlap);
        }
        Ok(PollGuard {
            entry: self.clone(),
            answered: false,
        })
    }

    /// Begins a POST: one at a time, as long as polling carries the session.
    pub(super) fn begin_post(self: &Arc<Self>) -> Result<PostGuard, CarrierConflict> {
        let mut state = self.lock();
        if state.carrier == Carrier::WebSocket {
            return Err(CarrierConflict::OtherCarrier);
        }
        if std::mem::replace(&mut state.posting, true) {
            return Err(CarrierConflict::Overlap);
        }
        Ok(PostGuard {
            entry: self.clone(),
            is_whole: false,
        })
    }

    /// Begins an upgrade: one at a time, and once.
    pub(super) fn begin_probe(self: &Arc<Self>) -> Result<ProbeGuard, CarrierConflict> {
        let mut state = self.lock();
        if state.carrier != Carrier::Polling || self.outbox.closed().is_some() {
            return Err(CarrierConflict::OtherCarrier);
        }
        let over = state.over.take().ok_or(CarrierConflict::OtherCarrier)?;
        state.carrier = Carrier::Probing { answered: false };
        Ok(ProbeGuard {
            entry: self.clone(),
            over: Some(over),
        })
    }

    /// The probe was answered: a hanging poll is released.
    pub(super) fn probe_answered(&self) {
        self.lock().carrier = Carrier::Probing { answered: true };
        self.outbox.wake_drainer();
    }

    /// The output of `reading`, or nothing once the session has ended: nothing that the client has
    /// in hand may outlive the seat of the session. One that was over before is for `reading` to
    /// bound.
    pub(super) async fn while_seated<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        let mut ended = pin!(self.ended.notified());
        // From here on no notice is missed. The outbox is closed before the session ends.
        ended.as_mut().enable();
        if self.outbox.closed().is_some() {
            return Some(reading.await);
        }
        tokio::select! {
            biased;
            output = reading => Some(output),
            () = ended => None,
        }
    }

    /// Waits for something to answer a poll with, and takes a portion of it.
    async fn polled(&self, limits: DrainLimits) -> Polled {
        let mut release = pin!(None);
        let mut hung = false;
        std::future::poll_fn(|cx: &mut Context<'_>| {
            // The lock is held while the outbox is drained: what a poll took before the carrier
            // changed is on its way before anything the WebSocket takes.
            let state = self.lock();
            if state.carrier == Carrier::WebSocket {
                return Poll::Ready(Polled::Released);
            }
            let mut packets = Vec::new();
            match self.outbox.poll_drain(cx, limits, &mut packets) {
                Poll::Ready(Ok(())) => return Poll::Ready(Polled::Packets(packets)),
                Poll::Ready(Err(reason)) => return Poll::Ready(Polled::Ended { reason, hung }),
                Poll::Pending => hung = true,
            }
            if state.carrier == (Carrier::Probing { answered: true }) {
                if release.is_none() {
                    release.set(Some(sleep(RELEASE)));
                }
                if let Some(release) = release.as_mut().as_pin_mut() {
                    return release.poll(cx).map(|()| Polled::Released);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A poll in progress. Dropped before it has an answer, it ends the session, whose client went
/// away.
pub(super) struct PollGuard {
    entry: Arc<EngineEntry>,
    answered: bool,
}

impl PollGuard {
    pub(super) async fn wait(mut self, limits: DrainLimits) -> Polled {
        let polled = self.entry.polled(limits).await;
        self.answered = true;
        polled
    }
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        let mut state = self.entry.lock();
        state.polling = false;
        // A session on a WebSocket no longer depends on polls.
        if !self.answered && state.carrier != Carrier::WebSocket {
            self.entry.end(Disconnect::ByClient);
        }
    }
}

/// A POST in progress. Dropped before its body is whole, it ends the session, whose client went
/// away.
pub(super) struct PostGuard {
    entry: Arc<EngineEntry>,
    is_whole: bool,
}

impl PostGuard {
    /// All of the body is here.
    pub(super) fn body_is_whole(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for PostGuard {
    fn drop(&mut self) {
        let mut state = self.entry.lock();
        state.posting = false;
        if !self.is_whole && state.carrier != Carrier::WebSocket {
            self.entry.end(Disconnect::ByClient);
        }
    }
}

/// An upgrade in progress. Dropped before it is done, it leaves the session to polling.
pub(super) struct ProbeGuard {
    entry: Arc<EngineEntry>,
    /// Resolves when the session has ended; nothing once it did.
    over: Option<oneshot::Receiver<()>>,
}

impl ProbeGuard {
    pub(super) fn entry(&self) -> &Arc<EngineEntry> {
        &self.entry
    }

    /// Waits until the session ends. Dropping the future loses nothing.
    pub(super) async fn session_over(&mut self) {
        if let Some(over) = &mut self.over {
            // Nothing is ever sent: its sender is dropped.
            let _ = over.await;
            self.over = None;
        }
    }

    /// From here on the WebSocket carries the session. Returns what resolves when the session has
    /// ended, unless it already has.
    pub(super) fn complete(mut self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.entry.lock();
        let over = self
            .over
            .take()
            .filter(|_| self.entry.outbox.closed().is_none())?;
        state.carrier = Carrier::WebSocket;
        drop(state);
        // A poll that still hangs finds that it is no longer asked for.
        self.entry.outbox.wake_drainer();
        Some(over)
    }
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        let mut state = self.entry.lock();
        if state.carrier != Carrier::WebSocket {
            state.carrier = Carrier::Polling;
            state.over = self.over.take();
        }
    }
}

#[derive(Default)]
struct Entries {
    by_sid: HashMap<Arc<str>, Arc<EngineEntry>>,
    /// Those that ended and still owe something, oldest first.
    ended_entries: VecDeque<EndedEntry>,
    /// The bytes that `ended_entries` still hold together.
    lingering_bytes: usize,
}

/// A session that ended before its client took its last packets.
struct EndedEntry {
    since: Instant,
    sid: Arc<str>,
    bytes: usize,
}

impl Entries {
    fn linger(&mut self, sid: Arc<str>, bytes: usize) {
        self.ended_entries.push_back(EndedEntry {
            since: Instant::now(),
            sid,
            bytes,
        });
        self.lingering_bytes += bytes;
    }

    /// Forgets sessions that lingered long enough. Done when sessions come and go, so an idle node
    /// may know some for longer, within the bounds.
    fn forget_old(&mut self) {
        while let Some(oldest) = self.ended_entries.front()
            && (self.ended_entries.len() > ENDED_MAX
                || self.lingering_bytes > ENDED_BYTES_MAX
                || oldest.since.elapsed() > LINGER)
        {
            if let Some(oldest) = self.ended_entries.pop_front() {
                self.lingering_bytes -= oldest.bytes;
                self.by_sid.remove(&oldest.sid);
            }
        }
    }
}

/// All sessions that began by polling. The lock is held for one look into a map.
#[derive(Default)]
pub struct EngineTable {
    entries: Mutex<Entries>,
}

impl EngineTable {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every change under the lock is a map operation, so a poisoned lock guards whole state.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the guard whose drop signals that the session `sid` ended.
    pub(super) fn guard(self: &Arc<Self>, sid: Arc<str>) -> (EntryGuard, oneshot::Receiver<()>) {
        let (alive, over) = oneshot::channel();
        (
            EntryGuard {
                table: self.clone(),
                sid,
                _alive: alive,
            },
            over,
        )
    }

    pub(super) fn insert(
        &self,
        sid: Arc<str>,
        version: EngineVersion,
        owner: Owner,
        outbox: Arc<Outbox>,
        session: Addr<Session>,
        over: oneshot::Receiver<()>,
    ) -> Arc<EngineEntry> {
        let state = State {
            carrier: Carrier::Polling,
            polling: false,
            posting: false,
            final_packet_sent: false,
            over: Some(over),
        };
        let entry = Arc::new(EngineEntry {
            sid: sid.clone(),
            version,
            owner,
            outbox,
            session,
            state: Mutex::new(state),
            ended: Notify::new(),
        });
        let mut entries = self.lock();
        entries.forget_old();
        entries.by_sid.insert(sid, entry.clone());
        entry
    }

    /// The session `sid`, for the request `head` that comes from `address`, if its owner sent it.
    pub(super) fn get(
        &self,
        sid: &str,
        head: &RequestHead,
        address: IpAddr,
    ) -> Option<Arc<EngineEntry>> {
        let entry = self.lock().by_sid.get(sid).cloned();
        entry.filter(|entry| entry.owner.sent(head, address))
    }

    fn end(&self, sid: &Arc<str>) {
        let mut entries = self.lock();
        let Some(entry) = entries.by_sid.get(sid).cloned() else {
            return;
        };
        entry.ended.notify_waiters();
        // A WebSocket sees to the end of its session itself.
        if entry.lock().carrier == Carrier::WebSocket || entry.is_over() {
            entries.by_sid.remove(sid);
        } else {
            entries.linger(sid.clone(), entry.outbox.queued().1);
        }
        entries.forget_old();
    }
}

/// Held by a session in the table: when it is dropped, the entry ends.
pub(super) struct EntryGuard {
    table: Arc<EngineTable>,
    sid: Arc<str>,
    _alive: oneshot::Sender<()>,
}

impl Drop for EntryGuard {
    fn drop(&mut self) {
        self.table.end(&self.sid);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sid::random_sid;
    use super::*;

    #[test]
    fn what_lingers_is_bounded_in_number_and_in_bytes() {
        let mut entries = Entries::default();
        (0..2 * ENDED_MAX).for_each(|_| {
            entries.linger(random_sid(), 0);
            entries.forget_old();
        });
        assert_eq!(
            (entries.ended_entries.len(), entries.lingering_bytes),
            (ENDED_MAX, 0)
        );
        for _ in 0..2 * ENDED_MAX {
            entries.linger(random_sid(), ENDED_BYTES_MAX / 8);
            entries.forget_old();
        }
        assert_eq!(
            (entries.ended_entries.len(), entries.lingering_bytes),
            (8, ENDED_BYTES_MAX)
        );
    }
}
