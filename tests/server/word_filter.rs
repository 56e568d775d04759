//! The word filter in rooms: what members see, and what senders are answered.

use serde_json::json;

use crate::support::{TestServer, Ws};

const IMPORT: &str = "/admin/filter/import";

#[test]
fn comments_meet_the_terms_of_the_moment_while_the_room_talks() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let (alice, bob) = (server.user("alice1"), server.user("bobby1"));
    let (mut talking, mut watching) = (Ws::connect(&server, &alice), Ws::connect(&server, &bob));
    talking.join(live);
    watching.join(live);
    let say = |talking: &mut Ws, text: &str| {
        talking.ask("comment", json!({"live_id": live, "data": text}))
    };
    assert_eq!(say(&mut talking, "坏话 1")["status"], json!("delivered"));

    server
        .admin_post_text(IMPORT, "坏话\tblock\n傻冒\tmask\tloose\n广告\tshadow")
        .ok();
    let refused = say(&mut talking, "坏\u{200b}話 2");
    assert_eq!(
        (&refused["code"], &refused["ok"]),
        (&json!("comment_filtered"), &json!(false)),
        "{refused}"
    );
    let masked = say(&mut talking, "你个傻@冒 3");
    assert_eq!(
        (&masked["status"], &masked["text"]),
        (&json!("delivered"), &json!("你个*** 3")),
        "{masked}"
    );
    let shadowed = say(&mut talking, "广告 4");
    assert_eq!(shadowed["status"], json!("sampled_out"), "{shadowed}");

    server.admin_post_text(IMPORT, "").ok();
    let plain = say(&mut talking, "坏话 5");
    assert_eq!(plain["status"], json!("delivered"), "{plain}");
    assert_eq!(plain.get("text"), None, "{plain}");

    let mut seen = Vec::new();
    while seen.last().is_none_or(|text| text != "坏话 5") {
        let event = watching.event("comment");
        let text = event["content"].as_str();
        seen.push(text.expect("a text").to_owned());
    }
    assert_eq!(seen, ["坏话 1", "你个*** 3", "坏话 5"]);
}
