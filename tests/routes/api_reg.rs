//! POST /api/reg

use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn new_user_is_shown_without_a_hash() {
    let api = TestApi::start().await;
    let body = json!({"username": "小花小花花", "password": "secret", "repassword": "secret"});
    let reply = api.post("/api/reg", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"msg":"ok","data":{"id":1,"username":"小花小花花","nickname":null,"avatar":null,"coin":0,"status":1,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z"}}"#
    );
}

#[actix_web::test]
async fn taken_username_is_refused() {
    let api = TestApi::start().await;
    api.user("alice").await;
    let body = json!({"username": "alice", "password": "secret", "repassword": "secret"});
    api.post("/api/reg", body).await.assert_fail(400, "该用户名已存在");
}

#[actix_web::test]
async fn first_fault_is_told() {
    let api = TestApi::start().await;
    let long = "x".repeat(129);
    let cases = [
        (json!({}), "用户名不能为空"),
        (json!({"username": "", "password": "a", "repassword": "a"}), "用户名不能为空"),
        (json!({"username": 12345, "password": "a", "repassword": "a"}), "用户名 格式不正确"),
        (json!({"username": "alice\u{0}", "password": "a", "repassword": "a"}), "用户名 格式不正确"),
        (json!({"username": "abcd", "password": "a", "repassword": "a"}), "用户名 的长度 必须 在 5 和 20 之间"),
        (json!({"username": "a".repeat(21), "password": "a", "repassword": "a"}), "用户名 的长度 必须 在 5 和 20 之间"),
        (json!({"username": "alice"}), "密码不能为空"),
        (json!({"username": "alice", "password": null}), "密码不能为空"),
        (json!({"username": "alice", "password": long, "repassword": long}), "密码 不能 超过 128 字节"),
        (json!({"username": "alice", "password": "a"}), "密码和确认密码不一致"),
        (json!({"username": "alice", "password": "a", "repassword": "b"}), "密码和确认密码不一致"),
        (json!({"username": "alice", "password": "a", "repassword": ["a"]}), "密码和确认密码不一致"),
    ];
    for (body, text) in cases {
        api.post("/api/reg", body).await.assert_fail(422, text);
    }
}

#[actix_web::test]
async fn length_counts_code_points() {
    let api = TestApi::start().await;
    for username in ["五个汉字名", "二十个汉字二十个汉字二十个汉字二十个汉字"] {
        let body = json!({"username": username, "password": "a", "repassword": "a"});
        assert_eq!(api.post("/api/reg", body).await.status, 200, "{username}");
    }
}
