//! The HTTP server: on which addresses it listens, and how a connection comes to its requests.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::h1::Codec;
use actix_http::{HttpService, KeepAlive, Protocol as HttpVersion, Request};
use actix_server::{Server, ServerHandle};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::{App as WebApp, web};
use log::{error, warn};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::StartError;
use crate::actors::hub::Hub;
use crate::actors::session::WorkerHub;
use crate::config::Config;
use crate::http::{self, ApiState, UrlSide};
use crate::limits::ADMIN_CONNECTIONS_MAX;
use crate::transport::{
    self, Connections, FeedDoor, HttpStream, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES,
    TransportState,
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

    fn try_clone(&self) -> Result<Self, StartError> {
        let socket = self.socket.try_clone();
        Ok(Self {
            socket: socket.map_err(|source| self.fault(source))?,
            address: self.address,
        })
    }

    /// Refuses connections from now on, in all that share the socket.
    fn close(&self) {
        if let Err(error) = SockRef::from(&self.socket).shutdown(Shutdown::Both) {
            warn!(
                "listener not closed: address={} error={error}",
                self.address
            );
        }
    }
}

/// All sockets that a node listens on.
pub(super) struct Listeners {
    pub(super) public: Listener,
    /// That of operators, if they have one of their own.
    pub(super) operators: Option<Listener>,
}

impl Listeners {
    /// Binds where `config` says.
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let public = SocketAddr::new(config.server.host, config.server.port);
        Ok(Self {
            public: bind(config, public)?,
            operators: config
                .server
                .admin_listen
                .map(|wanted| bind(config, wanted))
                .transpose()?,
        })
    }

    pub(super) fn try_clone(&self) -> Result<Self, StartError> {
        Ok(Self {
            public: self.public.try_clone()?,
            operators: self
                .operators
                .as_ref()
                .map(Listener::try_clone)
                .transpose()?,
        })
    }

    /// Refuses connections from now on. Of a server that is paused, they would be accepted and
    /// reset later; refused, a client or a balancer goes elsewhere at once.
    pub(super) fn close(&self) {
        self.public.close();
        self.operators.iter().for_each(Listener::close);
    }
}

