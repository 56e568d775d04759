//! What operators see of a cluster, and what a client of the wrong node is told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::postgres::Postgres;
use crate::support::redis::{Keeps, Redis, free_port};
use crate::support::{JWT_SECRET, TestServer, eventually, http};

fn list(server: &TestServer, path: &str) -> Vec<Value> {
    let data = server.admin_get(path).ok();
    data.as_array()
        .unwrap_or_else(|| panic!("no list: {data}"))
        .clone()
}

#[test]
fn terms_that_one_node_imported_are_in_force_on_all_with_redis_and_without() {
    let Some(mut stage) = Stage::set(2, &[]) else {
        return;
    };
    let import = |stage: &Stage, node: usize, lines: &str| {
        let path = "/admin/filter/import";
        stage.cluster[node].admin_post_text(path, lines).ok()
    };
    let found = |stage: &Stage, node: usize, text: &str, action: Value| {
        eventually("the node has the new list", || {
            let body = json!({"text": text});
            let answer = stage.cluster[node].admin_post("/admin/filter/test", &body);
            (answer.ok()["action"] == action).then_some(())
        });
    };
    assert_eq!(import(&stage, 0, "坏话"), json!({"terms": 1}));
    found(&stage, 1, "坏话", json!("block"));
    stage.cluster.redis.kill();
    assert_eq!(import(&stage, 1, "脏话\thold"), json!({"terms": 1}));
    found(&stage, 0, "脏话", json!("hold"));
    found(&stage, 0, "坏话", Value::Null);
    stage.cluster.kill(0);
    stage.cluster.restart(0);
    found(&stage, 0, "脏话", json!("hold"));
}

