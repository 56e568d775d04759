//! `/admin/feed`: the WebSocket of an operators' console. It carries no session: snapshots come out
//! of an outbox of its own, and what the console looks at goes in.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use actix_http::RequestHead;
use actix_web::HttpResponse;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::frames::Message;
use super::socket::{ReadEnd, Socket};
use super::{RefusalResponse, cors};
use crate::actors::consoles::{ConsoleSeat, Feed, Recheck};
use crate::domain::Disconnect;
use crate::outbox::{ControlFrame, FlushEnd, Outbox, Packet};

/// Time between two looks whether the operator may still look, and how long one may take: an
/// operator that was signed out is cut off within five seconds.
const RECHECK_EVERY: Duration = Duration::from_secs(3);
const RECHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks in a row without an answer, after which nothing vouches for the operator any more.
const RECHECKS_MISSED_MAX: u32 = 5;

/// Time between two pings, and how long a console may be silent.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Lets a console in, or says why not.
pub type FeedDoor = Arc<
    dyn Fn(&RequestHead) -> LocalBoxFuture<'static, Result<Feed, RefusalResponse>> + Send + Sync,
>;

/// Opens the feed of a request. A browser sends its cookies along with any page's request, and its
/// page's origin: only pages of this server may look.
pub(super) async fn open(head: &RequestHead, door: &FeedDoor) -> Result<Feed, RefusalResponse> {
    if !cors::is_allowed(head, &[]) {
        return Err(Box::new(HttpResponse::Forbidden().finish()));
    }
    door(head).await
}

/// Serves a console until either side ends.
pub(super) async fn run(mut socket: Socket, feed: Feed) {
    let Feed { seat, recheck } = feed;
    let outbox = seat.outbox().clone();
    let attached = socket.attach(&outbox);
    let received_at = Cell::new(Instant::now());
    let read_end = tokio::select! {
        read_end = read(&mut socket, &seat, &received_at) => read_end,
        reason = vouch(&seat, &recheck) => ReadEnd::ended(reason),
        reason = keep_alive(&outbox, &received_at) => ReadEnd::ended(reason),
        end = poll_fn(|cx| outbox.poll_flush(cx)) => match end {
            FlushEnd::Closed(_) => ReadEnd::over(&outbox),
            FlushEnd::Broken => ReadEnd::unreadable(Disconnect::ByClient),
        },
    };
    outbox.close(read_end.reason());
    // Its place is free while the closing handshake takes its time.
    drop(seat);
    socket.close(attached, read_end).await;
}

async fn read(socket: &mut Socket, seat: &ConsoleSeat, received_at: &Cell<Instant>) -> ReadEnd {
    loop {
        let message = match socket.message().await {
            Ok(message) => message,
            Err(reason) => return ReadEnd::unreadable(reason),
        };
        received_at.set(Instant::now());
        if !seat.charge() {
            return ReadEnd::ended(Disconnect::Policy);
        }
        match message {
            Message::Text(text) => seat.receive(&text),
            Message::Ping(data) => {
                seat.outbox()
                    .push(Packet::control(ControlFrame::Pong, &data));
            }
            Message::Pong | Message::Fragments => {}
            Message::Close(code) => return ReadEnd::by_peer(code),
            Message::Binary(_) => return ReadEnd::malformed(),
        }
        if seat.outbox().closed().is_some() {
            return ReadEnd::over(seat.outbox());
        }
    }
}

/// Returns when the operator may not look any more.
async fn vouch(seat: &ConsoleSeat, recheck: &Recheck) -> Disconnect {
    let mut missed = 0;
    loop {
        sleep(RECHECK_EVERY).await;
        match timeout(RECHECK_TIMEOUT, recheck()).await {
            Ok(Some(grants)) => {
                missed = 0;
                seat.set_grants(grants);
            }
            Ok(None) => return Disconnect::Unauthorized,
            Err(_) => missed += 1,
        }
        if missed == RECHECKS_MISSED_MAX {
            return Disconnect::Fault;
        }
    }
}

/// Returns when the console has been silent for too long.
async fn keep_alive(outbox: &Outbox, received_at: &Cell<Instant>) -> Disconnect {
    loop {
        sleep(PING_EVERY).await;
        if received_at.get().elapsed() >= SILENCE_MAX {
            return Disconnect::PingTimeout;
        }
        outbox.push(Packet::control(ControlFrame::Ping, b""));
    }
}
