//! An API to call, with a clock that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use actix::Arbiter;
use actix_web::App;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use liveroom::actors::consoles::NodeMonitor;
use liveroom::actors::held_comments::{self, HeldComments, HeldInbox};
use liveroom::actors::live_room::{RoomServices, room_settings};
use liveroom::actors::persister::Persister;
use liveroom::actors::registry::Registry;
use liveroom::actors::{ClusterControl, NodeIdentity, Operations, Rooms, SessionDirectory, Traces};
use liveroom::auth::{Auth, Passwords};
use liveroom::catalogue::GiftCatalogue;
use liveroom::clock::{Clock, StoreClock};
use liveroom::cluster::{MemoryBroker, SingleNode, StoreTokens, TokenStore};
use liveroom::comment_ids::CommentIds;
use liveroom::config::{Config, Millis, Secret, Secrets};
use liveroom::domain::{Action, Actor, LiveId, LiveStatus, NodeId, Role, Scope, Timestamp, UserId};
use liveroom::http::{
    AddressBuckets, ApiState, Attempts, Changes, FollowLimits, LiveLimits, LoginLimiter,
    ManagerSessions, Readiness, UrlSide, WrongTokens, configure,
};
use liveroom::storage::{self, ActionRecord, LiveRow, Performed, StoreOptions};
use liveroom::word_filters::WordFilters;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const JWT_SECRET: &str = "a secret of the tests, 32 bytes or more";
pub const MEDIA_SECRET: &str = "nodemedia2017privatekey";
pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789";
/// 2026-11-21 08:05:09.120 UTC
pub const NOW: Timestamp = Timestamp(1_795_248_309_120);

pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// The defaults, with secrets of the tests, and rooms that tell everything at once.
fn config_of_tests() -> Config {
    let mut config = Config::default();
    config.admin.token = Secret::new(ADMIN_TOKEN);
    config.media.secret = Secrets::one(MEDIA_SECRET);
    config.fanout.window_ms = Millis::new(0);
    config.fanout.big_room_window_ms = Millis::new(0);
    config
}

pub struct TestApi {
    pub state: ApiState,
    pub clock: Arc<TestClock>,
    /// What decides which token is current, to be told of tokens issued elsewhere.
    pub tokens: Arc<dyn TokenStore>,
    _folder: TempDir,
}

/// What came back, with the body as text so that the order of fields counts.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("answers are JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("headers are text"))
    }

    #[track_caller]
    pub fn assert_ok(&self, data: Value) {
        assert_eq!(
            (self.status, self.json()),
            (200, json!({"msg": "ok", "data": data}))
        );
    }

    #[track_caller]
    pub fn assert_fail(&self, status: u16, text: &str) {
        assert_eq!(
            (self.status, self.json()),
            (status, json!({"msg": "fail", "data": text}))
        );
    }
}

/// Asks a node with these services.
pub async fn call(state: &ApiState, request: TestRequest) -> Reply {
    let app =
        init_service(App::new().configure(|cfg| configure(cfg, state, UrlSide::Everybody))).await;
    let response = call_service(&app, request.to_request()).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
    Reply {
        status,
        headers,
        body,
    }
}

