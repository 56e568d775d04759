//! The codecs against recordings of real clients and servers, against each other, and against
//! input that nobody honest sends.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use crate::transcripts::rebuild::{comment_of, gift_of, presence_of, reject_of, text_of};
use crate::transcripts::{COMMANDS, RECORDINGS, Recording, Said, Side};
use liveroom::config::LimitsConfig;
use liveroom::domain::{
    AckId, CommentFault, CommentText, GiftCount, GiftId, LiveId, Reject, RoomCommand, SocketId,
    Timestamp,
};
use liveroom::protocol::engineio::{
    Handshake, PayloadKind, decode_binary, decode_payload, decode_text, encode_payload, open_packet,
};
use liveroom::protocol::socketio::{connect_error, connect_packet};
use liveroom::protocol::{
    ClientRequest, Decoded, Dialect, EnginePacket, EngineVersion, SocketIoDecoder, SocketIoInput,
    TokenField, event_text, plain_json, presence_text, reply_text,
};
use proptest::prelude::*;
use serde_json::Value;

const VERSIONS: [EngineVersion; 2] = [EngineVersion::V3, EngineVersion::V4];

// What clients said.

/// Every Engine.IO packet a client sends in the recordings is one, and every Socket.IO message is
/// in `commands.txt` with what it means, and no other.
#[test]
fn every_recorded_client_packet_is_understood_as_listed() {
    let mut found = BTreeMap::new();
    for recording in RECORDINGS {
        for (message, meaning) in client_messages(recording) {
            let before = found.insert(message.clone(), meaning.clone());
            assert!(
                before.is_none_or(|before| before == meaning),
                "{}: {message}",
                recording.name
            );
        }
    }
    let found: String = found
        .iter()
        .map(|(message, meaning)| format!("{message}\n    {meaning}\n"))
        .collect();
    assert_eq!(found, COMMANDS, "what the recordings say now:\n{found}");
}

const ATTACHMENT: &str = "(and its attachment)";

/// Each message of a client and what it means, one after the other as its session reads them.
fn client_messages(recording: &Recording) -> Vec<(String, String)> {
    let mut decoders: HashMap<String, SocketIoDecoder> = HashMap::new();
    let mut messages = Vec::new();
    let mut last_text = String::new();
    let version = recording.version;
    for line in recording
        .lines()
        .iter()
        .filter(|line| line.side == Side::Client)
    {
        let packets: Vec<EnginePacket<'_>> = match &line.said {
            Said::Body(body) => decode_payload(version, PayloadKind::Text, body.as_bytes())
                .unwrap()
                .map(Result::unwrap)
                .collect(),
            Said::Frame(frame) => vec![decode_text(version, frame).unwrap()],
            Said::BinaryFrame(frame) => vec![decode_binary(version, frame).unwrap()],
        };
        let decoder = decoders
            .entry(line.stream.clone())
            .or_insert_with(|| SocketIoDecoder::new(version, Arc::default()));
        for packet in packets {
            let (message, input) = match packet {
                EnginePacket::Message(text) => (text, decoder.text(text)),
                EnginePacket::Binary => (ATTACHMENT, decoder.attachment()),
                _ => continue,
            };
            let meaning = input.map_or_else(|error| format!("! {error}"), |input| describe(&input));
            let after = if message == ATTACHMENT {
                last_text.as_str()
            } else {
                ""
            };
            messages.push((format!("{after}{message}"), meaning));
            if message != ATTACHMENT {
                last_text = format!("{message} ");
            }
        }
    }
    assert!(!messages.is_empty(), "{}", recording.name);
    messages
}

