//! The composition root: the only place that knows which store, broker and limits are in force,
//! and in which order things start and stop.

mod descriptors;
mod listener;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_server::ServerHandle;
use actix_web::web;
use log::{error, info, warn};
use tokio::time::{Instant, sleep, timeout};

use crate::actors::audit_sealer;
use crate::actors::change_feed::ChangeFeed;
use crate::actors::consoles::{self, Consoles, NodeMonitor};
use crate::actors::held_comments::{self, HeldComments};
use crate::actors::live_room::{NodeTotals, RoomServices, room_settings};
use crate::actors::node_number::NodeNumber;
use crate::actors::persister::{Persister, PersisterPort};
use crate::actors::reconcile;
use crate::actors::registry::Registry;
use crate::actors::session::SessionServices;
use crate::actors::{ClusterControl, NodeIdentity, Operations, Rooms, SessionDirectory, Traces};
use crate::auth::{AuditKeys, Auth, Passwords, token_origin_reader};
use crate::catalogue::GiftCatalogue;
use crate::clock::{Clock, StoreClock, SystemClock};
use crate::cluster::redis::{NodeHandlers, RedisCluster};
use crate::cluster::{Broker, MemoryBroker, Nodes, SingleNode, StoreTokens, TokenStore};
use crate::comment_ids::CommentIds;
use crate::config::{Config, ValueCheck};
use crate::domain::{CROWD_ROUND_MS, Disconnect, NodeId};
use crate::http::{
    AccountLimits, AddressBuckets, ApiState, Attempts, Changes, FeedText, FollowLimits, LiveLimits,
    LoginLimiter, ManagerSessions, Readiness, WrongTokens, open_feed,
};
use crate::storage::{self, Store, StoreError, StoreOptions};
use crate::tls::Authorities;
use crate::transport::{FeedDoor, TransportState};
use crate::word_filters::WordFilters;
use listener::{AllConnections, Listeners};

/// How long a room may keep a comment before it decides whether to store it.
const CROWD_ROUND: Duration = Duration::from_millis(CROWD_ROUND_MS.unsigned_abs());

/// The time that clients have to answer a close frame when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long sessions wait, before they are closed and sent elsewhere, for changes that are under
/// way. Those that take longer, because a row is locked, are waited for later.
const CHANGES_FIRST: Duration = Duration::from_secs(1);

/// The time that notifying the other nodes may take when this one stops.
const LEAVING: Duration = Duration::from_secs(1);

/// Time between two attempts to reach the database at the start.
const STORE_RETRY_WAIT: Duration = Duration::from_millis(250);

/// Why the node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
}

/// A running node.
pub struct App {
    server: ServerHandle,
    drain_timeout: Duration,
    persister: PersisterPort,
    store: Arc<dyn Store>,
    sessions: Arc<SessionServices>,
    transport: web::Data<TransportState>,
    connections: AllConnections,
    consoles: Arc<Consoles>,
    catalogue: Arc<GiftCatalogue>,
    changes: Arc<Changes>,
    attempts: Arc<Attempts>,
    nodes: Arc<dyn Nodes>,
    listeners: Listeners,
}

/// The state that this node shares with others: none, if there is one node.
struct Cluster {
    /// This node's name.
    name: String,
    broker: Arc<dyn Broker>,
    nodes: Arc<dyn Nodes>,
    tokens: Arc<dyn TokenStore>,
    redis: Option<RedisCluster>,
}

impl App {
    /// Starts everything, in the order of dependence: store, actors, sockets. Must be called on an
    /// actix system.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let config = &Arc::new(descriptors::within_limit(config));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = await_store(config).await?;
        let change_feed = ChangeFeed::open(store.clone()).await?;
        let catalogue = GiftCatalogue::load(store.clone()).await?;
        let word_filters = WordFilters::load(store.clone()).await?;
        let cluster = join_cluster(config, &store, &clock)?;
        let auth = authority_over(
            config,
            config.auth.token_ttl_s,
            cluster.tokens.clone(),
            &store,
            &clock,
        );

