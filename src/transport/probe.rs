//! The upgrade from polling to WebSocket: the client opens a socket beside its polls, probes it
//! with a ping, and sends the upgrade packet once its last poll was answered.
//!
//! Until the upgrade packet, polls deliver and the socket receives only the answer to its probe. A
//! socket that does not get so far is closed, and the session continues by polling.

use std::sync::Arc;
use std::time::Duration;

use super::deliver;
use super::frames::Message;
use super::framing::Framing;
use super::socket::{ReadEnd, Socket, SocketSession};
use super::table::{EngineEntry, ProbeGuard};
use crate::actors::consoles::Feed;
use crate::actors::session::Inbound;
use crate::domain::Priority;
use crate::outbox::{ControlFrame, Outbox, OutboxLimits, Packet};
use crate::protocol::EnginePacket;
use crate::protocol::engineio::{PROBE_PONG, decode_text};

/// The answer to a probe, and some pongs.
const PROBE_OUTBOX: OutboxLimits = OutboxLimits {
    packets_max: 16,
    bytes_max: 4_096,
};

/// The use of a WebSocket after its handshake.
pub(super) enum NextStep {
    /// A session from here on.
    Session(SocketSession),
    /// A console of an operator.
    Feed(Feed),
    /// A session that polls, once client and server have agreed to upgrade it.
    Probe(Probe),
    /// Nothing: the session it asks for has another WebSocket.
    Nothing,
}

/// A WebSocket that asks to take over from polling.
pub(super) struct Probe {
    guard: ProbeGuard,
    time_max: Duration,
}

impl Probe {
    /// One at a time, within `time_max`, and only while polling carries the session.
    pub(super) fn begin(entry: &Arc<EngineEntry>, time_max: Duration) -> Option<Self> {
        let guard = entry.begin_probe().ok()?;
        Some(Self { guard, time_max })
    }

    pub(super) async fn run(self, mut socket: Socket) {
        let Self {
            mut guard,
            time_max,
        } = self;
        let outbox = Outbox::new(PROBE_OUTBOX);
        let entry = guard.entry().clone();
        let agreed = socket.run_until(&outbox, time_max, async |socket| {
            tokio::select! {
                agreed = agree(&entry, socket, &outbox) => agreed,
                // The session ended before the upgrade.
                () = guard.session_over() => Err(ReadEnd::over(&entry.outbox)),
            }
        });
        let read_end = match agreed.await {
            Ok(()) => match guard.complete() {
                Some(over) => {
                    let framing = Framing::Engine(entry.version);
                    let (session, outbox) = (entry.session.clone(), entry.outbox.clone());
                    return socket
                        .run_session(SocketSession {
                            framing,
                            session,
                            outbox,
                            over,
                        })
                        .await;
                }
                None => ReadEnd::over(&entry.outbox),
            },
            Err(read_end) => {
                drop(guard);
                read_end
            }
        };
        socket.refuse(&outbox, read_end).await;
    }
}

/// Closes a WebSocket that asks for a session which a WebSocket carries already, or probes.
/// engine.io takes the handshake of such a socket too, and the session goes on without it.
pub(super) async fn refuse_probe(socket: Socket) {
    socket
        .refuse(&Outbox::new(PROBE_OUTBOX), ReadEnd::malformed())
        .await;
}

/// Ping and pong, once or more, then upgrade, and nothing between.
async fn agree(entry: &EngineEntry, socket: &mut Socket, outbox: &Outbox) -> Result<(), ReadEnd> {
    let mut answered = false;
    loop {
        let text = match socket.message().await.map_err(ReadEnd::unreadable)? {
            Message::Text(text) => text,
            Message::Ping(data) => {
                outbox.push(Packet::control(ControlFrame::Pong, &data));
                charge(entry).await?;
                continue;
            }
            Message::Pong | Message::Fragments => {
                charge(entry).await?;
                continue;
            }
            Message::Close(code) => return Err(ReadEnd::by_peer(code)),
            Message::Binary(_) => return Err(ReadEnd::malformed()),
        };
        match decode_text(entry.version, &text) {
            Ok(EnginePacket::Ping { probe: true }) => {
                // A client may ask again, at the price of any other frame.
                if std::mem::replace(&mut answered, true) {
                    charge(entry).await?;
                }
                outbox.push(Packet::text(PROBE_PONG, Priority::Critical));
                entry.probe_answered();
            }
            Ok(EnginePacket::Upgrade) if answered => return Ok(()),
            _ => return Err(ReadEnd::malformed()),
        }
    }
}

/// Has the session's limiter charge for a frame that is not a packet, and waits until it has, so
/// that a flood neither keeps this thread from others nor goes on beside the session for free.
async fn charge(entry: &EngineEntry) -> Result<(), ReadEnd> {
    let is_there = deliver(&entry.session, Inbound::Pong).await;
    if is_there && entry.outbox.closed().is_none() {
        Ok(())
    } else {
        Err(ReadEnd::over(&entry.outbox))
    }
}
