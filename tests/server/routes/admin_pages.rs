//! The pages of one room and of one user, exports of a live, and traces: GET /admin/rooms/{id}/...,
//! /admin/users..., /admin/lives/{id}/export/..., /admin/trace

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::Write;
use serde_json::{Value, json};

use super::harness::{NOW, TestApi};

/// A live of alice's in which bobby has said "=1+1" and "bye", the second taken down, and given two
/// roses of 7 coins.
struct Evening {
    api: TestApi,
    live: i64,
    bobby: i64,
}

impl Evening {
    async fn pass() -> Self {
        let api = TestApi::start().await;
        let (alice, _) = api.user("alice").await;
        let (bobby, _) = api.user("bobby").await;
        let live = api.live(alice, LiveStatus::OnAir).await.live.id;
        let profile = Arc::new(Profile {
            id: bobby,
            name: "bobby".into(),
            avatar: None,
        });
        let comment = |id: i64, text: &str| {
            Write::Comment(Arc::new(Comment {
                id: CommentId::new(id).unwrap(),
                live_id: live,
                author: profile.clone(),
                text: CommentText::parse(text, 200).unwrap(),
                request_id: None,
                at: NOW,
            }))
        };
        api.admin_post(
            "/admin/users/2/coins",
            json!({"delta": 50, "request_id": "start"}),
        )
        .await;
        let rose = json!({"name": "rose", "image": "/g.png", "coin": 7});
        api.admin_post("/admin/gifts", rose).await;
        let rose = api.state.catalogue.get(GiftId::FIRST).unwrap();
        let gift = Write::Gift(Arc::new(GiftOrder {
            live_id: live,
            giver: profile.clone(),
            gift: rose,
            count: GiftCount::new(2).unwrap(),
            request_id: RequestId::parse("g1").unwrap(),
            at: NOW,
        }));
        let batch = vec![comment(1, "=1+1"), comment(2, "bye"), gift];
        api.state.store.commit_skip_locked(batch).await.unwrap();
        api.act(
            Scope::Live(live),
            Action::TakeDown(CommentId::new(2).unwrap()),
        )
        .await;
        Self {
            api,
            live: live.get(),
            bobby: bobby.get(),
        }
    }

    async fn data(&self, path: &str) -> Value {
        let reply = self.api.admin_get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["data"].take()
    }

    fn said(&self, id: &str, text: &str) -> Value {
        json!({
            "id": id, "live_id": self.live, "user_id": self.bobby, "name": "bobby", "text": text,
            "at_ms": NOW.0, "removed_at_ms": null, "removed_by": null,
        })
    }
}

#[actix_web::test]
async fn a_room_shows_what_was_said_and_given_in_it() {
    let evening = Evening::pass().await;
    let room = format!("/admin/rooms/{}", evening.live);
    let hello = evening.said("1", "=1+1");
    let mut bye = evening.said("2", "bye");
    bye["removed_at_ms"] = json!(NOW.0);
    bye["removed_by"] = json!({"kind": "operator", "id": 0, "name": null});
    assert_eq!(
        evening.data(&format!("{room}/comments?removed=1")).await,
        json!({"comments": [bye, hello], "next": null})
    );
    assert_eq!(
        evening.data(&format!("{room}/comments?limit=1")).await,
        json!({"comments": [hello], "next": "1"})
    );
    assert_eq!(
        evening.data(&format!("{room}/comments?cursor=1")).await,
        json!({"comments": [], "next": null})
    );
    assert_eq!(
        evening.data(&format!("{room}/givers")).await,
        json!({"givers": [{"user_id": evening.bobby, "name": "bobby", "coins": 14, "gifts": 1}]})
    );
    let entry = json!({
        "id": 4, "at_ms": NOW.0, "kind": "gift", "user_id": evening.bobby, "name": "bobby",
        "coins": 14, "balance": 14, "request_id": "g1", "gift_record_id": 1,
        "live_id": evening.live, "gift_id": 1, "gift": "rose", "count": 2, "price": 7,
    });
    assert_eq!(
        evening.data(&format!("{room}/ledger")).await,
        json!({"coins": 14, "gifts": 1, "entries": [entry], "next": null})
    );
    assert_eq!(
        evening.data(&format!("{room}/members")).await,
        json!({"members": [], "sessions_total": 0, "users_online": 0, "next": null, "silent": []})
    );
    assert_eq!(
        evening.data(&format!("{room}/sanctions")).await,
        json!({"sanctions": [], "next": null})
    );
}

