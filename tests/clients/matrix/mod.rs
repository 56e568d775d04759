//! Real clients of every version, over every transport they have, against the running server.
//!
//! A cell is one library and one transport ([`Cell`]); every test here holds for each of them, and
//! where they meet they meet in one room. The clients run with their default options but for the
//! transport, and the cells named "default" with none at all.

mod connections;

use std::sync::MutexGuard;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::{Cell, Client, Transport};
use crate::support::{TestServer, User, Ws};
use crate::take_turn;

/// Coins that each client starts with, and what a gift costs: two gifts and no third.
const COINS: i64 = 10;
const PRICE: i64 = 4;

/// A server with a live on air, its owner, and one connected client a cell.
struct Stage {
    server: TestServer,
    owner: User,
    live_id: i64,
    clients: Vec<Client>,
    /// Last, so that it is given back when all the others have ended.
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    fn set(env: &[(&str, &str)]) -> Self {
        let mut stage = Self::open(env, |_| true);
        stage.clients.iter_mut().for_each(Client::connected);
        stage
    }

    /// Starts the clients of the cells that are `wanted`, and does not wait for them.
    fn open(env: &[(&str, &str)], wanted: fn(&Cell) -> bool) -> Self {
        let turn = take_turn();
        let server = TestServer::start(env);
        let owner = server.user("streamer");
        let live_id = server.live(&owner);
        let user = |number| server.rich_user(&format!("viewer-{number}"), COINS);
        let users: Vec<_> = Cell::installed()
            .into_iter()
            .filter(wanted)
            .enumerate()
            .map(|(n, cell)| (cell, user(n)))
            .collect();
        let clients = users
            .into_iter()
            .map(|(cell, user)| Client::start(cell, server.port(), user))
            .collect();
        Self {
            server,
            owner,
            live_id,
            clients,
            _turn: turn,
        }
    }

    fn join_all(&mut self) {
        for client in &mut self.clients {
            let joined = client.ask("joinLive", json!({"live_id": self.live_id}));
            assert_eq!(joined["ok"], true, "{}: {joined}", client.cell);
        }
        // What the others were told meanwhile is no concern of the tests that follow.
        let last = self.clients.last().map(|client| client.user.id);
        for client in &mut self.clients {
            client.event_where("online", |online| {
                Some(online["user"]["id"].as_i64()) == Some(last)
            });
        }
    }

    fn report(&self, what: &str) {
        for client in &self.clients {
            println!("{}: {what}: ok", client.cell);
        }
    }
}

#[test]
fn all_clients_meet_in_one_room_and_see_each_other() {
    let mut stage = Stage::set(&[]);
    let live_id = stage.live_id;
    let clients = &mut stage.clients;
    for newcomer in 0..clients.len() {
        let (before, rest) = clients.split_at_mut(newcomer);
        let client = &mut rest[0];
        let joined = client.ask("joinLive", json!({"live_id": live_id}));
        assert_eq!(joined["ok"], true, "{}: {joined}", client.cell);
        assert_eq!(joined["count"], newcomer + 1, "{}: {joined}", client.cell);
        assert_eq!(joined["live"]["status"], 1, "{}: {joined}", client.cell);

        let newest_first: Vec<i64> = before
            .iter()
            .map(|client| client.user.id)
            .chain([client.user.id])
            .rev()
            .collect();
        let ids: Vec<String> = before
            .iter()
            .chain([&*client])
            .filter_map(|client| client.socket_id.clone())
            .collect();
        let own_user = client.user.id;
        for member in before.iter_mut().chain([client]) {
            let online = member.event("online");
            assert_eq!(online["action"], "join", "{}: {online}", member.cell);
            assert_eq!(online["user"]["id"], own_user, "{}: {online}", member.cell);
            assert_eq!(online["count"], newcomer + 1, "{}: {online}", member.cell);
            let shown: Vec<i64> = list(&online["data"])
                .iter()
                .filter_map(|user| user["id"].as_i64())
                .collect();
            assert_eq!(shown, newest_first, "{}", member.cell);
            assert_eq!(
                list(&online["clients"]).len(),
                newcomer + 1,
                "{}: {online}",
                member.cell
            );
            for id in &ids {
                assert!(
                    list(&online["clients"]).contains(&json!(id)),
                    "{}: no {id} in {online}",
                    member.cell
                );
            }
        }
    }

    // They leave in the order they came; those still there are told, without a list of users.
    while !clients.is_empty() {
        let mut leaver = clients.remove(0);
        let left = leaver.ask("leaveLive", json!({"live_id": live_id}));
        assert_eq!(left["ok"], true, "{}: {left}", leaver.cell);
        for member in clients.iter_mut() {
            let online = member.event("online");
            assert_eq!(online["action"], "leave", "{}: {online}", member.cell);
            assert_eq!(
                online["user"]["id"], leaver.user.id,
                "{}: {online}",
                member.cell
            );
            assert_eq!(online.get("data"), None, "{}: {online}", member.cell);
            assert!(
                !list(&online["clients"]).contains(&json!(leaver.socket_id)),
                "{}: {online}",
                member.cell
            );
        }
        println!("{}: joins, is seen, leaves: ok", leaver.cell);
    }
}

