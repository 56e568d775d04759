//! `/ws?token=`: a session that speaks plain JSON over a WebSocket; and the handshake of every
//! WebSocket.

use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::sid::random_sid;
use super::socket::SocketSession;
use super::{RefusalResponse, TransportState, cors, overloaded};
use crate::actors::session::WorkerHub;
use crate::outbox::Outbox;
use crate::protocol::Codec;

#[derive(Deserialize)]
struct PlainQuery {
    token: Option<String>,
}

/// Begins the session of a WebSocket to `/ws`. A browser sends a page's origin and leaves it to the
/// server whether that page may connect.
pub(super) fn open(
    head: &RequestHead,
    state: &TransportState,
    hub: &Arc<WorkerHub>,
) -> Result<SocketSession, RefusalResponse> {
    if !cors::is_allowed(head, &state.config().server.allowed_origins) {
        return Err(Box::new(HttpResponse::Forbidden().finish()));
    }
    // Anything but one token counts as none, and the session answers that.
    let query = head.uri.query().unwrap_or_default();
    let token = web::Query::<PlainQuery>::from_query(query)
        .ok()
        .and_then(|query| query.into_inner().token)
        .map(Arc::from);
    let seat = state
        .admit(head)
        .map_err(|refused| Box::new(overloaded(refused).finish()))?;
    let outbox = Outbox::new(state.outbox_limits());
    Ok(SocketSession::begin(
        Codec::PlainJson,
        random_sid(),
        outbox,
        token,
        seat,
        state,
        hub,
    ))
}

/// Answers a request that should have been a WebSocket and is none, or the server would have handed
/// its connection over (see [`upgrades`](super::upgrades)).
///
/// The only use of actix-web-actors, which is kept for what it knows of handshakes. Its sessions
/// would be polled as part of a response's body, which has three costs that a room cannot pay: a
/// peer that stops reading freezes its actor, deadlines included; each frame passes a mailbox, an
/// encoder and a buffer of its own; and an idle connection holds some 11 KiB.
pub(super) async fn refuse(request: HttpRequest) -> HttpResponse {
    match actix_web_actors::ws::handshake(&request) {
        Err(fault) => HttpResponse::from_error(fault),
        Ok(_) => HttpResponse::BadRequest().finish(),
    }
}
