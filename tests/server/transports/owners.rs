//! Who may speak for a session that polls. All in a room know the sids of its members of revision
//! 3.

use serde_json::{Value, json};

use super::client::{BOTH, Eio, EngineSocket, Poller, SID_UNKNOWN};
use crate::support::{Answer, TestServer};

/// A server that takes the address of a client from the header [`FROM`].
const BEHIND_A_PROXY: &[(&str, &str)] = &[("LIVEROOM__SERVER__TRUSTED_PROXIES", "127.0.0.1")];
const FROM: &str = "x-forwarded-for";
const HOME: (&str, &str) = (FROM, "192.0.2.1");
const ELSEWHERE: (&str, &str) = (FROM, "192.0.2.2");

/// Opens a session from [`HOME`] as a browser does, which sends the cookie of the handshake from
/// then on.
fn open_in_browser(server: &TestServer, headers: &[(&'static str, &str)]) -> Poller {
    let poller = Poller::open_with(server, Eio::V3, headers);
    let cookie = poller.cookie.clone().expect("revision 3 sets a cookie");
    poller.with(&[HOME, ("cookie", &cookie)])
}

fn assert_goes_on(poller: &Poller, room: &(i64, String)) {
    let (live_id, token) = room;
    let comment = json!(["comment", {"live_id": live_id, "token": token, "data": "still here"}]);
    assert_eq!(poller.post(&[&format!("427{comment}")]).text(), "ok");
    while !poller
        .poll()
        .iter()
        .any(|packet| packet.starts_with("437[{\"ok\":true"))
    {}
}

fn assert_unknown(answer: &Answer, what: &str) {
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, SID_UNKNOWN),
        "{what}"
    );
}

/// Whoever asks as `stranger` learns nothing of the session and changes nothing.
fn assert_out_of_reach(stranger: &Poller, what: &str) {
    assert_unknown(&stranger.get(), what);
    assert_unknown(&stranger.post(&["41"]), what);
    assert_unknown(&stranger.post(&["1"]), what);
    assert_unknown(&stranger.post_bytes(b"nonsense"), what);
    assert_eq!(stranger.try_websocket().err(), Some(400), "{what}");
}

/// The sids that a member reads in `online`.
fn clients_heard_by(socket: &mut EngineSocket) -> Vec<String> {
    loop {
        let packet = socket.read().expect("an online event");
        let Some(event) = packet.strip_prefix("42") else {
            continue;
        };
        let event: Value = serde_json::from_str(event).expect("JSON");
        if event[0] == json!("online") {
            return serde_json::from_value(event[1]["clients"].clone()).expect("socket ids");
        }
    }
}

#[test]
fn who_shares_the_address_of_a_browser_cannot_speak_for_its_session() {
    let server = TestServer::start(BEHIND_A_PROXY);
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    let live_id = server.live(&alice);
    let room = (live_id, alice.token.clone());
    let victim = open_in_browser(&server, &[HOME]);
    victim.join(&alice, live_id);

    // A member reads the sid, which is all that revision 3 asks for.
    let own_headers = [(FROM, HOME.1.to_owned())];
    let path = "/socket.io/?EIO=3&transport=websocket";
    let mut member =
        EngineSocket::connect_with(server.port(), path, &own_headers).expect("a handshake");
    let join = json!(["joinLive", {"live_id": live_id, "token": mallory.token}]);
    member.send(&format!("420{join}"));
    assert!(
        clients_heard_by(&mut member).contains(&victim.sid),
        "the socket id is the sid"
    );

    let own_cookie = open_in_browser(&server, &[HOME]).cookie.expect("a cookie");
    let (_, own_secret) = own_cookie.split_once('.').expect("a secret");
    for (what, cookie) in [
        ("no cookie", None),
        ("a cookie of its own", Some(own_cookie.clone())),
        (
            "the sid and a secret of its own",
            Some(format!("io={}.{own_secret}", victim.sid)),
        ),
        ("the sid alone", Some(format!("io={}", victim.sid))),
        ("the sid and no secret", Some(format!("io={}.", victim.sid))),
    ] {
        let headers: Vec<_> = cookie
            .iter()
            .map(|cookie| ("cookie", cookie.as_str()))
            .chain([HOME])
            .collect();
        assert_out_of_reach(&victim.with(&headers), what);
        assert_goes_on(&victim, &room);
    }

    // Nor after the victim went over to a WebSocket, nor does it hinder that.
    let mut socket = victim.upgrade();
    assert_out_of_reach(&victim.with(&[HOME]), "no cookie, after the upgrade");
    socket.send("2");
    while socket.read().expect("the session goes on") != "3" {}
}

