//! From HTTP to WebSocket: the server hands over the connection of each request that asks for one,
//! and here it gets its answer and its task.

use std::convert::Infallible;
use std::sync::Arc;

use actix_codec::{Encoder, Framed};
use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::h1::{Codec, Message, SendResponse};
use actix_http::header::HeaderMap;
use actix_http::{ConnectionType, Request, RequestHead, Response};
use actix_web::{HttpResponse, web};
use log::debug;

use super::connections::HttpStream;
use super::feed::{self, FeedDoor};
use super::probe::{NextStep, refuse_probe};
use super::socket::Socket;
use super::{RefusalResponse, TransportState, engine, ws};
use crate::actors::session::WorkerHub;

/// Where consoles connect.
const FEED_PATH: &str = "/admin/feed";

/// Serves one connection whose request asks for a WebSocket; any path may be asked for one.
/// `feed_door` lets consoles in, where the operators' side is served.
///
/// The connection's own task ends with this: what carries a session is small, and nothing of HTTP
/// remains beside it, no [`HttpStream`] either. A refused one stays an HTTP connection to its end.
pub async fn upgrade(
    request: Request,
    connection: Framed<HttpStream, Codec>,
    state: web::Data<TransportState>,
    hub: Arc<WorkerHub>,
    feed_door: Option<FeedDoor>,
) -> Result<(), Infallible> {
    let answer = match (request.head().uri.path(), &feed_door) {
        (FEED_PATH, Some(door)) => answer_console(request.head(), door).await,
        _ => answer(request.head(), &state, &hub),
    };
    match answer {
        Ok((response, next)) => accept(connection, response, next, &state),
        Err(response) => refuse(connection, (*response).into()).await,
    }
    Ok(())
}

/// The same on the operators' own listener, where there are consoles and no sessions.
pub async fn upgrade_console(
    request: Request,
    connection: Framed<HttpStream, Codec>,
    state: web::Data<TransportState>,
    feed_door: FeedDoor,
) -> Result<(), Infallible> {
    let answer = match request.head().uri.path() {
        FEED_PATH => answer_console(request.head(), &feed_door).await,
        _ => Err(Box::new(HttpResponse::NotFound().finish())),
    };
    match answer {
        Ok((response, next)) => accept(connection, response, next, &state),
        Err(response) => refuse(connection, (*response).into()).await,
    }
    Ok(())
}

async fn answer_console(
    head: &RequestHead,
    door: &FeedDoor,
) -> Result<(Response<()>, NextStep), RefusalResponse> {
    let feed = feed::open(head, door).await?;
    Ok((handshake(head)?, NextStep::Feed(feed)))
}

fn handshake(head: &RequestHead) -> Result<Response<()>, RefusalResponse> {
    match actix_http::ws::handshake(head) {
        Ok(mut response) => Ok(response.finish().drop_body()),
        Err(fault) => Err(Box::new(HttpResponse::from(Response::from(fault)))),
    }
}

fn answer(
    head: &RequestHead,
    state: &web::Data<TransportState>,
    hub: &Arc<WorkerHub>,
) -> Result<(Response<()>, NextStep), RefusalResponse> {
    let mut headers = HeaderMap::new();
    let answer = match head.uri.path() {
        "/ws" | "/ws/" => handshake(head)
            .and_then(|response| Ok((response, NextStep::Session(ws::open(head, state, hub)?)))),
        "/socket.io/" | "/socket.io" => {
            headers = engine::answer_headers(head, state);
            // The checks of engine.io come before those of the handshake.
            engine::ask_websocket(head, state).and_then(|asked| {
                Ok((
                    handshake(head)?,
                    engine::open_websocket(head, asked, state, hub)?,
                ))
            })
        }
        _ => Err(Box::new(HttpResponse::NotFound().finish())),
    };
    match answer {
        Ok((mut response, next)) => {
            headers
                .into_iter()
                .for_each(|(name, value)| response.headers_mut().append(name, value));
            Ok((response, next))
        }
        Err(mut response) => {
            headers
                .into_iter()
                .for_each(|(name, value)| response.headers_mut().append(name, value));
            Err(response)
        }
    }
}

fn accept(
    connection: Framed<HttpStream, Codec>,
    response: Response<()>,
    next: NextStep,
    state: &TransportState,
) {
    let mut parts = connection.into_parts();
    let (tcp, buffered) = parts.io.into_parts();
    parts.read_buf.extend_from_slice(&buffered);
    let message = Message::Item((response, BodySize::None));
    if let Err(error) = parts.codec.encode(message, &mut parts.write_buf) {
        debug!("websocket not answered: error={error}");
        return;
    }
    let socket = Socket::new(
        tcp,
        parts.write_buf.freeze(),
        parts.read_buf,
        state.config().limits.frame_bytes,
        &state.sockets_count,
    );
    match next {
        NextStep::Session(peer) => actix_web::rt::spawn(socket.run_session(peer)),
        NextStep::Feed(feed) => actix_web::rt::spawn(feed::run(socket, feed)),
        NextStep::Probe(probe) => actix_web::rt::spawn(probe.run(socket)),
        NextStep::Nothing => actix_web::rt::spawn(refuse_probe(socket)),
    };
}

async fn refuse(connection: Framed<HttpStream, Codec>, mut response: Response<BoxBody>) {
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    // A refusal has its whole body here.
    let response = response.map_body(|_, body| body.try_into_bytes().unwrap_or_default());
    if let Err(error) = SendResponse::new(connection, response).await {
        debug!("refusal not sent: error={error}");
    }
}
