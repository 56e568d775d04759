//! Two nodes behind nginx and behind HAProxy, as `.deploy` configures them: who polls is led to the
//! node that has its session, addresses are told to nodes, and who was on a node that stops or dies
//! goes on with the other.

mod operators;
mod program;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::driver::{Cell, Client, Library, Transport};
use crate::support::postgres::Postgres;
use crate::support::redis::{Keeps, Redis};
use crate::support::{Answer, TestServer, User, eventually, http};
use crate::take_turn;
use program::{Balancer, Kind, free_port};

/// A balancer, two nodes of one cluster, and a live on air.
struct Stage {
    balancer: Balancer,
    nodes: Vec<TestServer>,
    streamer: User,
    live_id: i64,
    _redis: Redis,
    _database: Arc<Postgres>,
    /// Last, so that it is given back when all the others have ended.
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// `None`, and a word why, where the programs are missing.
    fn set(kind: Kind, env: &[(&str, &str)]) -> Option<Self> {
        let turn = take_turn();
        if kind.program().is_none() {
            return skipped(&format!("{kind} is not installed (see tests/run.sh)"));
        }
        let (database, redis) = match Postgres::shared()
            .and_then(|database| Ok((database, Redis::start(Keeps::Everything)?)))
        {
            Ok(servers) => servers,
            Err(reason) => return skipped(&reason),
        };
        let (url, redis_url) = (database.create_database(), redis.url());
        let node = || {
            // Balancers look for a node that comes back where it was.
            let port = free_port().to_string();
            let own = [
                ("LIVEROOM__SERVER__PORT", port.as_str()),
                ("LIVEROOM__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
                ("LIVEROOM__STORE__URL", url.as_str()),
                ("LIVEROOM__CLUSTER__REDIS_URL", redis_url.as_str()),
            ];
            TestServer::start(&[&own[..], env].concat())
        };
        let nodes = vec![node(), node()];
        let balancer = Balancer::start(kind, &[nodes[0].port(), nodes[1].port()]);
        let streamer = nodes[0].user("streamer");
        let live_id = nodes[0].live(&streamer);
        Some(Self {
            balancer,
            nodes,
            streamer,
            live_id,
            _redis: redis,
            _database: database,
            _turn: turn,
        })
    }

    /// Members that each node has, as it says itself.
    fn members(&self) -> Vec<i64> {
        let of_node = |node: &TestServer| {
            let all = node.admin_get("/admin/nodes").ok();
            let own = all
                .as_array()
                .and_then(|all| all.iter().find(|node| node["self"] == true));
            own.and_then(|node| node["members"].as_i64())
                .expect("a node knows itself")
        };
        self.nodes.iter().map(of_node).collect()
    }

    /// Which node knows a session.
    fn node_of(&self, poller: &Poller) -> usize {
        let knows = |node: &TestServer| {
            let forwarded = [("x-forwarded-for", poller.address.to_string())];
            let headers = forwarded
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            http::request_bytes(node.port(), "POST", &poller.path(), &headers, b"3").status == 200
        };
        self.nodes
            .iter()
            .position(knows)
            .expect("a node knows the session")
    }

    /// Waits until a client has lost its connection and has another, and is told there what it
    /// missed since the event at `place`.
    fn comes_back(&self, client: &mut Client, place: &Value) {
        client.disconnected();
        client.connected();
        let joined = client.ask("joinLive", json!({"live_id": self.live_id, "since": place}));
        assert_eq!(
            joined["recovered"],
            true,
            "{}: {joined}\n{}",
            client.cell,
            self.balancer.log()
        );
        self.say(client);
    }

    /// Joins and says something, which all clients that are connected can. Returns its place.
    fn take_part(&self, client: &mut Client) -> Value {
        let joined = client.ask("joinLive", json!({"live_id": self.live_id}));
        assert_eq!(
            joined["ok"],
            true,
            "{}: {joined}\n{}",
            client.cell,
            self.balancer.log()
        );
        json!({"epoch": joined["epoch"], "offset": self.say(client)})
    }

    fn say(&self, client: &mut Client) -> Value {
        let said = client.ask("comment", json!({"live_id": self.live_id, "data": "hello"}));
        assert_eq!(
            said["status"],
            "delivered",
            "{}: {said}\n{}",
            client.cell,
            self.balancer.log()
        );
        said["offset"].clone()
    }
}

fn skipped(reason: &str) -> Option<Stage> {
    println!("skipped: {reason}");
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_ci, "under CI everything must be installed: {reason}");
    None
}