#[test]
fn a_browser_whose_address_changes_goes_on() {
    let server = TestServer::start(BEHIND_A_PROXY);
    let alice = server.user("alice");
    let room = (server.live(&alice), alice.token.clone());
    let home = open_in_browser(&server, &[HOME]);
    let cookie = home.cookie.clone().expect("a cookie");
    // Its first request after the handshake comes from another address already.
    let elsewhere = home.with(&[ELSEWHERE, ("cookie", &cookie)]);
    elsewhere.join(&alice, room.0);
    assert_goes_on(&home, &room);
    assert_goes_on(&elsewhere, &room);
    let among_others = format!("theme=dark; io=of.another.path; {cookie}; lang=zh");
    assert_goes_on(&home.with(&[ELSEWHERE, ("cookie", &among_others)]), &room);
    let mut socket = elsewhere.upgrade();
    socket.send("2");
    while socket.read().expect("the session goes on") != "3" {}
}

#[test]
fn the_tabs_of_one_browser_do_not_shut_each_other_out() {
    let server = TestServer::start(BEHIND_A_PROXY);
    let alice = server.user("alice");
    let room = (server.live(&alice), alice.token.clone());
    let first = open_in_browser(&server, &[HOME]);
    first.join(&alice, room.0);
    // The second tab's handshake brings the cookie, and its answer sets the one cookie they have
    // anew.
    let second = open_in_browser(
        &server,
        &[HOME, ("cookie", first.cookie.as_deref().expect("a cookie"))],
    );
    second.join(&alice, room.0);
    assert_ne!(
        first.cookie, second.cookie,
        "the sid in it is that of the latest session"
    );
    let cookie = second.cookie.as_deref().expect("a cookie");
    assert_goes_on(&first.with(&[HOME, ("cookie", cookie)]), &room);
    assert_goes_on(&second, &room);
    assert_out_of_reach(&first.with(&[HOME]), "the first without a cookie");
    assert_out_of_reach(&second.with(&[HOME]), "the second without a cookie");
}

#[test]
fn a_client_without_cookies_works_from_one_address_and_no_other() {
    let server = TestServer::start(BEHIND_A_PROXY);
    let alice = server.user("alice");
    let room = (server.live(&alice), alice.token.clone());
    let program = Poller::open_with(&server, Eio::V3, &[HOME]).with(&[HOME]);
    program.join(&alice, room.0);
    assert_out_of_reach(&program.with(&[ELSEWHERE]), "another address");
    // A cookie that is not the session's own binds nothing.
    let other = open_in_browser(&server, &[ELSEWHERE])
        .cookie
        .expect("a cookie");
    assert_goes_on(&program.with(&[HOME, ("cookie", &other)]), &room);
    assert_goes_on(&program, &room);
    assert_out_of_reach(
        &program.with(&[ELSEWHERE, ("cookie", &other)]),
        "another address and another cookie",
    );
    // Its own is asked for from the moment that it comes.
    let cookie = program.cookie.clone().expect("a cookie");
    assert_goes_on(&program.with(&[ELSEWHERE, ("cookie", &cookie)]), &room);
    assert_out_of_reach(&program, "without the cookie that came once");
}

#[test]
fn each_answer_sets_the_cookie_of_revision_3_alone() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let answer = poller.post(&["6"]);
        let set = answer
            .header("set-cookie")
            .and_then(|cookie| cookie.split(';').next());
        assert_eq!(
            (set, set.is_some()),
            (poller.cookie.as_deref(), eio == Eio::V3)
        );
    }
}

#[test]
fn in_revision_4_the_sid_is_enough_from_anywhere() {
    let server = TestServer::start(BEHIND_A_PROXY);
    let poller = Poller::open_with(&server, Eio::V4, &[HOME]).with(&[HOME]);
    assert_eq!(poller.post(&["40"]).text(), "ok");
    assert!(poller.with(&[ELSEWHERE]).poll()[0].starts_with("40"));
    assert_eq!(
        poller
            .with(&[ELSEWHERE, ("cookie", "io=x.AAAAAAAAAAAAAAAAAAAA")])
            .post(&["6"])
            .text(),
        "ok"
    );
}
