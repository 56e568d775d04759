//! Members that come back with what they saw last, on every wire form.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use super::client::{Eio, EngineSocket, Poller};
use crate::support::{PATIENCE, TestServer, User, Ws};

/// One way to be in a room.
#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    Websocket(Eio),
    Polling(Eio),
}

const FORMS: [Form; 5] = [
    Form::Plain,
    Form::Websocket(Eio::V3),
    Form::Websocket(Eio::V4),
    Form::Polling(Eio::V3),
    Form::Polling(Eio::V4),
];

/// A connection of one form; dropped without a good-bye.
enum Line {
    Plain(Ws),
    Websocket(EngineSocket),
    Polling(Poller, VecDeque<String>),
}

/// What a line said.
#[derive(Debug)]
enum Heard {
    Answer(Value),
    Event(String, Value),
}

impl Line {
    fn connect(server: &TestServer, user: &User, form: Form) -> Self {
        match form {
            Form::Plain => Self::Plain(Ws::connect(server, user)),
            Form::Polling(eio) => Self::Polling(Poller::connect(server, eio), VecDeque::new()),
            Form::Websocket(eio) => {
                let number = if eio == Eio::V3 { 3 } else { 4 };
                let path = format!("/socket.io/?EIO={number}&transport=websocket");
                let mut socket =
                    EngineSocket::connect(server.port(), &path).expect("the handshake succeeds");
                if eio == Eio::V4 {
                    socket.send("40");
                }
                Self::Websocket(socket)
            }
        }
    }

    /// Joins and returns the answer. Nothing of the room comes before it.
    fn join(&mut self, user: &User, live_id: i64, since: &Value) -> Value {
        let fields = json!({"live_id": live_id, "token": user.token, "since": since});
        let packet = format!("420{}", json!(["joinLive", fields]));
        match self {
            Self::Plain(ws) => drop(ws.send("joinLive", fields)),
            Self::Websocket(socket) => socket.send(&packet),
            Self::Polling(poller, _) => assert_eq!(poller.post(&[&packet]).text(), "ok"),
        }
        match self.next() {
            Heard::Answer(answer) => answer,
            event => panic!("before the answer came {event:?}"),
        }
    }

    fn next(&mut self) -> Heard {
        match self {
            Self::Plain(ws) => {
                let mut frame = ws.read().expect("the connection lives");
                match frame["event"].as_str().map(str::to_owned) {
                    Some(name) => Heard::Event(name, frame["data"].take()),
                    None => Heard::Answer(frame),
                }
            }
            Self::Websocket(socket) => loop {
                if let Some(heard) = heard(&socket.read().expect("the connection lives")) {
                    return heard;
                }
            },
            Self::Polling(poller, waiting) => loop {
                match waiting.pop_front() {
                    Some(packet) => {
                        if let Some(heard) = heard(&packet) {
                            return heard;
                        }
                    }
                    None => waiting.extend(poller.poll()),
                }
            },
        }
    }

    /// The next event that has a place.
    fn numbered(&mut self) -> (String, Value) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Heard::Event(name, data) = self.next()
                && data["offset"].is_u64()
            {
                return (name, data);
            }
        }
        panic!("waited too long for an event with a place");
    }
}

/// A Socket.IO packet, if it says something of a room.
fn heard(packet: &str) -> Option<Heard> {
    if let Some(answer) = packet.strip_prefix("430") {
        let mut answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
        return Some(Heard::Answer(answer[0].take()));
    }
    let mut event: Value =
        serde_json::from_str(packet.strip_prefix("42")?).expect("an event is JSON");
    let name = event[0].as_str().expect("an event has a name").to_owned();
    Some(Heard::Event(name, event[1].take()))
}

/// A live on air whose streamer is in its room, exempt from the limit of comments.
struct Stage {
    server: TestServer,
    viewer: User,
    live_id: i64,
    streamer: Ws,
}

