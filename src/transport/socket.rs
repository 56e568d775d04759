//! One WebSocket after its handshake: reading, writing and closing.
//!
//! actix-web serves a WebSocket as the streamed body of a response: each frame wakes the
//! connection's task, is copied into its buffer and written from there, and an idle connection
//! keeps the whole machinery of HTTP. Here the server hands the TCP connection over once it is a
//! WebSocket (see [`upgrades`](super::upgrades)): outboxes write to the socket directly, and one
//! small task reads the peer, writes bytes that the socket did not take at once, and closes the
//! connection. The task depends on neither the session nor the peer: once either has ended, it cuts
//! the connection after a timeout.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_web::rt::time::timeout;
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::frames::{self, Frames, Message};
use super::framing::Framing;
use super::gate::Seat;
use super::{TransportState, deliver, gone};
use crate::actors::Session;
use crate::actors::session::{Inbound, SessionStart, WorkerHub};
use crate::domain::{Disconnect, SocketId};
use crate::outbox::{ControlFrame, FlushEnd, Outbox, Packet};
use crate::protocol::{Codec, EngineVersion, SHUTDOWN_SPREAD_MS, shutdown_reason};

/// After the session ended: the time limit for its last packets and the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The same if frame boundaries are lost, so that the peer's close frame cannot be recognized.
const CLOSE_TIMEOUT_DESYNCED: Duration = Duration::from_secs(1);

/// Most messages of a peer that are read while waiting for its close frame. The session's limiter
/// allows fewer to be in flight.
const CLOSE_MESSAGES_MAX: usize = 1_024;

/// Most bytes discarded of a peer that sends on after its session ended. Twice what the kernel
/// buffers of both sides usually hold: beyond, it is cut while it sends, and may miss our close
/// frame.
const DISCARDED_BYTES_MAX: usize = 8 << 20;

/// The session behind a socket.
pub(super) struct SocketSession {
    pub(super) framing: Framing,
    pub(super) session: Addr<Session>,
    pub(super) outbox: Arc<Outbox>,
    /// Resolves when the session has ended.
    pub(super) over: oneshot::Receiver<()>,
}

impl SocketSession {
    /// Begins the session of a WebSocket on the calling thread. `outbox` may hold already what the
    /// first packets for the peer.
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
            Codec::Eio3 => Framing::Engine(EngineVersion::V3),
            Codec::Eio4 => Framing::Engine(EngineVersion::V4),
        };
        Self {
            framing,
            session,
            outbox,
            over,
        }
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
    /// Bytes to write first: the end of the handshake.
    first: Bytes,
    _open: Open,
}

/// Attaches an outbox to the socket until dropped. The socket closes when its last owner drops it.
pub(super) struct Attached<'a>(&'a Outbox);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detach_socket();
    }
}

/// Whether the peer can still be read after its session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadState {
    /// Its close frame can be awaited.
    Synced,
    /// Frame boundaries are lost; bytes can only be discarded.
    Desynced,
    /// It sent a close frame or disconnected.
    Closed,
}

/// Why reading ended.
pub(super) struct ReadEnd {
    reason: Disconnect,
    read_state: ReadState,
    /// Set if the peer sent a close frame: its code, if it had one, which is echoed.
    echo: Option<Option<u16>>,
}

impl ReadEnd {
    fn new(reason: Disconnect, read_state: ReadState) -> Self {
        Self {
            reason,
            read_state,
            echo: None,
        }
    }

    /// The peer broke the protocol, in whole frames.
    pub(super) fn malformed() -> Self {
        Self::new(Disconnect::Malformed, ReadState::Synced)
    }

    /// The peer sent a close frame, with this code if it has one.
    pub(super) fn by_peer(code: Option<u16>) -> Self {
        Self {
            reason: Disconnect::ByClient,
            read_state: ReadState::Closed,
            echo: Some(code),
        }
    }

    /// The session ended on this side.
    pub(super) fn over(outbox: &Outbox) -> Self {
        Self::new(
            outbox.closed().unwrap_or(Disconnect::ByClient),
            ReadState::Synced,
        )
    }

    /// This side ends it, for a reason of its own.
    pub(super) fn ended(reason: Disconnect) -> Self {
        Self::new(reason, ReadState::Synced)
    }

    pub(super) fn reason(&self) -> Disconnect {
        self.reason
    }

    /// No more frames can be read.
    pub(super) fn unreadable(reason: Disconnect) -> Self {
        let read_state = if reason == Disconnect::ByClient {
            ReadState::Closed
        } else {
            ReadState::Desynced
        };
        Self::new(reason, read_state)
    }
}

impl Socket {
    /// Takes over a connection. `first` is written first; `read` was received already.
    pub(super) fn new(
        stream: TcpStream,
        first: Bytes,
        read: BytesMut,
        message_bytes_max: usize,
        open_count: &Arc<AtomicUsize>,
    ) -> Self {
        open_count.fetch_add(1, Ordering::Relaxed);
        let open = Open(open_count.clone());
        Self {
            stream: Arc::new(stream),
            frames: Frames::new(read, message_bytes_max),
            first,
            _open: open,
        }
    }