        // Before any actor begins: one that never ran panics when its system ends.
        let listeners = Listeners::bind(config)?;
        let arbiters: Vec<ArbiterHandle> = (0..config.server.room_threads.get())
            .map(|_| Arbiter::new().handle())
            .collect();
        // Where one thread is enough for all rooms, a second one would only cost changes of thread.
        let persister_arbiter = match &arbiters[..] {
            [only] => only.clone(),
            _ => Arbiter::new().handle(),
        };
        let persister = Persister::start_in(&persister_arbiter, store.clone(), &config.limits);
        let node_number = NodeNumber::take(store.clone(), cluster.name.clone()).await?;
        let comment_ids = CommentIds::new(
            node_number
                .as_ref()
                .map_or_else(rand::random, NodeNumber::get),
        );
        let comment_ids = Arc::new(comment_ids.after(store.newest_comment().await?));
        if let Some(number) = node_number {
            number.keep(comment_ids.clone());
        }
        let (held_reports, held_inbox) = held_comments::channel();
        let store_clock = Arc::new(StoreClock::new(clock.clone()));
        held_comments::measure(&*store, &store_clock).await?;
        let traces = Arc::new(Traces::new(clock.clone()));
        let totals = Arc::new(NodeTotals::default());
        let room_services = RoomServices {
            settings: room_settings(config),
            config: config.clone(),
            broker: cluster.broker.clone(),
            persister: persister.clone(),
            catalogue: catalogue.clone(),
            word_filters: word_filters.clone(),
            comment_ids: comment_ids.clone(),
            held: held_reports,
            traces: traces.clone(),
            store: store.clone(),
            totals: totals.clone(),
            clock: clock.clone(),
            store_clock: store_clock.clone(),
        };
        let rooms = Rooms::new(
            Registry::start_here(arbiters, store.clone(), room_services),
            cluster.broker,
        );
        let node = cluster.redis.as_ref().map_or(NodeId(0), RedisCluster::node);
        let directory = Arc::new(SessionDirectory::new(node));
        let cluster_control = Arc::new(ClusterControl {
            identity: NodeIdentity {
                name: cluster.name,
                address: listeners.public.address.to_string(),
                started_at: clock.now(),
            },
            sessions: directory.clone(),
            rooms: rooms.clone(),
            catalogue: catalogue.clone(),
            persister: persister.clone(),
            nodes: cluster.nodes.clone(),
            traces: traces.clone(),
            monitor: NodeMonitor::new(totals),
            clock: clock.clone(),
        });
        consoles::start_charts(&cluster_control);
        let operations = Arc::new(Operations::new(
            store.clone(),
            cluster_control.clone(),
            comment_ids.clone(),
            clock.clone(),
        ));
        let sessions = Arc::new(SessionServices {
            auth: auth.clone(),
            rooms: rooms.clone(),
            directory,
            nodes: cluster.nodes.clone(),
            operations: operations.clone(),
            traces,
            config: config.clone(),
            clock: clock.clone(),
        });
        reconcile::start(&cluster_control, operations.clone(), config);
        reconcile::start_word_filters(word_filters.clone());
        let audit_keys = AuditKeys::new(&config.auth.jwt_secret);
        audit_sealer::start(store.clone(), audit_keys, clock.clone());
        let held = HeldComments {
            store: store.clone(),
            rooms: rooms.clone(),
            comment_ids,
            clock: store_clock,
        };
        held_comments::start(held, held_inbox);
        match change_feed {
            Some(feed) => feed.follow(cluster_control.clone(), auth.clone()),
            None => reconcile::start_accounts(&cluster_control, store.clone(), config),
        }
        if let Some(redis) = cluster.redis {
            let (control, reports) = (cluster_control.clone(), cluster_control.clone());
            let sessions = sessions.directory.clone();
            redis.serve(NodeHandlers {
                address: cluster_control.identity.address.clone(),
                on_signal: Box::new(move |signal| control.handle_signal(signal)),
                report: Box::new(move |asked| reports.report(asked)),
                devices: Box::new(move || sessions.held_devices()),
            });
        }
        let changes = Arc::new(Changes::new(config.limits.changes));
        let attempts = Arc::new(Attempts::new(store.clone(), clock.clone()));
        attempts.start();
        let api = ApiState {
            store: store.clone(),
            auth,
            passwords: Arc::new(Passwords::new(config.server.workers.get())),
            catalogue: catalogue.clone(),
            word_filters,
            rooms,
            operations,
            cluster_control,
            clock: clock.clone(),
            login_limiter: Arc::new(LoginLimiter::new(config.limits.logins_per_min)),
            registrations: Arc::new(AddressBuckets::for_registrations(&config.limits)),
            live_limits: Arc::new(LiveLimits::new(&config.limits)),
            follow_limits: Arc::new(FollowLimits::new(&config.limits)),
            account_limits: Arc::new(AccountLimits::default()),
            wrong_tokens: Arc::new(WrongTokens::default()),
            manager_sessions: Arc::new(ManagerSessions::new(store.clone(), clock.clone())),
            changes: changes.clone(),
            exports: Arc::default(),
            attempts: attempts.clone(),
            own_exports: Arc::default(),
            readiness: Arc::new(Readiness::default()),
            config: config.clone(),
        };
        let consoles = Consoles::new(
            api.cluster_control.clone(),
            Box::new(FeedText),
            config.limits.consoles,
        );
        consoles.start();
        let (door_api, door_consoles) = (api.clone(), consoles.clone());
        let feed_door: FeedDoor =
            Arc::new(move |head| open_feed(door_api.clone(), door_consoles.clone(), head));
        let transport = web::Data::new(TransportState::new(sessions.clone()));
        let connections = AllConnections::new(config);
        let server = listener::listen(
            config,
            listeners.try_clone()?,
            api,
            transport.clone(),
            feed_door,
            &connections,
        )?;
        Ok(Self {
            server,
            drain_timeout: config.server.drain_timeout_ms.duration(),
            persister,
            store,
            sessions,
            transport,
            connections,
            consoles,
            catalogue,
            changes,
            attempts,
            nodes: cluster.nodes,
            listeners,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners.public.address
    }

    /// Where it serves operators: the same, unless they have an address of their own.
    pub fn operators_address(&self) -> SocketAddr {
        let Listeners { public, operators } = &self.listeners;
        operators.as_ref().unwrap_or(public).address
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn sessions(&self) -> &Arc<SessionServices> {
        &self.sessions
    }

    pub fn catalogue(&self) -> &Arc<GiftCatalogue> {
        &self.catalogue
    }

    /// Stops in the order in which nothing acked is lost: no new connections, changes under way are
    /// completed and none begins, sessions are closed and sent elsewhere, what rooms decided
    /// becomes durable, sockets close.
    pub async fn drain(self) {
        let deadline = Instant::now() + self.drain_timeout;
        self.server.pause().await;
        self.listeners.close();
        // While rooms and other nodes can still be notified: a change that was committed has its
        // effects.
        let mut changed = pin!(self.changes.finish());
        let has_changed = timeout(CHANGES_FIRST, &mut changed).await.is_ok();
        if timeout(CHANGES_FIRST, self.attempts.flush(true))
            .await
            .is_err()
        {
            warn!("drained without the counts of refused attempts");
        }
        // Before the sessions: what their ends look like elsewhere depends on it.
        let left = timeout(LEAVING, self.nodes.leave()).await;
        if left.is_err() {
            warn!("other nodes not notified that this one stops");
        }
        let sessions_count = self.sessions.directory.end_all(Disconnect::Shutdown);
        self.consoles.end_all(Disconnect::Shutdown);
        info!("draining: sessions={sessions_count}");
        while self.sessions.directory.sessions_count() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_secs(1));
        if !has_changed && timeout(left, changed).await.is_err() {
            error!("drained with changes under way: what follows from them is lost");
        }
        // The last commands of sessions are in the mailboxes of rooms now. From there they go to
        // the persister, at the end of the crowd's turn at the latest: a flush that finds nothing
        // after that has written all.
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_secs(1));
        let flushed = timeout(left, async {
            self.persister.flush().await;
            sleep(CROWD_ROUND + Duration::from_millis(50)).await;
            self.persister.flush().await;
        });
        if flushed.await.is_err() {
            error!(
                "drained without the store: writes_lost={}",
                self.persister.queued_count()
            );
        }
        // Sockets whose session is over close; the worker threads end with the server.
        let close_deadline = Instant::now() + CLOSE_TIMEOUT;
        while self.transport.sockets_count() > 0 && Instant::now() < close_deadline {
            sleep(Duration::from_millis(10)).await;
        }
        // Those that have a request under way are waited for, the idle ones need not be.
        self.connections.cut_waiting();
        self.server.stop(true).await;
        info!("drained");
    }
}

