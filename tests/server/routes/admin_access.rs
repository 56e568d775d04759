//! Managers at the operators' URLs: who may ask for what, and for how long.

use std::sync::Arc;

use actix_web::test::TestRequest;
use liveroom::domain::{ManagerId, ManagerRole, Permissions};
use liveroom::http::{ApiState, ENDPOINTS, Endpoint, ManagerSessions, Requires, Verb};
use liveroom::managers::ManagerInvite;
use liveroom::storage::{ActAuthor, AddedManager};
use serde_json::{Value, json};

use super::harness::{ADMIN_TOKEN, NOW, Reply, TestApi, bearer};

const PASSWORD: &str = "a long enough password";
const NOT_LOGGED_IN: &str = "operator token missing or wrong";

/// A manager with [`PASSWORD`].
async fn manager(api: &TestApi, name: &str, role: ManagerRole, is_admin: bool) -> ManagerId {
    let (store, invite) = (&api.state.store, ManagerInvite::new(NOW));
    let added = store
        .add_manager(
            name.into(),
            role,
            is_admin,
            invite.link.clone(),
            NOW,
            ActAuthor::default(),
        )
        .await;
    let Ok(AddedManager::Added(manager)) = added else {
        panic!("{added:?}")
    };
    let hash = api.state.passwords.hash(PASSWORD.into()).await.unwrap();
    let set = store.redeem_manager_link(invite.link.digest, hash, NOW, None);
    set.await.unwrap().expect("the link is new");
    manager.id
}

/// What a browser has after a login.
#[derive(Clone)]
struct Browser {
    cookie: String,
    csrf: String,
}

fn from_page(request: TestRequest) -> TestRequest {
    request
        .insert_header(("origin", "http://localhost:7001"))
        .insert_header(("host", "localhost:7001"))
        .insert_header(("sec-fetch-site", "same-origin"))
}

async fn try_login(api: &TestApi, name: &str, password: &str) -> Reply {
    let body = json!({"name": name, "password": password});
    api.call(from_page(TestRequest::post().uri("/admin/login")).set_json(body))
        .await
}

async fn login(api: &TestApi, name: &str) -> Browser {
    let reply = try_login(api, name, PASSWORD).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    browser_of(&reply)
}

fn browser_of(reply: &Reply) -> Browser {
    let cookie = reply.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let csrf = reply.json()["data"]["csrf"]
        .as_str()
        .expect("a text")
        .to_owned();
    Browser { cookie, csrf }
}

impl Browser {
    /// As the console asks.
    fn ask(&self, method: Verb, path: &str) -> TestRequest {
        let request = self.without_csrf(method, path);
        request.insert_header(("x-csrf-token", self.csrf.as_str()))
    }

    fn without_csrf(&self, method: Verb, path: &str) -> TestRequest {
        from_page(plain(method, path)).insert_header(("cookie", self.cookie.as_str()))
    }

    async fn get(&self, api: &TestApi, path: &str) -> Reply {
        api.call(self.ask(Verb::Get, path)).await
    }

    async fn post(&self, api: &TestApi, path: &str, body: Value) -> Reply {
        api.call(self.ask(Verb::Post, path).set_json(body)).await
    }

    async fn is_logged_in(&self, api: &TestApi) -> bool {
        let reply = api.call(self.poll()).await;
        assert!([200, 401].contains(&reply.status), "{}", reply.body);
        reply.status == 200
    }

    fn poll(&self) -> TestRequest {
        let request = self.ask(Verb::Get, "/admin/me");
        request.insert_header(("x-liveroom-poll", "1"))
    }
}

fn plain(method: Verb, path: &str) -> TestRequest {
    match method {
        Verb::Get => TestRequest::get(),
        Verb::Post => TestRequest::post(),
        Verb::Delete => TestRequest::delete(),
    }
    .uri(path)
}

