//! Each act of moderators has its effect on a user at the same node and at another: over
//! Socket.IO as old and new clients speak it, and over plain WebSocket.

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::socketio::SocketIo;
use crate::support::{User, Ws, eventually};

/// What a client speaks.
#[derive(Debug, Clone, Copy)]
enum Door {
    Plain,
    /// socket.io-client 2.
    SocketIo2,
    /// socket.io-client 3 and 4.
    SocketIo4,
}

const DOORS: [Door; 3] = [Door::Plain, Door::SocketIo2, Door::SocketIo4];

/// The node at which the user and the bystander are; the streamer is at the first.
const PLACES: [usize; 2] = [0, 1];

enum Client {
    Plain(Box<Ws>),
    SocketIo(Box<SocketIo>),
}

impl Client {
    fn connect(door: Door, stage: &Stage, node: usize, user: &User) -> Self {
        let server = &stage.cluster[node];
        match door {
            Door::Plain => Self::Plain(Box::new(Ws::connect(server, user))),
            Door::SocketIo2 => Self::SocketIo(Box::new(SocketIo::connect(server, user, 3))),
            Door::SocketIo4 => Self::SocketIo(Box::new(SocketIo::connect(server, user, 4))),
        }
    }

    fn ask(&mut self, event: &str, data: Value) -> Value {
        match self {
            Self::Plain(ws) => ws.ask(event, data),
            Self::SocketIo(socket) => socket.ask(event, data),
        }
    }

    fn event(&mut self, name: &str) -> Value {
        match self {
            Self::Plain(ws) => ws.event(name),
            Self::SocketIo(socket) => socket.event(name),
        }
    }
}

