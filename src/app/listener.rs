//! The HTTP server: where it listens, and how a connection comes to its requests.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(target_os = "linux")]
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol as HttpVersion};
use actix_server::{Server, ServerHandle};
use actix_service::{
    IntoServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use actix_web::{App as WebApp, web};
use log::error;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::StartError;
use crate::actors::hub::Hub;
use crate::actors::session::WorkerHub;
use crate::config::Config;
use crate::http::{self, ApiState};
use crate::transport::{
    self, Connections, HttpStream, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, TransportState,
};

/// Connections that may wait to be accepted: a storm of joins arrives faster than it is served.
const BACKLOG: i32 = 4_096;

/// Connections of one worker beyond those that [`Connections`] counts: refusals and closing ones.
/// With more of them the server would stop accepting, so there never should be.
const CONNECTIONS_SPARE: usize = 1_024;

/// A socket that is bound, and where.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
}

impl Listener {
    pub(super) fn fault(&self, source: io::Error) -> StartError {
        StartError::Listen {
            address: self.address,
            source,
        }
    }
}

/// Binds where `config` says. What is set here, connections inherit, WebSockets included.
pub(super) fn bind(config: &Config) -> Result<Listener, StartError> {
    let wanted = SocketAddr::new(config.server.host, config.server.port);
    let bound = || {
        let socket = Socket::new(
            Domain::for_address(wanted),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A server that is started again need not wait for the connections of the one before.
        socket.set_reuse_address(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(peer_timeout(config)))?;
        socket.bind(&wanted.into())?;
        socket.listen(BACKLOG)?;
        let socket: TcpListener = socket.into();
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    };
    bound().map_err(|source| StartError::Listen {
        address: wanted,
        source,
    })
}

/// The kernel resets a connection whose peer reads nothing for this long. Without it, one that we
/// closed would hold its send buffer for as long as the peer likes. No shorter than any heartbeat
/// allows.
#[cfg(target_os = "linux")]
fn peer_timeout(config: &Config) -> Duration {
    let engine =
        config.engineio.ping_interval_ms.duration() + config.engineio.ping_timeout_ms.duration();
    engine
        .max(config.websocket.idle_timeout_ms.duration())
        .max(config.server.stall_timeout_ms.duration())
}

/// Serves connections from now on.
pub(super) fn listen(
    config: &Config,
    listener: Listener,
    api: ApiState,
    transport: web::Data<TransportState>,
    connections: Arc<Connections>,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let Listener { socket, address } = listener;
    let no_listener = |source| StartError::Listen { address, source };
    let slow_after = config.outbox.slow_after_ms.duration();
    let head_timeout = config.server.head_timeout_ms.duration();
    // `Connections` closes idle connections; actix-http would set a timer for each response.
    let keep_alive = if config.server.keep_alive_ms.get() == 0 {
        KeepAlive::Disabled
    } else {
        KeepAlive::Os
    };
    let hubs_count = Arc::new(AtomicUsize::new(0));
    // As actix-web's HttpServer does, which cannot count connections or hand over that of a
    // WebSocket.
    let server = Server::build()
        .workers(config.server.workers.get())
        .max_concurrent_connections(
            config
                .limits
                .http_connections
                .saturating_add(CONNECTIONS_SPARE),
        )
        .shutdown_timeout(1)
        .disable_signals()
        .listen("liveroom", socket, move || {
            // Runs once on each worker thread: this is where the thread gets its hub.
            let id = hubs_count.fetch_add(1, Ordering::Relaxed);
            let hub = Arc::new(WorkerHub {
                id,
                hub: Hub::start_here(slow_after),
            });
            let web_app = WebApp::new()
                .app_data(web::Data::from(hub.clone()))
                .configure(|cfg| transport::configure(cfg, &transport))
                .configure(|cfg| http::configure(cfg, &api))
                .into_factory()
                .map_err(|fault: actix_web::Error| fault.error_response().into());
            // Only `url_for` would need the address of the server, which this leaves out.
            let web_app = map_config(web_app, |()| AppConfig::default());
            let of_request = connections.clone();
            let web_app = apply_fn_factory(web_app, move |request, service: &_| {
                transport::track(request, service, &of_request)
            });
            let transport = transport.clone();
            let upgrades = fn_service(move |(request, connection)| {
                transport::upgrade(request, connection, transport.clone(), hub.clone())
            });
            let http = HttpService::build()
                .keep_alive(keep_alive)
                .client_request_timeout(head_timeout)
                .on_connect_ext(|stream: &HttpStream, data| {
                    data.insert(stream.connection().clone());
                })
                .local_addr(address)
                .upgrade(upgrades)
                .finish(web_app);
            let of_connection = connections.clone();
            fn_service(move |tcp: TcpStream| admit(of_connection.clone(), tcp)).and_then(http)
        })
        .map_err(no_listener)?;
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(async move {
        if let Err(fault) = running.await {
            error!("server stopped: error={fault}");
        }
    });
    Ok((address, handle))
}

async fn admit(
    connections: Arc<Connections>,
    tcp: TcpStream,
) -> Result<(HttpStream, HttpVersion, Option<SocketAddr>), DispatchError> {
    match connections.admit(tcp).await {
        Ok((stream, peer)) => Ok((stream, HttpVersion::Http1, peer)),
        Err(full) => Err(DispatchError::Io(io::Error::other(full))),
    }
}