/// Opens the configured database and brings it up to date. Also used by the command line.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let store = &config.store;
    let options = StoreOptions {
        connections_max: store.pool_size,
        ca_file: store.ca_file.clone(),
        ..StoreOptions::default()
    };
    storage::open(store.url.expose(), options).await
}

/// The same, for a program that starts together with its database: waits for a PostgreSQL that is
/// not there yet, up to `store.start_timeout_ms`. The error is that of the last attempt.
pub async fn await_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let timeout_ms = if config.store.url.is_sqlite() {
        0
    } else {
        config.store.start_timeout_ms.get()
    };
    let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
    let mut logged = String::new();
    loop {
        let cause = match open_store(config).await {
            Err(StoreError::Unavailable(cause)) => cause,
            result => return result,
        };
        if Instant::now() + STORE_RETRY_WAIT >= deadline {
            return Err(StoreError::Unavailable(cause));
        }
        if cause != logged {
            warn!("waiting for the store: timeout_ms={timeout_ms} error={cause}");
            logged = cause;
        }
        sleep(STORE_RETRY_WAIT).await;
    }
}

/// Addresses that only the library that connects to them can judge, and files of certificates.
pub const ADDRESS_CHECKS: [ValueCheck; 4] = [
    ValueCheck {
        section: "store",
        name: "url",
        check: |config| storage::check_url(config.store.url.expose()),
    },
    ValueCheck {
        section: "cluster",
        name: "redis_url",
        check: |config| RedisCluster::check_url(config.cluster.redis_url.expose()),
    },
    ValueCheck {
        section: "store",
        name: "ca_file",
        check: |config| {
            let is_encrypted = storage::is_encrypted(config.store.url.expose());
            check_ca_file(
                &config.store.ca_file,
                is_encrypted,
                "sslmode=verify-full in store.url",
            )
        },
    },
    ValueCheck {
        section: "cluster",
        name: "redis_ca_file",
        check: |config| {
            let is_encrypted = RedisCluster::is_encrypted(config.cluster.redis_url.expose());
            check_ca_file(
                &config.cluster.redis_ca_file,
                is_encrypted,
                "rediss in cluster.redis_url",
            )
        },
    },
];

