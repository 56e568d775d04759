//! Several nodes over one PostgreSQL and one Redis, all of them private.

use std::ops::Index;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::support::{TestServer, User, Ws, eventually};

use super::member::{Doors, Member};
use super::postgres::Postgres;
use super::proxy::Proxy;
use super::redis::{Keeps, Redis};

/// What a cluster is made of.
pub struct Plan<'a> {
    pub nodes: usize,
    /// Keys that are as this for every node.
    pub env: &'a [(&'a str, &'a str)],
    /// What Redis keeps when it is killed.
    pub keeps: Keeps,
    /// Whether each node's ways to Redis and PostgreSQL can be cut.
    pub can_be_cut: bool,
}

/// How a node gets to what all share.
pub struct Ways {
    pub redis: Proxy,
    pub database: Proxy,
}

/// Running nodes; stopped, and their data removed, when dropped.
pub struct Cluster {
    // Nodes go first.
    nodes: Vec<TestServer>,
    ways: Vec<Ways>,
    pub redis: Redis,
    postgres: Arc<Postgres>,
    database_url: String,
    doors: Doors,
}

/// What tests send is far above what people do; what limits do is for other tests.
const PLENTY: [(&str, &str); 6] = [
    ("LIVEROOM__LIMITS__COMMAND_BURST", "100000"),
    ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
    ("LIVEROOM__LIMITS__COMMENT_BURST", "100000"),
    ("LIVEROOM__LIMITS__COMMENTS_PER_30S", "100000"),
    ("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "0"),
    ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "1000"),
];

/// Nodes do not look by themselves in the time of a test, [`crate::support::PATIENCE`]: what they
/// learn in it, a signal or the change feed said.
pub const LOOKS_SELDOM: [(&str, &str); 2] = [
    ("LIVEROOM__AUTH__RECHECK_MS", "60000"),
    ("LIVEROOM__ROOMS__RECONCILE_MS", "60000"),
];

impl Cluster {
    /// So many nodes; `None` when this machine has not what it takes, which is said.
    pub fn start(nodes: usize, env: &[(&str, &str)]) -> Option<Self> {
        Self::plan(&Plan {
            nodes,
            env,
            keeps: Keeps::Saved,
            can_be_cut: false,
        })
    }

    pub fn plan(plan: &Plan) -> Option<Self> {
        let parts =
            Postgres::shared().and_then(|postgres| Ok((postgres, Redis::start(plan.keeps)?)));
        let (postgres, redis) = match parts {
            Ok(parts) => parts,
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        let database_url = postgres.create_database();
        let ways: Vec<Ways> = (0..if plan.can_be_cut { plan.nodes } else { 0 })
            .map(|_| Ways {
                redis: Proxy::start(redis.port()),
                database: Proxy::start(port_of(&database_url)),
            })
            .collect();
        let start = |node: usize| {
            let (mut store_url, mut redis_url) = (database_url.clone(), redis.url());
            if let Some(way) = ways.get(node) {
                store_url = through(&store_url, &way.database);
                redis_url = through(&redis_url, &way.redis);
            }
            let own = [
                ("LIVEROOM__STORE__URL", &*store_url),
                ("LIVEROOM__CLUSTER__REDIS_URL", &redis_url),
            ];
            TestServer::start(
                &PLENTY
                    .iter()
                    .chain(&own)
                    .chain(plan.env)
                    .copied()
                    .collect::<Vec<_>>(),
            )
        };
        // At once, as a supervisor starts them: they agree on who brings the database up to date.
        let nodes: Vec<TestServer> = thread::scope(|scope| {
            let start = &start;
            let starting: Vec<_> = (0..plan.nodes)
                .map(|node| scope.spawn(move || start(node)))
                .collect();
            starting
                .into_iter()
                .map(|node| node.join().expect("a node starts"))
                .collect()
        });
        let doors = Doors::of(&nodes);
        let cluster = Self {
            nodes,
            ways,
            redis,
            postgres,
            database_url,
            doors,
        };
        cluster.wait_until_together();
        Some(cluster)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    pub fn ways(&self, node: usize) -> &Ways {
        &self.ways[node]
    }

    /// A member at this node, which roams when it has to.
    pub fn member(&self, node: usize, user: &User, live_id: i64) -> Member {
        Member::join(&self.doors, node, user, live_id)
    }

    /// A connection to this node.
    pub fn ws(&self, node: usize, user: &User) -> Ws {
        Ws::connect(&self[node], user)
    }

    /// A connection to this node that has joined.
    pub fn joined(&self, node: usize, user: &User, live_id: i64) -> Ws {
        let mut ws = self.ws(node, user);
        ws.join(live_id);
        ws
    }

    /// SIGKILL for one node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// SIGTERM for one node, and it ends by itself.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].signal("TERM");
        let status = self.nodes[node].wait_for_exit();
        assert!(status.success(), "node {node}: {status}");
    }

    /// Changes one key of a node from its next start on.
    pub fn set(&mut self, node: usize, key: &str, value: &str) {
        self.nodes[node].set(key, value);
    }

    /// Starts a node again that was killed or stopped. Clients find it.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
        self.doors.set(node, self.nodes[node].port());
    }

