//! From polling to WebSocket: the client opens a socket beside its polls, asks whether it works, and
//! once its last poll was answered says that the socket is to carry the session.
//!
//! Until that last word the polls deliver, and the socket hears nothing but the answer to its
//! probe. A socket that never gets so far is closed and the session goes on by polling.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::time::timeout;
use actix_web::{HttpRequest, HttpResponse, web};

use super::TransportState;
use super::engine::refusal;
use super::frames::{Frames, Message};
use super::table::{EngineEntry, ProbeGuard};
use super::ws::{Framing, Opening, Peer, Socket};
use crate::domain::{Disconnect, Lane};
use crate::outbox::{Control, Outbox, OutboxLimits, Packet};
use crate::protocol::EnginePacket;
use crate::protocol::engineio::{EngineError, PROBE_PONG, decode_text};

/// The answer to a probe, and some pongs.
const PROBE_OUTBOX: OutboxLimits = OutboxLimits { packets_max: 16, bytes_max: 4_096 };

/// `GET ?sid=` for a WebSocket.
pub(super) fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    entry: &Arc<EngineEntry>,
    state: &TransportState,
) -> HttpResponse {
    let Ok(guard) = entry.begin_probe() else { return refusal(EngineError::BadRequest) };
    let socket = match Opening::begin(request, payload, state) {
        Ok(socket) => socket,
        Err(error) => return HttpResponse::from_error(error),
    };
    let outbox = Outbox::new(PROBE_OUTBOX);
    let (socket, response) = socket.accept(outbox.clone());
    actix_web::rt::spawn(probe(guard, socket, outbox, state.settings.upgrade_timeout));
    response
}

async fn probe(guard: ProbeGuard, mut socket: Socket, outbox: Arc<Outbox>, time_max: Duration) {
    let entry = guard.entry().clone();
    let reason = match timeout(time_max, agree(&guard, &mut socket.frames, &outbox)).await {
        Ok(Ok(())) => match guard.complete() {
            Some(over) => {
                socket.go_on_with(&entry.outbox, &outbox);
                let framing = Framing::Engine(entry.version);
                let (session, outbox) = (entry.session.clone(), entry.outbox.clone());
                return socket.carry(Peer { framing, session, outbox }, over).await;
            }
            None => Disconnect::ByClient,
        },
        Ok(Err(reason)) => {
            drop(guard);
            reason
        }
        Err(_) => {
            drop(guard);
            Disconnect::ConnectTimeout
        }
    };
    socket.refuse(&outbox, reason).await;
}

/// Ping, pong, upgrade, in this order and nothing between.
async fn agree(guard: &ProbeGuard, frames: &mut Frames, outbox: &Outbox) -> Result<(), Disconnect> {
    let version = guard.entry().version;
    let mut answered = false;
    loop {
        let text = match frames.next().await? {
            Message::Text(text) => text,
            Message::Ping(data) => {
                outbox.push(Packet::control(Control::Pong, &data));
                continue;
            }
            Message::Pong => continue,
            Message::Close(_) => return Err(Disconnect::ByClient),
            Message::Binary(_) => return Err(Disconnect::Policy),
        };
        match decode_text(version, &text) {
            Ok(EnginePacket::Ping { probe: true }) if !answered => {
                answered = true;
                outbox.push(Packet::text(PROBE_PONG, Lane::Money));
                guard.answered();
            }
            Ok(EnginePacket::Upgrade) if answered => return Ok(()),
            _ => return Err(Disconnect::Policy),
        }
    }
}
