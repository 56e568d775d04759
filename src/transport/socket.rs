//! One WebSocket after its handshake: who reads the peer, who writes to it, and how it ends.
//!
//! actix-web serves a WebSocket as the streamed body of a response: each frame wakes the connection's
//! task, is copied into its buffer and written from there, and an idle connection keeps the whole
//! machinery of HTTP. Here the server hands the TCP connection over once it is a WebSocket (see
//! [`upgrades`](super::upgrades)), and what remains of it is this: a socket that outboxes write to
//! directly, and one small task that reads the peer, writes what the socket did not take at once, and
//! sees to the end. The task depends on neither the session nor the peer: once one is done, it cuts
//! the connection after a time.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_web::rt::time::timeout;
use bytes::{Bytes, BytesMut};
use log::debug;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::engine::inbound;
use super::frames::{self, Frames, Message};
use super::gate::Seat;
use super::{TransportState, deliver, gone};
use crate::actors::Session;
use crate::actors::session::{Inbound, SessionStart, WorkerHub};
use crate::domain::{Disconnect, SocketId};
use crate::outbox::{Control, FlushEnd, Outbox, Packet};
use crate::protocol::engineio::{EngineParseError, decode_binary, decode_text};
use crate::protocol::{Codec, EngineVersion, SHUTDOWN_SPREAD_MS, shutdown_reason};

/// What the kernel holds for a peer that reads slowly, in bytes; it doubles this for its own use.
/// Enough for 640 kB/s over a round trip of 200 ms. By itself it would take up to 4 MiB.
const SEND_BUFFER: usize = 128 << 10;

/// After the session ended, the time that its last packets and the closing handshake may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The same where the peer's frames are out of step, so that its answer to our close frame cannot
/// be told from the rest.
const LAST_WORDS_UNHEARD: Duration = Duration::from_secs(1);

/// Messages of a peer that are looked at for its answer to our close frame. What was on its way is
/// less, for the session's limiter let it send no more.
const LAST_MESSAGES_MAX: usize = 1_024;

/// Bytes thrown away of a peer that sends on after its session ended. Twice what the kernel buffers of
/// both sides usually hold: beyond, it is cut while it sends, and may miss our close frame.
const DISCARDED_BYTES_MAX: usize = 8 << 20;

/// How the peer's messages are framed inside WebSocket messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    Plain,
    Engine(EngineVersion),
}

impl Framing {
    /// What a text or binary message brings, or the end of the session.
    fn decode(self, message: Message) -> Result<Inbound, Disconnect> {
        let broken = |_: EngineParseError| Disconnect::Malformed;
        match (self, message) {
            (_, Message::Ping(_) | Message::Pong | Message::Close(_) | Message::Fragments) => Ok(Inbound::Pong),
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
    /// Resolves when the session has ended.
    pub(super) over: oneshot::Receiver<()>,
}

impl Peer {
    /// Begins the session of a WebSocket on the calling thread. `outbox` may hold already what the
    /// peer hears first.
    pub(super) fn begin(
        codec: Codec,
        socket_id: SocketId,
        outbox: Arc<Outbox>,
        token: Option<Arc<str>>,
        seat: Seat,
        state: &TransportState,
        hub: &Arc<WorkerHub>,
    ) -> Self {
        let (alive, over) = oneshot::channel();
        let session = Session::begin(SessionStart {
            codec,
            socket_id,
            outbox: outbox.clone(),
            hub: hub.clone(),
            services: state.services.clone(),
            token,
            address: seat.address(),
            seat: Box::new((seat, alive)),
        });
        let framing = match codec {
            Codec::PlainJson => Framing::Plain,
            Codec::SocketIoV2 => Framing::Engine(EngineVersion::V3),
            Codec::SocketIoV4 => Framing::Engine(EngineVersion::V4),
        };
        Self { framing, session, outbox, over }
    }
}

/// Counts the sockets that are open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A WebSocket.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    frames: Frames,
    /// What is to be written before anything else: the end of the handshake.
    first: Bytes,
    _open: Open,
}

/// An outbox that writes to the socket, until this is dropped: the last one to let go of the socket
/// closes it.
struct Attached<'a>(&'a Outbox);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detach_socket();
    }
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
pub(super) struct Stopped {
    reason: Disconnect,
    hearing: Hearing,
    /// The code of the peer's close frame, which may have none, if that was the end. It is answered
    /// in kind.
    echo: Option<Option<u16>>,
}

