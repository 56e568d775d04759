//! WebSocket connections: the handshake, the stream of frames to the peer, the task that reads it.
//!
//! The only file that names actix-web-actors, and only for its handshake. Its actor context is not
//! used, because a peer that stops reading freezes it: the actor is polled as part of the response
//! body, and the body only while the socket takes bytes. Here the session is an actor elsewhere,
//! the body is a plain stream that drains the session's outbox, and a task reads the peer. The task
//! depends on neither: once the session or the peer is done, it cuts the connection after a time,
//! whatever state the body is in.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix::Addr;
use actix_web::error::ErrorServiceUnavailable;
use actix_web::rt::time::timeout;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{FutureExt, Stream};
use log::warn;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::connection::{self, OpenSocket};
use super::engine::inbound;
use super::frames::{self, Frames, Message};
use super::{TransportState, deliver, gone, overloaded};
use crate::actors::Session;
use crate::actors::session::{Inbound, SessionStart, WorkerHub};
use crate::domain::Disconnect;
use crate::outbox::{Control, Outbox, Packet, Portion};
use crate::protocol::engineio::{EngineParseError, decode_binary, decode_text};
use crate::protocol::{Codec, EngineVersion};

/// Taken from the outbox at once. What is taken and not yet written counts towards no bound,
/// so it is small; writes are as large as the server's own buffer.
const PORTION: Portion = Portion { packets_max: usize::MAX, bytes_max: 16 << 10 };

/// After the session ended, the time that its last packets and the closing handshake may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The same where the peer's frames are out of step, so that its answer to our close frame cannot
/// be told from the rest.
const LAST_WORDS_UNHEARD: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct PlainQuery {
    token: Option<String>,
}

/// `GET /ws?token=`: a session that speaks plain JSON.
pub(super) async fn plain(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<TransportState>,
    hub: web::Data<WorkerHub>,
) -> HttpResponse {
    // Anything but one token is no token, and the session says so.
    let token =
        web::Query::<PlainQuery>::from_query(request.query_string()).ok().and_then(|query| query.into_inner().token);
    let socket = match Opening::begin(&request, payload, &state) {
        Ok(socket) => socket,
        Err(error) => return HttpResponse::from_error(error),
    };
    let seat = match state.admit(&request) {
        Ok(seat) => seat,
        Err(refused) => return overloaded(refused).finish(),
    };
    let outbox = Outbox::new(state.settings.outbox);
    let (alive, over) = oneshot::channel();
    let session = Session::begin(SessionStart {
        codec: Codec::PlainJson,
        socket_id: super::table::random_sid(),
        outbox: outbox.clone(),
        hub: hub.get_ref().clone(),
        services: state.services.clone(),
        token,
        seat: Box::new((seat, alive)),
    });
    socket.serve(Peer { framing: Framing::Plain, session, outbox }, over)
}

/// How the peer's messages are framed inside WebSocket messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    Plain,
    Engine(EngineVersion),
}

impl Framing {
    /// What a text or binary message brings, or the end of the session.
    fn decode(self, message: Message) -> Result<Inbound, Disconnect> {
        let broken = |_: EngineParseError| Disconnect::Policy;
        match (self, message) {
            (_, Message::Ping(_) | Message::Pong | Message::Close(_)) => Ok(Inbound::Pong),
            (Self::Plain, Message::Text(text)) => Ok(Inbound::Text(text)),
            (Self::Plain, Message::Binary(bytes)) => Ok(Inbound::Binary(bytes)),
            (Self::Engine(version), Message::Text(text)) => {
                inbound(version, decode_text(version, &text).map_err(broken)?)
            }
            (Self::Engine(version), Message::Binary(bytes)) => {
                inbound(version, decode_binary(version, &bytes).map_err(broken)?)
            }
        }
    }
}

/// The session behind a socket.
pub(super) struct Peer {
    pub(super) framing: Framing,
    pub(super) session: Addr<Session>,
    pub(super) outbox: Arc<Outbox>,
}

/// A WebSocket whose handshake is right and not yet answered.
pub(super) struct Opening {
    response: actix_web::HttpResponseBuilder,
    frames: Frames,
    open: OpenSocket,
}

