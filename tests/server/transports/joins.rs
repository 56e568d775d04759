//! Many that join at once by polling, and what each of them hears of itself and of the others.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::client::{Eio, Poller};
use crate::support::{PATIENCE, TestServer, User};

const MEMBERS: usize = 30;
const ROUNDS: usize = 4;

/// One client that has not upgraded yet, and who is online as far as it heard.
struct Member {
    poller: Poller,
    user: User,
    live_id: i64,
    /// `None` before the first list after its join.
    online: Option<BTreeSet<i64>>,
    /// Whether it heard of its own join: an `online` that names it, or one that stands for several.
    heard_itself: bool,
}

impl Member {
    fn connect(server: &TestServer, user: User, live_id: i64) -> Self {
        Self {
            poller: Poller::connect(server, Eio::V4),
            user,
            live_id,
            online: None,
            heard_itself: false,
        }
    }

    fn send(&self, event: &str) {
        let command = json!([event, {"live_id": self.live_id, "token": self.user.token}]);
        assert_eq!(self.poller.post(&[&format!("420{command}")]).text(), "ok");
    }

    /// Polls until `done`, and takes in what comes.
    fn poll_until(&mut self, what: &str, mut done: impl FnMut(&Self, &str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "{} waited too long for {what}: {:?}",
                self.user.name,
                self.online
            );
            let mut is_done = false;
            for packet in self.poller.poll() {
                if packet == "2" {
                    assert_eq!(self.poller.post(&["3"]).text(), "ok");
                }
                if let Some(event) = packet
                    .strip_prefix("42")
                    .filter(|event| event.starts_with(r#"["online""#))
                {
                    let event: Value = serde_json::from_str(event).expect("an event is JSON");
                    self.take_in(&event[1]);
                }
                is_done |= done(self, &packet);
            }
            if is_done {
                return;
            }
        }
    }

    /// Holds an `online` to what it says of itself: without `joined` it stands for one change.
    fn take_in(&mut self, online: &Value) {
        let own = self.user.id;
        let named = online["user"]["id"].as_i64().expect("an id");
        let is_join = online["action"] == json!("join");
        let before = self.online.take();
        let after: BTreeSet<i64> = match (online["data"].as_array(), before.clone()) {
            (Some(users), _) => users
                .iter()
                .filter_map(|user| user["id"].as_i64())
                .collect(),
            (None, Some(mut known)) => {
                assert!(known.remove(&named), "{online}");
                known
            }
            (None, None) => return,
        };
        if let Some(before) = &before {
            let (came, went) = (
                after.difference(before).count(),
                before.difference(&after).count(),
            );
            let said = match (online["joined"].as_u64(), online["left"].as_u64()) {
                (Some(joined), Some(left)) => (joined as usize, left as usize),
                _ => (usize::from(is_join), usize::from(!is_join)),
            };
            // A user that left and came back since the last announcement counts in both.
            let returned = said.0.checked_sub(came);
            let agrees = returned.is_some() && returned == said.1.checked_sub(went);
            assert!(
                agrees,
                "{} knew {before:?} and heard {online}",
                self.user.name
            );
        }
        let is_new = before.is_none_or(|before| !before.contains(&own)) && after.contains(&own);
        self.heard_itself |=
            is_new && is_join && (named == own || online["joined"].as_u64() > Some(0));
        assert_eq!(online["count"], json!(after.len()));
        self.online = Some(after);
    }
}

/// All that is announced waits for each of them before the first one polls.
#[test]
fn clients_that_poll_hear_their_own_join_and_every_other_when_many_join_at_once() {
    let server = TestServer::start(&[]);
    let users: Vec<User> = (0..MEMBERS)
        .map(|n| server.user(&format!("viewer{n}")))
        .collect();
    let live_id = server.live(&users[0]);
    let ids: BTreeSet<i64> = users.iter().map(|user| user.id).collect();
    let mut members: Vec<Member> = users
        .into_iter()
        .map(|user| Member::connect(&server, user, live_id))
        .collect();
    for round in 0..ROUNDS {
        members.iter().for_each(|member| member.send("joinLive"));
        for member in &mut members {
            member.poll_until("everybody", |member, _| {
                member.online.as_ref() == Some(&ids)
            });
            assert!(
                member.heard_itself,
                "{} never heard itself in round {round}",
                member.user.name
            );
        }
        members.iter().for_each(|member| member.send("leaveLive"));
        for member in &mut members {
            member.poll_until("its good-bye", |_, packet| {
                packet.starts_with(r#"430[{"ok":true,"live_id":"#)
            });
            (member.online, member.heard_itself) = (None, false);
        }
    }
}