/// A path of the URL table about things that do not exist.
fn example(path: &str) -> String {
    let mut example = String::new();
    for part in path.split_inclusive(['{', '}']) {
        match part.strip_suffix('}') {
            None => example.push_str(part.trim_end_matches('{')),
            Some(name) if name.contains('|') => {
                let (_, choices) = name.split_once(':').expect("choices");
                example.push_str(choices.split('|').next().expect("one"));
            }
            Some(_) => example.push_str("999999"),
        }
    }
    example
}

/// The URLs of operators; the one that ends the session that asks comes last.
fn urls_of_operators() -> Vec<&'static Endpoint> {
    let mut urls: Vec<_> = ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.path.starts_with("/admin/"))
        .filter(|endpoint| endpoint.requires != Requires::Nobody)
        .collect();
    urls.sort_by_key(|endpoint| endpoint.path == "/admin/logout");
    assert!(urls.len() > 40, "{}", urls.len());
    urls
}

/// The code of a refusal by the gate.
fn refusal(reply: &Reply) -> Option<String> {
    let code = (reply.status == 403).then(|| reply.json()["code"].clone())?;
    let code = code.as_str().expect("refusals have a code");
    ["not_permitted", "session_only", "csrf"]
        .contains(&code)
        .then(|| code.to_owned())
}

#[actix_web::test]
async fn every_url_lets_through_the_roles_that_may_and_no_others() {
    let api = TestApi::start().await;
    for role in ManagerRole::ALL {
        for is_admin in [false, true] {
            let name = format!("{}{is_admin}", role.name());
            manager(&api, &name, role, is_admin).await;
            let browser = login(&api, &name).await;
            walk(&api, &browser, role.permissions(is_admin), &name).await;
        }
    }
}

async fn walk(api: &TestApi, browser: &Browser, permissions: Permissions, name: &str) {
    for endpoint in urls_of_operators() {
        let path = example(endpoint.path);
        let line = format!("{name} {:?} {path}", endpoint.verb);
        let may = match endpoint.requires {
            Requires::Operator(permission) => permissions.contains(permission),
            _ => true,
        };
        if !may {
            let reply = api.call(browser.ask(endpoint.verb, &path)).await;
            assert_eq!(refusal(&reply).as_deref(), Some("not_permitted"), "{line}");
            continue;
        }
        if endpoint.verb.is_change() {
            let reply = api.call(browser.without_csrf(endpoint.verb, &path)).await;
            assert_eq!(refusal(&reply).as_deref(), Some("csrf"), "{line}");
            for (header, value) in [
                ("x-csrf-token", "0"),
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-site", "cross-site"),
            ] {
                let request = browser.ask(endpoint.verb, &path);
                let reply = api.call(request.insert_header((header, value))).await;
                assert_eq!(refusal(&reply).as_deref(), Some("csrf"), "{line} {header}");
            }
        }
        let reply = api.call(browser.ask(endpoint.verb, &path)).await;
        assert_eq!(refusal(&reply), None, "{line}: {}", reply.body);
        assert!(
            reply.status != 401 && reply.status < 500,
            "{line}: {}",
            reply.body
        );
    }
    assert!(!browser.is_logged_in(api).await, "the last one logged out");
}

#[actix_web::test]
async fn every_url_refuses_strangers_and_lets_the_configured_token_through() {
    let api = TestApi::start().await;
    for endpoint in urls_of_operators() {
        let path = example(endpoint.path);
        let line = format!("{:?} {path}", endpoint.verb);
        let cookie = format!("liveroom_dev={}", "0".repeat(64));
        for request in [
            plain(endpoint.verb, &path),
            from_page(plain(endpoint.verb, &path)).insert_header(("cookie", cookie)),
        ] {
            let reply = api.call(request).await;
            assert_eq!(reply.status, 401, "{line}");
        }
        let token = bearer(ADMIN_TOKEN);
        let reply = api
            .call(plain(endpoint.verb, &path).insert_header(token))
            .await;
        let expected = (endpoint.requires == Requires::Session).then_some("session_only");
        assert_eq!(refusal(&reply).as_deref(), expected, "{line}");
        assert_ne!(reply.status, 401, "{line}");
        let token = bearer(ADMIN_TOKEN);
        let page = from_page(plain(endpoint.verb, &path)).insert_header(token);
        let reply = api.call(page).await;
        assert_eq!(reply.json()["code"], "token_from_page", "{line}");
    }
}