/// Binds one address. What is set here, connections inherit, WebSockets included.
fn bind(config: &Config, wanted: SocketAddr) -> Result<Listener, StartError> {
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

/// The HTTP connections of each listener. Those of operators are apart where their listener is, so
/// that no flood of the public one keeps them out.
pub(super) struct AllConnections {
    public: Arc<Connections>,
    operators: Option<Arc<Connections>>,
}

impl AllConnections {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        let operators = config.server.admin_listen.map(|_| {
            let mut config = Config::clone(config);
            config.limits.http_connections = ADMIN_CONNECTIONS_MAX;
            Connections::new(Arc::new(config))
        });
        let all = Self {
            public: Connections::new(config.clone()),
            operators,
        };
        for connections in all.iter() {
            actix_rt::spawn(Connections::sweep(Arc::downgrade(connections)));
        }
        all
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Connections>> {
        std::iter::once(&self.public).chain(&self.operators)
    }

    /// Cuts the connections that wait for their client.
    pub(super) fn cut_waiting(&self) {
        self.iter()
            .for_each(|connections| connections.cut_waiting());
    }

    /// Connections that may be open at once.
    fn max(&self, config: &Config) -> usize {
        let of_operators = self.operators.as_ref().map_or(0, |_| ADMIN_CONNECTIONS_MAX);
        let public = config.limits.http_connections;
        public.saturating_add(of_operators + CONNECTIONS_SPARE)
    }
}

/// Serves connections from now on.
pub(super) fn listen(
    config: &Config,
    listeners: Listeners,
    api: ApiState,
    transport: web::Data<TransportState>,
    feed_door: FeedDoor,
    connections: &AllConnections,
) -> Result<ServerHandle, StartError> {
    let Listeners { public, operators } = listeners;
    let (at, own_at) = (public.address, operators.as_ref().map(|own| own.address));
    let no_listener = |address| move |source| StartError::Listen { address, source };
    let (slow_after, timing) = (config.outbox.slow_after_ms.duration(), Timing::of(config));
    let hubs_count = Arc::new(AtomicUsize::new(0));
    let side = own_at.map_or(UrlSide::Everybody, |_| UrlSide::Public);
    let (of_public, public_api) = (connections.public.clone(), api.clone());
    // Consoles are served where the rest of the operators' side is.
    let public_door = own_at.is_none().then(|| feed_door.clone());
    let operators_transport = transport.clone();
    // As actix-web's HttpServer does, which cannot count connections or hand over that of a
    // WebSocket.
    let mut server = Server::build()
        .workers(config.server.workers.get())
        .max_concurrent_connections(connections.max(config))
        .shutdown_timeout(1)
        .disable_signals()
        .listen("liveroom", public.socket, move || {
            // Runs once on each worker thread: this is where the thread gets its hub.
            let id = hubs_count.fetch_add(1, Ordering::Relaxed);
            let hub = Arc::new(WorkerHub {
                id,
                hub: Hub::start_here(slow_after),
            });
            let web_app = WebApp::new()
                .app_data(web::Data::from(hub.clone()))
                .configure(|cfg| transport::configure(cfg, &transport))
                .configure(|cfg| http::configure(cfg, &public_api, side));
            let (transport, feed_door) = (transport.clone(), public_door.clone());
            let upgrade = move |(request, connection)| {
                let (transport, feed_door) = (transport.clone(), feed_door.clone());
                transport::upgrade(request, connection, transport, hub.clone(), feed_door)
            };
            serve(web_app, upgrade, timing, at, of_public.clone())
        })
        .map_err(no_listener(at))?;
    if let (Some(own), Some(connections)) = (operators, &connections.operators) {
        let (connections, at) = (connections.clone(), own.address);
        server = server
            .listen("operators", own.socket, move || {
                let web_app =
                    WebApp::new().configure(|cfg| http::configure(cfg, &api, UrlSide::Operators));
                let (transport, feed_door) = (operators_transport.clone(), feed_door.clone());
                let upgrade = move |(request, connection)| {
                    let (transport, feed_door) = (transport.clone(), feed_door.clone());
                    transport::upgrade_console(request, connection, transport, feed_door)
                };
                serve(web_app, upgrade, timing, at, connections.clone())
            })
            .map_err(no_listener(at))?;
    }
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(async move {
        if let Err(fault) = running.await {
            error!("server stopped: error={fault}");
        }
    });
    Ok(handle)
}

/// What actix-http is to observe of the times of a connection.
#[derive(Clone, Copy)]
struct Timing {
    keep_alive: KeepAlive,
    head_timeout: Duration,
}

impl Timing {
    fn of(config: &Config) -> Self {
        // `Connections` closes idle connections; actix-http would set a timer for each response.
        let keep_alive = if config.server.keep_alive_ms.get() == 0 {
            KeepAlive::Disabled
        } else {
            KeepAlive::Os
        };
        Self {
            keep_alive,
            head_timeout: config.server.head_timeout_ms.duration(),
        }
    }
}

/// The service of one listener on one worker: takes a connection to its requests, and one that asks
/// for a WebSocket to `upgrade`.
fn serve<W, B, F, U>(
    web_app: WebApp<W>,
    upgrade: F,
    timing: Timing,
    address: SocketAddr,
    connections: Arc<Connections>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    W: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
    F: Fn((Request, Framed<HttpStream, Codec>)) -> U + Clone + 'static,
    U: Future<Output = Result<(), Infallible>> + 'static,
{
    let web_app = web_app
        .into_factory()
        .map_err(|fault: actix_web::Error| fault.error_response().into());
    // Only `url_for` would need the address of the server, which this leaves out.
    let web_app = map_config(web_app, |()| AppConfig::default());
    let of_request = connections.clone();
    let web_app = apply_fn_factory(web_app, move |request, service: &_| {
        transport::track(request, service, &of_request)
    });
    let http = HttpService::build()
        .keep_alive(timing.keep_alive)
        .client_request_timeout(timing.head_timeout)
        .on_connect_ext(|stream: &HttpStream, data| {
            data.insert(stream.connection().clone());
        })
        .local_addr(address)
        .upgrade(fn_service(upgrade))
        .finish(web_app);
    fn_service(move |tcp: TcpStream| admit(connections.clone(), tcp)).and_then(http)
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