/// A client that polls by hand, with a connection for each request and an address of its own: the
/// whole of 127.0.0.0/8 is this machine.
struct Poller {
    address: Ipv4Addr,
    port: u16,
    sid: String,
}

impl Poller {
    /// Opens a session, or brings back the refusal.
    fn open(address: Ipv4Addr, port: u16) -> Result<Self, Answer> {
        let mut poller = Self {
            address,
            port,
            sid: String::new(),
        };
        let answer = poller.request("GET", "/socket.io/?EIO=4&transport=polling", "");
        if answer.status != 200 {
            return Err(answer);
        }
        let handshake: Value = serde_json::from_slice(&answer.body[1..]).expect("a handshake");
        poller.sid = handshake["sid"].as_str().expect("a sid").to_owned();
        Ok(poller)
    }

    fn path(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    fn post(&self, packets: &str) {
        let answer = self.request("POST", &self.path(), packets);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{}",
            self.address
        );
    }

    /// Polls until something comes that has `wanted` in it.
    fn poll_for(&self, wanted: &str) -> String {
        eventually(wanted, || {
            let answer = self.request("GET", &self.path(), "");
            assert_eq!(answer.status, 200, "{}: {}", self.address, answer.text());
            Some(answer.text()).filter(|text| text.contains(wanted))
        })
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::from((self.address, 0)).into())
            .expect("an address of this machine");
        socket
            .connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())
            .expect("the balancer accepts");
        http::request_over(TcpStream::from(socket), method, path, &[], body.as_bytes())
    }
}

/// Enough that chance does not put all of them on one of two nodes: 1 in 2^31.
const ADDRESSES: u8 = 32;