#[actix_web::test]
async fn a_login_answers_what_the_manager_may_and_a_cookie_that_pages_cannot_read() {
    let api = TestApi::start().await;
    let id = manager(&api, "ann", ManagerRole::Finance, false).await;
    let reply = try_login(&api, "Ann", PASSWORD).await;
    let data = reply.json()["data"].clone();
    let expected = json!({
        "id": id.get(), "name": "ann", "role": "finance", "is_admin": false,
        "permissions": ["look", "finance"], "csrf": data["csrf"], "session_id": data["session_id"],
        "ends_at_ms": NOW.0 + 12 * 3_600_000, "idle_ends_at_ms": NOW.0 + 30 * 60_000,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name}");
    }
    let cookie = reply.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("liveroom_dev="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let browser = browser_of(&reply);
    assert_eq!(browser.get(&api, "/admin/me").await.json()["data"], data);

    let over_https = from_page(TestRequest::post().uri("/admin/login"))
        .insert_header(("origin", "https://live.example"))
        .set_json(json!({"name": "ann", "password": PASSWORD}));
    let reply = api.call(over_https).await;
    let cookie = reply.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-liveroom="), "{cookie}");
    assert!(
        cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
}

#[actix_web::test]
async fn a_login_is_refused_with_a_wrong_password_or_from_a_page_that_is_not_ours() {
    let api = TestApi::start().await;
    manager(&api, "ann", ManagerRole::Viewer, false).await;
    for (name, password) in [("ann", "wrong"), ("bob", PASSWORD), ("", "")] {
        let reply = try_login(&api, name, password).await;
        reply.assert_fail(401, "name or password wrong");
        assert_eq!(reply.header("set-cookie"), None);
    }
    for (origin, site, code) in [
        ("http://live.example", "same-origin", "origin"),
        ("null", "same-origin", "origin"),
        ("https://evil.example", "cross-site", "csrf"),
    ] {
        let request = TestRequest::post()
            .uri("/admin/login")
            .insert_header(("origin", origin))
            .insert_header(("host", "localhost:7001"))
            .insert_header(("sec-fetch-site", site))
            .set_json(json!({"name": "ann", "password": PASSWORD}));
        let reply = api.call(request).await;
        let found = (reply.status, reply.json()["code"].clone());
        assert_eq!(found, (403, json!(code)), "{origin}");
    }
}

#[actix_web::test]
async fn strangers_who_guess_do_not_keep_a_manager_out_of_where_it_logs_in() {
    let api = TestApi::start().await;
    manager(&api, "ann", ManagerRole::Viewer, false).await;
    let from = |address: &str, password: &str| {
        from_page(TestRequest::post().uri("/admin/login"))
            .peer_addr(format!("{address}:4000").parse().expect("an address"))
            .set_json(json!({"name": "ann", "password": password}))
    };
    assert_eq!(api.call(from("192.0.2.1", PASSWORD)).await.status, 200);
    api.clock.advance_ms(60_000);
    let mut compared = 0;
    for last in 2..12 {
        let reply = api.call(from(&format!("192.0.2.{last}"), "wrong")).await;
        compared += usize::from(reply.status == 401);
        assert!([401, 429].contains(&reply.status), "{}", reply.body);
    }
    assert_eq!(compared, 5, "guesses of all strangers together in a minute");
    for _ in 0..8 {
        let reply = api.call(from("192.0.2.1", PASSWORD)).await;
        assert_eq!(reply.status, 200, "only failures are counted");
    }
}

#[actix_web::test]
async fn a_session_ends_after_half_an_hour_in_which_its_manager_does_nothing() {
    let api = TestApi::start().await;
    manager(&api, "ann", ManagerRole::Viewer, false).await;
    let browser = login(&api, "ann").await;
    for _ in 0..3 {
        api.clock.advance_ms(29 * 60_000);
        assert_eq!(browser.get(&api, "/admin/me").await.status, 200);
    }
    for _ in 0..29 {
        api.clock.advance_ms(60_000);
        assert!(browser.is_logged_in(&api).await);
    }
    api.clock.advance_ms(60_000);
    assert!(
        !browser.is_logged_in(&api).await,
        "polls are nobody's doing"
    );
    browser
        .get(&api, "/admin/me")
        .await
        .assert_fail(401, NOT_LOGGED_IN);
}

#[actix_web::test]
async fn a_session_ends_after_twelve_hours_whatever_its_manager_does() {
    let api = TestApi::start().await;
    manager(&api, "ann", ManagerRole::Viewer, false).await;
    let browser = login(&api, "ann").await;
    for _ in 0..(12 * 3 - 1) {
        api.clock.advance_ms(20 * 60_000);
        assert_eq!(browser.get(&api, "/admin/me").await.status, 200);
    }
    api.clock.advance_ms(20 * 60_000);
    assert_eq!(browser.get(&api, "/admin/me").await.status, 401);
}

/// The same database as another node sees it, which shares nothing else with the first.
async fn is_logged_in_elsewhere(api: &TestApi, browser: &Browser) -> bool {
    let sessions = ManagerSessions::new(api.state.store.clone(), api.state.clock.clone());
    let state = ApiState {
        manager_sessions: Arc::new(sessions),
        ..api.state.clone()
    };
    let reply = super::harness::call(&state, browser.poll()).await;
    reply.status == 200
}

#[actix_web::test]
async fn a_stolen_cookie_is_worth_nothing_on_any_node_once_its_session_ended() {
    let api = TestApi::start().await;
    let admin = manager(&api, "root", ManagerRole::Viewer, true).await;
    let ann = manager(&api, "ann", ManagerRole::Viewer, false).await;
    let root = login(&api, "root").await;

    let stolen = login(&api, "ann").await;
    let other = login(&api, "ann").await;
    assert!(is_logged_in_elsewhere(&api, &stolen).await);
    let reply = stolen.post(&api, "/admin/logout", json!({})).await;
    assert_eq!(reply.status, 200);
    assert!(!is_logged_in_elsewhere(&api, &stolen).await, "logged out");
    assert!(is_logged_in_elsewhere(&api, &other).await);

    let sessions = other.get(&api, "/admin/sessions").await.json();
    let sessions = sessions["data"]["sessions"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!((sessions.len(), &sessions[0]["current"]), (1, &json!(true)));
    let path = format!("/admin/sessions/{}", sessions[0]["id"]);
    let foreign = api.call(root.ask(Verb::Delete, &path)).await;
    foreign.assert_fail(404, "session not found");
    assert_eq!(api.call(other.ask(Verb::Delete, &path)).await.status, 200);
    assert!(!is_logged_in_elsewhere(&api, &other).await, "revoked");

    let path = format!("/admin/managers/{ann}");
    for change in [json!({"role": "moderator"}), json!({"disabled": true})] {
        let stolen = login(&api, "ann").await;
        assert_eq!(root.post(&api, &path, change.clone()).await.status, 200);
        assert!(!is_logged_in_elsewhere(&api, &stolen).await, "{change}");
        // Each login is a new minute: tries are counted.
        api.clock.advance_ms(60_000);
    }
    assert_eq!(
        try_login(&api, "ann", PASSWORD).await.status,
        401,
        "disabled"
    );

    let path = format!("/admin/managers/{admin}");
    for change in [json!({"disabled": true}), json!({"is_admin": false})] {
        let reply = root.post(&api, &path, change).await;
        assert_eq!(reply.status, 409, "{}", reply.body);
    }
}

#[actix_web::test]
async fn a_new_password_renews_the_session_that_asks_and_ends_all_others() {
    let api = TestApi::start().await;
    manager(&api, "ann", ManagerRole::Viewer, false).await;
    let (here, there) = (login(&api, "ann").await, login(&api, "ann").await);
    let body = |old: &str, new: &str| json!({"old": old, "new": new});
    let short = here
        .post(&api, "/admin/password", body(PASSWORD, "short"))
        .await;
    short.assert_fail(422, "password must be at least 10 characters");
    let new = "another password";
    let wrong = here.post(&api, "/admin/password", body("wrong", new)).await;
    assert_eq!(wrong.status, 401);
    assert!(there.is_logged_in(&api).await);
    let reply = here
        .post(&api, "/admin/password", body(PASSWORD, new))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(browser_of(&reply).is_logged_in(&api).await);
    assert!(!here.is_logged_in(&api).await && !there.is_logged_in(&api).await);
    assert_eq!(try_login(&api, "ann", PASSWORD).await.status, 401);
    assert_eq!(try_login(&api, "ann", new).await.status, 200);
}

#[actix_web::test]
async fn an_administrator_adds_a_manager_who_sets_its_password_by_the_link_once() {
    let api = TestApi::start().await;
    manager(&api, "root", ManagerRole::Viewer, true).await;
    let root = login(&api, "root").await;
    let body = json!({"name": "Ann", "role": "moderator"});
    let added = root
        .post(&api, "/admin/managers", body.clone())
        .await
        .json()["data"]
        .clone();
    let link = added["link"].as_str().expect("a link");
    assert_eq!(added["path"], format!("/admin/#/setup/{link}"));
    assert_eq!(added["manager"]["name"], "ann");
    assert_eq!(root.post(&api, "/admin/managers", body).await.status, 409);
    for (name, role) in [("", "viewer"), ("a b", "viewer"), ("bob", "admin")] {
        let body = json!({"name": name, "role": role});
        let reply = root.post(&api, "/admin/managers", body).await;
        assert_eq!(reply.status, 422, "{name} {role}");
    }
    let setup = |link: &str| {
        from_page(TestRequest::post().uri("/admin/setup"))
            .set_json(json!({"link": link, "password": PASSWORD}))
    };
    assert_eq!(try_login(&api, "ann", PASSWORD).await.status, 401);
    let set = api.call(setup(link)).await;
    set.assert_ok(json!({"name": "ann"}));
    assert_eq!(api.call(setup(link)).await.status, 404);
    assert_eq!(try_login(&api, "ann", PASSWORD).await.status, 200);
    let listed = root.get(&api, "/admin/managers").await.json();
    assert_eq!(listed["data"]["managers"][0]["has_password"], true);
}

#[actix_web::test]
async fn without_a_manager_and_a_token_there_is_no_operators_side() {
    let change = |config: &mut liveroom::config::Config| {
        config.admin.token = liveroom::config::Secret::new("");
    };
    let api = TestApi::start_with(change).await;
    let pages = ["/admin", "/admin/", "/admin/assets/app.js"];
    for endpoint in ENDPOINTS {
        if !endpoint.path.starts_with("/admin") {
            continue;
        }
        let path = example(endpoint.path);
        let reply = api.call(from_page(plain(endpoint.verb, &path))).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    for page in pages {
        assert_eq!(api.get(page).await.status, 404, "{page}");
    }
    manager(&api, "root", ManagerRole::Viewer, true).await;
    api.clock.advance_ms(1_000);
    for (page, status) in pages.into_iter().zip([308, 200, 200]) {
        assert_eq!(api.get(page).await.status, status, "{page}");
    }
    assert!(login(&api, "root").await.is_logged_in(&api).await);
}