/// The streamer at the first node, a user and a bystander at the same or the second.
struct Scene<'a> {
    stage: &'a Stage,
    door: Door,
    place: usize,
    streamer: Client,
    user: User,
    there: Client,
    bystander: Ws,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage, door: Door, place: usize) -> Self {
        let user = stage.user(&format!("user{door:?}{place}"));
        let mut there = Client::connect(door, stage, place, &user);
        let joined = there.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(joined["ok"], json!(true), "{joined}");
        let mut streamer = Client::connect(door, stage, 0, &stage.streamer);
        let joined = streamer.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(joined["role"], json!("streamer"), "{joined}");
        Self {
            stage,
            door,
            place,
            streamer,
            there,
            bystander: stage.joined(place, &format!("bystander{door:?}{place}")).1,
            user,
        }
    }

    fn about(&self, mut data: Value) -> Value {
        data["live_id"] = json!(self.stage.live);
        data
    }

    /// An act on the user, which succeeds.
    fn acts(&mut self, act: &str, mut data: Value) -> Value {
        data["user_id"] = json!(self.user.id);
        self.asks(act, data)
    }

    fn asks(&mut self, act: &str, data: Value) -> Value {
        let (data, door) = (self.about(data), self.door);
        let answer = self.streamer.ask(act, data);
        assert_eq!(answer["ok"], json!(true), "{door:?} {act}: {answer}");
        answer
    }

    /// The answer to a comment of the user.
    fn speaks(&mut self) -> Value {
        let data = self.about(json!({"data": "hello"}));
        self.there.ask("comment", data)
    }

    fn joins(&mut self) -> Value {
        let data = self.about(json!({}));
        self.there.ask("joinLive", data)
    }

    fn history_len(&self) -> usize {
        let path = format!("/api/live/{}/history", self.stage.live);
        let page = self.stage.cluster[self.place].get(&path).ok();
        page.as_array().expect("a page").len()
    }

    fn sanctions(&mut self) {
        self.acts("mute", json!({"seconds": 600, "reason": "spam"}));
        assert_eq!(self.there.event("muted")["reason"], json!("spam"));
        assert_eq!(self.speaks()["code"], json!("muted"));
        self.acts("unmute", json!({}));
        self.there.event("unmuted");
        assert_eq!(self.speaks()["status"], json!("delivered"));

        self.acts("shadow", json!({"seconds": 600}));
        eventually("the user speaks to itself", || {
            (self.speaks()["status"] == json!("sampled_out")).then_some(())
        });
        self.acts("unshadow", json!({}));
        eventually("the user speaks to all", || {
            (self.speaks()["status"] == json!("delivered")).then_some(())
        });

        self.acts("ban", json!({"seconds": 600, "purge": "none"}));
        let kicked = self.there.event("kicked");
        assert_eq!(kicked["code"], json!("banned"), "{kicked}");
        assert_eq!(self.joins()["code"], json!("banned"));
        assert_eq!(self.speaks()["code"], json!("banned"));
        self.acts("unban", json!({}));
        eventually("the user is let in", || {
            (self.joins()["ok"] == json!(true)).then_some(())
        });
    }

    fn removals(&mut self) {
        let ids: Vec<Value> = (0..3)
            .map(|_| self.speaks()["comment_id"].clone())
            .collect();
        let before = self.history_len();
        self.asks("deleteComment", json!({"comment_id": ids[0]}));
        for removed in [self.there.event("removed"), self.bystander.event("removed")] {
            assert_eq!(removed["id"], ids[0]);
        }
        assert_eq!(
            self.acts("deleteComments", json!({"count": 2}))["removed"],
            json!(2)
        );
        for removed in [self.there.event("removed"), self.bystander.event("removed")] {
            assert_eq!(removed["ids"], json!(ids[1..]));
        }
        assert_eq!(self.history_len(), before - 3);
        assert_eq!(self.acts("restore", json!({}))["restored"], json!(2));
        assert_eq!(self.history_len(), before - 1);
    }

    fn roles(&mut self) {
        for (moderator, role) in [(true, "moderator"), (false, "viewer")] {
            self.acts("setModerator", json!({"moderator": moderator}));
            let news = self.there.event("role");
            assert_eq!(
                (&news["user"], &news["role"]),
                (&json!(self.user.id), &json!(role))
            );
            assert_eq!(self.joins()["role"], json!(role));
        }
    }

    fn notice_and_kick(&mut self) {
        let text = format!("{:?} {}: be kind", self.door, self.place);
        self.asks("notice", json!({"text": text}));
        assert_eq!(self.there.event("notice")["text"], json!(text));
        assert_eq!(self.bystander.event("notice")["text"], json!(text));
        self.acts("kick", json!({}));
        assert_eq!(self.there.event("kicked")["code"], json!("kicked"));
        assert_eq!(self.speaks()["code"], json!("not_in_room"));
        assert_eq!(self.joins()["code"], json!("kicked"));
    }

    /// Once the user's session has received a change, the change holds for it.
    fn modes(&mut self) {
        let others = json!({"slow_s": 0, "followers_min": -1, "gifters_coins": 0, "frozen": false});
        for (change, code) in [
            (json!({"frozen": true}), "frozen"),
            (json!({"followers_min": 0}), "followers_only"),
            (json!({"gifters_coins": 1}), "gifters_only"),
        ] {
            self.asks("setModes", change);
            self.there.event("modes");
            assert_eq!(self.speaks()["code"], json!(code));
            self.asks("setModes", others.clone());
            self.there.event("modes");
            assert_eq!(self.speaks()["status"], json!("delivered"), "{code}");
        }
        self.asks("setModes", json!({"slow_s": 60}));
        self.there.event("modes");
        assert_eq!(self.speaks()["status"], json!("delivered"));
        assert_eq!(self.speaks()["code"], json!("slow_mode"));
        self.asks("setModes", others);
        self.there.event("modes");
    }

    /// One who follows the streamer is a follower in the room at once.
    fn follow(&mut self) {
        let server = &self.stage.cluster[self.place];
        let follows = || {
            let body = json!({"user_id": self.stage.streamer.id, "follow": true});
            server.post_as(&self.user, "/api/user/follow", &body).ok()
        };
        assert_eq!(follows()["follow"], json!(true));
        assert_eq!(follows()["follow"], json!(true), "it may be repeated");
        let followed = json!({"followers_min": 0});
        self.asks("setModes", followed);
        self.there.event("modes");
        assert_eq!(self.speaks()["status"], json!("delivered"));
        self.asks("setModes", json!({"followers_min": -1}));
        self.there.event("modes");
    }

    fn pin(&mut self) {
        let id = self.speaks()["comment_id"].clone();
        self.asks("pin", json!({"comment_id": id}));
        for pinned in [self.there.event("pinned"), self.bystander.event("pinned")] {
            assert_eq!(pinned["comment"]["id"], id);
        }
        assert_eq!(self.joins()["pinned"]["id"], id);
        self.asks("pin", json!({"comment_id": null}));
        for pinned in [self.there.event("pinned"), self.bystander.event("pinned")] {
            assert_eq!(pinned["comment"], json!(null));
        }
    }

    /// A user reports a comment of the bystander, which the streamer takes down.
    fn report(&mut self) {
        let said = self.about(json!({"data": "buy followers"}));
        let id = self.bystander.ask("comment", said)["comment_id"].clone();
        let report = self.about(json!({"comment_id": id, "reason": "spam"}));
        let answer = self.there.ask("report", report);
        assert_eq!(answer["ok"], json!(true), "{answer}");
        let reported = self.streamer.event("reported");
        let comments = reported["comments"].as_array().expect("comments");
        assert!(comments.iter().any(|it| it["id"] == id), "{reported}");
        self.asks("deleteComment", json!({"comment_id": id}));
        assert_eq!(self.there.event("removed")["id"], id);
    }

    /// The answer to a comment that is held for a term.
    fn is_held(&mut self) -> Value {
        let said = self.about(json!({"data": "a dubious offer"}));
        let answer = eventually("the term holds comments at the user's node", || {
            let answer = self.there.ask("comment", said.clone());
            (answer["status"] == json!("held")).then_some(answer)
        });
        let held = self.streamer.event("held");
        assert_eq!(held["comment"]["id"], answer["comment_id"], "{held}");
        answer["comment_id"].clone()
    }

    fn review(&mut self) {
        let terms = "dubious\thold\n";
        let server = &self.stage.cluster[0];
        server.admin_post_text("/admin/filter/import", terms).ok();
        let id = self.is_held();
        self.asks("review", json!({"comment_id": id, "approve": true}));
        // Behind those that were posted before the term was known there.
        while self.there.event("comment")["id"] != id {}
        while self.bystander.event("comment")["id"] != id {}
        let id = self.is_held();
        let deny = json!({"comment_id": id, "approve": false, "reason": "an advert"});
        self.asks("review", deny);
        let denied = self.there.event("comment_denied");
        assert_eq!(
            (&denied["comment_id"], &denied["reason"]),
            (&id, &json!("an advert"))
        );
    }
}

