//! /admin/filter: lists of terms in and out, and what they say about a text.

use serde_json::{Value, json};

use super::harness::TestApi;
use liveroom::domain::LiveStatus;

const IMPORT: &str = "/admin/filter/import";
const EXPORT: &str = "/admin/filter/export";
const TEST: &str = "/admin/filter/test";

async fn exported(api: &TestApi, query: &str) -> String {
    let reply = api.admin_get(&format!("{EXPORT}{query}")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    reply.body
}

async fn action(api: &TestApi, body: Value) -> Value {
    let reply = api.admin_post(TEST, body).await.json();
    reply["data"]["action"].clone()
}

#[actix_web::test]
async fn a_list_comes_out_as_it_went_in_and_is_in_force_at_once() {
    let api = TestApi::start().await;
    assert_eq!(exported(&api, "").await, "# text\taction\toptions\ttags\n");
    assert_eq!(action(&api, json!({"text": "傻@冒"})).await, Value::Null);
    let file = "\u{feff}# ours\r\n傻冒\tmask\tloose\tinsult\r\nFuck\tblock\r\n路口交通\tallow\r\n";
    api.admin_post_text(IMPORT, file)
        .await
        .assert_ok(json!({"terms": 3}));
    let lines = exported(&api, "").await;
    assert_eq!(
        lines,
        "# text\taction\toptions\ttags\n傻冒\tmask\tloose\tinsult\nFuck\tblock\n路口交通\tallow\n"
    );
    api.admin_post(TEST, json!({"text": "你个傻@冒"}))
        .await
        .assert_ok(json!({
            "normalised": "你个傻@冒",
            "action": "mask",
            "shown": "你个***",
            "hits": [{
                "start": 2, "end": 5, "found": "傻@冒", "term": "傻冒", "action": "mask",
                "list": "site", "tags": ["insult"], "allowed": false,
            }],
        }));
    assert_eq!(
        action(&api, json!({"text": "ＦＵＣＫ 傻冒"})).await,
        json!("block")
    );
    api.admin_post_text(IMPORT, lines)
        .await
        .assert_ok(json!({"terms": 3}));
    api.admin_post_text(IMPORT, "")
        .await
        .assert_ok(json!({"terms": 0}));
    assert_eq!(action(&api, json!({"text": "fuck"})).await, Value::Null);
}

#[actix_web::test]
async fn a_list_with_a_fault_changes_nothing_and_the_answer_says_where_it_is() {
    let api = TestApi::start().await;
    api.admin_post_text(IMPORT, "坏话\tblock").await.json();
    let before = exported(&api, "").await;
    let mut long = b"ok\n".to_vec();
    long.resize(3_000_000, b'a');
    let many: String = (0..=20_000).map(|nth| format!("term {nth}\n")).collect();
    for (file, fault) in [
        (
            "好\r\nfuck".as_bytes(),
            "line 1: a term has 2 to 64 characters when it is normalised, this one has 1",
        ),
        (b"ok\n\nOK\n", "line 3: the same term as in line 1"),
        (
            b"ok\tban",
            "line 1: no action: allow, observe, mask, shadow, hold or block",
        ),
        (b"a\xff", "line 1: not UTF-8"),
        (&long, "line 2: longer than 2048 bytes"),
        (
            many.as_bytes(),
            "line 20001: a list has at most 20000 terms",
        ),
    ] {
        api.admin_post_text(IMPORT, file)
            .await
            .assert_fail(422, fault);
    }
    api.admin_post_text(IMPORT, vec![b'a'; 10_000_000])
        .await
        .assert_fail(413, "请求内容过大");
    assert_eq!(exported(&api, "").await, before);
    assert_eq!(action(&api, json!({"text": "坏话"})).await, json!("block"));
}

#[actix_web::test]
async fn a_streamer_has_a_list_of_its_own_for_its_lives_alone() {
    let api = TestApi::start().await;
    let (alice, _) = api.user("alice").await;
    let (bobby, _) = api.user("bobby").await;
    let of_alice = api.live(alice, LiveStatus::OnAir).await.live.id.get();
    let of_bobby = api.live(bobby, LiveStatus::OnAir).await.live.id.get();
    api.admin_post_text(IMPORT, "坏话\tmask").await.json();
    api.admin_post_text(
        &format!("{IMPORT}?streamer={alice}"),
        "剧透\thold\n坏话\tallow",
    )
    .await
    .assert_ok(json!({"terms": 2}));
    let text = "坏话剧透";
    assert_eq!(
        action(&api, json!({"text": text, "live_id": of_alice})).await,
        json!("hold")
    );
    assert_eq!(
        action(&api, json!({"text": text, "live_id": of_bobby})).await,
        json!("mask")
    );
    assert_eq!(
        action(&api, json!({"text": "坏话", "live_id": of_alice})).await,
        json!("mask"),
        "a streamer cannot weaken the terms of the site"
    );
    assert_eq!(
        exported(&api, &format!("?streamer={alice}")).await,
        "# text\taction\toptions\ttags\n剧透\thold\n坏话\tallow\n"
    );
    let many: String = (0..=500).map(|nth| format!("term {nth}\n")).collect();
    api.admin_post_text(&format!("{IMPORT}?streamer={alice}"), many)
        .await
        .assert_fail(422, "line 501: a list has at most 500 terms");
}

#[actix_web::test]
async fn an_import_that_is_repeated_under_its_request_id_is_done_once() {
    let api = TestApi::start().await;
    let import = |lines: &'static str| {
        let api = &api;
        async move {
            let path = format!("{IMPORT}?request_id=i-1&reason=a%20test");
            api.admin_post_text(&path, lines).await
        }
    };
    import("坏话").await.assert_ok(json!({"terms": 1}));
    api.admin_post_text(IMPORT, "脏话").await.json();
    import("坏话").await.assert_ok(json!({"terms": 1}));
    assert_eq!(action(&api, json!({"text": "坏话"})).await, Value::Null);
    import("别的")
        .await
        .assert_fail(409, "request_id was used before with other content");
}