    /// Lets `outbox` write to the socket.
    pub(super) fn attach<'a>(&mut self, outbox: &'a Outbox) -> Attached<'a> {
        outbox.attach_socket(self.stream.clone(), std::mem::take(&mut self.first));
        Attached(outbox)
    }

    /// Reads for a session until either ends, then closes the connection.
    pub(super) async fn run_session(mut self, peer: SocketSession) {
        let SocketSession {
            framing,
            session,
            outbox,
            over,
        } = peer;
        let attached = self.attach(&outbox);
        let read_end = tokio::select! {
            read_end = self.read(framing, &session, &outbox) => read_end,
            _ = over => ReadEnd::over(&outbox),
            end = poll_fn(|cx| outbox.poll_flush(cx)) => match end {
                // Another part closed the outbox, such as the hub for a slow member.
                FlushEnd::Closed(_) => ReadEnd::over(&outbox),
                FlushEnd::Broken => ReadEnd::unreadable(Disconnect::ByClient),
            },
        };
        gone(&session, read_end.reason);
        // The session ends by itself now; holding it would keep its memory.
        drop(session);
        // Boxed: otherwise the future of every socket would be as large as that of a closing one.
        Box::pin(self.close(attached, read_end)).await;
    }

    /// Runs `exchange` with a peer that has no session yet, with `outbox` attached. Bytes that are
    /// not written by its end are written before those of the session.
    pub(super) async fn run_until<T>(
        &mut self,
        outbox: &Outbox,
        time_max: Duration,
        exchange: impl AsyncFnOnce(&mut Self) -> Result<T, ReadEnd>,
    ) -> Result<T, ReadEnd> {
        let attached = self.attach(outbox);
        let ran = async {
            tokio::select! {
                ran = exchange(self) => ran,
                _ = poll_fn(|cx| outbox.poll_flush(cx)) => Err(ReadEnd::unreadable(Disconnect::ByClient)),
            }
        };
        let ran = timeout(time_max, ran).await;
        let result = ran
            .unwrap_or_else(|_| Err(ReadEnd::new(Disconnect::ConnectTimeout, ReadState::Synced)));
        self.first = outbox.take_bytes();
        drop(attached);
        result
    }

    /// Closes a connection without a session, after the packets in `outbox`.
    pub(super) async fn refuse(mut self, outbox: &Outbox, read_end: ReadEnd) {
        outbox.close(read_end.reason);
        let attached = self.attach(outbox);
        self.close(attached, read_end).await;
    }

    /// Performs the closing handshake within its time limit, then cuts the connection.
    pub(super) async fn close(mut self, attached: Attached<'_>, read_end: ReadEnd) {
        let Attached(outbox) = &attached;
        let stream = self.stream.clone();
        let written = async {
            if let FlushEnd::Closed(reason) = poll_fn(|cx| outbox.poll_flush(cx)).await {
                // Best effort: the peer may have disconnected.
                let _ = write_all(&stream, &close_frame(reason, read_end.echo)).await;
            }
        };
        let read = async {
            match read_end.read_state {
                ReadState::Synced => self.await_close_frame().await,
                // Unread bytes would make the kernel reset the connection and discard the close
                // frame.
                ReadState::Desynced => self.discard().await,
                ReadState::Closed => {}
            }
        };
        let time_max = if read_end.read_state == ReadState::Desynced {
            CLOSE_TIMEOUT_DESYNCED
        } else {
            CLOSE_TIMEOUT
        };
        // On timeout the connection is cut as well.
        let _ = timeout(time_max, futures_util::future::join(read, written)).await;
        outbox.kill_socket();
    }

    /// Waits for the peer's close frame, behind messages it sent before it received ours. After
    /// [`CLOSE_MESSAGES_MAX`] messages the peer floods, and its bytes are discarded.
    async fn await_close_frame(&mut self) {
        for _ in 0..CLOSE_MESSAGES_MAX {
            if matches!(self.message().await, Ok(Message::Close(_)) | Err(_)) {
                return;
            }
            // No session limits the reading any more: without this, a flooding peer would starve
            // others on this thread.
            tokio::task::yield_now().await;
        }
        self.discard().await;
    }

    /// Passes what the peer sends to its session, one message at a time.
    async fn read(
        &mut self,
        framing: Framing,
        session: &Addr<Session>,
        outbox: &Outbox,
    ) -> ReadEnd {
        loop {
            let inbound = match self.message().await {
                Ok(Message::Close(code)) => return ReadEnd::by_peer(code),
                Ok(Message::Ping(data)) => {
                    outbox.push(Packet::control(ControlFrame::Pong, &data));
                    Inbound::Pong
                }
                // It shows that the peer is alive; the session's limiter charges for it.
                Ok(Message::Pong | Message::Fragments) => Inbound::Pong,
                Ok(message) => match framing.decode(message) {
                    Ok(inbound) => inbound,
                    Err(reason) => return ReadEnd::new(reason, ReadState::Synced),
                },
                Err(reason) => return ReadEnd::unreadable(reason),
            };
            // A peer that sends but does not read must not keep a session whose outbox overflowed.
            if !deliver(session, inbound).await || outbox.closed().is_some() {
                return ReadEnd::over(outbox);
            }
        }
    }

    /// The next message, or the reason why there is none. Cancel safe.
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
        poll_fn(|cx| self.stream.poll_read_ready(cx))
            .await
            .map_err(|_| Disconnect::ByClient)
    }

    /// Discards the peer's bytes until it stops sending, or up to [`DISCARDED_BYTES_MAX`].
    async fn discard(&mut self) {
        let mut scratch = [0; 4_096];
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES_MAX {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return,
                // Yields, so that others on this thread are served too.
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
