//! Guests: sessions without a socket.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::warn;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::json;
use tokio::time::sleep;

use crate::actors::hub::Hub;
use crate::actors::session::{
    Inbound, Received, Session, SessionServices, SessionStart, WorkerHub,
};
use crate::client_address::NO_ADDRESS;
use crate::domain::{GiftId, LiveId};
use crate::outbox::{DrainLimits, Outbox, OutboxLimits};
use crate::protocol::Codec;
use crate::storage::User;

use super::lines::LINES;

/// A hub number that no worker has: workers count from 0.
const HUB_ID: usize = usize::MAX;
const OUTBOX: OutboxLimits = OutboxLimits {
    packets_max: 256,
    bytes_max: 256 * 1024,
};
/// Between two things one guest says, in milliseconds: lively with six guests, far below any limit.
const PAUSE_MS: std::ops::Range<u64> = 2_500..9_000;
/// One in so many of them is a gift.
const GIFT_ONE_IN: u32 = 5;

/// The guests of one room, on a thread of their own; gone when dropped.
pub struct Guests {
    arbiter: Arbiter,
}

impl Guests {
    pub fn start(
        services: Arc<SessionServices>,
        live_id: LiveId,
        gifts: Vec<GiftId>,
        users: Vec<User>,
    ) -> Self {
        let arbiter = Arbiter::new();
        arbiter.spawn(async move {
            let hub = Arc::new(WorkerHub {
                id: HUB_ID,
                hub: Hub::start_here(Duration::from_secs(5)),
            });
            for user in users {
                let guest = Guest {
                    services: services.clone(),
                    live_id,
                    gifts: gifts.clone(),
                };
                actix_rt::spawn(guest.visit(user, hub.clone()));
            }
        });
        Self { arbiter }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

struct Guest {
    services: Arc<SessionServices>,
    live_id: LiveId,
    gifts: Vec<GiftId>,
}

impl Guest {
    async fn visit(self, user: User, hub: Arc<WorkerHub>) {
        let token = match self.services.auth.start_session(&user).await {
            Ok(token) => token,
            Err(fault) => {
                return warn!("guest stays out: username={} error={fault}", user.username);
            }
        };
        let outbox = Outbox::new(OUTBOX);
        let session = Session::begin(SessionStart {
            codec: Codec::PlainJson,
            socket_id: user.username.as_str().into(),
            outbox: outbox.clone(),
            hub,
            services: self.services.clone(),
            token: Some(token.into()),
            address: NO_ADDRESS,
            seat: Box::new(()),
        });
        actix_rt::spawn(read_and_forget(outbox.clone()));
        say(
            &session,
            "joinLive",
            &json!({"live_id": self.live_id.get()}),
        )
        .await;
        while outbox.closed().is_none() {
            sleep(Duration::from_millis(rand::rng().random_range(PAUSE_MS))).await;
            // A guest answers its own heartbeat: there is no client to do it.
            deliver(&session, Inbound::Pong).await;
            match self.gifts.choose(&mut rand::rng()) {
                Some(gift_id) if rand::rng().random_ratio(1, GIFT_ONE_IN) => {
                    say(
                        &session,
                        "gift",
                        &json!({"live_id": self.live_id.get(), "gift_id": gift_id.get()}),
                    )
                    .await;
                }
                _ => {
                    let line = LINES.choose(&mut rand::rng()).copied().unwrap_or_default();
                    say(
                        &session,
                        "comment",
                        &json!({"live_id": self.live_id.get(), "data": line}),
                    )
                    .await;
                }
            }
        }
    }
}

async fn say(session: &Addr<Session>, event: &str, data: &serde_json::Value) {
    deliver(
        session,
        Inbound::Text(json!({"event": event, "data": data}).to_string()),
    )
    .await;
}

async fn deliver(session: &Addr<Session>, inbound: Inbound) {
    #[expect(
        clippy::disallowed_methods,
        reason = "one at a time, as every transport does"
    )]
    let received = session.send(Received(inbound));
    // A session that ended takes no more, which its closed outbox says too.
    let _ = received.await;
}

/// Reads everything that the server sends, as a client does, as far as the server can see.
async fn read_and_forget(outbox: Arc<Outbox>) {
    let mut packets = Vec::new();
    while poll_fn(|cx| outbox.poll_drain(cx, DrainLimits::ALL, &mut packets))
        .await
        .is_ok()
    {
        packets.clear();
    }
}
