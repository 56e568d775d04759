//! Acts that nobody may do, on nobody, or that say what makes no sense: each has a clear refusal, the
//! state before stays, and a bystander goes on.

use serde_json::{Value, json};

use super::streamed_live::{StreamedLive, code};
use crate::support::{User, Ws};

/// A live with two moderators, a viewer with a mute and three comments, and a bystander.
struct Stage {
    live: StreamedLive,
    moderator: (User, Ws),
    other_moderator: User,
    viewer: User,
    bystander: Ws,
    before: Value,
}

impl Stage {
    fn set() -> Self {
        let live = StreamedLive::start(&[
            ("LIVEROOM__LIMITS__COMMAND_BURST", "10000"),
            ("LIVEROOM__LIMITS__COMMANDS_PER_S", "10000"),
        ]);
        let moderator = live.member("carol");
        let other_moderator = live.server.user("david");
        let (viewer, mut ws) = live.member("alice");
        for user in [&moderator.0, &other_moderator] {
            let named = live.act(
                "setModerator",
                json!({"user_id": user.id, "moderator": true}),
            );
            assert_eq!(named["ok"], json!(true), "{named}");
        }
        for text in ["one", "two", "three"] {
            assert_eq!(live.says(&mut ws, text)["ok"], json!(true));
        }
        let mute = json!({
            "user_id": viewer.id, "seconds": 600, "reason": "spam", "request_id": "mute",
        });
        assert_eq!(live.act("mute", mute)["ok"], json!(true));
        let bystander = live.member("bobby").1;
        let mut stage = Self {
            live,
            moderator,
            other_moderator,
            viewer,
            bystander,
            before: Value::Null,
        };
        stage.before = stage.state();
        stage
    }

    /// What acts may change: the sanctions, who is what, and the comments that are shown.
    fn state(&self) -> Value {
        let (server, id) = (&self.live.server, self.live.live);
        let sanctions = server
            .get_as(&self.live.streamer, &format!("/api/live/{id}/sanctions"))
            .ok();
        let moderators: Vec<Value> = [&self.moderator.0, &self.other_moderator, &self.viewer]
            .map(|user| {
                let path = format!("/admin/explain?user={}&live={id}", user.id);
                server.admin_get(&path).ok()["role"].clone()
            })
            .into();
        let history = server.get(&format!("/api/live/{id}/history")).ok();
        let of_viewer: Vec<&Value> = history
            .as_array()
            .expect("a page")
            .iter()
            .filter(|comment| comment["user"]["id"] == json!(self.viewer.id))
            .collect();
        json!({"sanctions": sanctions, "roles": moderators, "comments": of_viewer})
    }

    /// After some refusals: nothing is as it was not before, and the bystander is answered.
    fn assert_untouched(&mut self) {
        assert_eq!(self.state(), self.before);
        let said = self.live.says(&mut self.bystander, "calm");
        assert_eq!(said["status"], json!("delivered"), "{said}");
    }
}