impl Stage {
    fn set(env: &[(&str, &str)]) -> Self {
        let plenty = [
            ("LIVEROOM__LIMITS__COMMAND_BURST", "100000"),
            ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
        ];
        let server = TestServer::start(&plenty.iter().chain(env).copied().collect::<Vec<_>>());
        let owner = server.user("streamer");
        let viewer = server.user("viewer");
        let live_id = server.live(&owner);
        let mut streamer = Ws::connect(&server, &owner);
        streamer.join(live_id);
        Self {
            server,
            viewer,
            live_id,
            streamer,
        }
    }

    fn line(&self, form: Form) -> Line {
        Line::connect(&self.server, &self.viewer, form)
    }

    fn join(&self, line: &mut Line, since: &Value) -> Value {
        let joined = line.join(&self.viewer, self.live_id, since);
        assert_eq!(joined["ok"], json!(true), "{joined}");
        joined
    }

    /// Posts a comment and returns its id.
    fn say(&mut self, text: &str) -> String {
        let said = self
            .streamer
            .ask("comment", json!({"live_id": self.live_id, "data": text}));
        assert_eq!(said["ok"], json!(true), "{said}");
        said["comment_id"].as_str().expect("an id").to_owned()
    }
}

fn position(of: &Value) -> Value {
    json!({"epoch": of["epoch"], "offset": of["offset"]})
}

/// What was seen before, told again and told since is everything, once and in order, however often
/// the line breaks while the room talks; in a room that tells at once, and in one that gathers.
#[test]
fn who_comes_back_while_comments_flow_misses_nothing_and_hears_nothing_twice() {
    for calm_deliveries_per_s in ["1000000", "1"] {
        for form in FORMS {
            println!("{form:?}, calm up to {calm_deliveries_per_s}");
            come_and_go(
                form,
                &[(
                    "LIVEROOM__FANOUT__CALM_DELIVERIES_PER_S",
                    calm_deliveries_per_s,
                )],
            );
        }
    }
}

fn come_and_go(form: Form, env: &[(&str, &str)]) {
    // The whole window of a room with default limits.
    const COMMENTS: u64 = 300;
    const SENT_A_TIME: usize = 10;
    const SEEN_A_TIME: usize = 23;
    let Stage {
        server,
        viewer,
        live_id,
        mut streamer,
    } = Stage::set(env);
    let mut line = Line::connect(&server, &viewer, form);
    let start = position(&line.join(&viewer, live_id, &Value::Null));
    let mut seen = start.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let numbers: Vec<u64> = (1..=COMMENTS).collect();
            for numbers in numbers.chunks(SENT_A_TIME) {
                let send = |number: &u64| {
                    (
                        streamer.send(
                            "comment",
                            json!({"live_id": live_id, "data": number.to_string()}),
                        ),
                        *number,
                    )
                };
                let sent: Vec<_> = numbers.iter().map(send).collect();
                for (id, number) in sent {
                    let said = streamer.answer(id);
                    assert_eq!(said["offset"], json!(number), "{said}");
                }
            }
        });
        while seen["offset"] != json!(COMMENTS) {
            for _ in 0..SEEN_A_TIME {
                let (name, event) = line.numbered();
                let next = seen["offset"].as_u64().expect("a number") + 1;
                assert_eq!((name.as_str(), &event["offset"]), ("comment", &json!(next)));
                assert_eq!(event["content"], json!(next.to_string()));
                seen = position(&event);
                if next == COMMENTS {
                    return;
                }
            }
            line = Line::connect(&server, &viewer, form);
            let joined = line.join(&viewer, live_id, &seen);
            assert_eq!(joined["recovered"], json!(true), "{joined}");
        }
    });
    // And once more, with nothing missed.
    let mut again = Line::connect(&server, &viewer, form);
    let joined = again.join(&viewer, live_id, &seen);
    assert_eq!(
        (&joined["recovered"], &joined["offset"]),
        (&json!(true), &json!(COMMENTS))
    );
    // Or with everything.
    let mut late = Line::connect(&server, &viewer, form);
    assert_eq!(
        late.join(&viewer, live_id, &start)["recovered"],
        json!(true)
    );
    for offset in 1..=COMMENTS {
        assert_eq!(late.numbered().1["offset"], json!(offset));
    }
}

