//! One node is cut off from the database; the others are not.

use serde_json::json;

use super::evening::Evening;
use crate::nodes::redis::Keeps;
use crate::support::eventually;

#[test]
fn a_node_without_its_database_holds_nobody_up_and_acknowledges_when_it_is_back() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, true) else { return };
    evening.assert_together();
    let stage = &mut evening.stage;
    stage.cluster.ways(1).database.cut();
    eventually("the node says that it cannot serve", || (stage.cluster[1].get("/readyz").status == 503).then_some(()));
    let user = evening.speakers[1].user().clone();
    // A connection of its own: its answer is to come later.
    let mut ws = stage.cluster.ws(0, &user);
    ws.join(stage.live);
    evening.talk_at(&[0]);
    evening.listeners[1].listen_for(&evening.acked);

    evening.stage.cluster.ways(1).database.heal_after_loss();
    eventually("the node is ready again", || {
        (evening.stage.cluster.readiness(1)["status"] == json!("ready")).then_some(())
    });
    evening.end();
}