fn describe(input: &SocketIoInput) -> String {
    match input {
        SocketIoInput::Connect { namespace } => format!("connect {namespace}"),
        SocketIoInput::Disconnect => "disconnect".into(),
        SocketIoInput::Ack => "ack".into(),
        SocketIoInput::Nothing => "nothing".into(),
        SocketIoInput::Event(Decoded::UnknownEvent { ack }) => format!("unknown event ack={ack:?}"),
        SocketIoInput::Event(Decoded::Malformed { ack, what }) => {
            format!("malformed ack={ack:?}: {what}")
        }
        SocketIoInput::Event(Decoded::Command(command)) => {
            let mut words = match &command.request {
                ClientRequest::Room(command) => room_command_words(command),
                ClientRequest::Act(request) => format!("action {:?}", request.action),
                ClientRequest::Auth => "auth".to_owned(),
            };
            let _ = write!(
                words,
                " in live {}",
                shown(command.live_id.map(LiveId::get))
            );
            match &command.token {
                TokenField::Missing => words.push_str(", no token"),
                TokenField::Malformed => words.push_str(", malformed token"),
                TokenField::Present(_) => {}
            }
            if command.ack != AckId::None {
                let _ = write!(words, ", ack={:?}", command.ack);
            }
            words
        }
    }
}

fn room_command_words(command: &RoomCommand) -> String {
    match command {
        RoomCommand::Join { .. } => "join".to_owned(),
        RoomCommand::Leave => "leave".to_owned(),
        RoomCommand::Comment { text: Ok(text), .. } => {
            format!("comment of {} characters", text.as_str().chars().count())
        }
        RoomCommand::Comment {
            text:
                Err(Reject::CommentRefused {
                    fault: CommentFault::Empty,
                }),
            ..
        } => "comment without text".to_owned(),
        RoomCommand::Comment {
            text: Err(fault), ..
        } => format!("comment, {fault:?}"),
        RoomCommand::Gift { gift_id, count, .. } => {
            format!(
                "gift {} x {}",
                shown(gift_id.map(GiftId::get)),
                shown(count.ok().map(GiftCount::get))
            )
        }
    }
}

fn shown(number: Option<i64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

// What servers said.

/// We say byte for byte what the recorded servers said; our additions come after their fields.
#[test]
fn every_recorded_server_packet_is_what_we_would_say() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for recording in RECORDINGS {
        for line in recording
            .lines()
            .iter()
            .filter(|line| line.side == Side::Server)
        {
            let packets = match &line.said {
                Said::Body(body) if body == "ok" => continue,
                Said::Body(body) => {
                    let packets = split_payload(recording.version, body);
                    let encoded = encode_payload(recording.version, &packets);
                    assert_eq!(
                        String::from_utf8(encoded).unwrap(),
                        *body,
                        "{}",
                        recording.name
                    );
                    packets
                }
                Said::Frame(frame) => vec![frame.clone()],
                Said::BinaryFrame(_) => continue,
            };
            for packet in packets {
                let kind = assert_said_by_us(recording.version, &packet, line.scenario);
                *counts.entry(kind).or_default() += 1;
            }
        }
    }
    // So that a change of the recordings or of the sorting cannot make this test empty.
    for (kind, at_least) in [
        ("open", 100),
        ("connect", 100),
        ("connect_error", 10),
        ("online join", 60),
        ("online leave", 6),
        ("comment", 30),
        ("gift", 6),
        ("error", 80),
    ] {
        assert!(
            counts.get(kind).is_some_and(|count| *count >= at_least),
            "{kind}: {counts:?}"
        );
    }
    // Not said any more: leaked internals, and comments that were no text.
    assert!(counts["not ours"] < 40, "{counts:?}");
}

fn assert_said_by_us(version: EngineVersion, packet: &str, scenario: &str) -> &'static str {
    let json = |text: &str| {
        serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {packet}"))
    };
    match packet {
        "1" | "2" | "3" | "3probe" | "6" => return "engine",
        "40" => {
            assert_eq!(connect_packet(version, ""), packet);
            return "connect";
        }
        _ => {}
    }
    if let Some(text) = packet.strip_prefix("0{") {
        let open = json(&format!("{{{text}"));
        let handshake = Handshake {
            sid: text_of(&open["sid"]),
            upgrade: open["upgrades"] == serde_json::json!(["websocket"]),
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            payload_bytes_max: 1_000_000,
        };
        assert_eq!(open_packet(version, &handshake), packet);
        "open"
    } else if let Some(text) = packet.strip_prefix("40") {
        assert_eq!(connect_packet(version, text_of(&json(text)["sid"])), packet);
        "connect"
    } else if packet.starts_with("44/") {
        let (namespace, _) = packet["44".len()..].split_once(',').unwrap();
        assert_eq!(connect_error(version, namespace), packet);
        "connect_error"
    } else if let Some(text) = packet.strip_prefix("42") {
        assert_event_said_by_us(packet, &json(text))
    } else {
        // A fault of the replaced system, told to the client; a binary comment passed on.
        assert!(
            packet.starts_with("44\"[egg-socket.io]") || scenario == "binary-arg",
            "{packet}"
        );
        "not ours"
    }
}

