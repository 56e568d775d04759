//! What one account does to a room, and what the others in it notice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bystanders::Bystanders;
use crate::support::{TestServer, User, Ws, eventually, ws::Next};

const SOCKETS: usize = 60;
const HONEST: usize = 3;
const ROUNDS: usize = 6;
/// Joins that the attack has sent before the first honest client comes: more than a room lets in at
/// once.
const WARM_UP: usize = 2_000;
/// What the server may grow by while it is attacked, in KiB: far below what joins cost that are
/// kept.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// Sixty sockets of one user, each of which joins again each 51 ms, and connects again when it is
/// cut.
struct Attack<'a> {
    server: &'a TestServer,
    user: &'a User,
    live_id: i64,
    is_over: AtomicBool,
    joins_count: AtomicUsize,
    cut_count: AtomicUsize,
}

impl Attack<'_> {
    fn run(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let Some(mut ws) = Ws::try_connect(self.server.port(), &self.user.token) else {
                thread::sleep(Duration::from_millis(51));
                continue;
            };
            while !self.is_over.load(Ordering::Relaxed) && ws.closed().is_none() {
                if ws
                    .try_send("joinLive", &json!({"live_id": self.live_id}))
                    .is_none()
                {
                    break;
                }
                self.joins_count.fetch_add(1, Ordering::Relaxed);
                let next = Instant::now() + Duration::from_millis(51);
                while let Some(left) = next.checked_duration_since(Instant::now()) {
                    if matches!(ws.next_within(left), Next::Closed) {
                        break;
                    }
                }
            }
            self.cut_count
                .fetch_add(usize::from(ws.closed().is_some()), Ordering::Relaxed);
        }
    }
}

/// Plays the attack while three honest clients, at the same address, come in, speak and leave, and
/// then until so many of its sockets were cut.
fn join_under_attack(env: &[(&str, &str)], cut_min: usize) {
    let server = TestServer::start(env);
    let (streamer, attacker) = (server.user("streamer"), server.user("attacker"));
    let honest: Vec<User> = (0..HONEST)
        .map(|n| server.user(&format!("honest{n}")))
        .collect();
    let live_id = server.live(&streamer);
    let mut listener = Ws::connect(&server, &streamer);
    listener.join(live_id);
    let memory_before = server.memory_kib();
    let attack = Attack {
        server: &server,
        user: &attacker,
        live_id,
        is_over: AtomicBool::new(false),
        joins_count: AtomicUsize::new(0),
        cut_count: AtomicUsize::new(0),
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let over = OverWhenDropped(&attack.is_over);
        (0..SOCKETS).for_each(|_| drop(scope.spawn(|| attack.run())));
        eventually("the attack is under way", || {
            (attack.joins_count.load(Ordering::Relaxed) >= WARM_UP).then_some(())
        });
        for round in 0..ROUNDS {
            for user in &honest {
                let mut ws = Ws::connect(&server, user);
                ws.join(live_id);
                let text = format!("round {round} of {}", user.name);
                let said = ws.ask("comment", json!({"live_id": live_id, "data": text}));
                assert_eq!(said["ok"], json!(true), "{said}");
                listener.event_where("comment", |comment| comment["content"] == json!(text));
                assert_eq!(
                    ws.ask("leaveLive", json!({"live_id": live_id}))["ok"],
                    json!(true)
                );
            }
        }
        eventually("sockets that go on are cut", || {
            (attack.cut_count.load(Ordering::Relaxed) >= cut_min).then_some(())
        });
        let grown = server.memory_kib().saturating_sub(memory_before);
        assert!(grown < GROWTH_KIB_MAX, "the server grew by {grown} KiB");
        drop(over);
    });
    let joins = attack.joins_count.load(Ordering::Relaxed);
    // Announcements of the attacker: its budget. Those of the others: two for each visit.
    let heard = listener
        .kept()
        .filter(|frame| frame["event"] == json!("online"))
        .count();
    let budget = 4 + began.elapsed().as_secs() as usize + 1;
    assert!(
        heard <= budget + 2 * HONEST * ROUNDS,
        "{heard} announcements for {joins} joins again"
    );
}