/// A file of certificates without TLS would make an operator believe that there is TLS.
fn check_ca_file(path: &str, is_encrypted: bool, tls: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    if !is_encrypted {
        return Err(format!("nothing, or {tls}"));
    }
    Authorities::read(path)
        .map(|_| ())
        .map_err(|error| format!("a file of certificates in PEM ({error})"))
}

/// The issuer and verifier of tokens, for the command line.
pub fn authority(
    config: &Config,
    token_ttl_s: u32,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Auth>, StoreError> {
    let tokens = join_cluster(&Arc::new(config.clone()), store, clock)?.tokens;
    Ok(authority_over(config, token_ttl_s, tokens, store, clock))
}

fn authority_over(
    config: &Config,
    token_ttl_s: u32,
    tokens: Arc<dyn TokenStore>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Arc<Auth> {
    Arc::new(Auth::new(
        &config.auth.jwt_secret,
        i64::from(token_ttl_s),
        tokens,
        store.clone(),
        clock.clone(),
    ))
}

fn join_cluster(
    config: &Arc<Config>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Cluster, StoreError> {
    if config.cluster.redis_url.is_empty() {
        return Ok(Cluster {
            name: format!("{:016x}", rand::random::<u64>()),
            broker: Arc::new(MemoryBroker),
            nodes: Arc::new(SingleNode),
            tokens: Arc::new(StoreTokens::new(store.clone())),
            redis: None,
        });
    }
    let redis = RedisCluster::start(config.clone(), clock.clone())?;
    Ok(Cluster {
        name: redis.node().to_string(),
        broker: Arc::new(redis.clone()),
        nodes: Arc::new(redis.clone()),
        tokens: redis.tokens(store.clone(), token_origin_reader(&config.auth.jwt_secret)),
        redis: Some(redis),
    })
}