#[test]
fn what_was_taken_down_meanwhile_is_not_told_again() {
    let mut stage = Stage::set(&[]);
    let mut onlooker = stage.line(Form::Plain);
    let start = position(&stage.join(&mut onlooker, &Value::Null));
    let kind = stage.say("kind");
    let rude = stage.say("rude");
    let last = stage.say("last");
    let path = format!("/admin/rooms/{}/comments/{rude}", stage.live_id);
    let removed = stage.server.admin_delete(&path).ok();
    assert_eq!(removed["id"], json!(rude), "{removed}");
    let removal = loop {
        let (name, event) = onlooker.numbered();
        if name == "removed" {
            break event;
        }
    };
    assert_eq!(
        (&removal["id"], &removal["offset"]),
        (&json!(rude), &json!(4)),
        "{removal}"
    );

    for form in FORMS {
        let mut line = stage.line(form);
        let joined = stage.join(&mut line, &start);
        assert_eq!(joined["recovered"], json!(true), "{form:?}: {joined}");
        let expected = [("comment", &kind), ("removed", &rude), ("comment", &last)];
        for (offset, (name, id)) in (1..).zip(expected) {
            let (heard, event) = line.numbered();
            assert_eq!(
                (heard.as_str(), &event["id"], &event["offset"]),
                (name, &json!(id), &json!(offset))
            );
            assert_ne!(event["content"], json!("rude"), "{form:?}");
        }
        assert_eq!(
            line.numbered(),
            ("removed".to_owned(), removal.clone()),
            "{form:?}"
        );
    }
    let shown = stage
        .server
        .get(&format!("/api/live/{}/history", stage.live_id))
        .ok();
    let shown: Vec<_> = shown
        .as_array()
        .expect("a list")
        .iter()
        .map(|comment| comment["id"].clone())
        .collect();
    assert_eq!(shown, [json!(last), json!(kind)]);
}

#[test]
fn what_cannot_be_recovered_whole_is_not_recovered_at_all() {
    // The least an outbox may have: 180 comments of 200 Chinese characters are more.
    let mut stage = Stage::set(&[("LIVEROOM__OUTBOX__BYTES_MAX", "131072")]);
    let mut line = stage.line(Form::Plain);
    let start = position(&stage.join(&mut line, &Value::Null));
    let epoch = &start["epoch"];
    for _ in 0..180 {
        stage.say(&"界".repeat(200));
    }
    for form in FORMS {
        for since in [
            start.clone(),
            json!({"epoch": epoch, "offset": 10_000}),
            json!({"epoch": "x", "offset": 180}),
        ] {
            let mut line = stage.line(form);
            let joined = stage.join(&mut line, &since);
            assert_eq!(
                (&joined["recovered"], &joined["offset"]),
                (&json!(false), &json!(180)),
                "{form:?}: {joined}"
            );
        }
    }
    let mut lines = FORMS.map(|form| {
        let mut line = stage.line(form);
        stage.join(&mut line, &start);
        line
    });
    stage.say("next");
    for line in &mut lines {
        assert_eq!(line.numbered().1["offset"], json!(181));
    }
}

#[test]
fn a_position_that_is_none_is_a_bad_request() {
    let stage = Stage::set(&[]);
    for form in FORMS {
        for since in [
            json!({}),
            json!("e:1"),
            json!({"epoch": 1, "offset": 1}),
            json!({"epoch": "e", "offset": -1}),
        ] {
            let answer = stage.line(form).join(&stage.viewer, stage.live_id, &since);
            assert_eq!(
                (&answer["ok"], &answer["code"]),
                (&json!(false), &json!("bad_request")),
                "{form:?}: {answer}"
            );
        }
    }
}
