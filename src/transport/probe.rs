//! From polling to WebSocket: the client opens a socket beside its polls, asks whether it works, and
//! once its last poll was answered says that the socket is to carry the session.
//!
//! Until that last word the polls deliver, and the socket hears nothing but the answer to its
//! probe. A socket that never gets so far is closed and the session goes on by polling.

use std::sync::Arc;
use std::time::Duration;

use super::deliver;
use super::frames::Message;
use super::socket::{Framing, Peer, Socket, Stopped};
use super::table::{EngineEntry, ProbeGuard};
use crate::actors::session::Inbound;
use crate::domain::Priority;
use crate::outbox::{Control, Outbox, OutboxLimits, Packet};
use crate::protocol::EnginePacket;
use crate::protocol::engineio::{PROBE_PONG, decode_text};

/// The answer to a probe, and some pongs.
const PROBE_OUTBOX: OutboxLimits = OutboxLimits { packets_max: 16, bytes_max: 4_096 };

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
        let Self { mut guard, time_max } = self;
        let outbox = Outbox::new(PROBE_OUTBOX);
        let entry = guard.entry().clone();
        let agreed = socket.talk(&outbox, time_max, async |socket| {
            tokio::select! {
                agreed = agree(&entry, socket, &outbox) => agreed,
                // Then nothing is left to take over.
                () = guard.session_over() => Err(Stopped::over(&entry.outbox)),
            }
        });
        let stopped = match agreed.await {
            Ok(()) => match guard.complete() {
                Some(over) => {
                    let framing = Framing::Engine(entry.version);
                    let (session, outbox) = (entry.session.clone(), entry.outbox.clone());
                    return socket.carry(Peer { framing, session, outbox, over }).await;
                }
                None => Stopped::over(&entry.outbox),
            },
            Err(stopped) => {
                drop(guard);
                stopped
            }
        };
        socket.refuse(&outbox, stopped).await;
    }
}

/// Closes a WebSocket that asks for a session which a WebSocket carries already, or probes. engine.io takes the
/// handshake of such a socket too, and the session goes on without it.
pub(super) async fn turn_away(socket: Socket) {
    socket.refuse(&Outbox::new(PROBE_OUTBOX), Stopped::malformed()).await;
}

/// Ping and pong, once or more, then upgrade, and nothing between.
async fn agree(entry: &EngineEntry, socket: &mut Socket, outbox: &Outbox) -> Result<(), Stopped> {
    let mut answered = false;
    loop {
        let text = match socket.message().await.map_err(Stopped::unheard)? {
            Message::Text(text) => text,
            Message::Ping(data) => {
                outbox.push(Packet::control(Control::Pong, &data));
                charge(entry).await?;
                continue;
            }
            Message::Pong | Message::Fragments => {
                charge(entry).await?;
                continue;
            }
            Message::Close(code) => return Err(Stopped::by_peer(code)),
            Message::Binary(_) => return Err(Stopped::malformed()),
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
            _ => return Err(Stopped::malformed()),
        }
    }
}

/// Has the session's limiter charge for a frame that is no packet, and waits until it has, so that a
/// flood neither keeps this thread from others nor goes on beside the session for free.
async fn charge(entry: &EngineEntry) -> Result<(), Stopped> {
    let is_there = deliver(&entry.session, Inbound::Pong).await;
    if is_there && entry.outbox.closed().is_none() { Ok(()) } else { Err(Stopped::over(&entry.outbox)) }
}
