//! Polling: a session carried by a sequence of HTTP requests, each possibly on another connection
//! and another worker thread. A GET waits until packets are queued; POSTs bring packets.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;

use super::bodies::BodyFault;
use super::framing::inbound;
use super::table::{CarrierConflict, EngineEntry, Polled};
use super::{Refused, TransportState, deliver, gone, overloaded, refusal};
use crate::actors::session::Inbound;
use crate::domain::Disconnect;
use crate::outbox::{DrainLimits, Packet};
use crate::protocol::EngineVersion;
use crate::protocol::engineio::{
    CLOSE, EngineError, EngineParseError, NOOP, PayloadKind, decode_payload, encode_payload,
};
use crate::protocol::refusal::OVERLOADED_RETRY_AFTER_MS;

/// Packets in the answer to one poll. python-socketio disconnects on a seventeenth, and the last
/// may be followed by the close packet; the client polls again at once for the rest.
const POLL_PACKETS_MAX: usize = 15;

/// `GET ?sid=`: answers with the queued packets, or waits for the first one.
pub(super) async fn poll(entry: &Arc<EngineEntry>, state: &TransportState) -> HttpResponse {
    let guard = match entry.begin_poll() {
        Ok(guard) => guard,
        Err(conflict) => return conflict.refuse(entry),
    };
    let limits = DrainLimits {
        packets_max: POLL_PACKETS_MAX,
        bytes_max: state.config().engineio.max_payload_bytes,
    };
    let packets = match guard.wait(limits).await {
        Polled::Packets(packets) => packets,
        Polled::Released => return answer(entry, &[NOOP.as_bytes()]),
        Polled::Ended { reason, hung } => {
            report_closed(entry);
            return last_answer(entry, reason, hung);
        }
    };
    let mut packets: Vec<Bytes> = packets.iter().filter_map(Packet::payload).collect();
    let is_final = entry.outbox.closed().is_some_and(Disconnect::is_final);
    if is_final && entry.outbox.queued().0 == 0 {
        // So the client need not poll again for it.
        packets.push(Bytes::from_static(CLOSE.as_bytes()));
        entry.mark_final_packet_sent();
    }
    answer(entry, &packets)
}

/// Answers the last poll of a session that ended for `reason`. `hung`: it ended while the poll
/// waited.
///
/// A client that should reconnect is not sent the close packet if there is a choice, but is
/// answered that its sid is unknown: socket.io-client reconnects after either, python-socketio only
/// after the latter.
fn last_answer(entry: &EngineEntry, reason: Disconnect, hung: bool) -> HttpResponse {
    let packet = match reason {
        // A client that closed while its poll hung expects the poll to be answered.
        Disconnect::ByClient if hung => NOOP,
        Disconnect::Malformed | Disconnect::TooBig if hung => CLOSE,
        reason if reason.is_final() => CLOSE,
        _ => return refusal(EngineError::UnknownSid),
    };
    entry.mark_final_packet_sent();
    answer(entry, &[packet.as_bytes()])
}

/// `POST ?sid=`: takes packets to the session.
pub(super) async fn post(
    request: &HttpRequest,
    payload: web::Payload,
    entry: &Arc<EngineEntry>,
    state: &TransportState,
) -> HttpResponse {
    let mut guard = match entry.begin_post() {
        Ok(guard) => guard,
        Err(conflict) => return conflict.refuse(entry),
    };
    report_closed(entry);
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes());
    let kind = match content_type {
        Some(b"application/octet-stream") => PayloadKind::Binary,
        _ => PayloadKind::Text,
    };
    if entry.version == EngineVersion::V4 && kind == PayloadKind::Binary {
        return end(entry, Disconnect::Malformed);
    }
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(read) = entry
        .while_seated(state.bodies.read(entry.owner.address, declared, payload))
        .await
    else {
        return refusal(EngineError::UnknownSid);
    };
    let body = match read {
        Ok(body) => body,
        Err(fault) => return refuse_body(entry, fault),
    };
    guard.body_is_whole();
    // A task of its own, so that the packets are handled even if the client drops the request.
    let task = actix_web::rt::spawn({
        let entry = entry.clone();
        async move {
            let _guard = guard;
            take_packets(&entry, kind, &body.bytes)
                .await
                .inspect_err(|reason| entry.end(*reason))
        }
    });
    match task.await {
        Ok(Ok(()) | Err(Disconnect::ByClient)) => {}
        Ok(Err(_)) => return refusal(EngineError::BadRequest),
        // It panicked: how much of the body was handled is unknown.
        Err(_) => return end(entry, Disconnect::Fault),
    }
    polling_headers(HttpResponse::Ok(), entry)
        .content_type("text/html")
        .body("ok")
}

/// Hands the session the packets of a body, in order, one at a time.
async fn take_packets(
    entry: &EngineEntry,
    kind: PayloadKind,
    body: &[u8],
) -> Result<(), Disconnect> {
    let broken = |_: EngineParseError| Disconnect::Malformed;
    let mut alive_reported = false;
    for packet in decode_payload(entry.version, kind, body).map_err(broken)? {
        let inbound = inbound(entry.version, packet.map_err(broken)?)?;
        // One pong per body is enough.
        let alive = inbound == Inbound::Pong;
        if alive && alive_reported {
            continue;
        }
        alive_reported = alive;
        if !deliver(&entry.session, inbound).await {
            // The session ended; further packets are ignored.
            return Ok(());
        }
    }
    Ok(())
}

/// Reports to the session that another part closed its outbox, such as the hub for a slow member. A
/// session that ended by itself ignores it.
fn report_closed(entry: &EngineEntry) {
    if let Some(reason) = entry.outbox.closed() {
        gone(&entry.session, reason);
    }
}

/// Ends a session whose body could not be read completely.
fn refuse_body(entry: &EngineEntry, fault: BodyFault) -> HttpResponse {
    match fault {
        BodyFault::TooBig => {
            entry.end(Disconnect::TooBig);
            HttpResponse::PayloadTooLarge().finish()
        }
        BodyFault::Broken => end(entry, Disconnect::ByClient),
        BodyFault::TooSlow => end(entry, Disconnect::PingTimeout),
        BodyFault::NoRoom => {
            entry.end(Disconnect::Overloaded);
            overloaded(Refused {
                retry_after_ms: OVERLOADED_RETRY_AFTER_MS,
            })
            .finish()
        }
    }
}

/// Ends the session because of what its client did.
fn end(entry: &EngineEntry, reason: Disconnect) -> HttpResponse {
    entry.end(reason);
    refusal(EngineError::BadRequest)
}

impl CarrierConflict {
    fn refuse(self, entry: &EngineEntry) -> HttpResponse {
        match self {
            Self::Overlap => end(entry, Disconnect::Malformed),
            Self::OtherCarrier => refusal(EngineError::BadRequest),
        }
    }
}

/// Answers a poll or a handshake.
pub(super) fn answer(entry: &EngineEntry, packets: &[impl AsRef<[u8]>]) -> HttpResponse {
    polling_headers(HttpResponse::Ok(), entry)
        .content_type("text/plain; charset=UTF-8")
        .body(encode_payload(entry.version, packets))
}

fn polling_headers(mut response: HttpResponseBuilder, entry: &EngineEntry) -> HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store"));
    if let Some(cookie) = entry.owner.set_cookie(&entry.sid) {
        response.insert_header((SET_COOKIE, cookie));
    }
    response
}