/// Every act on a user, with what it says beside that.
fn acts() -> [(&'static str, Value); 10] {
    [
        ("mute", json!({"seconds": 60})),
        ("unmute", json!({})),
        ("ban", json!({"seconds": 60, "purge": "live"})),
        ("unban", json!({})),
        ("shadow", json!({"seconds": 60})),
        ("unshadow", json!({})),
        ("kick", json!({})),
        ("deleteComments", json!({"count": 3})),
        ("restore", json!({})),
        ("setModerator", json!({"moderator": true})),
    ]
}

fn on(user_id: impl Into<Value>, mut fields: Value) -> Value {
    fields["user_id"] = user_id.into();
    fields
}

#[test]
fn nobody_acts_on_itself_on_its_own_rank_or_on_a_higher_one() {
    let mut stage = Stage::set();
    let (streamer, viewer) = (stage.live.streamer.clone(), stage.viewer.clone());
    let (moderator, other) = (stage.moderator.0.clone(), stage.other_moderator.clone());
    let mut as_viewer = stage.live.joined(&viewer);
    for (act, fields) in acts() {
        let about = |user: &User| stage.live.about(on(user.id, fields.clone()));
        let by_streamer = stage.live.act(act, on(streamer.id, fields.clone()));
        assert_eq!(code(&by_streamer), "not_allowed", "{act} of itself");
        for target in [&moderator, &other, &streamer] {
            let answer = stage.moderator.1.ask(act, about(target));
            assert_eq!(code(&answer), "not_allowed", "{act} of {}", target.name);
        }
        for target in [&viewer, &moderator, &streamer] {
            let answer = as_viewer.ask(act, about(target));
            assert_eq!(code(&answer), "not_allowed", "{act} of {}", target.name);
        }
    }
    stage.assert_untouched();
}

#[test]
fn acts_on_nobody_are_refused() {
    let mut stage = Stage::set();
    for (act, fields) in acts() {
        let unknown = stage.live.act(act, on(999_999, fields.clone()));
        assert_eq!(code(&unknown), "user_not_found", "{act}: {unknown}");
        for user_id in [
            Value::Null,
            json!(0),
            json!(-1),
            json!(1.5),
            json!("7abc"),
            json!([7]),
            json!("99999999999999999999"),
        ] {
            let answer = stage.live.act(act, on(user_id.clone(), fields.clone()));
            assert_eq!(code(&answer), "bad_request", "{act} of {user_id}");
        }
    }
    stage.assert_untouched();
}

#[test]
fn fields_out_of_range_are_named_and_the_old_state_stays() {
    let mut stage = Stage::set();
    let nonsense = [
        Value::Null,
        json!(-2),
        json!(1_209_601),
        json!(i64::MAX),
        json!(1e300),
        json!(0.5),
        json!("60"),
        json!(true),
        json!([60]),
    ];
    let mut cases: Vec<(&str, &str, Value)> = Vec::new();
    for act in ["mute", "ban", "shadow"] {
        cases.extend(nonsense.iter().map(|value| (act, "seconds", value.clone())));
    }
    for count in [0, 501, -1].map(Value::from).into_iter().chain([
        Value::Null,
        json!(1.5),
        json!(u64::MAX),
        json!("many"),
    ]) {
        cases.push(("deleteComments", "count", count));
    }
    for value in [Value::Null, json!("yes"), json!(1)] {
        cases.push(("setModerator", "moderator", value));
    }
    for value in [json!("all"), json!(10), json!(false)] {
        cases.push(("ban", "purge", value));
    }
    for value in [json!("no"), json!(0)] {
        cases.push(("mute", "gifts", value));
    }
    for (act, _) in acts() {
        for value in [json!(""), json!("界".repeat(501)), json!("a\0"), json!(7)] {
            cases.push((act, "reason", value));
        }
        for value in [json!(""), json!("a b"), json!("x".repeat(65)), json!(7)] {
            cases.push((act, "request_id", value));
        }
    }
    let viewer = stage.viewer.id;
    for (act, field, value) in cases {
        let good = acts().into_iter().find(|(name, _)| *name == act);
        let mut data = on(viewer, good.expect("it is one of them").1);
        data[field] = value.clone();
        let answer = stage.live.act(act, data);
        assert_eq!(code(&answer), "bad_request", "{act} {field} {value}");
        let message = answer["message"].as_str().expect("a text");
        assert!(!message.is_empty(), "{act} {field} {value}: {answer}");
    }
    stage.assert_untouched();
}

#[test]
fn a_request_id_that_was_used_with_other_content_is_a_conflict() {
    let mut stage = Stage::set();
    let (viewer, other) = (stage.viewer.id, stage.live.server.user("emily").id);
    let mute = |user: i64, seconds: i64| json!({"user_id": user, "seconds": seconds, "reason": "spam", "request_id": "mute"});
    let mut without_gifts = mute(viewer, 600);
    without_gifts["gifts"] = json!(false);
    for data in [
        mute(other, 600),
        mute(viewer, 60),
        mute(viewer, -1),
        without_gifts,
    ] {
        let answer = stage.live.act("mute", data.clone());
        assert_eq!(code(&answer), "duplicate_conflict", "{data}");
    }
    stage.assert_untouched();
    // Each actor and each act has names of its own.
    let about = stage.live.about(mute(other, 600));
    let answer = stage.moderator.1.ask("mute", about);
    assert_eq!(answer["ok"], json!(true), "{answer}");
    let delete = |count: u32| json!({"user_id": viewer, "count": count, "request_id": "mute"});
    let deleted = stage.live.act("deleteComments", delete(1));
    assert_eq!(deleted["removed"], json!(1), "{deleted}");
    let conflict = stage.live.act("deleteComments", delete(2));
    assert_eq!(code(&conflict), "duplicate_conflict");
    let again = stage.live.act("deleteComments", delete(1));
    assert_eq!(again["removed"], json!(1), "one effect: {again}");
    let shown = stage.state()["comments"].as_array().map(Vec::len);
    assert_eq!(shown, Some(2));
}