/// Ends the attack also when an assertion fails, or the test would wait for it for ever.
struct OverWhenDropped<'a>(&'a AtomicBool);

impl Drop for OverWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn sixty_sockets_of_one_user_that_join_again_keep_nobody_out() {
    // Whatever the user's own limit lets through: the room alone must cope.
    let unlimited = [
        ("LIVEROOM__LIMITS__USER_COMMANDS_PER_S", "1000000"),
        ("LIVEROOM__LIMITS__USER_COMMAND_BURST", "1000000"),
    ];
    join_under_attack(&unlimited, 0);
}

#[test]
fn sixty_sockets_of_one_user_share_its_limit_and_those_that_go_on_are_cut() {
    join_under_attack(&[], SOCKETS);
}

/// Sends so many commands at once and returns how many were carried out; the rest must be
/// `rate_limited`.
fn carried_out(ws: &mut Ws, event: &str, data: impl Fn(usize) -> Value, count: usize) -> usize {
    let ids: Vec<i64> = (0..count).map(|n| ws.send(event, data(n))).collect();
    let answers = ids.into_iter().map(|id| ws.answer(id));
    let is_ok = |answer: Value| {
        let is_limited =
            answer["code"] == json!("rate_limited") && answer["retry_after_ms"].as_u64() > Some(0);
        assert!(answer["ok"] == json!(true) || is_limited, "{answer}");
        answer["ok"] == json!(true)
    };
    answers.filter(|answer| is_ok(answer.clone())).count()
}

#[test]
fn all_sessions_of_a_user_share_one_limit_of_commands_and_others_have_theirs() {
    let server = TestServer::start(&[
        ("LIVEROOM__LIMITS__COMMAND_BURST", "20"),
        ("LIVEROOM__LIMITS__COMMANDS_PER_S", "1"),
        ("LIVEROOM__LIMITS__USER_COMMAND_BURST", "50"),
        ("LIVEROOM__LIMITS__USER_COMMANDS_PER_S", "1"),
    ]);
    let (alice, bob) = (server.user("alice"), server.user("bobby"));
    let live_id = server.live(&alice);
    let leave = |_| json!({"live_id": live_id});
    let began = Instant::now();
    let done: Vec<usize> = (0..5)
        .map(|_| carried_out(&mut Ws::connect(&server, &alice), "leaveLive", leave, 20))
        .collect();
    let all: usize = done.iter().sum();
    let regained = began.elapsed().as_secs() as usize + 1;
    assert!((50..=50 + regained).contains(&all), "{done:?}");
    assert_eq!(
        carried_out(&mut Ws::connect(&server, &bob), "leaveLive", leave, 20),
        20,
        "bob has a limit of his own"
    );
}

#[test]
fn a_streamer_has_a_generous_limit_over_all_its_sessions_and_viewers_do_not_notice() {
    let server = TestServer::start(&[
        ("LIVEROOM__LIMITS__STREAMER_COMMENT_BURST", "30"),
        ("LIVEROOM__LIMITS__STREAMER_COMMENTS_PER_30S", "30"),
    ]);
    let (streamer, viewer) = (server.user("streamer"), server.user("viewer"));
    let live_id = server.live(&streamer);
    let comment = |n: usize| json!({"live_id": live_id, "data": format!("line {n}")});
    let began = Instant::now();
    let done: Vec<usize> = (0..3)
        .map(|_| {
            let mut ws = Ws::connect(&server, &streamer);
            ws.join(live_id);
            carried_out(&mut ws, "comment", comment, 20)
        })
        .collect();
    let all: usize = done.iter().sum();
    let regained = began.elapsed().as_secs() as usize + 1;
    assert!((30..=30 + regained).contains(&all), "{done:?}");
    let mut viewer = Ws::connect(&server, &viewer);
    viewer.join(live_id);
    assert_eq!(carried_out(&mut viewer, "comment", comment, 5), 5);
}

