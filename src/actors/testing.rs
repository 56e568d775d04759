//! A node small enough for unit tests: real actors over a real SQLite file, sessions without a
//! socket.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::consoles::NodeMonitor;
use super::held_comments::{self, HeldComments};
use super::hub::Hub;
use super::live_room::{RoomServices, room_settings};
use super::persister::{Persister, PersisterPort};
use super::registry::{Registry, Rooms};
use super::session::{
    Inbound, Received, Session, SessionDirectory, SessionServices, SessionStart, WorkerHub,
};
use super::{ClusterControl, NodeIdentity, Operations, Traces};
use crate::auth::Auth;
use crate::catalogue::GiftCatalogue;
use crate::clock::{Clock, StoreClock, SystemClock};
use crate::cluster::{MemoryBroker, SingleNode, StoreTokens};
use crate::comment_ids::CommentIds;
use crate::config::{Config, Millis};
use crate::domain::{
    Action, Actor, Coins, GiftId, LiveId, LiveStatus, NodeId, RequestId, Role, Scope, Timestamp,
};
use crate::outbox::{DrainLimits, Outbox, OutboxLimits};
use crate::protocol::Codec;
use crate::storage::{ActAuthor, ActionRecord, CoinGrant, SqliteStore, Store, StoreOptions};
use crate::word_filters::WordFilters;

/// Changes the status of a live behind its room's back.
pub async fn set_status(store: &dyn Store, live: LiveId, status: LiveStatus, at: Timestamp) {
    let (scope, action) = (Scope::Live(live), Action::SetStatus(status));
    store
        .perform(ActionRecord::new(
            Actor::CONFIG,
            Role::Operator,
            scope,
            action,
            at,
        ))
        .await
        .unwrap();
}

const WAIT_MAX: Duration = Duration::from_secs(20);
const PLENTY: u32 = 10_000;

pub struct Node {
    dir: TempDir,
    pub store: Arc<dyn Store>,
    pub rooms: Rooms,
    pub persister: PersisterPort,
    pub services: Arc<SessionServices>,
    pub store_clock: Arc<StoreClock>,
    pub live: LiveId,
    pub gift: GiftId,
    hub: Arc<WorkerHub>,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a node whose configuration differs from the one of all tests by this change.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config_of_tests();
        change(&mut config);
        let config = Arc::new(config);
        let dir = TempDir::new().unwrap();
        let store = SqliteStore::open(&dir.path().join("liveroom.db"), StoreOptions::default())
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now = clock.now();
        let owner = store
            .create_user("owner".into(), None, String::new(), now)
            .await
            .unwrap()
            .unwrap()
            .id;
        let row = store
            .create_live(owner, "a live".into(), "/c.png".into(), "k".repeat(20), now)
            .await
            .unwrap();
        let live = row.live.id;
        set_status(&*store, live, LiveStatus::OnAir, now).await;
        let gift = store
            .create_gift(
                "rose".into(),
                "/rose.svg".into(),
                Coins::new(7),
                now,
                ActAuthor::default(),
            )
            .await
            .unwrap()
            .gift
            .id;
        let catalogue = GiftCatalogue::load(store.clone()).await.unwrap();
        let tokens = Arc::new(StoreTokens::new(store.clone()));
        let auth = Arc::new(Auth::new(
            &config.auth.jwt_secret,
            3_600,
            tokens,
            store.clone(),
            clock.clone(),
        ));
        let arbiter = Arbiter::new().handle();
        let persister = Persister::start_in(&arbiter, store.clone(), &config.limits);
        let comment_ids = Arc::new(CommentIds::new(0));
        let (held_reports, held_inbox) = held_comments::channel();
        let store_clock = Arc::new(StoreClock::new(clock.clone()));
        let traces = Arc::new(Traces::new(clock.clone()));
        let room_services = RoomServices {
            settings: room_settings(&config),
            config: config.clone(),
            broker: Arc::new(MemoryBroker),
            persister: persister.clone(),
            catalogue: catalogue.clone(),
            word_filters: WordFilters::load(store.clone()).await.unwrap(),
            comment_ids: comment_ids.clone(),
            held: held_reports,
            traces: traces.clone(),
            store: store.clone(),
            totals: Arc::default(),
            clock: clock.clone(),
            store_clock: store_clock.clone(),
        };
        let arbiters = vec![Arbiter::new().handle(), Arbiter::new().handle()];
        let rooms = Rooms::new(
            Registry::start_here(arbiters, store.clone(), room_services),
            Arc::new(MemoryBroker),
        );
        let (directory, nodes) = (
            Arc::new(SessionDirectory::new(NodeId(0))),
            Arc::new(SingleNode),
        );
        let cluster_control = Arc::new(ClusterControl {
            identity: NodeIdentity {
                name: "test".into(),
                address: "127.0.0.1:0".into(),
                started_at: now,
            },
            sessions: directory.clone(),
            rooms: rooms.clone(),
            catalogue,
            persister: persister.clone(),
            nodes: nodes.clone(),
            traces: traces.clone(),
            monitor: NodeMonitor::new(Arc::default()),
            clock: clock.clone(),
        });
        let held = HeldComments {
            store: store.clone(),
            rooms: rooms.clone(),
            comment_ids: comment_ids.clone(),
            clock: store_clock.clone(),
        };
        held_comments::start(held, held_inbox);
        let operations = Arc::new(Operations::new(
            store.clone(),
            cluster_control,
            comment_ids,
            clock.clone(),
        ));
        let services = Arc::new(SessionServices {
            auth,
            rooms: rooms.clone(),
            directory,
            nodes,
            operations,
            traces,
            config,
            clock,
        });
        let hub = Arc::new(WorkerHub {
            id: 0,
            hub: Hub::start_here(Duration::from_secs(5)),
        });
        Self {
            dir,
            store,
            rooms,
            persister,
            services,
            store_clock,
            live,
            gift,
            hub,
        }
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("liveroom.db")
    }

    /// A plain JSON session of a new user with 100 coins.
    pub async fn guest(&self, name: &str) -> Guest {
        let now = self.services.clock.now();
        let user = self
            .store
            .create_user(name.into(), None, String::new(), now)
            .await
            .unwrap()
            .unwrap();
        let request_id = RequestId::parse(&format!("seed-{name}")).unwrap();
        let grant = CoinGrant {
            user_id: user.id,
            delta: Coins::new(100),
            request_id,
            at: now,
            by: ActAuthor::default(),
        };
        self.store.grant(grant).await.unwrap();
        let token = self.services.auth.start_session(&user).await.unwrap();
        let outbox = Outbox::new(OutboxLimits {
            packets_max: 256,
            bytes_max: 262_144,
        });
        let session = Session::begin(SessionStart {
            codec: Codec::PlainJson,
            socket_id: name.into(),
            outbox: outbox.clone(),
            hub: self.hub.clone(),
            services: self.services.clone(),
            token: Some(token.into()),
            address: Ipv4Addr::LOCALHOST.into(),
            seat: Box::new(()),
        });
        Guest {
            session,
            outbox,
            live: self.live,
            read: Vec::new(),
        }
    }
}