#[actix_web::test]
async fn a_user_is_found_and_shown_with_its_books_comments_and_sanctions() {
    let evening = Evening::pass().await;
    let bobby = json!({
        "id": evening.bobby, "username": "bobby", "nickname": null, "avatar": null, "status": 1, "coin": 36,
        "created_at_ms": NOW.0, "updated_at_ms": NOW.0,
    });
    let user = format!("/admin/users/{}", evening.bobby);
    for found in ["BOB", &evening.bobby.to_string()] {
        assert_eq!(
            evening.data(&format!("/admin/users?search={found}")).await,
            json!({"users": [bobby], "next": null})
        );
    }
    let page = evening.data("/admin/users?limit=1").await;
    assert_eq!(page["users"][0]["username"], json!("alice"));
    let next = page["next"].as_str().expect("there is another");
    let page = evening
        .data(&format!("/admin/users?limit=1&cursor={next}"))
        .await;
    assert_eq!(page["users"], json!([bobby]));
    assert_eq!(evening.data(&user).await, bobby);

    let books = evening.data(&format!("{user}/ledger")).await;
    assert_eq!((&books["coin"], &books["next"]), (&json!(36), &Value::Null));
    let entries = books["entries"].as_array().expect("a list");
    let moved: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["kind"], &entry["coins"], &entry["balance"]))
        .collect();
    assert_eq!(
        moved,
        [
            (&json!("gift"), &json!(-14), &json!(36)),
            (&json!("grant"), &json!(50), &json!(50)),
        ]
    );
    assert_eq!(entries[1]["gift"], Value::Null);

    let said = evening.data(&format!("{user}/comments")).await;
    assert_eq!(said["comments"][1], evening.said("1", "=1+1"));
    assert_eq!(
        (&said["next"], &said["searched_to_ms"]),
        (&Value::Null, &Value::Null)
    );

    let mute = json!({"user_id": evening.bobby, "seconds": 60, "reason": "spam"});
    let path = format!("/admin/rooms/{}/mute", evening.live);
    evening.api.admin_post(&path, mute).await;
    let held = evening.data(&format!("{user}/sanctions")).await;
    let held = &held["sanctions"][0];
    assert_eq!(
        (
            &held["kind"],
            &held["scope"],
            &held["streamer_id"],
            &held["reason"]
        ),
        (
            &json!("mute"),
            &json!("streamer"),
            &json!(1),
            &json!("spam")
        )
    );
    assert_eq!(
        evening.data(&format!("{user}/sessions")).await,
        json!({"sessions": [], "silent": []})
    );
}

#[actix_web::test]
async fn a_live_is_exported_as_csv_and_as_lines_of_json() {
    let evening = Evening::pass().await;
    let export = format!("/admin/lives/{}/export", evening.live);
    let at = "2026-11-21T08:05:09.120Z";
    let reply = evening
        .api
        .admin_get(&format!("{export}/comments?format=csv"))
        .await;
    assert_eq!(
        reply.header("content-disposition"),
        Some("attachment; filename=\"live-1-comments.csv\"")
    );
    assert_eq!(
        reply.body,
        format!(
            "id,at_ms,at,user_id,name,text,removed_at_ms\r\n\
             1,{ms},{at},2,bobby,\"'=1+1\",\r\n\
             2,{ms},{at},2,bobby,bye,{ms}\r\n",
            ms = NOW.0
        )
    );
    let reply = evening
        .api
        .admin_get(&format!("{export}/gifts?format=jsonl"))
        .await;
    let line: Value = serde_json::from_str(reply.body.trim_end()).expect("one line");
    assert_eq!(
        line,
        json!({
            "id": 1, "at_ms": NOW.0, "at": at, "user_id": 2, "name": "bobby", "gift_id": 1,
            "gift": "rose", "count": 2, "price": 7, "coins": 14, "live_coins_after": 14,
            "request_id": "g1",
        })
    );
    let other = evening.api.live(UserId::FIRST, LiveStatus::OnAir).await;
    let empty = format!("/admin/lives/{}/export/gifts?format=csv", other.live.id);
    let reply = evening.api.admin_get(&empty).await;
    assert_eq!(reply.body.lines().count(), 1, "{}", reply.body);
}