impl Opening {
    pub(super) fn begin(
        request: &HttpRequest,
        payload: web::Payload,
        state: &TransportState,
    ) -> Result<Self, actix_web::Error> {
        let response = actix_web_actors::ws::handshake(request)?;
        let open = connection::hold(request).map_err(|error| {
            // Out of descriptors, most likely. The client is told nothing about that.
            warn!("websocket refused: error={error}");
            ErrorServiceUnavailable("")
        })?;
        Ok(Self { response, frames: Frames::new(payload, state.settings.frame_bytes_max), open })
    }

    /// Answers the handshake for a session. `over` resolves when that has ended.
    pub(super) fn serve(mut self, peer: Peer, over: oneshot::Receiver<()>) -> HttpResponse {
        let (stream, link) = FrameStream::new(peer.outbox.clone());
        let socket = Socket { frames: self.frames, open: self.open, link };
        actix_web::rt::spawn(socket.carry(peer, over));
        self.response.streaming(stream)
    }

    /// Answers the handshake for somebody who will say later what it carries. Until then the peer
    /// hears what is pushed to `outbox`.
    pub(super) fn accept(mut self, outbox: Arc<Outbox>) -> (Socket, HttpResponse) {
        let (stream, link) = FrameStream::new(outbox);
        let socket = Socket { frames: self.frames, open: self.open, link };
        (socket, self.response.streaming(stream))
    }
}

/// What the reading side tells the writing side.
#[derive(Default)]
struct Wishes {
    /// Go on with this outbox when the present one is empty.
    next: Option<Arc<Outbox>>,
    /// Answer the peer's close frame in kind instead of with the session's reason.
    echo: Option<Option<u16>>,
}

/// The reading side's end of what it shares with the [`FrameStream`]; both are on one thread.
struct Link {
    wishes: Rc<RefCell<Wishes>>,
    /// Resolves when the close frame was handed to the server, or the connection failed.
    closing: oneshot::Receiver<()>,
    /// Dropped to end the stream.
    _reading: oneshot::Sender<()>,
}

/// The body of the response: frames from the outbox, and in the end a close frame.
///
/// It ends only when the reading side has; until then the server would not know whether the peer
/// saw the close frame.
struct FrameStream {
    outbox: Arc<Outbox>,
    packets: std::vec::IntoIter<Packet>,
    wishes: Rc<RefCell<Wishes>>,
    closing: Option<oneshot::Sender<()>>,
    closed: bool,
    reading: oneshot::Receiver<()>,
}

impl FrameStream {
    fn new(outbox: Arc<Outbox>) -> (Self, Link) {
        let wishes = Rc::default();
        let (closing, told_closing) = oneshot::channel();
        let (told_reading, reading) = oneshot::channel();
        let link = Link { wishes: Rc::clone(&wishes), closing: told_closing, _reading: told_reading };
        let packets = Vec::new().into_iter();
        (Self { outbox, packets, wishes, closing: Some(closing), closed: false, reading }, link)
    }

    fn close_frame(&self, reason: Disconnect) -> Bytes {
        match (reason, self.wishes.borrow().echo) {
            (Disconnect::ByClient, Some(code)) => frames::close_frame(code, ""),
            (reason, _) => {
                let (code, text) = crate::protocol::close_frame(reason);
                frames::close_frame(Some(code), text)
            }
        }
    }
}

impl Stream for FrameStream {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(packet) = self.packets.next() {
                // One by one: the server gathers them in its own buffer before it writes.
                return Poll::Ready(Some(Ok(packet.frame().clone())));
            }
            if self.closed {
                // Being asked for more is how the server says that it has the close frame; it
                // writes before anything else on this thread runs.
                self.closing.take();
                return self.reading.poll_unpin(cx).map(|_| None);
            }
            let mut packets = Vec::new();
            match self.outbox.poll_drain(cx, PORTION, &mut packets) {
                Poll::Ready(Ok(())) => self.packets = packets.into_iter(),
                Poll::Ready(Err(reason)) => {
                    self.closed = true;
                    return Poll::Ready(Some(Ok(self.close_frame(reason))));
                }
                Poll::Pending => {
                    let next = self.wishes.borrow_mut().next.take();
                    match next {
                        Some(next) => self.outbox = next,
                        None => return Poll::Pending,
                    }
                }
            }
        }
    }
}

/// The reading side of a WebSocket.
pub(super) struct Socket {
    pub(super) frames: Frames,
    open: OpenSocket,
    link: Link,
}

/// How the peer can be heard after the session is done with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// It will answer our close frame with its own.
    InStep,
    /// It may, but its frames cannot be told apart any more.
    OutOfStep,
    /// It said good-bye or hung up.
    Ended,
}

