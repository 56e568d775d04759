//! The node, or its database, is killed around acts on a user: what was answered holds when both are
//! back, and what was refused has one effect when it is asked for again.

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::{TestServer, User, Ws, eventually};

/// A live with a streamer, and a user who is in its room and has said something.
struct Room {
    live: i64,
    streamer: User,
    user: User,
    comment: String,
}

impl Room {
    fn begin(server: &TestServer) -> Self {
        let streamer = server.user("streamer");
        let live = server.live(&streamer);
        let user = server.user("alice");
        let mut ws = Ws::connect(server, &user);
        ws.join(live);
        let said = ws.ask("comment", json!({"live_id": live, "data": "rude"}));
        let comment = said["comment_id"].as_str().expect("an id").to_owned();
        Self {
            live,
            streamer,
            user,
            comment,
        }
    }

    fn acts(&self, server: &TestServer, act: &str, mut data: Value) -> Value {
        data["live_id"] = json!(self.live);
        data["user_id"] = json!(self.user.id);
        data["request_id"] = json!(act);
        let mut answer = Ws::connect(server, &self.streamer).ask(act, data);
        answer.as_object_mut().expect("an object").remove("id");
        answer
    }

    fn mutes(&self, server: &TestServer) -> Value {
        self.acts(server, "mute", json!({"seconds": 600}))
    }

    /// With all that the user has said.
    fn bans(&self, server: &TestServer) -> Value {
        self.acts(server, "ban", json!({"seconds": -1, "purge": "live"}))
    }

    fn assert_muted(&self, server: &TestServer) {
        let mut ws = Ws::connect(server, &self.user);
        ws.join(self.live);
        let said = ws.ask("comment", json!({"live_id": self.live, "data": "hi"}));
        assert_eq!(said["code"], json!("muted"), "{said}");
    }

    fn assert_banned_and_purged(&self, server: &TestServer) {
        let joined = Ws::connect(server, &self.user).ask("joinLive", json!({"live_id": self.live}));
        assert_eq!(joined["code"], json!("banned"), "{joined}");
        let history = server.get(&format!("/api/live/{}/history", self.live));
        assert!(
            !history.text().contains(&self.comment),
            "{}",
            history.text()
        );
        let listed = server
            .get_as(
                &self.streamer,
                &format!("/api/live/{}/sanctions", self.live),
            )
            .ok();
        let kinds: Vec<&Value> = listed["sanctions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|sanction| &sanction["kind"])
            .collect();
        assert_eq!(
            kinds,
            [&json!("ban"), &json!("mute")],
            "each once: {listed}"
        );
    }
}

/// Kills the node the moment its answer was read, twice.
fn a_killed_node_keeps_what_it_answered(env: &[(&str, &str)]) {
    let mut server = TestServer::start(env);
    let room = Room::begin(&server);
    let muted = room.mutes(&server);
    server.kill();
    assert_eq!(muted["ok"], json!(true), "{muted}");
    server.restart();
    room.assert_muted(&server);
    assert_eq!(room.mutes(&server), muted, "one effect, the same answer");

    let banned = room.bans(&server);
    server.kill();
    assert_eq!(banned["ok"], json!(true), "{banned}");
    server.restart();
    room.assert_banned_and_purged(&server);
    assert_eq!(room.bans(&server), banned);
    room.assert_banned_and_purged(&server);
}

#[test]
fn an_act_that_was_answered_survives_the_kill_of_its_node() {
    a_killed_node_keeps_what_it_answered(&[]);
}

#[test]
fn on_postgresql_it_does_as_well() {
    match Postgres::shared() {
        Ok(postgres) => {
            let url = postgres.create_database();
            a_killed_node_keeps_what_it_answered(&[("LIVEROOM__STORE__URL", &url)]);
        }
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn acts_while_the_database_is_dead_are_answered_busy_and_have_one_effect_when_it_is_back() {
    let mut postgres = match Postgres::start() {
        Ok(postgres) => postgres,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let server = TestServer::start(&[("LIVEROOM__STORE__URL", &postgres.create_database())]);
    let room = Room::begin(&server);
    let mut member = Ws::connect(&server, &room.user);
    member.join(room.live);
    let mut streamer = Ws::connect(&server, &room.streamer);
    streamer.join(room.live);
    let muted = room.mutes(&server);
    // The moment the answer was read.
    postgres.kill();
    assert_eq!(muted["ok"], json!(true), "{muted}");
    member.event("muted");
    let ban = json!({
        "live_id": room.live, "user_id": room.user.id, "request_id": "ban", "seconds": -1, "purge": "live",
    });
    let refused = streamer.ask("ban", ban);
    assert_eq!(refused["code"], json!("busy"), "{refused}");
    // Nothing of it was done: the user is in, and still muted.
    let said = member.ask("comment", json!({"live_id": room.live, "data": "hi"}));
    assert_eq!(said["code"], json!("muted"), "{said}");

    postgres.restart();
    eventually("the node is ready again", || {
        (server.get("/readyz").status == 200).then_some(())
    });
    room.assert_muted(&server);
    assert_eq!(room.mutes(&server), muted, "one effect, the same answer");
    let banned = room.bans(&server);
    assert_eq!(banned["ok"], json!(true), "{banned}");
    assert_eq!(member.event("kicked")["code"], json!("banned"));
    assert_eq!(room.bans(&server), banned);
    room.assert_banned_and_purged(&server);
}