fn sessions_that_poll_reach_the_node_that_has_them(kind: Kind) {
    let Some(stage) = Stage::set(kind, &[("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "2")])
    else {
        return;
    };
    let addresses = (0..ADDRESSES).map(|number| Ipv4Addr::new(127, 0, 1, number + 1));
    let open = |address| {
        Poller::open(address, stage.balancer.port())
            .unwrap_or_else(|answer| panic!("{address}: {}", answer.text()))
    };
    // More than one address may have: so they are not taken for one.
    let pollers: Vec<Poller> = addresses.clone().chain(addresses).map(open).collect();
    for poller in &pollers {
        poller.post("40");
        poller.poll_for("40{");
        let join = json!(["joinLive", {"live_id": stage.live_id, "token": stage.streamer.token}]);
        poller.post(&format!("421{join}"));
        assert!(poller.poll_for("431[").contains(r#""ok":true"#));
    }
    let members = stage.members();
    assert_eq!(members.iter().sum::<i64>(), i64::from(ADDRESSES) * 2);
    assert!(
        members.iter().all(|count| *count > 0),
        "one node has them all: {members:?}"
    );

    for poller in &pollers[..4] {
        let third = Poller::open(poller.address, stage.balancer.port());
        assert_eq!(
            third.err().map(|answer| answer.status),
            Some(503),
            "an address may have two"
        );
    }
    println!(
        "{kind}: {} sessions, members by node {members:?}: ok",
        pollers.len()
    );
}

/// The clients that are to survive. Between them they do all that the others do.
fn cells() -> Vec<Cell> {
    let wanted = |cell: &Cell| {
        matches!(cell.library, Library::SocketIo(2 | 4))
            && matches!(cell.transport, Transport::Polling | Transport::Default)
    };
    Cell::installed().into_iter().filter(wanted).collect()
}

fn clients_go_on_when_their_node_stops_and_when_it_dies(kind: Kind) {
    let Some(mut stage) = Stage::set(kind, &[]) else {
        return;
    };
    let port = stage.balancer.port();
    let users: Vec<User> = (0..4)
        .map(|number| stage.nodes[0].user(&format!("viewer-{number}")))
        .collect();
    let cells = cells();
    let start = |(cell, user): (&Cell, &User)| Client::start(*cell, port, user.clone());
    let mut clients: Vec<Client> = cells.iter().zip(&users).map(start).collect();
    let all = i64::try_from(clients.len()).expect("a few");
    let mut places = Vec::new();
    for client in &mut clients {
        client.connected();
        places.push(stage.take_part(client));
    }
    let members = stage.members();
    assert_eq!(
        members.iter().max(),
        Some(&all),
        "one address, one node: {members:?}"
    );
    let first = members
        .iter()
        .position(|count| *count == all)
        .expect("the node that has them");

    // Drained, with requests that need no session going on all the while.
    let watch = Watch::start(port);
    stage.nodes[first].signal("TERM");
    for (client, place) in clients.iter_mut().zip(&places) {
        stage.comes_back(client, place);
    }
    assert!(stage.nodes[first].wait_for_exit().success());
    newcomers_take_part(&stage);
    let bad = watch.stop();
    assert!(
        bad.is_empty(),
        "requests went wrong while a node was drained: {bad:?}\n{}",
        stage.balancer.log()
    );
    println!("{kind}: {all} clients go on when their node is drained: ok");

    stage.nodes[first].restart();
    let polls = |client: &Client| client.cell.transport == Transport::Polling;
    let victim = match kind {
        // The address leads back to where it led before.
        Kind::Nginx => {
            eventually("nginx takes the node back", || {
                let poller = Poller::open(Ipv4Addr::LOCALHOST, port).expect("some node has a seat");
                (stage.node_of(&poller) == first).then_some(())
            });
            for (client, place) in clients
                .iter_mut()
                .zip(&places)
                .filter(|(client, _)| polls(client))
            {
                // What it sends now comes to a node that does not know it.
                client.send(
                    "comment",
                    json!({"live_id": stage.live_id, "data": "who am I?"}),
                );
                stage.comes_back(client, place);
            }
            first
        }
        // Who is on the other node stays there.
        Kind::Haproxy => {
            eventually("HAProxy takes the node back", || {
                let mut newcomer = Client::start(PLAIN, port, stage.streamer.clone());
                newcomer.connected();
                stage.take_part(&mut newcomer);
                (stage.members()[first] > 0).then_some(())
            });
            1 - first
        }
    };
    for (client, place) in clients.iter_mut().zip(&mut places) {
        *place = stage.take_part(client);
    }
    println!("{kind}: {all} clients go on when the node is back: ok");

    // Killed: nobody gets to say good-bye, and polls hang in the air.
    stage.nodes[victim].kill();
    for (client, place) in clients.iter_mut().zip(&places) {
        if kind == Kind::Haproxy || polls(client) {
            stage.comes_back(client, place);
        }
        stage.take_part(client);
    }
    newcomers_take_part(&stage);
    println!("{kind}: {all} clients go on when a node is killed: ok");
}

/// A WebSocket without a library around it.
const PLAIN: Cell = Cell {
    library: Library::PlainWs,
    transport: Transport::Websocket,
};

/// New clients find the node that is left.
fn newcomers_take_part(stage: &Stage) {
    for _ in 0..4 {
        let mut client = Client::start(PLAIN, stage.balancer.port(), stage.streamer.clone());
        client.connected();
        stage.take_part(&mut client);
    }
}

/// Asks for the same thing again and again, and keeps the answers that were not good.
struct Watch {
    over: Arc<AtomicBool>,
    asking: std::thread::JoinHandle<Vec<u16>>,
}

impl Watch {
    fn start(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let asking = std::thread::spawn(move || {
            let mut bad = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let status = http::request(port, "GET", "/api/live/list/1", &[], None).status;
                if status != 200 {
                    bad.push(status);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            bad
        });
        Self { over, asking }
    }

    fn stop(self) -> Vec<u16> {
        self.over.store(true, Ordering::Relaxed);
        self.asking.join().expect("it only asks")
    }
}

#[test]
fn nginx_leads_who_polls_to_the_node_that_has_its_session() {
    sessions_that_poll_reach_the_node_that_has_them(Kind::Nginx);
}

#[test]
fn haproxy_leads_who_polls_to_the_node_that_has_its_session() {
    sessions_that_poll_reach_the_node_that_has_them(Kind::Haproxy);
}

#[test]
fn clients_behind_nginx_go_on_when_their_node_stops_and_when_it_dies() {
    clients_go_on_when_their_node_stops_and_when_it_dies(Kind::Nginx);
}

#[test]
fn clients_behind_haproxy_go_on_when_their_node_stops_and_when_it_dies() {
    clients_go_on_when_their_node_stops_and_when_it_dies(Kind::Haproxy);
}
