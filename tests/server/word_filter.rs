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

#[test]
fn files_with_faults_are_refused_and_the_old_terms_stay_in_force_while_the_room_talks() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let mut talking = Ws::connect(&server, &streamer);
    talking.join(live);
    let imported = server.admin_post_text(IMPORT, "\u{feff}坏话\tblock\r\n# of ours\r\n");
    assert_eq!(imported.ok(), json!({"terms": 1}));
    let long_line = format!("好话\n{}\n", "a".repeat(2_000_000));
    let huge_line = "a".repeat(10 << 20);
    let memory_before = server.memory_kib();
    for (file, status, fault) in [
        ("女\tblock", 422, "line 1: a term has 2 to 64 characters"),
        (
            "好话\r\n好话\r\n",
            422,
            "line 2: the same term as in line 1",
        ),
        (
            "好话\nＦuck\nfuck",
            422,
            "line 3: the same term as in line 2",
        ),
        ("好话\tban", 422, "line 1: no action"),
        (&long_line, 422, "line 2: longer than 2048 bytes"),
        (&huge_line, 413, "请求内容过大"),
    ] {
        let answer = server.admin_post_text(IMPORT, file);
        assert_eq!(answer.status, status, "{}", answer.text());
        let said = answer.json()["data"].as_str().expect("a text").to_owned();
        assert!(said.starts_with(fault), "{said}");
        let mut say = |text: &str| talking.ask("comment", json!({"live_id": live, "data": text}));
        assert_eq!(say("坏话")["code"], json!("comment_filtered"), "{fault}");
        assert_eq!(say("好话 fuck")["status"], json!("delivered"), "{fault}");
    }
    let grown_kib = server.memory_kib().saturating_sub(memory_before);
    assert!(grown_kib < 64 << 10, "{grown_kib} KiB more");
}
