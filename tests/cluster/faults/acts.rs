//! A node dies, or loses its way to Redis or PostgreSQL, in the middle of an act: what was answered
//! holds on every node, and what was not has one effect when it is asked for again.

use serde_json::{Value, json};

use super::evening::REDIS_TIMEOUT;
use crate::support::cluster::{Cluster, Plan, Stage};
use crate::support::member::Member;
use crate::support::redis::Keeps;
use crate::support::{User, eventually};

/// The node by way of which acts are asked for, and to which the fault happens.
const ACTING: usize = 1;
const OTHER: usize = 0;

/// The acts, and what each asks for beside the user.
fn acts() -> [(&'static str, Value); 4] {
    [
        ("mute", json!({"seconds": 600, "reason": "flood"})),
        ("ban", json!({"seconds": 600, "purge": "live"})),
        ("deleteComments", json!({"count": 2})),
        ("setModerator", json!({"moderator": true})),
    ]
}

/// One act on a user of its own, and a member of the other node that watches the room.
struct Scene {
    event: &'static str,
    command: Value,
    user: User,
    /// What the user had said, oldest first.
    said: Vec<String>,
    watcher: Member,
}

impl Scene {
    fn set(stage: &Stage, (event, fields): (&'static str, Value)) -> Self {
        let user = stage.user(&format!("user{event}"));
        let watcher = stage.member(OTHER, &format!("near{event}"));
        let mut ws = stage.cluster.joined(OTHER, &user, stage.live);
        let said = (0..3).map(|n| {
            let data = json!({"live_id": stage.live, "data": format!("number {n}")});
            let answer = ws.ask("comment", data);
            answer["comment_id"].as_str().expect("an id").to_owned()
        });
        let mut command = fields;
        command["live_id"] = json!(stage.live);
        command["user_id"] = json!(user.id);
        command["request_id"] = json!(event);
        Self {
            event,
            command,
            user,
            said: said.collect(),
            watcher,
        }
    }

    /// Sends the act to a node and waits for its answer.
    fn ask(&self, stage: &Stage, node: usize) -> Value {
        let mut ws = stage.cluster.ws(node, &stage.streamer);
        without_id(ws.ask(self.event, self.command.clone()))
    }

    /// Asks until the node has its database again.
    fn ask_again(&self, stage: &Stage, node: usize) -> Value {
        eventually("the act is answered", || {
            let answer = self.ask(stage, node);
            (answer["code"] != json!("busy")).then_some(answer)
        })
    }

    /// Waits until the act holds for a session of the user that comes in by this node.
    fn wait_until_it_holds(&self, stage: &Stage, node: usize) {
        let what = format!("{} holds at node {node}", self.event);
        eventually(&what, || {
            let mut ws = stage.cluster.ws(node, &self.user);
            let joined = ws.ask("joinLive", json!({"live_id": stage.live}));
            let holds = match self.event {
                "ban" => joined["code"] == json!("banned"),
                "setModerator" => joined["role"] == json!("moderator"),
                "mute" => {
                    let said = ws.ask("comment", json!({"live_id": stage.live, "data": "hi"}));
                    said["code"] == json!("muted")
                }
                _ => {
                    let path = format!("/api/live/{}/history?limit=100", stage.live);
                    let page = stage.cluster[node].get(&path).text();
                    self.said[1..].iter().all(|id| !page.contains(id))
                }
            };
            holds.then_some(())
        });
    }

    /// The removal that the watcher is to receive.
    fn removal(&self) -> Option<String> {
        match self.event {
            "ban" => Some(format!("removed {}", self.said[0])),
            "deleteComments" => Some(format!("removed {}", self.said[1])),
            _ => None,
        }
    }

    /// Asked for again at each node, it is answered as before, and its effect is one: one row of the
    /// audit, one sanction, one removal.
    fn assert_one_effect(&mut self, stage: &Stage) {
        let [here, there] = [ACTING, OTHER].map(|node| self.ask_again(stage, node));
        assert_eq!(here["ok"], json!(true), "{}: {here}", self.event);
        assert_eq!(here, there, "{}", self.event);
        for node in [ACTING, OTHER] {
            self.wait_until_it_holds(stage, node);
        }
        stage.cluster.wait_until_no_action_is_pending();
        let (id, request_id) = (self.user.id, &self.command["request_id"]);
        let request_id = request_id.as_str().expect("a text");
        let count = |rows: &str| {
            let query = format!("COPY (SELECT count(*) FROM {rows}) TO STDOUT");
            stage.cluster.query(&query).trim().to_owned()
        };
        let audit = format!("audit WHERE request_id = '{request_id}' AND result = 'ok'");
        assert_eq!(count(&audit), "1", "{}", self.event);
        let sanctions = count(&format!("sanctions WHERE user_id = {id}"));
        let is_sanction = matches!(self.event, "mute" | "ban");
        let expected = if is_sanction { "1" } else { "0" };
        assert_eq!(sanctions, expected, "{}", self.event);

        // Whatever was to come before this has come.
        let end = self.watcher.comment("the end", "end");
        self.watcher.listen_for(&[end].into());
        if let Some(removal) = self.removal() {
            let events = self.watcher.heard.events();
            let count = events.iter().filter(|event| event.id == removal).count();
            assert_eq!(count, 1, "{}: {events:#?}", self.event);
        }
    }
}

fn without_id(mut answer: Value) -> Value {
    answer.as_object_mut().expect("an object").remove("id");
    answer
}

/// Two nodes whose ways to Redis and PostgreSQL can be cut.
fn stage_with_ways(redis_timeout: (&str, &str)) -> Option<Stage> {
    let plan = Plan {
        nodes: 2,
        env: &[redis_timeout],
        keeps: Keeps::Everything,
        can_be_cut: true,
    };
    Cluster::plan(&plan).map(Stage::over)
}

#[test]
fn an_act_whose_node_is_killed_after_its_answer_holds_everywhere_and_has_one_effect() {
    let Some(mut stage) = Stage::set(2, &[REDIS_TIMEOUT]) else {
        return;
    };
    for act in acts() {
        let mut scene = Scene::set(&stage, act);
        let answer = scene.ask(&stage, ACTING);
        // The moment the answer was read.
        stage.cluster.kill(ACTING);
        assert_eq!(answer["ok"], json!(true), "{answer}");
        scene.wait_until_it_holds(&stage, OTHER);
        stage.cluster.restart(ACTING);
        stage.cluster.wait_until_together();
        assert_eq!(scene.ask(&stage, OTHER), answer, "the same answer");
        scene.assert_one_effect(&stage);
    }
}

#[test]
fn an_act_whose_node_is_killed_before_its_answer_has_one_effect_when_it_is_repeated() {
    let Some(mut stage) = Stage::set(2, &[REDIS_TIMEOUT]) else {
        return;
    };
    for act in acts() {
        let mut scene = Scene::set(&stage, act);
        let mut ws = stage.cluster.ws(ACTING, &stage.streamer);
        ws.send(scene.event, scene.command.clone());
        // It may have been done, or not, or have just begun.
        stage.cluster.kill(ACTING);
        stage.cluster.restart(ACTING);
        stage.cluster.wait_until_together();
        scene.assert_one_effect(&stage);
    }
}

#[test]
fn an_act_whose_node_dies_between_its_commit_and_the_log_is_brought_there_by_the_other() {
    // So patient that the node does not go on alone before it dies.
    let Some(mut stage) = stage_with_ways(("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "20000")) else {
        return;
    };
    for act in acts() {
        let mut scene = Scene::set(&stage, act);
        // The room is open at the node that acts.
        let _there = stage.cluster.joined(ACTING, &scene.user, stage.live);
        stage.cluster.ways(ACTING).redis.cut();
        let mut ws = stage.cluster.ws(ACTING, &stage.streamer);
        ws.send(scene.event, scene.command.clone());
        let request_id = scene.command["request_id"].as_str().expect("a text");
        let stored = format!(
            "COPY (SELECT count(*) FROM audit WHERE request_id = '{request_id}') TO STDOUT"
        );
        eventually("the act is stored", || {
            (stage.cluster.query(&stored).trim() == "1").then_some(())
        });
        stage.cluster.kill(ACTING);
        scene.wait_until_it_holds(&stage, OTHER);
        if let Some(removal) = scene.removal() {
            scene.watcher.listen_for(&[removal].into());
        }
        stage.cluster.ways(ACTING).redis.heal_after_loss();
        stage.cluster.restart(ACTING);
        stage.cluster.wait_until_together();
        scene.assert_one_effect(&stage);
    }
}

#[test]
fn acts_on_both_sides_of_a_cut_to_redis_hold_on_both_and_have_one_effect() {
    let Some(stage) = stage_with_ways(REDIS_TIMEOUT) else {
        return;
    };
    let mut scenes: Vec<Scene> = acts()
        .into_iter()
        .map(|act| Scene::set(&stage, act))
        .collect();
    stage.cluster.ways(ACTING).redis.cut();
    // Two before the node knows that it is cut off, two when it goes on alone.
    for (n, scene) in scenes.iter().enumerate() {
        let node = if n % 2 == 0 { ACTING } else { OTHER };
        let answer = scene.ask(&stage, node);
        assert_eq!(answer["ok"], json!(true), "{answer}");
        if n == 1 {
            stage.cluster.wait_until_alone(ACTING);
        }
    }
    for scene in &scenes {
        for node in [ACTING, OTHER] {
            scene.wait_until_it_holds(&stage, node);
        }
    }
    stage.cluster.ways(ACTING).redis.heal_after_loss();
    stage.cluster.wait_until_together();
    for scene in &mut scenes {
        scene.assert_one_effect(&stage);
    }
}

/// More than the log of a room keeps for nodes that miss them.
const MANY_ACTS: usize = 140;

#[test]
fn a_kick_that_the_log_has_lost_by_the_end_of_a_cut_is_made_up_for() {
    let Some(stage) = stage_with_ways(REDIS_TIMEOUT) else {
        return;
    };
    let (kicked, mut session) = stage.joined(OTHER, "kicked");
    let (muted, mut bystander) = stage.joined(OTHER, "muted");
    let _room_is_open = stage.joined(ACTING, "there");
    stage.cluster.ways(OTHER).redis.cut();
    stage.cluster.wait_until_alone(OTHER);
    let act = |act: &str, data: &Value| {
        let path = format!("/admin/rooms/{}/{act}", stage.live);
        stage.cluster[ACTING].admin_post(&path, data).ok();
    };
    act("kick", &json!({"user_id": kicked.id}));
    for _ in 0..MANY_ACTS / 2 {
        act("mute", &json!({"user_id": muted.id, "seconds": 60}));
        act("unmute", &json!({"user_id": muted.id}));
    }
    stage.cluster.wait_until_no_action_is_pending();
    stage.cluster.ways(OTHER).redis.heal_after_loss();
    stage.cluster.wait_until_together();
    session.event_where("kicked", |event| event["code"] == json!("kicked"));
    let said = bystander.ask(
        "comment",
        json!({"live_id": stage.live, "data": "still here"}),
    );
    assert_eq!(said["ok"], json!(true), "{said}");
}

/// The way of the acting node to PostgreSQL breaks while acts are on it; `cut_answers`: they arrive,
/// and the answers do not.
fn acts_while_the_database_is_away(cut_answers: bool) {
    let Some(stage) = stage_with_ways(REDIS_TIMEOUT) else {
        return;
    };
    let mut scenes: Vec<Scene> = acts()
        .into_iter()
        .map(|act| Scene::set(&stage, act))
        .collect();
    let mut bystander = stage.joined(OTHER, "bystander").1;
    let database = &stage.cluster.ways(ACTING).database;
    let mut asked = Vec::new();
    for scene in &scenes {
        let mut ws = stage.cluster.ws(ACTING, &stage.streamer);
        ws.join(stage.live);
        asked.push((ws, scene));
    }
    if cut_answers {
        database.cut_answers();
    } else {
        database.cut();
    }
    let mut unanswered = Vec::new();
    for (mut ws, scene) in asked {
        let id = ws.send(scene.event, scene.command.clone());
        unanswered.push((ws, id));
    }
    eventually("the node says that it cannot serve", || {
        (stage.cluster[ACTING].get("/readyz").status == 503).then_some(())
    });
    let said = bystander.ask("comment", json!({"live_id": stage.live, "data": "calm"}));
    assert_eq!(said["ok"], json!(true), "the other node serves: {said}");
    database.heal_after_loss();
    for (mut ws, id) in unanswered {
        let answer = ws.answer(id);
        assert!(
            answer["ok"] == json!(true) || answer["code"] == json!("busy"),
            "{answer}"
        );
    }
    for scene in &mut scenes {
        scene.assert_one_effect(&stage);
    }
}

#[test]
fn acts_that_did_not_reach_the_database_are_answered_busy_and_have_one_effect_when_repeated() {
    acts_while_the_database_is_away(false);
}

#[test]
fn acts_whose_database_does_not_answer_have_one_effect_when_repeated() {
    acts_while_the_database_is_away(true);
}