#[test]
fn a_session_that_shows_another_users_token_hears_from_each_room_that_it_is_out() {
    let server = TestServer::start(&[]);
    let (alice, bob) = (server.user("alice"), server.user("bobby"));
    let mut bystanders = Bystanders::meet(&server, &bob);
    let lives = [server.live(&alice), server.live(&alice)];
    let mut others: Vec<Ws> = lives.iter().map(|_| Ws::connect(&server, &bob)).collect();
    let mut ws = Ws::connect(&server, &alice);
    for (other, live_id) in others.iter_mut().zip(lives) {
        other.join(live_id);
        ws.join(live_id);
    }
    // It comes back as bob at once, before any room has heard of the change.
    let joined = ws.ask("joinLive", json!({"live_id": lives[0], "token": bob.token}));
    assert_eq!(joined["ok"], json!(true), "{joined}");
    for (other, live_id) in others.iter_mut().zip(lives) {
        let kicked = ws.event_where("kicked", |kicked| kicked["live_id"] == json!(live_id));
        assert_eq!(
            kicked,
            json!({"live_id": live_id, "code": "identity_changed", "until": null})
        );
        other.event_where("online", |online| {
            online["action"] == json!("leave") && online["user"]["id"] == json!(alice.id)
        });
    }
    let as_bob = |live_id| json!({"live_id": live_id, "token": bob.token, "data": "who am I"});
    assert_eq!(
        ws.ask("comment", as_bob(lives[0]))["ok"],
        json!(true),
        "it is bob's session there now"
    );
    assert_eq!(
        ws.ask("comment", as_bob(lives[1]))["code"],
        json!("not_in_room")
    );
    bystanders.assert_unharmed(&server, "changed identities");
}

#[test]
fn a_text_with_u_0000_is_refused_for_that_reason_wherever_it_is_sent() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live_id);
    for text in ["\0", "a\0b", " \0"] {
        let refused = ws.ask("comment", json!({"live_id": live_id, "data": text}));
        let said = (&refused["code"], &refused["message"]);
        assert_eq!(
            said,
            (
                &json!("comment_refused"),
                &json!("评论内容不能包含空字符（U+0000）")
            ),
            "{text:?}"
        );
    }
    let empty = ws.ask("comment", json!({"live_id": live_id, "data": " "}));
    assert_eq!(
        (&empty["code"], &empty["message"]),
        (&json!("comment_refused"), &json!("评论内容不能为空"))
    );

    let title = server.post_as(
        &alice,
        "/api/live/create",
        &json!({"title": "a\0b", "cover": "/c.png"}),
    );
    assert_eq!(
        (title.status, &title.json()["data"]),
        (422, &json!("直播间标题 不能包含空字符（U+0000）"))
    );
    let notice = server.admin_post(
        &format!("/admin/rooms/{live_id}/notice"),
        &json!({"text": "a\0b"}),
    );
    assert_eq!(notice.status, 422);
    assert!(notice.text().contains("U+0000"), "{}", notice.text());
}

#[test]
fn leaving_a_live_that_has_not_started_says_so_and_leaving_any_other_works() {
    let server = TestServer::start(&[]);
    let (alice, bob) = (server.user("alice"), server.user("bobby"));
    let live_id = server.scheduled_live(&alice);
    let mut ws = Ws::connect(&server, &bob);
    let leave = json!({"live_id": live_id});
    let refused = ws.ask("leaveLive", leave.clone());
    assert_eq!(
        (&refused["code"], &refused["message"]),
        (&json!("live_not_started"), &json!("未开播"))
    );
    let unknown = ws.ask("leaveLive", json!({"live_id": 404}));
    assert_eq!(
        unknown["code"],
        json!("live_not_found"),
        "an unknown live is reported first"
    );
    server.change_status(&alice, live_id, "play");
    assert_eq!(
        ws.ask("leaveLive", leave.clone())["ok"],
        json!(true),
        "a stranger's leave"
    );
    ws.join(live_id);
    server.change_status(&alice, live_id, "stop");
    assert_eq!(
        ws.ask("leaveLive", leave.clone())["ok"],
        json!(true),
        "a member's, after the end"
    );
    assert_eq!(
        ws.ask("leaveLive", leave)["ok"],
        json!(true),
        "a stranger's, after the end"
    );
}