#[test]
fn operators_see_all_nodes_from_each() {
    let Some(mut stage) = Stage::set(3, &[("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "2000")]) else {
        return;
    };
    let (_, _alice) = stage.joined(0, "alice");
    let (_, _bob) = stage.joined(0, "bobby");
    let (carol, _carol) = stage.joined(1, "carol");
    let _idle = stage.cluster.ws(1, &carol);
    let expected = BTreeSet::from([(2, 1, 2), (2, 1, 1), (0, 0, 0)]);
    let count = |node: &Value, key: &str| {
        node[key]
            .as_u64()
            .unwrap_or_else(|| panic!("no {key}: {node}"))
    };
    for node in 0..3 {
        let nodes = eventually("each node tells what the others have", || {
            let mut nodes = list(&stage.cluster[node], "/admin/nodes");
            // A node that is slow to report is silent in one answer.
            nodes.retain(|node| node["silent"] == json!(false));
            let counts: BTreeSet<_> = nodes
                .iter()
                .map(|node| {
                    (
                        count(node, "sessions"),
                        count(node, "rooms"),
                        count(node, "members"),
                    )
                })
                .collect();
            (counts == expected).then_some(nodes)
        });
        assert_eq!(nodes.len(), 3, "{nodes:?}");
        let names: BTreeSet<_> = nodes
            .iter()
            .map(|node| node["node"].as_str().expect("a name"))
            .collect();
        assert_eq!(names.len(), 3, "{nodes:?}");
        assert!(
            nodes.iter().all(|node| node["alone"] == json!(false)),
            "{nodes:?}"
        );
        assert!(
            nodes
                .iter()
                .all(|node| node["version"] == json!(env!("CARGO_PKG_VERSION"))),
            "{nodes:?}"
        );
        assert!(nodes.iter().all(|node| {
            node["started_at"]
                .as_i64()
                .is_some_and(|at| at > 1_600_000_000_000)
        }));
        let own: Vec<_> = nodes
            .iter()
            .filter(|node| node["self"] == json!(true))
            .collect();
        assert_eq!(own.len(), 1, "{nodes:?}");
        let address = own[0]["address"].as_str().expect("an address");
        assert!(
            address.ends_with(&format!(":{}", stage.cluster[node].port())),
            "{address}"
        );
    }
    stage.cluster.kill(2);
    eventually("a node that died is shown no more", || {
        (list(&stage.cluster[0], "/admin/nodes").len() == 2).then_some(())
    });
    stage.cluster.stop(1);
    eventually("nor is one that stopped", || {
        (list(&stage.cluster[0], "/admin/nodes").len() == 1).then_some(())
    });
}

#[test]
fn operators_see_each_room_of_the_cluster_once() {
    let Some(stage) = Stage::set(3, &[]) else {
        return;
    };
    let other = stage.cluster[0].live(&stage.user("another"));
    let (alice, mut first) = stage.joined(0, "alice");
    let mut second = stage.cluster.joined(1, &alice, stage.live);
    let (_, mut third) = stage.joined(1, "bobby");
    third.join(other);
    let said = first.ask("comment", json!({"live_id": stage.live, "data": "hello"}));
    second.ask(
        "gift",
        json!({"live_id": stage.live, "gift_id": stage.gift}),
    );
    for node in 0..3 {
        let rooms = eventually("both rooms are known", || {
            let rooms = list(&stage.cluster[node], "/admin/rooms");
            let members = |id: i64| {
                rooms
                    .iter()
                    .find(|room| room["live_id"] == json!(id))
                    .map(|it| it["members"].clone())
            };
            (members(stage.live) == Some(json!(3)) && members(other) == Some(json!(1)))
                .then_some(rooms)
        });
        assert_eq!(rooms.len(), 2, "each once: {rooms:?}");
        let room = rooms
            .iter()
            .find(|room| room["live_id"] == json!(stage.live))
            .expect("it is known");
        assert_eq!(
            (&room["users"], &room["status"]),
            (&json!(2), &json!(1)),
            "{room}"
        );
        let nodes = room["nodes"].as_array().expect("a list of nodes");
        let members: BTreeSet<_> = nodes.iter().map(|node| node["members"].as_u64()).collect();
        assert_eq!(
            (nodes.len(), members),
            (2, BTreeSet::from([Some(1), Some(2)])),
            "{room}"
        );
        // A node that is slow to report is left out of one answer.
        eventually("its nodes are known", || {
            let known = list(&stage.cluster[node], "/admin/nodes");
            let names: BTreeSet<_> = known.into_iter().map(|it| it["node"].to_string()).collect();
            nodes
                .iter()
                .all(|node| names.contains(&node["node"].to_string()))
                .then_some(())
        });
    }
    // Node 2 has no room, node 0 one, node 1 both: a page of one room is the same from each.
    let (earlier, later) = (stage.live.min(other), stage.live.max(other));
    for node in 0..3 {
        for (path, live, link) in [
            ("/admin/rooms?limit=1".to_owned(), earlier, true),
            (
                format!("/admin/rooms?after={earlier}&limit=1"),
                later,
                false,
            ),
        ] {
            // A node that is slow to report is left out of one answer.
            eventually("the page has its room with all its members", || {
                let reply = stage.cluster[node].admin_get(&path);
                let rooms = reply.json()["data"].clone();
                let members = if live == stage.live { 3 } else { 1 };
                let is_whole =
                    rooms[0]["live_id"] == json!(live) && rooms[0]["members"] == json!(members);
                let has_link = reply.header("link").is_some();
                (is_whole && rooms.as_array().map(Vec::len) == Some(1) && has_link == link)
                    .then_some(())
            });
        }
    }
    // It stands where the room stands: one gift after the comment.
    let end = said["offset"].as_u64().expect("a place") + 1;
    eventually("the room's place is known", || {
        let rooms = list(&stage.cluster[0], "/admin/rooms");
        rooms
            .iter()
            .any(|it| it["live_id"] == json!(stage.live) && it["offset"] == json!(end))
            .then_some(())
    });
}

#[test]
fn a_node_that_does_not_answer_is_shown_as_silent_until_it_does() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let other = || {
        let nodes = list(&stage.cluster[0], "/admin/nodes");
        nodes.into_iter().find(|node| node["self"] == json!(false))
    };
    let before = eventually("both nodes answer", || {
        other().filter(|node| node["silent"] == json!(false))
    });
    stage.cluster[1].signal("STOP");
    let silent = eventually("it is silent", || {
        other().filter(|node| node["silent"] == json!(true))
    });
    assert_eq!(
        (&silent["node"], &silent["address"]),
        (&before["node"], &before["address"]),
        "{silent}"
    );
    assert!(
        silent["last_seen_at"].as_i64() > before["started_at"].as_i64(),
        "{silent}"
    );
    assert_eq!(
        silent.get("sessions"),
        None,
        "what is not known is not shown: {silent}"
    );
    stage.cluster[1].signal("CONT");
    let after = eventually("it answers", || {
        other().filter(|node| node["silent"] == json!(false))
    });
    assert_eq!(after["node"], before["node"]);
}

#[test]
fn a_node_and_its_rooms_go_on_alone_in_the_same_moment() {
    let Some(stage) = Stage::set(2, &[("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "1000")]) else {
        return;
    };
    let other_live = stage.cluster[0].live(&stage.user("another"));
    let (alice, mut first) = stage.joined(0, "alice");
    let mut second = stage.cluster.joined(0, &alice, other_live);
    let epoch = first.ask(
        "comment",
        json!({"live_id": stage.live, "data": "together"}),
    )["epoch"]
        .clone();
    second.ask(
        "comment",
        json!({"live_id": other_live, "data": "together"}),
    );

    stage.cluster.redis.freeze();
    first.send("comment", json!({"live_id": stage.live, "data": "alone"}));
    second.send("comment", json!({"live_id": other_live, "data": "alone"}));
    for ws in [&mut first, &mut second] {
        let heard = ws.event_where("comment", |event| event["content"] == json!("alone"));
        assert_ne!(heard["epoch"], epoch);
        assert!(
            stage.cluster.is_alone(0),
            "the node says so when its rooms do"
        );
    }
    let logged = stage.cluster[0].logged("alone");
    assert_eq!(logged.len(), 3, "{logged:?}");
    assert!(
        logged[0].contains("redis is away, this node goes on alone"),
        "{logged:?}"
    );
    assert!(
        logged[1..]
            .iter()
            .all(|line| line.contains("room goes on alone")),
        "{logged:?}"
    );
}

#[test]
fn the_log_names_once_why_redis_is_away() {
    let Ok(postgres) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let locked = match Redis::with(Keeps::Saved, &[], Some("right")) {
        Ok(redis) => redis,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let frozen = Redis::start(Keeps::Saved).expect("there was one before");
    frozen.freeze();
    let database = postgres.create_database();
    let mut servers = Vec::new();
    for (login, port, cause) in [
        ("", locked.port(), "NOAUTH"),
        (":hunter2@", locked.port(), "WRONGPASS"),
        ("hunter3:hunter2@", locked.port(), "WRONGPASS"),
        (":hunter2@", free_port(), "Connection refused"),
        (":hunter2@", frozen.port(), "no answer in time"),
    ] {
        let url = format!("redis://{login}127.0.0.1:{port}");
        let server = TestServer::start(&[
            ("LIVEROOM__STORE__URL", &database),
            ("LIVEROOM__CLUSTER__REDIS_URL", &url),
            ("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500"),
        ]);
        eventually("the cause is in the log", || {
            let lines = server.logged("redis is");
            lines.iter().any(|line| line.contains(cause)).then_some(())
        });
        assert_eq!(server.get("/readyz").json()["alone"], json!(true));
        servers.push((server, port, cause));
    }
    let refusals = || {
        let stats = locked
            .command(&["INFO", "errorstats"])
            .expect("what it counts");
        let count = stats
            .lines()
            .find_map(|line| line.strip_prefix("errorstat_WRONGPASS:count="));
        count
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    };
    let before: u32 = refusals();
    eventually("nodes have tried to connect again and again", || {
        (refusals() >= before + 20).then_some(())
    });
    for (server, port, cause) in servers {
        let lines = server.logged("redis is");
        assert!(
            lines[0].contains("redis is away, this node goes on alone"),
            "{lines:?}"
        );
        // A slow Redis may have said nothing at first.
        let named: Vec<_> = lines.iter().filter(|line| line.contains(cause)).collect();
        assert_eq!(named.len(), 1, "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.contains(&format!("127.0.0.1:{port}"))),
            "{lines:?}"
        );
        assert!(
            server.logged("hunter").is_empty(),
            "{:?}",
            server.logged("hunter")
        );
    }
}

#[test]
fn the_log_warns_once_of_settings_of_redis_that_lose_data() {
    let Ok(postgres) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let options = ["--maxmemory-policy", "allkeys-lru"];
    let mut redis = match Redis::with(Keeps::Saved, &options, None) {
        Ok(redis) => redis,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let (database, url) = (postgres.create_database(), redis.url());
    let env = [
        ("LIVEROOM__STORE__URL", database.as_str()),
        ("LIVEROOM__CLUSTER__REDIS_URL", &url),
    ];
    let server =
        TestServer::start(&[&env[..], &[("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500")]].concat());
    let is_alone = |alone: bool| (server.get("/readyz").json()["alone"] == json!(true)) == alone;
    for words in ["maxmemory-policy=allkeys-lru", "appendonly=no"] {
        eventually("a warning", || server.logged(words).pop());
    }
    // Connected anew it says nothing again, until it has been mended: then a fault is a new one.
    redis.kill();
    eventually("the node is alone", || is_alone(true).then_some(()));
    redis.restart();
    eventually("the node is with Redis", || is_alone(false).then_some(()));
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let reconnect = || redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    reconnect();
    assert_eq!(server.logged("maxmemory-policy").len(), 1);
    eventually("a warning after a mended fault", || {
        redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
        reconnect();
        server.logged("maxmemory-policy=volatile-ttl").pop()
    });
    assert_eq!(
        server.logged("appendonly=no").len(),
        1,
        "that one was never mended"
    );
}

#[test]
fn nodes_with_different_secrets_warn_of_each_other_and_nodes_with_one_secret_do_not() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let urls = [
        ("LIVEROOM__STORE__URL", stage.cluster.database_url()),
        ("LIVEROOM__CLUSTER__REDIS_URL", &stage.cluster.redis.url()),
    ];
    let secret = "another-secret-another-secret-another-00";
    let odd = TestServer::start(&[&urls[..], &[("LIVEROOM__AUTH__JWT_SECRET", secret)]].concat());
    let words = "another node signs with an auth.jwt_secret that this one does not have";
    for (node, others) in [(&stage.cluster[0], 1), (&stage.cluster[1], 1), (&odd, 2)] {
        eventually("a node warns", || {
            (node.logged(words).len() == others).then_some(())
        });
    }
    let port = format!(":{}", odd.port());
    for node in 0..2 {
        let logged = stage.cluster[node].logged(words);
        assert!(
            logged[0].contains(&port),
            "it names the node that is different: {logged:?}"
        );
    }
    for node in [&stage.cluster[0], &odd] {
        assert!(
            node.logged(secret).is_empty() && node.logged(JWT_SECRET).is_empty(),
            "secrets are not logged"
        );
    }
}

#[test]
fn operators_see_that_a_node_is_alone() {
    let Some(mut stage) = Stage::set(2, &[("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500")]) else {
        return;
    };
    stage.cluster.redis.kill();
    stage.cluster.wait_until_alone(0);
    let nodes = list(&stage.cluster[0], "/admin/nodes");
    let own = nodes
        .iter()
        .find(|node| node["self"] == json!(true))
        .expect("itself at least");
    assert_eq!(own["alone"], json!(true), "{nodes:?}");
    stage.cluster.redis.restart();
    stage.cluster.wait_until_together();
    eventually("both are there again, with each other", || {
        let nodes = list(&stage.cluster[0], "/admin/nodes");
        (nodes.len() == 2 && nodes.iter().all(|node| node["alone"] == json!(false))).then_some(())
    });
}

#[test]
fn a_polling_session_is_known_to_its_own_node_only() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    for eio in [3, 4] {
        let opened = stage.cluster[0].get(&format!("/socket.io/?EIO={eio}&transport=polling"));
        assert_eq!(opened.status, 200, "{}", opened.text());
        let text = opened.text();
        let (_, rest) = text.split_once("\"sid\":\"").expect("an open packet");
        let (sid, _) = rest.split_once('"').expect("a whole sid");
        let path = format!("/socket.io/?EIO={eio}&transport=polling&sid={sid}");
        let refused = stage.cluster[1].get(&path);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(
            refused.json(),
            json!({"code": 1, "message": "Session ID unknown"})
        );
        let sent =
            crate::support::http::request_bytes(stage.cluster[1].port(), "POST", &path, &[], b"40");
        assert_eq!((sent.status, &sent.json()["code"]), (400, &json!(1)));
        if eio == 3 {
            assert_eq!(
                stage.cluster[0].get(&path).status,
                200,
                "its own node goes on"
            );
        }
    }
}

#[test]
fn a_token_that_is_revoked_on_one_node_is_refused_by_all_at_once() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (one, other) = (&stage.cluster[0], &stage.cluster[1]);
    let made = json!({"name": "script", "scopes": ["look"]});
    let made = one.admin_post("/admin/tokens", &made).ok();
    let bearer = format!("Bearer {}", made["token"].as_str().expect("a token"));
    let ask = |node: &TestServer| {
        let headers = [("authorization", bearer.as_str())];
        http::request(node.port(), "GET", "/admin/rooms", &headers, None).status
    };
    assert_eq!([ask(one), ask(other)], [200, 200]);
    other
        .admin_delete(&format!("/admin/tokens/{}", made["id"]))
        .ok();
    assert_eq!([ask(one), ask(other)], [401, 401]);
}