/// How reading came to an end.
struct Stopped {
    reason: Disconnect,
    hearing: Hearing,
    /// The code of the peer's close frame, which may have none, if that was the end.
    echo: Option<Option<u16>>,
}

impl Stopped {
    fn new(reason: Disconnect, hearing: Hearing) -> Self {
        Self { reason, hearing, echo: None }
    }

    /// It was our side that ended.
    fn over(outbox: &Outbox) -> Self {
        Self::new(outbox.closed().unwrap_or(Disconnect::ByClient), Hearing::InStep)
    }

    /// No more frames.
    fn unheard(reason: Disconnect) -> Self {
        let hearing = if reason == Disconnect::ByClient { Hearing::Ended } else { Hearing::OutOfStep };
        Self::new(reason, hearing)
    }
}

impl Socket {
    /// Makes the writing side go on with the outbox of a session after the present one.
    pub(super) fn go_on_with(&self, outbox: &Arc<Outbox>, after: &Outbox) {
        self.link.wishes.borrow_mut().next = Some(outbox.clone());
        after.nudge();
    }

    /// Reads for a session until either is done with the other, then sees to it that the connection
    /// ends. `over` resolves when the session has ended.
    pub(super) async fn carry(mut self, peer: Peer, over: oneshot::Receiver<()>) {
        peer.outbox.attach_socket(self.open.socket.clone());
        let stopped = tokio::select! {
            stopped = read(&mut self.frames, &peer) => stopped,
            _ = over => Stopped::over(&peer.outbox),
            // Somebody else closed the outbox, such as the hub on a slow member.
            _ = &mut self.link.closing => Stopped::over(&peer.outbox),
        };
        self.link.wishes.borrow_mut().echo = stopped.echo;
        gone(&peer.session, stopped.reason);
        // The session ends by itself now, and nothing of it is needed here.
        drop(peer);
        self.close(stopped.hearing).await;
    }

    /// Ends a connection that carries no session: after what `outbox` holds, for the given reason.
    pub(super) async fn refuse(self, outbox: &Outbox, reason: Disconnect) {
        outbox.close(reason);
        self.close(Hearing::OutOfStep).await;
    }

    /// Waits until both sides have said good-bye, within limits, and cuts the connection.
    async fn close(mut self, hearing: Hearing) {
        let heard = async {
            match hearing {
                Hearing::InStep => {
                    while !matches!(self.frames.next().await, Ok(Message::Close(_)) | Err(_)) {
                        // No session slows the reading down any more: without this, others on this
                        // thread would starve behind a peer that floods.
                        tokio::task::yield_now().await;
                    }
                }
                // Bytes left unread would make the kernel reset the connection, and with it the
                // close frame on its way.
                Hearing::OutOfStep => self.frames.discard().await,
                Hearing::Ended => {}
            }
        };
        let said = async {
            if !self.link.closing.is_terminated() {
                // Either it was said, or the connection is gone and never will be.
                let _ = (&mut self.link.closing).await;
            }
        };
        let time_max = if hearing == Hearing::OutOfStep { LAST_WORDS_UNHEARD } else { LAST_WORDS };
        tokio::select! {
            // Whether in time or not, this is the end.
            _ = timeout(time_max, futures_util::future::join(heard, said)) => {}
            _ = &mut self.open.gone => {}
        }
        self.open.socket.kill();
    }
}

/// Passes what the peer sends to its session, one message at a time.
async fn read(frames: &mut Frames, peer: &Peer) -> Stopped {
    loop {
        let inbound = match frames.next().await {
            Ok(Message::Close(code)) => {
                return Stopped { reason: Disconnect::ByClient, hearing: Hearing::Ended, echo: Some(code) };
            }
            Ok(Message::Ping(data)) => {
                peer.outbox.push(Packet::control(Control::Pong, &data));
                Inbound::Pong
            }
            Ok(Message::Pong) => Inbound::Pong,
            Ok(message) => match peer.framing.decode(message) {
                Ok(inbound) => inbound,
                Err(reason) => return Stopped::new(reason, Hearing::InStep),
            },
            Err(reason) => return Stopped::unheard(reason),
        };
        // A peer that sends on but takes nothing must not keep a session whose outbox overflowed.
        if !deliver(&peer.session, inbound).await || peer.outbox.closed().is_some() {
            return Stopped::over(&peer.outbox);
        }
    }
}