impl TestApi {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts an API whose configuration differs from the one of all tests by this change.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config_of_tests();
        change(&mut config);
        let config = Arc::new(config);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("liveroom.db").display());
        let store = storage::open(&url, StoreOptions::default()).await.unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(NOW.0)));
        let tokens: Arc<dyn TokenStore> = Arc::new(StoreTokens::new(store.clone()));
        let catalogue = GiftCatalogue::load(store.clone()).await.unwrap();
        let persister = Persister::start_in(&Arbiter::current(), store.clone(), &config.limits);
        let word_filters = WordFilters::load(store.clone()).await.unwrap();
        let comment_ids = Arc::new(CommentIds::new(0));
        let traces = Arc::new(Traces::new(clock.clone()));
        let (held_reports, held_inbox) = held_comments::channel();
        let services = RoomServices {
            settings: room_settings(&config),
            config: config.clone(),
            broker: Arc::new(MemoryBroker),
            persister: persister.clone(),
            catalogue: catalogue.clone(),
            word_filters: word_filters.clone(),
            comment_ids: comment_ids.clone(),
            held: held_reports,
            traces: traces.clone(),
            store: store.clone(),
            totals: Arc::default(),
            clock: clock.clone(),
            store_clock: Arc::new(StoreClock::new(clock.clone())),
        };
        let rooms = start_rooms(services, held_inbox);
        let cluster_control = Arc::new(ClusterControl {
            identity: NodeIdentity {
                name: "one".into(),
                address: "127.0.0.1:7001".into(),
                started_at: NOW,
            },
            sessions: Arc::new(SessionDirectory::new(NodeId(0))),
            rooms: rooms.clone(),
            catalogue: catalogue.clone(),
            persister,
            nodes: Arc::new(SingleNode),
            traces,
            monitor: NodeMonitor::new(Arc::default()),
            clock: clock.clone(),
        });
        let state = ApiState {
            auth: Arc::new(Auth::new(
                &Secrets::one(JWT_SECRET),
                3_600,
                tokens.clone(),
                store.clone(),
                clock.clone(),
            )),
            passwords: Arc::new(Passwords::new(2)),
            operations: Arc::new(Operations::new(
                store.clone(),
                cluster_control.clone(),
                comment_ids,
                clock.clone(),
            )),
            cluster_control,
            rooms,
            catalogue,
            word_filters,
            clock: clock.clone(),
            login_limiter: Arc::new(LoginLimiter::new(config.limits.logins_per_min)),
            registrations: Arc::new(AddressBuckets::for_registrations(&config.limits)),
            live_limits: Arc::new(LiveLimits::new(&config.limits)),
            follow_limits: Arc::new(FollowLimits::new(&config.limits)),
            account_limits: Arc::default(),
            wrong_tokens: Arc::new(WrongTokens::default()),
            manager_sessions: Arc::new(ManagerSessions::new(store.clone(), clock.clone())),
            changes: Arc::new(Changes::new(config.limits.changes)),
            exports: Arc::default(),
            attempts: Arc::new(Attempts::new(store.clone(), clock.clone())),
            own_exports: Arc::default(),
            readiness: Arc::new(Readiness::default()),
            config,
            store,
        };
        Self {
            state,
            clock,
            tokens,
            _folder: folder,
        }
    }

    pub async fn call(&self, request: TestRequest) -> Reply {
        call(&self.state, request).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(TestRequest::get().uri(path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(TestRequest::post().uri(path).set_json(body))
            .await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Reply {
        self.call(TestRequest::get().uri(path).insert_header(("token", token)))
            .await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: Value) -> Reply {
        self.call(
            TestRequest::post()
                .uri(path)
                .insert_header(("token", token))
                .set_json(body),
        )
        .await
    }

    pub async fn admin_get(&self, path: &str) -> Reply {
        self.call(
            TestRequest::get()
                .uri(path)
                .insert_header(bearer(ADMIN_TOKEN)),
        )
        .await
    }

    pub async fn admin_post(&self, path: &str, body: Value) -> Reply {
        self.call(
            TestRequest::post()
                .uri(path)
                .insert_header(bearer(ADMIN_TOKEN))
                .set_json(body),
        )
        .await
    }

    pub async fn admin_post_text(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.call(
            TestRequest::post()
                .uri(path)
                .insert_header(bearer(ADMIN_TOKEN))
                .set_payload(body.into()),
        )
        .await
    }

    pub async fn admin_delete(&self, path: &str) -> Reply {
        self.call(
            TestRequest::delete()
                .uri(path)
                .insert_header(bearer(ADMIN_TOKEN)),
        )
        .await
    }

    /// An account with a current token, without the cost of a password.
    pub async fn user(&self, username: &str) -> (UserId, String) {
        let created = self
            .state
            .store
            .create_user(username.to_owned(), None, "none".to_owned(), NOW)
            .await;
        let user = created.unwrap().expect("the name is free");
        let token = self.state.auth.start_session(&user).await.unwrap();
        (user.id, token)
    }

    /// A live, past the API.
    pub async fn live(&self, owner: UserId, status: LiveStatus) -> LiveRow {
        let key = format!("{:020}", next_key(&self.state).await);
        let row = self
            .state
            .store
            .create_live(owner, "title".into(), "/c.png".into(), key, NOW)
            .await
            .unwrap();
        if status != LiveStatus::Scheduled {
            self.act(Scope::Live(row.live.id), Action::SetStatus(status))
                .await;
        }
        self.row(row.live.id).await
    }

    /// Does an action past the API, as operators do.
    pub async fn act(&self, scope: Scope, action: Action) {
        let record = ActionRecord::new(Actor::CONFIG, Role::Operator, scope, action, NOW);
        let performed = self.state.store.perform(record).await.unwrap();
        assert!(matches!(performed, Performed::Done { .. }), "{performed:?}");
    }

    pub async fn row(&self, id: LiveId) -> LiveRow {
        self.state
            .store
            .live(id)
            .await
            .unwrap()
            .expect("the live exists")
    }
}

/// The rooms of a node, as in production but on the threads of the test.
fn start_rooms(services: RoomServices, held_inbox: HeldInbox) -> Rooms {
    let store = services.store.clone();
    let (comment_ids, store_clock) = (services.comment_ids.clone(), services.store_clock.clone());
    let thread = Arbiter::current();
    let rooms = Rooms::new(
        Registry::start_here(vec![thread], store.clone(), services),
        Arc::new(MemoryBroker),
    );
    let held = HeldComments {
        store,
        rooms: rooms.clone(),
        comment_ids,
        clock: store_clock,
    };
    held_comments::start(held, held_inbox);
    rooms
}

/// Keys are unique: the count of lives so far.
async fn next_key(state: &ApiState) -> usize {
    state.store.lives(1, 1_000).await.unwrap().len()
}

pub fn bearer(token: &str) -> (HeaderName, String) {
    (
        HeaderName::from_static("authorization"),
        format!("Bearer {token}"),
    )
}