#[actix_web::test]
async fn terms_are_counted_by_comments_and_not_by_trying_a_text() {
    let api = TestApi::start().await;
    let (alice, _) = api.user("alice").await;
    api.admin_post_text(IMPORT, "spam\tobserve\n广告\tblock\n别的")
        .await
        .json();
    action(&api, json!({"text": "spam"})).await;
    let filter = api.state.word_filters.of_streamer(alice).await.unwrap();
    for text in ["广告 spam 广告", "spam", "nothing"] {
        filter.current().check(text).count();
    }
    api.admin_get("/admin/filter/hits").await.assert_ok(json!([
        {"term": "spam", "action": "observe", "hits": 2},
        {"term": "广告", "action": "block", "hits": 1},
    ]));
    api.admin_post_text(IMPORT, "spam\thold").await.json();
    let of_site = api.admin_get("/admin/filter/hits").await;
    of_site.assert_ok(json!([{"term": "spam", "action": "hold", "hits": 2}]));
    let path = format!("/admin/filter/hits?streamer={alice}");
    api.admin_get(&path).await.assert_ok(json!([]));
}

#[actix_web::test]
async fn requests_that_make_no_sense_are_refused() {
    let api = TestApi::start().await;
    for (path, status, text) in [
        ("?streamer=x", 400, "streamer must be the id of a user"),
        ("?streamer=77", 404, "user not found"),
        ("?sreamer=1", 400, "malformed query"),
        (
            "?request_id=a%20b",
            422,
            "request_id must be 1 to 64 of [A-Za-z0-9_-]",
        ),
        (
            "?reason=",
            422,
            "reason must be 1 to 500 characters, none of them U+0000",
        ),
    ] {
        api.admin_post_text(&format!("{IMPORT}{path}"), "坏话")
            .await
            .assert_fail(status, text);
    }
    for text in ["", "a\0", &"界".repeat(1_001)] {
        api.admin_post(TEST, json!({"text": text}))
            .await
            .assert_fail(
                422,
                "text must be 1 to 1000 characters, none of them U+0000",
            );
    }
    api.admin_post(TEST, json!({"text": "a", "live_id": 7}))
        .await
        .assert_fail(404, "live not found");
    assert_eq!(api.get(EXPORT).await.status, 401);
}