fn for_each_door(play: fn(&mut Scene<'_>)) {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    for (door, place) in DOORS
        .into_iter()
        .flat_map(|door| PLACES.map(|it| (door, it)))
    {
        let mut scene = Scene::set(&stage, door, place);
        play(&mut scene);
        let said = scene.about(json!({"data": "still here"}));
        let answer = scene.bystander.ask("comment", said);
        assert_eq!(
            answer["status"],
            json!("delivered"),
            "{door:?} {place}: {answer}"
        );
    }
}

#[test]
fn mutes_shadows_and_bans_hold_at_each_node_and_end_there_when_they_are_lifted() {
    for_each_door(|scene| scene.sanctions());
}

#[test]
fn comments_are_taken_down_and_shown_again_for_members_of_each_node() {
    for_each_door(|scene| scene.removals());
}

#[test]
fn a_moderator_is_named_and_dismissed_for_its_sessions_at_each_node() {
    for_each_door(|scene| scene.roles());
}

#[test]
fn a_notice_and_a_kick_reach_each_node() {
    for_each_door(|scene| scene.notice_and_kick());
}

#[test]
fn modes_hold_at_each_node_and_end_there() {
    for_each_door(|scene| scene.modes());
}

#[test]
fn who_follows_speaks_among_followers_at_each_node() {
    for_each_door(|scene| scene.follow());
}

#[test]
fn a_pin_is_shown_at_each_node_and_to_who_joins_there() {
    for_each_door(|scene| scene.pin());
}

#[test]
fn a_report_reaches_the_streamer_from_each_node() {
    for_each_door(|scene| scene.report());
}

#[test]
fn a_held_comment_is_approved_or_denied_for_members_of_each_node() {
    for_each_door(|scene| scene.review());
}