pub struct Guest {
    pub session: Addr<Session>,
    pub outbox: Arc<Outbox>,
    live: LiveId,
    read: Vec<Value>,
}

impl Guest {
    pub async fn say(&self, id: i64, event: &str, mut data: Value) {
        data["live_id"] = json!(self.live.get());
        let text = json!({"id": id, "event": event, "data": data}).to_string();
        #[expect(
            clippy::disallowed_methods,
            reason = "one at a time, as every transport does"
        )]
        self.session
            .send(Received(Inbound::Text(text)))
            .await
            .unwrap();
    }

    /// Says something and waits for the answer.
    pub async fn ask(&mut self, id: i64, event: &str, data: Value) -> Value {
        self.say(id, event, data).await;
        self.wait_for(|frame| frame["id"] == json!(id)).await
    }

    pub async fn join(&mut self) -> Value {
        let joined = self.ask(1, "joinLive", json!({})).await;
        assert_eq!(joined["ok"], json!(true), "{joined}");
        joined
    }

    /// Waits for an event of this name and returns its payload.
    pub async fn event(&mut self, name: &str) -> Value {
        self.wait_for(|frame| frame["event"] == json!(name)).await["data"].take()
    }

    /// Waits for a frame that `wanted` accepts; the others stay for later.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.read.iter().position(&wanted) {
                return self.read.remove(at);
            }
            let mut packets = Vec::new();
            let drained = poll_fn(|cx| self.outbox.poll_drain(cx, DrainLimits::ALL, &mut packets));
            let drained = timeout(WAIT_MAX, drained).await;
            let drained =
                drained.unwrap_or_else(|_| panic!("waited too long; read so far: {:?}", self.read));
            drained.unwrap_or_else(|reason| {
                panic!("session ended: {reason:?}; read so far: {:?}", self.read)
            });
            let payloads = packets.iter().filter_map(crate::outbox::Packet::payload);
            self.read
                .extend(payloads.map(|payload| serde_json::from_slice::<Value>(&payload).unwrap()));
        }
    }

    /// Everything that arrived so far and nobody waited for.
    pub fn unread(&mut self) -> Vec<Value> {
        let mut packets = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let std::task::Poll::Ready(Ok(())) =
            self.outbox
                .poll_drain(&mut cx, DrainLimits::ALL, &mut packets)
        {}
        let payloads = packets.iter().filter_map(crate::outbox::Packet::payload);
        self.read
            .extend(payloads.map(|payload| serde_json::from_slice::<Value>(&payload).unwrap()));
        std::mem::take(&mut self.read)
    }
}

/// A short grace, nothing that happens after minutes only, and limits that no test meets unless it
/// asks for them.
fn config_of_tests() -> Config {
    let minutes = Millis::new(600_000);
    let mut config = Config::default();
    config.presence.leave_grace_ms = Millis::new(20);
    config.presence.list_entries_burst = PLENTY;
    config.rooms.idle_retire_ms = minutes;
    config.rooms.reconcile_ms = minutes;
    let limits = &mut config.limits;
    limits.persister_queue = 64;
    limits.crowd_events_per_s = 0;
    limits.comment_burst = PLENTY;
    limits.join_burst = PLENTY;
    limits.command_burst = PLENTY;
    config
}