#[actix_web::test]
async fn what_is_asked_wrongly_is_refused_by_name() {
    let evening = Evening::pass().await;
    let live = evening.live;
    for (query, text) in [
        ("limit=0", "limit must be 1 to 100"),
        ("limit=101", "limit must be 1 to 100"),
        ("limit=ten", "limit must be 1 to 100"),
        ("cursor=-1", "cursor must be the next of a page"),
        ("cursor=1%20OR%201", "cursor must be the next of a page"),
    ] {
        for page in ["comments", "members", "ledger", "givers"] {
            let path = format!("/admin/rooms/{live}/{page}?{query}");
            evening.api.admin_get(&path).await.assert_fail(400, text);
        }
        let path = format!("/admin/users?{query}");
        evening.api.admin_get(&path).await.assert_fail(400, text);
    }
    let long = format!("/admin/users?search={}", "x".repeat(65));
    evening
        .api
        .admin_get(&long)
        .await
        .assert_fail(400, "search is longer than 64 characters");
    for (path, text) in [
        ("/admin/rooms/99/comments", "live not found"),
        ("/admin/rooms/99/members", "live not found"),
        ("/admin/rooms/x/ledger", "live not found"),
        ("/admin/rooms/99/sanctions", "live not found"),
        ("/admin/users/99", "user not found"),
        ("/admin/users/0/ledger", "user not found"),
        ("/admin/users/99/sessions", "user not found"),
        ("/admin/lives/99/export/gifts?format=csv", "live not found"),
    ] {
        evening.api.admin_get(path).await.assert_fail(404, text);
    }
    for format in ["", "?format=xlsx", "?format="] {
        let path = format!("/admin/lives/{live}/export/comments{format}");
        let text = "format must be csv or jsonl";
        evening.api.admin_get(&path).await.assert_fail(400, text);
    }
}

#[actix_web::test]
async fn traces_are_begun_listed_read_and_ended() {
    let evening = Evening::pass().await;
    let api = &evening.api;
    for (body, status, text) in [
        (
            json!({"user_id": 2, "seconds": 0}),
            422,
            "seconds must be 1 to 900",
        ),
        (
            json!({"user_id": 2, "seconds": 901}),
            422,
            "seconds must be 1 to 900",
        ),
        (
            json!({"seconds": 5}),
            422,
            "either user_id or live_id must be given",
        ),
        (
            json!({"user_id": 2, "live_id": 1, "seconds": 5}),
            422,
            "either user_id or live_id must be given",
        ),
        (json!({"user_id": 99, "seconds": 5}), 404, "user not found"),
        (json!({"live_id": 99, "seconds": 5}), 404, "live not found"),
        (json!({"live_id": -1, "seconds": 5}), 404, "live not found"),
    ] {
        api.admin_post("/admin/trace", body)
            .await
            .assert_fail(status, text);
    }
    let running = |traces: &Value| {
        let traces = traces["traces"].as_array().expect("a list").clone();
        let now = api.state.clock.now().0;
        traces
            .into_iter()
            .filter(|trace| trace["ends_at_ms"].as_i64() > Some(now))
            .count()
    };
    assert_eq!(running(&evening.data("/admin/trace").await), 0);
    assert!(!api.state.cluster_control.traces.is_on());

    let reply = api
        .admin_post("/admin/trace", json!({"user_id": 2, "seconds": 900}))
        .await;
    let trace = reply.json()["data"].take();
    assert_eq!(
        (&trace["user_id"], &trace["live_id"], &trace["ends_at_ms"]),
        (&json!(2), &Value::Null, &json!(NOW.0 + 900_000))
    );
    for _ in 0..3 {
        let another = json!({"live_id": evening.live, "seconds": 60});
        assert_eq!(api.admin_post("/admin/trace", another).await.status, 200);
    }
    let one_more = json!({"live_id": evening.live, "seconds": 60});
    api.admin_post("/admin/trace", one_more)
        .await
        .assert_fail(409, "as many traces as may be are under way");
    assert_eq!(running(&evening.data("/admin/trace").await), 4);

    let path = format!("/admin/trace/{}", trace["id"].as_str().expect("an id"));
    let lines = evening.data(&format!("{path}/lines")).await;
    assert_eq!(
        (&lines["lines"], &lines["ended"], &lines["next"]),
        (&json!([]), &json!(false), &json!("one-0-0"))
    );
    let reply = api.admin_delete(&path).await;
    assert_eq!(reply.json()["data"]["ends_at_ms"], json!(NOW.0));
    assert_eq!(
        evening.data(&format!("{path}/lines?cursor=one-0-0")).await["ended"],
        json!(true)
    );
    assert_eq!(running(&evening.data("/admin/trace").await), 3);
    for unknown in ["/admin/trace/0123456789abcdef", "/admin/trace/x"] {
        api.admin_delete(unknown)
            .await
            .assert_fail(404, "trace not found");
    }
    api.admin_get(&format!("{path}/lines?cursor=nonsense"))
        .await
        .assert_fail(400, "cursor must be the next of a page");
}
