//! The socket of an HTTP connection as actix-http sees it: it notes the connection's state for the
//! sweep, and bounds what is read.
//!
//! The dispatcher of actix-http reads all there is up to 128 KiB, decodes all of it and keeps the
//! requests, each with 7 KiB of room for headers. It goes on reading while its responses are not
//! read, and with 128 KiB of undecoded bytes it polls itself without a pause. None of this can be
//! set. So it gets nothing to read while a response is blocked, nothing beyond the request that is
//! being served, and one head at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_codec::{AsyncRead, AsyncWrite, ReadBuf};
use bytes::BytesMut;
use memchr::memmem;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::ConnectionGuard;
use super::connection::{Connection, ConnectionState, Reading};

/// Bytes of a blocked response that the client must read in each stall time. With the default of 20
/// s that is 1.6 kB/s; what the kernel holds for the client comes on top.
pub(super) const RESPONSE_BYTES_MIN: usize = 32 << 10;

/// Bytes that the dispatcher gets at most before it decodes them. Its own buffer is of this size.
const CHUNK_BYTES: usize = 8 << 10;

/// The end of a request's head. Inside a body it does no harm.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Of a body, bytes that are passed on before [`HEAD_END`] is searched, so that a body full of it
/// costs no more than others.
const BODY_CHUNK_BYTES_MIN: usize = 1 << 10;

/// An HTTP connection.
pub struct HttpStream {
    tcp: TcpStream,
    guard: ConnectionGuard,
    /// Bytes that were read and not passed on yet: further requests.
    buffered: BytesMut,
    /// Bytes passed on since the dispatcher last wrote or flushed, which it does after decoding; at
    /// most [`CHUNK_BYTES`].
    passed: usize,
    /// A response is blocked; bytes of it that were written since progress was last recorded.
    blocked: Option<usize>,
}

impl HttpStream {
    pub(super) fn new(tcp: TcpStream, guard: ConnectionGuard) -> Self {
        // A connection that cannot be set up so is one that just broke.
        let _ = tcp.set_nodelay(true);
        Self {
            tcp,
            guard,
            buffered: BytesMut::new(),
            passed: 0,
            blocked: None,
        }
    }

    /// The connection, for its requests.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.guard.connection
    }

    /// The bare socket, which no longer counts as an HTTP connection, and what was read of it
    /// already.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.tcp, self.buffered)
    }

    /// Notices the end of the stream without reading anything.
    fn poll_eof(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let is_eof = ready!(self.tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)))? == 0;
        if is_eof {
            self.connection().note_read_eof();
        }
        if is_eof && self.buffered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.connection().defer_read();
        Poll::Pending
    }

    /// Passes on what there is, up to the end of a head.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffered.is_empty() {
            let before = buf.filled().len();
            ready!(self.poll_tcp(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                self.connection().note_read_eof();
                return Poll::Ready(Ok(()));
            }
            let chunk = self.chunk_len(read);
            self.buffered.extend_from_slice(&read[chunk..]);
            buf.set_filled(before + chunk);
            self.passed += chunk;
        } else {
            let chunk = self.chunk_len(&self.buffered).min(buf.remaining());
            buf.put_slice(&self.buffered.split_to(chunk));
            self.passed += chunk;
        }
        if self.buffered.is_empty() {
            self.buffered = BytesMut::new();
        } else {
            // The rest is another request.
            self.passed = CHUNK_BYTES;
        }
        self.connection().note_received();
        Poll::Ready(Ok(()))
    }

    fn poll_tcp(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= CHUNK_BYTES {
            return Pin::new(&mut self.tcp).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(CHUNK_BYTES));
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    /// How many of `bytes` may be decoded at once.
    fn chunk_len(&self, bytes: &[u8]) -> usize {
        let from = if self.connection().expects_body() {
            BODY_CHUNK_BYTES_MIN.min(bytes.len())
        } else {
            0
        };
        memmem::find(&bytes[from..], HEAD_END).map_or(bytes.len(), |at| from + at + HEAD_END.len())
    }

    /// Notes how much of a blocked response was written.
    fn note_written(&mut self, bytes: usize) {
        if let Some(written) = &mut self.blocked {
            *written += bytes;
            if *written >= RESPONSE_BYTES_MIN {
                *written = 0;
                self.connection().set_state(ConnectionState::WriteBlocked);
            }
        }
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection().register(cx.waker());
        if self.connection().is_cut() {
            // As if the client had hung up: what is under way ends.
            return Poll::Ready(Ok(()));
        }
        if self.blocked.is_some() {
            self.connection().defer_read();
            return Poll::Pending;
        }
        if self.connection().reading() == Reading::EofOnly {
            return self.poll_eof(cx);
        }
        if self.passed >= CHUNK_BYTES {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll_chunk(cx, buf)
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.passed = 0;
        self.connection().register(cx.waker());
        if self.blocked.is_some() && self.connection().is_cut() {
            // The bytes that the kernel still holds for such a client are dropped with the
            // connection.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        match &written {
            Poll::Ready(Ok(written)) => self.note_written(*written),
            Poll::Pending if self.blocked.is_none() => {
                self.blocked = Some(0);
                self.connection().set_state(ConnectionState::WriteBlocked);
            }
            Poll::Pending | Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Called when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.passed = 0;
        if self.blocked.take().is_some() {
            self.connection().note_flushed();
        }
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
