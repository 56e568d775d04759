//! Each act of moderators, sent to one node, has its effect on a user at the other: over
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

/// The streamer at the first node, a user and a bystander at the second.
struct Scene<'a> {
    stage: &'a Stage,
    door: Door,
    streamer: Client,
    user: User,
    there: Client,
    bystander: Ws,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage, door: Door) -> Self {
        let user = stage.user(&format!("user{door:?}"));
        let mut there = Client::connect(door, stage, 1, &user);
        let joined = there.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(joined["ok"], json!(true), "{joined}");
        Self {
            stage,
            door,
            streamer: Client::connect(door, stage, 0, &stage.streamer),
            there,
            bystander: stage.joined(1, &format!("bystander{door:?}")).1,
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
        let page = self.stage.cluster[1].get(&path).ok();
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
        let text = format!("{:?}: be kind", self.door);
        self.asks("notice", json!({"text": text}));
        assert_eq!(self.there.event("notice")["text"], json!(text));
        assert_eq!(self.bystander.event("notice")["text"], json!(text));
        self.acts("kick", json!({}));
        assert_eq!(self.there.event("kicked")["code"], json!("kicked"));
        assert_eq!(self.speaks()["code"], json!("not_in_room"));
        assert_eq!(self.joins()["code"], json!("kicked"));
    }
}

fn for_each_door(play: fn(&mut Scene<'_>)) {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    for door in DOORS {
        let mut scene = Scene::set(&stage, door);
        play(&mut scene);
        let said = scene.about(json!({"data": "still here"}));
        let answer = scene.bystander.ask("comment", said);
        assert_eq!(answer["status"], json!("delivered"), "{door:?}: {answer}");
    }
}

#[test]
fn mutes_shadows_and_bans_hold_at_the_other_node_and_end_there_when_they_are_lifted() {
    for_each_door(|scene| scene.sanctions());
}

#[test]
fn comments_are_taken_down_and_shown_again_for_members_of_the_other_node() {
    for_each_door(|scene| scene.removals());
}

#[test]
fn a_moderator_is_named_and_dismissed_for_its_sessions_at_the_other_node() {
    for_each_door(|scene| scene.roles());
}

#[test]
fn a_notice_and_a_kick_reach_the_other_node() {
    for_each_door(|scene| scene.notice_and_kick());
}
