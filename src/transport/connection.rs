//! A handle on the TCP connection under a WebSocket, to shut it down from outside the server's
//! event loop: nothing else ends a connection whose peer does not read.

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use tokio::sync::oneshot;

use crate::outbox::SocketHandle;

/// What the server keeps beside each connection and drops with it.
struct Connection {
    /// Open as long as a request of this connection is being handled.
    fd: RawFd,
    held: RefCell<Option<Held>>,
}

struct Held {
    socket: Arc<SocketHandle>,
    /// Dropped to say that the connection is gone.
    _open: oneshot::Sender<()>,
}

impl Drop for Held {
    /// The second descriptor must not outlive the server's own, or the peer would never see the
    /// connection end.
    fn drop(&mut self) {
        self.socket.release();
    }
}

/// For `HttpServer::on_connect`. WebSockets are refused on connections it has not seen.
pub fn on_connect(io: &dyn Any, extensions: &mut Extensions) {
    if let Some(stream) = io.downcast_ref::<TcpStream>() {
        extensions.insert(Connection { fd: stream.as_raw_fd(), held: RefCell::new(None) });
    }
}

/// The connection of one WebSocket, from the side that reads it.
pub(super) struct OpenSocket {
    pub(super) socket: Arc<SocketHandle>,
    /// Resolves when the server has let go of the connection.
    pub(super) gone: oneshot::Receiver<()>,
}

/// Takes a second descriptor of the connection that `request` came on.
pub(super) fn hold(request: &HttpRequest) -> io::Result<OpenSocket> {
    let connection = request
        .conn_data::<Connection>()
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no tcp connection"))?;
    #[expect(unsafe_code, reason = "the server hands out no borrow of its socket, only its number")]
    // SAFETY: the server owns the descriptor and keeps it open while it handles a request of it,
    // which is now; the borrow ends with this statement.
    let fd = unsafe { BorrowedFd::borrow_raw(connection.fd) }.try_clone_to_owned()?;
    let socket = SocketHandle::new(fd);
    let (open, gone) = oneshot::channel();
    connection.held.replace(Some(Held { socket: socket.clone(), _open: open }));
    Ok(OpenSocket { socket, gone })
}