fn assert_event_said_by_us(packet: &str, event: &Value) -> &'static str {
    let body = &event[1];
    match text_of(&event[0]) {
        "online" => {
            let join = body["action"] == "join";
            let ours = presence_text(Dialect::SocketIo, &presence_of(body));
            assert_extends(packet, &ours, &["count", "live_id"]);
            if join { "online join" } else { "online leave" }
        }
        "comment" => {
            let Some(text) = body["content"]
                .as_str()
                .and_then(|text| CommentText::parse(text, 10_000).ok())
            else {
                return "not ours";
            };
            let ours = event_text(Dialect::SocketIo, &comment_of(body, text));
            assert_extends(packet, &ours, &["id", "at", "live_id", "epoch", "offset"]);
            "comment"
        }
        "gift" => {
            let ours = event_text(Dialect::SocketIo, &gift_of(body));
            let added = [
                "id",
                "user",
                "gift_id",
                "gift_coin",
                "live_id",
                "live_coin",
                "at",
                "epoch",
                "offset",
            ];
            assert_extends(packet, &ours, &added);
            "gift"
        }
        socket_id => {
            let reject =
                reject_of(text_of(&body["data"]["payload"])).unwrap_or_else(|| panic!("{packet}"));
            let now = Timestamp(body["meta"]["timestamp"].as_i64().unwrap());
            let socket_id: SocketId = socket_id.into();
            let ours = reply_text(
                Dialect::SocketIo,
                &socket_id,
                &AckId::None,
                &Err(reject),
                now,
            );
            assert_eq!(ours.as_deref(), Some(packet));
            "error"
        }
    }
}

/// `ours` is `theirs` with the fields `added` appended to the payload, in that order.
fn assert_extends(theirs: &str, ours: &str, added: &[&str]) {
    let shared = theirs.strip_suffix("}]").unwrap();
    let rest = ours
        .strip_prefix(shared)
        .unwrap_or_else(|| panic!("ours {ours}\ntheirs {theirs}"));
    let mut at = 0;
    for name in added {
        let key = format!(",\"{name}\":");
        let found = rest[at..]
            .find(&key)
            .unwrap_or_else(|| panic!("{name} in {ours}"));
        at += found + key.len();
    }
    let count = |text: &str| {
        serde_json::from_str::<Value>(&text[2..]).unwrap()[1]
            .as_object()
            .unwrap()
            .len()
    };
    assert_eq!(count(ours), count(theirs) + added.len(), "{ours}");
}

/// The packets of a recorded server payload, taken apart without the code under test.
fn split_payload(version: EngineVersion, body: &str) -> Vec<String> {
    if version == EngineVersion::V4 {
        return body.split('\x1e').map(str::to_owned).collect();
    }
    let mut packets = Vec::new();
    let mut rest = body.to_owned();
    while let Some((length, tail)) = rest.split_once(':') {
        let units: Vec<u16> = tail.encode_utf16().collect();
        let (packet, after) = units.split_at(length.parse().unwrap());
        packets.push(String::from_utf16(packet).unwrap());
        rest = String::from_utf16(after).unwrap();
    }
    packets
}

// What nobody honest says.

