//! `/socket.io/`: what a request asks of Engine.IO, and how a session begins.
//!
//! The order of checks and their errors are those of engine.io's `Server.verify`.

use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, UPGRADE};
use actix_web::{HttpRequest, HttpResponse, web};

use super::connections::unless_gone;
use super::owner::Owner;
use super::probe::{NextStep, Probe};
use super::sid::random_sid;
use super::socket::SocketSession;
use super::table::EngineEntry;
use super::{RefusalResponse, Refused, TransportState, cors, overloaded, polling, refusal, ws};
use crate::actors::Session;
use crate::actors::session::{SessionStart, WorkerHub};
use crate::domain::Priority;
use crate::outbox::{Outbox, Packet};
use crate::protocol::EngineVersion;
use crate::protocol::engineio::{EngineError, Handshake, open_packet};

/// The parameters of Engine.IO in a query. Of a parameter that is repeated the last counts, and an
/// empty sid is none, as with engine.io.
#[derive(Debug, Default)]
struct EngineQuery {
    eio: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
    /// JSONP, which we do not speak.
    is_jsonp: bool,
}

impl EngineQuery {
    fn read(head: &RequestHead) -> Self {
        let mut read = Self::default();
        // Parameters always come apart somehow, so this has no errors.
        let parameters =
            web::Query::<Vec<(String, String)>>::from_query(head.uri.query().unwrap_or_default());
        for (name, value) in parameters.map(web::Query::into_inner).unwrap_or_default() {
            match name.as_str() {
                "EIO" => read.eio = Some(value),
                "transport" => read.transport = Some(value),
                "sid" => read.sid = Some(value).filter(|sid| !sid.is_empty()),
                "j" => read.is_jsonp = true,
                _ => {}
            }
        }
        read
    }
}

/// The purpose of a request.
enum Asked {
    OpenPolling(EngineVersion),
    OpenWebSocket(EngineVersion),
    Poll(Arc<EngineEntry>),
    Post(Arc<EngineEntry>),
    Upgrade(Arc<EngineEntry>),
}

impl Asked {
    fn read(
        head: &RequestHead,
        query: &EngineQuery,
        state: &TransportState,
    ) -> Result<Self, EngineError> {
        let is_websocket = match query.transport.as_deref() {
            Some("polling") => false,
            Some("websocket") => true,
            _ => return Err(EngineError::UnknownTransport),
        };
        let is_upgrade = head.headers().contains_key(UPGRADE);
        if is_websocket && !cors::is_allowed(head, &state.config().server.allowed_origins) {
            return Err(EngineError::Forbidden);
        }
        if let Some(sid) = &query.sid {
            let entry = state
                .table
                .get(sid, head, state.client_key(head))
                .filter(|entry| !entry.is_over());
            let entry = entry.ok_or(EngineError::UnknownSid)?;
            // A session does not change its revision.
            if EngineVersion::from_query(query.eio.as_deref()) != Ok(entry.version) {
                return Err(EngineError::BadRequest);
            }
            return match (is_websocket, &head.method) {
                (true, &Method::GET) if is_upgrade => Ok(Self::Upgrade(entry)),
                (false, &Method::GET) if !query.is_jsonp => Ok(Self::Poll(entry)),
                (false, &Method::POST) if !query.is_jsonp => Ok(Self::Post(entry)),
                _ => Err(EngineError::BadRequest),
            };
        }
        if head.method != Method::GET {
            return Err(EngineError::BadHandshakeMethod);
        }
        if is_websocket && !is_upgrade || query.is_jsonp {
            return Err(EngineError::BadRequest);
        }
        let version = EngineVersion::from_query(query.eio.as_deref())?;
        Ok(if is_websocket {
            Self::OpenWebSocket(version)
        } else {
            Self::OpenPolling(version)
        })
    }
}

/// The headers of every answer for pages of other origins.
pub(super) fn answer_headers(head: &RequestHead, state: &TransportState) -> HeaderMap {
    let query = EngineQuery::read(head);
    // An answer that refuses the version is sent in the newest one.
    let version = EngineVersion::from_query(query.eio.as_deref()).unwrap_or(EngineVersion::V4);
    let mut headers = HeaderMap::new();
    cors::allow(
        head,
        version,
        &state.config().server.allowed_origins,
        &mut headers,
    );
    headers
}

/// Any request to `/socket.io/` that is not a WebSocket.
pub(super) async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<TransportState>,
    hub: web::Data<WorkerHub>,
) -> HttpResponse {
    let head = request.head();
    let headers = answer_headers(head, &state);
    let mut response = if head.method == Method::OPTIONS {
        cors::preflight(head)
    } else {
        match Asked::read(head, &EngineQuery::read(head), &state) {
            Ok(Asked::OpenPolling(version)) => {
                open_polling(head, version, &state, &hub.into_inner())
            }
            Ok(Asked::Poll(entry)) => {
                // Its body, if a client sends one, is nothing that a poll waits for.
                drop(payload);
                let polled = unless_gone(&request, polling::poll(&entry, &state)).await;
                polled.unwrap_or_else(|| refusal(EngineError::BadRequest))
            }
            Ok(Asked::Post(entry)) => polling::post(&request, payload, &entry, &state).await,
            Ok(Asked::OpenWebSocket(_) | Asked::Upgrade(_)) => ws::refuse(request.clone()).await,
            Err(error) => refusal(error),
        }
    };
    headers
        .into_iter()
        .for_each(|(name, value)| response.headers_mut().append(name, value));
    response
}