#[test]
fn all_clients_receive_the_same_comments_in_the_same_order() {
    // Together they say more at once than a room shows by default.
    let mut stage = Stage::set(&[("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "0")]);
    stage.join_all();
    let live_id = stage.live_id;
    // Whatever counts in bytes, in code points or in UTF-16 units is off by a different factor
    // here.
    let texts = |cell: Cell| {
        let long: String = "🎉".repeat(200);
        [
            format!("{cell} says 世界"),
            long,
            "e\u{301} \u{7f} \u{2028} \u{1e} 10:x".to_owned(),
            "\"\\ 😀 é".to_owned(),
        ]
    };
    let mut sent = Vec::new();
    for (number, client) in stage.clients.iter_mut().enumerate() {
        for text in texts(client.cell) {
            let comment = json!({"live_id": live_id, "data": text});
            sent.push((number, client.send("comment", comment), text));
        }
    }
    let count = sent.len();
    let mut receipts = Vec::new();
    for (number, ack, text) in sent {
        let client = &mut stage.clients[number];
        let receipt = client.answer(ack);
        assert_eq!(
            receipt["ok"], true,
            "{}: {receipt} to {text:?}",
            client.cell
        );
        assert_eq!(receipt["status"], "delivered", "{}: {receipt}", client.cell);
        let id = receipt["comment_id"].as_str().expect("an id").to_owned();
        receipts.push(Line {
            offset: receipt["offset"].as_u64().expect("an offset"),
            id,
            text,
            user: client.user.id,
        });
    }
    receipts.sort_by_key(|line| line.offset);
    let offsets: Vec<u64> = receipts.iter().map(|line| line.offset).collect();
    assert_eq!(
        offsets,
        (1..).take(count).collect::<Vec<_>>(),
        "offsets have no gap"
    );
    for client in &mut stage.clients {
        let heard: Vec<Line> = (0..count)
            .map(|_| Line::of(&client.event("comment")))
            .collect();
        assert_eq!(heard, receipts, "{}", client.cell);
        let own = heard
            .into_iter()
            .filter(|line| line.user == client.user.id)
            .map(|line| line.text);
        assert_eq!(
            own.collect::<Vec<_>>(),
            texts(client.cell),
            "{}: in the order sent",
            client.cell
        );
    }
    stage.report("comments");
}

/// What of a comment must be the same for everybody, its sender's receipt included.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    offset: u64,
    id: String,
    text: String,
    user: i64,
}

impl Line {
    fn of(comment: &Value) -> Self {
        Self {
            offset: comment["offset"].as_u64().expect("an offset"),
            id: comment["id"].as_str().expect("an id").to_owned(),
            text: comment["content"].as_str().expect("a text").to_owned(),
            user: comment["user"]["id"].as_i64().expect("a user"),
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_clients_upgrade() {
    const COMMENTS: usize = 400;
    // The streamer's comments are not limited, but the commands of a session are.
    let busy = [
        ("LIVEROOM__LIMITS__COMMANDS_PER_S", "10000"),
        ("LIVEROOM__OUTBOX__PACKETS_MAX", "2048"),
    ];
    let mut stage = Stage::open(&busy, |cell| cell.transport == Transport::Default);
    let live_id = stage.live_id;
    let mut streamer = Ws::connect(&stage.server, &stage.owner);
    streamer.join(live_id);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COMMENTS {
                streamer.send(
                    "comment",
                    json!({"live_id": live_id, "data": number.to_string()}),
                );
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for client in &mut stage.clients {
            // Most libraries are still polling here, and upgrade while comments arrive.
            client.opened();
            let joined = client.ask("joinLive", json!({"live_id": live_id}));
            let offset = joined["offset"]
                .as_u64()
                .unwrap_or_else(|| panic!("{}: {joined}", client.cell));
            for expected in offset + 1..=COMMENTS as u64 {
                assert_eq!(
                    client.event("comment")["offset"],
                    expected,
                    "{}",
                    client.cell
                );
            }
        }
    });
    stage.report("upgrade");
}

#[test]
fn gifts_are_paid_once_and_seen_by_all_with_and_without_an_ack() {
    let mut stage = Stage::set(&[]);
    let gift_id = stage.server.gift("小花", PRICE);
    stage.join_all();
    let gift = json!({"live_id": stage.live_id, "gift_id": gift_id});
    for giver in 0..stage.clients.len() {
        let client = &mut stage.clients[giver];
        client.emit("gift", gift.clone());
        let receipt = client.ask("gift", gift.clone());
        assert_eq!(receipt["ok"], true, "{}: {receipt}", client.cell);
        assert_eq!(
            receipt["coin"],
            COINS - 2 * PRICE,
            "{}: {receipt}",
            client.cell
        );
        let short = client.ask("gift", gift.clone());
        assert_eq!(
            short["code"], "coins_insufficient",
            "{}: {short}",
            client.cell
        );
        let name = client.user.name.clone();
        for member in &mut stage.clients {
            for _ in 0..2 {
                let seen = member.event("gift");
                assert_eq!(seen["username"], json!(name), "{}: {seen}", member.cell);
                assert_eq!(seen["gift_name"], "小花", "{}: {seen}", member.cell);
                assert_eq!(
                    seen["gift_image"], "/public/gift/flower.png",
                    "{}: {seen}",
                    member.cell
                );
                assert_eq!(seen["num"], 1, "{}: {seen}", member.cell);
            }
        }
    }
    for client in &stage.clients {
        assert_eq!(
            stage.server.balance(&client.user),
            COINS - 2 * PRICE,
            "{}",
            client.cell
        );
    }
    stage.server.assert_books_balance();
    stage.report("gifts");
}

#[test]
fn refusals_reach_the_offender_alone_on_the_event_named_by_its_socket_id() {
    let mut stage = Stage::set(&[]);
    let gift_id = stage.server.gift("rocket", COINS + 1);
    let scheduled = stage.server.scheduled_live(&stage.owner);
    let live_id = stage.live_id;
    let mut onlooker = Ws::connect(&stage.server, &stage.owner);
    onlooker.join(live_id);
    let _ = onlooker.so_far();

    for client in &mut stage.clients {
        let mut cases = vec![
            (
                "comment",
                json!({"live_id": live_id, "data": "hi"}),
                "not_in_room",
                "请先进入直播间",
            ),
            (
                "joinLive",
                json!({"live_id": 999_999}),
                "live_not_found",
                "直播间不存在",
            ),
            (
                "joinLive",
                json!({"live_id": "7abc"}),
                "live_not_found",
                "直播间不存在",
            ),
            (
                "joinLive",
                json!({"live_id": scheduled}),
                "live_not_started",
                "未开播",
            ),
        ];
        if client.cell.is_socket_io() {
            // A plain session gave its token when it connected.
            let with_token = |token: Value| json!({"live_id": live_id, "token": token});
            cases.extend([
                (
                    "joinLive",
                    with_token(json!("")),
                    "unauthorized",
                    "您没有权限访问该接口!",
                ),
                (
                    "joinLive",
                    with_token(json!(null)),
                    "unauthorized",
                    "您没有权限访问该接口!",
                ),
                (
                    "joinLive",
                    with_token(json!("x.y.z")),
                    "token_invalid",
                    "Token 令牌不合法!",
                ),
            ]);
        }
        assert_refused(client, &cases);
    }
    for client in &mut stage.clients {
        let joined = client.ask("joinLive", json!({"live_id": live_id.to_string()}));
        assert_eq!(joined["ok"], true, "{}: {joined}", client.cell);
        let gift = |gift_id: i64| json!({"live_id": live_id, "gift_id": gift_id});
        let too_long = json!({"live_id": live_id, "data": "字".repeat(201)});
        let cases = [
            ("gift", gift(999_999), "gift_not_found", "该礼物不存在"),
            (
                "gift",
                gift(gift_id),
                "coins_insufficient",
                "金币不足，请先充值",
            ),
            (
                "comment",
                too_long,
                "comment_too_long",
                "评论内容不能超过 200 个字",
            ),
        ];
        assert_refused(client, &cases);
    }
    let heard: Vec<Value> = onlooker.so_far();
    assert!(
        heard.iter().all(|frame| frame["event"] == "online"),
        "{heard:?}"
    );
    stage.report("refusals");
}

/// Sends each command with an ack and without, and expects the same refusal both ways.
fn assert_refused(client: &mut Client, cases: &[(&str, Value, &str, &str)]) {
    for (event, payload, code, text) in cases {
        let answer = client.ask(event, payload.clone());
        assert_eq!(
            answer["ok"], false,
            "{}: {event} {payload}: {answer}",
            client.cell
        );
        assert_eq!(
            answer["code"], *code,
            "{}: {event} {payload}: {answer}",
            client.cell
        );
        assert_eq!(
            answer["message"], *text,
            "{}: {event} {payload}",
            client.cell
        );
        client.emit(event, payload.clone());
        assert_eq!(
            client.refusal(),
            *text,
            "{}: {event} {payload}",
            client.cell
        );
    }
}

#[test]
fn an_unknown_namespace_is_refused_in_the_words_of_each_version() {
    let _turn = take_turn();
    let server = TestServer::start(&[]);
    let user = server.user("viewer");
    for cell in Cell::installed()
        .into_iter()
        .filter(|cell| cell.is_socket_io())
    {
        let mut client = Client::start_in_namespace(cell, server.port(), user.clone(), "/nope");
        assert_eq!(client.connection_refusal(), "Invalid namespace", "{cell}");
        println!("{cell}: unknown namespace: ok");
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