#[test]
fn hostile_payloads_are_refused_whole_or_from_the_fault_on() {
    use EngineVersion::{V3, V4};
    use PayloadKind::{Binary, Text};
    let long_length = format!("{}:4", "9".repeat(400));
    let cases: &[(EngineVersion, PayloadKind, &[u8], usize)] = &[
        (V3, Text, b"", 0),
        (V3, Text, b":4", 0),
        (V3, Text, b"1", 0),
        (V3, Text, b"+1:2", 0),
        (V3, Text, b"-1:2", 0),
        (V3, Text, b"1.0:2", 0),
        (V3, Text, b"9:2", 0),
        (V3, Text, b"1:21:2x", 2),
        (V3, Text, long_length.as_bytes(), 0),
        (V3, Text, b"3:4\xff\xff", 0),
        (V3, Text, "2:4👍".as_bytes(), 0),
        (V3, Text, b"2:0{", 0),
        (V3, Text, b"4:bAQI", 0),
        (V3, Binary, b"1:2", 0),
        (V3, Binary, &[0, 1, 0xff], 0),
        (V3, Binary, &[0, 0xff, b'2'], 0),
        (V3, Binary, &[0, b'1', 0xff, b'2'], 0),
        (V3, Binary, &[2, 1, 0xff, b'2'], 0),
        (V3, Binary, &[1, 1, 0xff, 2], 0),
        (V3, Binary, &[0, 1, 0xff, 0xc0], 0),
        (V3, Binary, &[0, 1, 0xff, b'2', 0], 1),
        (V4, Text, b"", 0),
        (V4, Text, b"\x1e", 0),
        (V4, Text, b"2\x1e\x1e2", 1),
        (V4, Text, b"2\x1e", 1),
        (V4, Text, b"7", 0),
        (V4, Text, b"0{}", 0),
        (V4, Text, b"4\xed\xa0\x80", 0),
        (V4, Text, "é".as_bytes(), 0),
    ];
    for (version, kind, body, good_count) in cases {
        let shown = String::from_utf8_lossy(body);
        let Ok(mut packets) = decode_payload(*version, *kind, body) else {
            assert_eq!(*good_count, 0, "{version:?} {shown}");
            continue;
        };
        for _ in 0..*good_count {
            assert!(matches!(packets.next(), Some(Ok(_))), "{version:?} {shown}");
        }
        assert!(
            matches!(packets.next(), Some(Err(_))),
            "{version:?} {shown}"
        );
        assert_eq!(
            packets.next(),
            None,
            "{version:?} {shown}: ends after a fault"
        );
    }
}

#[test]
fn a_payload_of_nothing_but_tiny_packets_costs_one_walk() {
    let packets = vec!["2"; 250_000];
    for version in VERSIONS {
        let body = encode_payload(version, &packets);
        let count = decode_payload(version, PayloadKind::Text, &body)
            .unwrap()
            .filter(Result::is_ok)
            .count();
        assert_eq!(count, packets.len());
    }
}