impl Stopped {
    fn new(reason: Disconnect, hearing: Hearing) -> Self {
        Self { reason, hearing, echo: None }
    }

    /// The peer sent what is not the protocol, in whole frames.
    pub(super) fn malformed() -> Self {
        Self::new(Disconnect::Malformed, Hearing::InStep)
    }

    /// The peer sent a close frame, with this code if it has one.
    pub(super) fn by_peer(code: Option<u16>) -> Self {
        Self { reason: Disconnect::ByClient, hearing: Hearing::Ended, echo: Some(code) }
    }

    /// It was our side that ended.
    pub(super) fn over(outbox: &Outbox) -> Self {
        Self::new(outbox.closed().unwrap_or(Disconnect::ByClient), Hearing::InStep)
    }

    /// No more frames.
    pub(super) fn unheard(reason: Disconnect) -> Self {
        let hearing = if reason == Disconnect::ByClient { Hearing::Ended } else { Hearing::OutOfStep };
        Self::new(reason, hearing)
    }
}

impl Socket {
    /// Takes over a connection. `first` is to be written first, `read` was read already.
    pub(super) fn new(
        stream: TcpStream,
        first: Bytes,
        read: BytesMut,
        message_bytes_max: usize,
        open_count: &Arc<AtomicUsize>,
    ) -> Self {
        if let Err(error) = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER) {
            // Then it is as large as the kernel likes.
            debug!("send buffer not bounded: error={error}");
        }
        open_count.fetch_add(1, Ordering::Relaxed);
        let open = Open(open_count.clone());
        Self { stream: Arc::new(stream), frames: Frames::new(read, message_bytes_max), first, _open: open }
    }

    /// Lets `outbox` write to the socket.
    fn attach<'a>(&mut self, outbox: &'a Outbox) -> Attached<'a> {
        outbox.attach_socket(self.stream.clone(), std::mem::take(&mut self.first));
        Attached(outbox)
    }

    /// Reads for a session until either is done with the other, then sees to it that the connection
    /// ends.
    pub(super) async fn carry(mut self, peer: Peer) {
        let Peer { framing, session, outbox, over } = peer;
        let attached = self.attach(&outbox);
        let stopped = tokio::select! {
            stopped = self.read(framing, &session, &outbox) => stopped,
            _ = over => Stopped::over(&outbox),
            end = poll_fn(|cx| outbox.poll_flush(cx)) => match end {
                // Somebody else closed the outbox, such as the hub on a slow member.
                FlushEnd::Closed(_) => Stopped::over(&outbox),
                FlushEnd::Broken => Stopped::unheard(Disconnect::ByClient),
            },
        };
        gone(&session, stopped.reason);
        // The session ends by itself now, and nothing of it is needed here.
        drop(session);
        // Boxed, for all sockets would be as large as the few that are ending.
        Box::pin(self.close(attached, stopped)).await;
    }

    /// Talks to a peer that carries no session yet, through `outbox`, until `talk` has come to a
    /// result. What is not written by then goes before what the session has to say.
    pub(super) async fn talk<T>(
        &mut self,
        outbox: &Outbox,
        time_max: Duration,
        talk: impl AsyncFnOnce(&mut Self) -> Result<T, Stopped>,
    ) -> Result<T, Stopped> {
        let attached = self.attach(outbox);
        let talked = async {
            tokio::select! {
                talked = talk(self) => talked,
                _ = poll_fn(|cx| outbox.poll_flush(cx)) => Err(Stopped::unheard(Disconnect::ByClient)),
            }
        };
        let talked = timeout(time_max, talked).await;
        let result = talked.unwrap_or_else(|_| Err(Stopped::new(Disconnect::ConnectTimeout, Hearing::InStep)));
        self.first = outbox.take_bytes();
        drop(attached);
        result
    }

    /// Ends a connection that carries no session: after what `outbox` holds, for the given reason.
    pub(super) async fn refuse(mut self, outbox: &Outbox, stopped: Stopped) {
        outbox.close(stopped.reason);
        let attached = self.attach(outbox);
        self.close(attached, stopped).await;
    }

    /// Waits until both sides have said good-bye, within limits, and cuts the connection.
    async fn close(mut self, attached: Attached<'_>, stopped: Stopped) {
        let Attached(outbox) = &attached;
        let stream = self.stream.clone();
        let said = async {
            if let FlushEnd::Closed(reason) = poll_fn(|cx| outbox.poll_flush(cx)).await {
                // Whether it still arrives is not in our hands.
                let _ = write_all(&stream, &close_frame(reason, stopped.echo)).await;
            }
        };
        let heard = async {
            match stopped.hearing {
                Hearing::InStep => self.await_close_frame().await,
                // Bytes left unread would make the kernel reset the connection, and with it the
                // close frame on its way.
                Hearing::OutOfStep => self.discard().await,
                Hearing::Ended => {}
            }
        };
        let time_max = if stopped.hearing == Hearing::OutOfStep { LAST_WORDS_UNHEARD } else { LAST_WORDS };
        // Whether in time or not, this is the end.
        let _ = timeout(time_max, futures_util::future::join(heard, said)).await;
        outbox.kill_socket();
    }

    /// Waits for the peer's close frame, among what it sent before it saw ours. Beyond
    /// [`LAST_MESSAGES_MAX`] the peer floods, and its frames are not worth telling apart.
    async fn await_close_frame(&mut self) {
        for _ in 0..LAST_MESSAGES_MAX {
            if matches!(self.message().await, Ok(Message::Close(_)) | Err(_)) {
                return;
            }
            // No session slows the reading down any more: without this, others on this thread would
            // starve behind a peer that floods.
            tokio::task::yield_now().await;
        }
        self.discard().await;
    }

    /// Passes what the peer sends to its session, one message at a time.
    async fn read(&mut self, framing: Framing, session: &Addr<Session>, outbox: &Outbox) -> Stopped {
        loop {
            let inbound = match self.message().await {
                Ok(Message::Close(code)) => return Stopped::by_peer(code),
                Ok(Message::Ping(data)) => {
                    outbox.push(Packet::control(Control::Pong, &data));
                    Inbound::Pong
                }
                // Whatever else it is, it is a sign of life, and the session's limiter has a price for those.
                Ok(Message::Pong | Message::Fragments) => Inbound::Pong,
                Ok(message) => match framing.decode(message) {
                    Ok(inbound) => inbound,
                    Err(reason) => return Stopped::new(reason, Hearing::InStep),
                },
                Err(reason) => return Stopped::unheard(reason),
            };
            // A peer that sends on but takes nothing must not keep a session whose outbox overflowed.
            if !deliver(session, inbound).await || outbox.closed().is_some() {
                return Stopped::over(outbox);
            }
        }
    }

    /// The next message, or why there is none. Dropping the future loses nothing.
    pub(super) async fn message(&mut self) -> Result<Message, Disconnect> {
        loop {
            if let Some(message) = self.frames.next()? {
                return Ok(message);
            }
            match self.stream.try_read_buf(self.frames.buffer()) {
                Ok(0) => return Err(Disconnect::ByClient),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.frames.release();
                    self.readable().await?;
                }
                Err(_) => return Err(Disconnect::ByClient),
            }
        }
    }

    async fn readable(&self) -> Result<(), Disconnect> {
        poll_fn(|cx| self.stream.poll_read_ready(cx)).await.map_err(|_| Disconnect::ByClient)
    }

    /// Throws away what the peer sends until it sends no more, or [`DISCARDED_BYTES_MAX`].
    async fn discard(&mut self) {
        let mut scratch = [0; 4_096];
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES_MAX {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return,
                // There may always be more, and others on this thread have their turn too.
                Ok(read) => {
                    discarded += read;
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

fn close_frame(reason: Disconnect, echo: Option<Option<u16>>) -> Bytes {
    match (reason, echo) {
        (Disconnect::ByClient, Some(code)) => frames::close_frame(code, ""),
        (Disconnect::Shutdown, _) => {
            let (code, _) = crate::protocol::close_frame(reason);
            let retry_after_ms = rand::random_range(0..SHUTDOWN_SPREAD_MS);
            frames::close_frame(Some(code), &shutdown_reason(retry_after_ms))
        }
        (reason, _) => {
            let (code, text) = crate::protocol::close_frame(reason);
            frames::close_frame(Some(code), text)
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| stream.poll_write_ready(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