    /// What `/readyz` of a node says.
    pub fn readiness(&self, node: usize) -> Value {
        self[node].get("/readyz").json()
    }

    pub fn is_alone(&self, node: usize) -> bool {
        self.readiness(node)["alone"] == json!(true)
    }

    /// Waits until this node says that it goes on alone, which is no reason to send no clients.
    pub fn wait_until_alone(&self, node: usize) {
        eventually("a node without Redis says that it is alone", || {
            self.is_alone(node).then_some(())
        });
        let ready = self[node].get("/readyz");
        assert_eq!(
            (ready.status, &ready.json()["status"]),
            (200, &json!("ready")),
            "{}",
            ready.text()
        );
    }

    /// Waits until no running node is alone.
    pub fn wait_until_together(&self) {
        for node in 0..self.len() {
            self.wait_until_with_others(node);
        }
    }

    pub fn wait_until_with_others(&self, node: usize) {
        eventually("a node with Redis is ready and not alone", || {
            let ready = self.readiness(node);
            (ready["status"] == json!("ready") && ready["alone"] != json!(true)).then_some(())
        });
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Runs a query outside the nodes.
    pub fn query(&self, sql: &str) -> String {
        self.postgres.query(&self.database_url, sql)
    }

    /// Waits until the logs of the rooms have all that was done.
    pub fn wait_until_no_action_is_pending(&self) {
        let count = "COPY (SELECT count(*) FROM pending_actions) TO STDOUT";
        eventually("no action is pending", || {
            (self.query(count).trim() == "0").then_some(())
        });
    }
}

impl Index<usize> for Cluster {
    type Output = TestServer;

    fn index(&self, node: usize) -> &TestServer {
        &self.nodes[node]
    }
}

/// A cluster with a live on air, and a gift.
pub struct Stage {
    pub cluster: Cluster,
    pub streamer: User,
    pub live: i64,
    pub gift: i64,
}

/// What the gift of a [`Stage`] costs.
pub const PRICE: i64 = 3;

impl Stage {
    pub fn set(nodes: usize, env: &[(&str, &str)]) -> Option<Self> {
        Cluster::start(nodes, env).map(Self::over)
    }

    pub fn over(cluster: Cluster) -> Self {
        let streamer = cluster[0].user("streamer");
        let live = cluster[0].live(&streamer);
        let gift = cluster[0].gift("flower", PRICE);
        Self {
            cluster,
            streamer,
            live,
            gift,
        }
    }

    /// A user with coins.
    pub fn user(&self, name: &str) -> User {
        self.cluster[0].rich_user(name, 100_000)
    }

    /// A new user with coins in the room, by way of this node.
    pub fn member(&self, node: usize, name: &str) -> Member {
        self.cluster.member(node, &self.user(name), self.live)
    }

    /// A new user's connection in the room, by way of this node.
    pub fn joined(&self, node: usize, name: &str) -> (User, Ws) {
        let user = self.user(name);
        let ws = self.cluster.joined(node, &user, self.live);
        (user, ws)
    }
}

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.rsplit_once(':').expect("a URL with a port");
    rest.split('/')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port")
}

/// The same URL by way of a proxy.
fn through(url: &str, proxy: &Proxy) -> String {
    url.replace(&format!(":{}", port_of(url)), &format!(":{}", proxy.port()))
}