/// The purpose of a WebSocket to `/socket.io/`.
pub(super) enum AskedOfSocket {
    Open(EngineVersion),
    Upgrade(Arc<EngineEntry>),
}

pub(super) fn ask_websocket(
    head: &RequestHead,
    state: &TransportState,
) -> Result<AskedOfSocket, RefusalResponse> {
    match Asked::read(head, &EngineQuery::read(head), state) {
        Ok(Asked::OpenWebSocket(version)) => Ok(AskedOfSocket::Open(version)),
        Ok(Asked::Upgrade(entry)) => Ok(AskedOfSocket::Upgrade(entry)),
        Ok(Asked::OpenPolling(_) | Asked::Poll(_) | Asked::Post(_)) => {
            Err(Box::new(refusal(EngineError::BadRequest)))
        }
        Err(error) => Err(Box::new(refusal(error))),
    }
}

/// Begins what was asked for.
pub(super) fn open_websocket(
    head: &RequestHead,
    asked: AskedOfSocket,
    state: &TransportState,
    hub: &Arc<WorkerHub>,
) -> Result<NextStep, RefusalResponse> {
    match asked {
        AskedOfSocket::Open(version) => {
            open_session(head, version, state, hub).map(NextStep::Session)
        }
        AskedOfSocket::Upgrade(entry) => {
            let probe = Probe::begin(
                &entry,
                state.config().engineio.upgrade_timeout_ms.duration(),
            );
            Ok(probe.map_or(NextStep::Nothing, NextStep::Probe))
        }
    }
}

/// engine.io has no word for a full house; a session it does not allow is forbidden.
fn full(refused: Refused) -> HttpResponse {
    overloaded(refused)
        .content_type("application/json")
        .body(EngineError::Forbidden.body())
}

/// Ids of a new session: its sid, and its name in rooms. Revision 3 has one for both; in revision 4
/// others learn the name, so it must not be the sid, which is all it takes to speak for a session.
fn new_ids(version: EngineVersion) -> (Arc<str>, Arc<str>) {
    let sid = random_sid();
    let socket_id = match version {
        EngineVersion::V3 => sid.clone(),
        EngineVersion::V4 => random_sid(),
    };
    (sid, socket_id)
}

fn opening_packet(
    version: EngineVersion,
    sid: &str,
    upgrade: bool,
    state: &TransportState,
) -> String {
    let engineio = &state.config().engineio;
    let handshake = Handshake {
        sid,
        upgrade,
        ping_interval_ms: u64::from(engineio.ping_interval_ms.get()),
        ping_timeout_ms: u64::from(engineio.ping_timeout_ms.get()),
        payload_bytes_max: engineio.max_payload_bytes,
    };
    open_packet(version, &handshake)
}

fn open_polling(
    head: &RequestHead,
    version: EngineVersion,
    state: &TransportState,
    hub: &Arc<WorkerHub>,
) -> HttpResponse {
    let seat = match state.admit(head) {
        Ok(seat) => seat,
        Err(refused) => return full(refused),
    };
    let (sid, socket_id) = new_ids(version);
    let outbox = Outbox::new(state.outbox_limits());
    let (guard, over) = state.table.guard(sid.clone());
    let address = seat.address();
    let session = Session::begin(SessionStart {
        codec: version.codec(),
        socket_id,
        outbox: outbox.clone(),
        hub: hub.clone(),
        services: state.services.clone(),
        token: None,
        address,
        seat: Box::new((seat, guard)),
    });
    // Before anything else runs on this thread, so before the session could end.
    let owner = Owner::new(version, head, address);
    let entry = state
        .table
        .insert(sid, version, owner, outbox, session, over);
    let packet = opening_packet(version, &entry.sid, true, state);
    polling::answer(&entry, &[packet.as_bytes()])
}

fn open_session(
    head: &RequestHead,
    version: EngineVersion,
    state: &TransportState,
    hub: &Arc<WorkerHub>,
) -> Result<SocketSession, RefusalResponse> {
    let seat = state
        .admit(head)
        .map_err(|refused| Box::new(full(refused)))?;
    let (sid, socket_id) = new_ids(version);
    let outbox = Outbox::new(state.outbox_limits());
    // Before the session begins, since it may have something to say at once.
    outbox.push(Packet::text(
        &opening_packet(version, &sid, false, state),
        Priority::Critical,
    ));
    Ok(SocketSession::begin(
        version.codec(),
        socket_id,
        outbox,
        None,
        seat,
        state,
        hub,
    ))
}