/// A message, and what becomes of it: `!` ends the session, the rest is what `describe` says.
#[test]
fn hostile_messages_are_answered_ignored_or_end_the_session() {
    use EngineVersion::{V3, V4};
    let deep = format!("2[\"comment\",{}{}]", "[".repeat(3_000), "]".repeat(3_000));
    let large = format!("27[\"comment\",{{\"data\":\"{}\"}}]", "x".repeat(9_000));
    let many_digits = format!("2{}[\"leaveLive\"]", "1".repeat(5_000));
    let long_namespace = format!("0/{}", "n".repeat(300));
    let half_an_emoji =
        "malformed ack=Number(9): event: text and numbers that JSON can hold".to_owned();
    let cases: &[(EngineVersion, &str, &str)] = &[
        (V3, "", "!"),
        (V3, "7", "!"),
        (V3, "é", "!"),
        (V3, "2", "unknown event ack=None"),
        (V4, "2", "unknown event ack=None"),
        (V4, "2x", "!"),
        (V4, "2[]", "!"),
        (V4, "2[null]", "!"),
        (V4, "2[{}]", "!"),
        (V4, "2null", "!"),
        (V4, "2\"x\"", "!"),
        (V4, "2{\"a\":1}", "!"),
        (V3, "2{}", "!"),
        (V4, "29[\"comment\"", "!"),
        (V4, "2abc[\"comment\"]", "!"),
        (V4, "2[\"comment\",NaN]", "!"),
        (V4, "2[\"comment\"]x", "!"),
        (V4, "2[\"comment\"][]", "!"),
        (V4, "2[\"comment\",\"\u{1}\"]", "!"),
        (V4, "29[\"comment\",{\"data\":\"\\ud83d\"}]", &half_an_emoji),
        (V4, "2 [ \"leaveLive\" ] ", "leave in live ?, no token"),
        (V4, "2[1]", "unknown event ack=None"),
        (V4, "29[1.5]", "unknown event ack=Number(9)"),
        (V4, "2[\"connect\"]", "!"),
        (V4, "2[\"disconnecting\"]", "!"),
        (
            V4,
            "2[\"auth\",{\"token\":\"t\"}]",
            "unknown event ack=None",
        ),
        (
            V4,
            "2[\"leaveLive\",{\"live_id\":1e999}]",
            &half_an_emoji.replace("Number(9)", "None"),
        ),
        (
            V4,
            "299999999999999999999[\"leaveLive\"]",
            "leave in live ?, no token",
        ),
        (V4, "2-1[\"leaveLive\"]", "!"),
        (V4, &deep, "malformed ack=None: payload nested too deep"),
        (V4, &large, "malformed ack=Number(7): payload too large"),
        (V4, &many_digits, "leave in live ?, no token"),
        (V3, "2/admin,[\"leaveLive\"]", "nothing"),
        (V4, "2/admin,[\"leaveLive\"]", "!"),
        (V3, "1/admin,", "nothing"),
        (V4, "1/admin,", "!"),
        (V3, "0/admin?token=x,", "connect /admin"),
        (V4, "0/admin?token=x,", "connect /admin?token=x"),
        (V3, "0/?token=x", "connect /"),
        (V4, "0{\"token\":\"t\"}", "connect /"),
        (V4, "0{\"token\":", "!"),
        (V4, "0[]", "!"),
        (V4, "0null", "!"),
        (V4, "0/admin,\"x\"", "!"),
        (V4, "1", "disconnect"),
        (V4, "1{}", "!"),
        (V3, "1/,x", "!"),
        (V4, &long_namespace, "!"),
        (V3, "37[]", "ack"),
        (V4, "37{}", "!"),
        (V4, "37[", "!"),
        (V3, "3", "!"),
        (V3, "4\"x\"", "nothing"),
        (V4, "4\"x\"", "!"),
        (V4, "5[\"comment\"]", "!"),
        (V4, "5-[\"comment\"]", "!"),
        (V4, "511-[\"comment\"]", "!"),
        (V4, "599999999999999999999999-[\"comment\"]", "!"),
        (V4, "50-[\"leaveLive\"]", "!"),
        (V4, "51-{}", "!"),
        (V4, "51-/,[\"leaveLive\"", "!"),
        (V4, "61-7{}", "!"),
        (V4, "51-/,7[\"leaveLive\"]", "nothing"),
        (V4, "510-[\"comment\"]", "nothing"),
    ];
    for (version, message, expected) in cases {
        let input = SocketIoDecoder::new(*version, Arc::default()).text(message);
        let meaning = input.map_or_else(|_| "!".to_owned(), |input| describe(&input));
        assert_eq!(meaning, *expected, "{version:?} {message:.80}");
    }
}

#[test]
fn attachments_come_after_their_packet_and_before_the_next() {
    for version in VERSIONS {
        let decoder = || SocketIoDecoder::new(version, Arc::default());
        let header = "52-3[\"comment\",{\"live_id\":2,\"data\":{\"_placeholder\":true,\"num\":0}}]";

        let mut whole = decoder();
        assert_eq!(whole.text(header).unwrap(), SocketIoInput::Nothing);
        assert_eq!(whole.attachment().unwrap(), SocketIoInput::Nothing);
        let meaning = describe(&whole.attachment().unwrap());
        assert_eq!(
            meaning,
            "comment without text in live 2, no token, ack=Number(3)"
        );
        assert!(whole.attachment().is_err(), "one too many");

        let mut interrupted = decoder();
        assert_eq!(interrupted.text(header).unwrap(), SocketIoInput::Nothing);
        assert!(interrupted.text("2[\"leaveLive\"]").is_err());

        assert!(decoder().attachment().is_err(), "of nothing");
        assert!(
            decoder()
                .text(&format!("51-[\"comment\",\"{}\"]", "x".repeat(9_000)))
                .is_err(),
            "kept in memory"
        );
    }
}

