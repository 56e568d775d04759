//! Transports: HTTP requests and WebSocket connections on one side, sessions on the other.
//!
//! They frame packets and know nothing of what is in them. A session is an actor that may outlive
//! any connection, so no transport is an actor: what a client sends goes to its session one message
//! at a time, each awaited before the next is read, which is the backpressure; what it is to
//! receive waits in its [`Outbox`](crate::outbox::Outbox), and whatever carries the session at the
//! moment takes it from there: a [`socket`], which the outbox writes to by itself, or [`polling`],
//! possibly on other threads each time.

mod bodies;
mod connections;
mod cors;
mod engine;
mod feed;
mod frames;
mod framing;
mod gate;
mod owner;
mod polling;
mod probe;
mod sid;
mod socket;
mod table;
mod upgrades;
mod ws;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Addr;
use actix_http::RequestHead;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, web};

use crate::actors::Session;
use crate::actors::session::{Inbound, Received, SessionServices, TransportGone};
use crate::client_address::{client_of, limit_key};
use crate::config::Config;
use crate::domain::Disconnect;
use crate::outbox::OutboxLimits;
use crate::protocol::engineio::EngineError;

use bodies::Bodies;
use gate::{Gate, Refused, Seat};
use table::EngineTable;

pub use connections::{Connections, HttpStream, REFUSALS_MAX, track};
pub use feed::FeedDoor;
pub use upgrades::{upgrade, upgrade_console};

/// The send buffer of the kernel for a client that reads slowly, in bytes; it doubles this for its
/// own use. Enough for 640 kB/s over a round trip of 200 ms. By itself it would take up to 4 MiB.
pub const SEND_BUFFER_BYTES: usize = 128 << 10;

/// The receive buffer of the kernel for a client that the server does not read, in bytes; doubled
/// likewise. By itself it would grow to 6 MiB.
pub const RECEIVE_BUFFER_BYTES: usize = 128 << 10;

/// Strangers that one arrival may ask to go: enough to make room faster than others come, few
/// enough to cost nothing.
const ASKED_TO_GO_MAX: usize = 16;

/// The state that the transports of all workers share.
pub struct TransportState {
    services: Arc<SessionServices>,
    gate: Arc<Gate>,
    bodies: Arc<Bodies>,
    table: Arc<EngineTable>,
    sockets_count: Arc<AtomicUsize>,
}

impl TransportState {
    pub fn new(services: Arc<SessionServices>) -> Self {
        let gate = Gate::new(&services.config.limits);
        let bodies = Bodies::new(services.config.clone());
        Self {
            services,
            gate,
            bodies,
            table: Arc::default(),
            sockets_count: Arc::default(),
        }
    }

    fn config(&self) -> &Config {
        &self.services.config
    }

    /// The limits of packets that wait for a slow client.
    fn outbox_limits(&self) -> OutboxLimits {
        let outbox = &self.config().outbox;
        OutboxLimits {
            packets_max: outbox.packets_max,
            bytes_max: outbox.bytes_max,
        }
    }

    /// WebSockets that are open, those included that are closing because their session ended.
    pub fn sockets_count(&self) -> usize {
        self.sockets_count.load(Ordering::Relaxed)
    }

    /// Takes a seat for a new session. When few are left, strangers are asked to go, whether this
    /// one was let in or comes back for the seat of one of them.
    fn admit(&self, head: &RequestHead) -> Result<Seat, Refused> {
        let admitted = self
            .gate
            .try_enter(self.client_key(head), self.services.clock.now());
        let short = self.gate.seats_short();
        if short > 0 {
            self.services.directory.free_seats(short, ASKED_TO_GO_MAX);
        }
        admitted
    }

    /// Where a request comes from: what one client is likely to own.
    fn client_key(&self, head: &RequestHead) -> IpAddr {
        limit_key(client_of(
            head.peer_addr,
            head.headers(),
            &self.config().server.trusted_proxies,
        ))
    }
}

/// Mounts `/ws` and `/socket.io/`. Each worker's [`WorkerHub`](crate::actors::session::WorkerHub)
/// must be among the app's data, and [`upgrade`] be the server's service for upgrades.
pub fn configure(config: &mut web::ServiceConfig, state: &web::Data<TransportState>) {
    config
        .app_data(state.clone())
        .service(web::resource(["/ws", "/ws/"]).route(web::get().to(ws::refuse)))
        .service(
            web::resource(["/socket.io/", "/socket.io"]).route(web::route().to(engine::serve)),
        );
}

/// The answer to a request that is turned away.
type RefusalResponse = Box<HttpResponse>;

/// The answer to a request for which there is no seat.
fn overloaded(refused: Refused) -> HttpResponseBuilder {
    let mut response = HttpResponse::ServiceUnavailable();
    response.insert_header((RETRY_AFTER, refused.retry_after_ms.div_ceil(1_000)));
    response
}

/// The answer to a request that is refused, as engine.io words it.
fn refusal(error: EngineError) -> HttpResponse {
    let status = match error {
        EngineError::Forbidden => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(error.body())
}

/// Hands the session one thing its client sent and waits until it is handled. Returns whether the
/// session is still there.
async fn deliver(session: &Addr<Session>, inbound: Inbound) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "awaited one at a time: this is the backpressure of a connection"
    )]
    let handled = session.send(Received(inbound));
    handled.await.is_ok()
}

/// Notifies the session that its transport is over. More than once does no harm.
fn gone(session: &Addr<Session>, reason: Disconnect) {
    #[expect(
        clippy::disallowed_methods,
        reason = "once per session, and it must arrive"
    )]
    session.do_send(TransportGone(reason));
}