// Properties.

/// Messages as honest clients send them, to be damaged.
const SAMPLES: [&str; 6] = [
    r#"2["joinLive",{"live_id":2,"token":"eyJ","since":{"epoch":"e","offset":3}}]"#,
    r#"217["comment",{"live_id":"2","token":"eyJ","data":"hello 世界👍","request_id":"c-1"}]"#,
    r#"2/admin,3["gift",{"live_id":2,"token":"eyJ","gift_id":1,"num":3}]"#,
    r#"51-["comment",{"live_id":2,"data":{"_placeholder":true,"num":0}}]"#,
    r#"0/admin?token=x,{"token":"é"}"#,
    r#"{"id":"a","event":"comment","data":{"live_id":2,"data":"\u4e16","request_id":"c-1"}}"#,
];

fn damaged() -> impl Strategy<Value = String> {
    let cut = (
        0..SAMPLES.len(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        "\\PC{0,3}|[\\[{\"\\\\0-9,/-]{0,9}",
    );
    cut.prop_map(|(sample, from, to, patch)| {
        let characters: Vec<char> = SAMPLES[sample].chars().collect();
        let (from, to) = (from.index(characters.len()), to.index(characters.len()));
        let (from, to) = (from.min(to), from.max(to));
        characters[..from]
            .iter()
            .copied()
            .chain(patch.chars())
            .chain(characters[to..].iter().copied())
            .collect()
    })
}

fn feed_everything(text: &str) {
    let _ = plain_json::decode(text, &LimitsConfig::default());
    for version in VERSIONS {
        let _ = decode_text(version, text);
        let mut decoder = SocketIoDecoder::new(version, Arc::default());
        let _ = decoder.text(text);
        let _ = decoder.attachment();
        let _ = decoder.text(text);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for version in VERSIONS {
            let _ = decode_binary(version, &bytes);
            for kind in [PayloadKind::Text, PayloadKind::Binary] {
                if let Ok(packets) = decode_payload(version, kind, &bytes) {
                    prop_assert!(packets.count() <= bytes.len() + 1);
                }
            }
        }
        feed_everything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damaged_packet_makes_a_decoder_panic(text in damaged()) {
        feed_everything(&text);
        for version in VERSIONS {
            let body = encode_payload(version, &[format!("4{text}")]);
            for kind in [PayloadKind::Text, PayloadKind::Binary] {
                if let Ok(packets) = decode_payload(version, kind, &body) {
                    packets.for_each(drop);
                }
            }
        }
    }

    #[test]
    fn payloads_round_trip(messages in prop::collection::vec("[^\\x1e]{0,20}", 1..20)) {
        let packets: Vec<String> = messages.iter().map(|message| format!("4{message}")).collect();
        for version in VERSIONS {
            let body = encode_payload(version, &packets);
            let read: Result<Vec<_>, _> = decode_payload(version, PayloadKind::Text, &body).unwrap().collect();
            let expected: Vec<_> = messages.iter().map(|message| EnginePacket::Message(message)).collect();
            prop_assert_eq!(read, Ok(expected));
        }
    }

    #[test]
    fn depth_of_what_is_parsed_is_bounded(depth in 1_usize..400) {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let message = format!("2[\"leaveLive\",{json}]");
        let input = SocketIoDecoder::new(EngineVersion::V4, Arc::default()).text(&message).unwrap();
        let refused = matches!(input, SocketIoInput::Event(Decoded::Malformed { .. }));
        prop_assert_eq!(refused, depth + 1 > LimitsConfig::default().json_depth);
    }
}
