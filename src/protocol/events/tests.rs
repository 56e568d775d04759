//! Each kind of event in the bytes that nodes and clients of all versions agree on.

use super::*;
use crate::domain::{ActionId, Pin, Principal, Profile, UserId};

/// Of each event its line, and what clients of both dialects get, as version 824d29f wrote them.
const RECORDED: &str = include_str!("../../../tests/node_lines/first_kinds.txt");

const AT: Timestamp = Timestamp(1_795_294_582_778);

fn profile(avatar: Option<&str>) -> Arc<Profile> {
    Arc::new(Profile {
        id: UserId::new(5).unwrap(),
        name: "小\"明\"".into(),
        avatar: avatar.map(str::to_owned),
    })
}

fn comment(text: &str, avatar: Option<&str>, request_id: Option<&str>) -> RoomEvent {
    RoomEvent::Comment(Arc::new(Comment {
        id: CommentId::new(1_795_294_582_778_001).unwrap(),
        live_id: LiveId::new(2).unwrap(),
        author: profile(avatar),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: request_id.map(|id| RequestId::parse(id).unwrap()),
        at: Timestamp(1_795_294_582_700),
    }))
}

fn gift(avatar: Option<&str>) -> RoomEvent {
    let gift = Gift {
        id: GiftId::new(3).unwrap(),
        name: "小花".into(),
        image: "/public/gift/flower.png".into(),
        price: Coins::new(7),
    };
    let order = GiftOrder {
        live_id: LiveId::new(2).unwrap(),
        giver: profile(avatar),
        gift: Arc::new(gift),
        count: GiftCount::new(9).unwrap(),
        request_id: RequestId::parse("g-1").unwrap(),
        at: Timestamp(1_795_294_582_500),
    };
    let receipt = GiftReceipt {
        record_id: GiftRecordId::new(11).unwrap(),
        total: Coins::new(63),
        giver_coin: Coins::new(40),
        live_coin: Coins::new(9_007_199_254_740_000),
        at: Timestamp(1_795_294_582_600),
        duplicate: false,
    };
    RoomEvent::Gift {
        order: Arc::new(order),
        receipt,
    }
}

fn live(status: LiveStatus) -> RoomEvent {
    RoomEvent::Live {
        live_id: LiveId::new(2).unwrap(),
        status,
        title: "晚 \\ \"会\"\t".into(),
    }
}

/// The events of the recordings, in their order.
fn recorded_events() -> Vec<RoomEvent> {
    let live_id = LiveId::new(2).unwrap();
    vec![
        comment("hello\n世界 \u{2028}\"\u{1}😀", None, Some("c-1")),
        comment("<b>", Some(""), None),
        comment("x", Some("http://h/a.png"), Some("A_z-9")),
        gift(None),
        gift(Some("http://h/a.png")),
        live(LiveStatus::Scheduled),
        live(LiveStatus::OnAir),
        live(LiveStatus::Paused),
        live(LiveStatus::Ended),
        RoomEvent::Removed {
            live_id,
            comment_id: CommentId::new(1_795_294_582_778_001).unwrap(),
        },
        RoomEvent::Notice {
            live_id,
            text: "请文明发言\n\"\u{7f}".into(),
        },
    ]
}

fn placed(event: RoomEvent) -> Sequenced {
    Sequenced {
        epoch: "k3f".into(),
        offset: 42,
        event,
    }
}

/// The event in the form that kinds have which the first versions do not know.
fn common_line(event: &RoomEvent) -> String {
    encode(event, NodeLine { at: AT })
}

fn other(line: &str) -> Option<RoomEvent> {
    read_event(line)
        .map(|(event, _)| event)
        .filter(|event| matches!(event, RoomEvent::Other(_)))
}

#[test]
fn the_first_kinds_keep_their_bytes_for_nodes_and_clients() {
    let blocks: Vec<&str> = RECORDED.trim_end().split("\n\n").collect();
    assert_eq!(blocks.len(), recorded_events().len());
    for (block, event) in blocks.into_iter().zip(recorded_events()) {
        let sequenced = placed(event);
        let [line, socketio, plain] = block.split('\n').collect::<Vec<_>>()[..] else {
            panic!("three lines: {block}")
        };
        assert_eq!(write_event(&sequenced.event, AT), line);
        assert_eq!(event_text(Dialect::SocketIo, &sequenced), socketio);
        assert_eq!(event_text(Dialect::PlainJson, &sequenced), plain);
        assert_eq!(read_event(line), Some((sequenced.event, AT)));
    }
}

#[test]
fn every_kind_reads_as_it_was_written_in_the_common_form_too() {
    for event in recorded_events() {
        let line = common_line(&event);
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(read_event(&line), Some((event, AT)), "{line}");
    }
}

#[test]
fn clients_get_nothing_of_what_is_private() {
    let line = common_line(&gift(None));
    assert!(line.contains(
        r#""private":{"request_id":"g-1","ordered_at":1795294582500,"total":63,"giver_coin":40}"#
    ));
    let fields = event_fields(&placed(gift(None)));
    for name in ["request_id", "ordered_at", "total", "giver_coin", "private"] {
        assert!(
            !event_text(Dialect::PlainJson, &placed(gift(None))).contains(name),
            "{name}"
        );
        assert!(!fields.contains_key(name), "{name}");
    }
}

#[test]
fn fields_that_a_later_version_added_are_ignored() {
    let line = r#"{"at":1,"event":"notice","live_id":2,"text":"x","by":7}"#;
    let notice = RoomEvent::Notice {
        live_id: LiveId::new(2).unwrap(),
        text: "x".into(),
    };
    assert_eq!(read_event(line), Some((notice.clone(), Timestamp(1))));
    let line = r#"{"at":1,"event":"notice","body":{"live_id":2,"text":"x","by":7},"private":{"z":1},"more":[]}"#;
    assert_eq!(read_event(line), Some((notice, Timestamp(1))));
}

#[test]
fn what_no_node_writes_is_nothing() {
    for line in [
        "",
        "{}",
        "null",
        r#"{"at":1,"event":"notice","live_id":0,"text":"x"}"#,
        r#"{"at":1,"event":"notice","body":{"live_id":0,"text":"x"}}"#,
        r#"{"at":1,"event":"gift","body":{"live_id":2}}"#,
        r#"{"event":"poll","body":{}}"#,
    ] {
        assert_eq!(read_event(line), None, "{line}");
    }
}

#[test]
fn an_unknown_kind_is_passed_on_as_it_came() {
    let line = r#"{"at":7,"event":"poll","body":{"live_id":2,"b":1.50,"a":[18446744073709551616]} ,"private":{"by":9},"later":1}"#;
    let (event, at) = read_event(line).expect("a kind of a later version");
    assert_eq!(at, Timestamp(7));
    assert_eq!(write_event(&event, AT), line, "to nodes: byte for byte");
    let body = r#"{"live_id":2,"b":1.50,"a":[18446744073709551616],"epoch":"k3f","offset":42}"#;
    let sequenced = placed(event);
    assert_eq!(
        event_text(Dialect::SocketIo, &sequenced),
        format!(r#"42["poll",{body}]"#)
    );
    assert_eq!(
        event_text(Dialect::PlainJson, &sequenced),
        format!(r#"{{"event":"poll","data":{body}}}"#)
    );
    let fields = event_fields(&sequenced);
    assert_eq!(
        (&fields["event"], &fields["offset"]),
        (&"poll".into(), &42.into())
    );
    assert_eq!((&fields["live_id"], fields.get("by")), (&2.into(), None));
}

#[test]
fn the_place_is_added_to_a_body_without_fields() {
    for body in ["{}", "{ }"] {
        let event =
            other(&format!(r#"{{"at":7,"event":"poll","body":{body}}}"#)).expect("an unknown kind");
        let text = event_text(Dialect::SocketIo, &placed(event));
        assert_eq!(text, r#"42["poll",{"epoch":"k3f","offset":42}]"#);
    }
}

#[test]
fn an_unknown_kind_is_bounded() {
    let line = |name: &str, body: &str| format!(r#"{{"at":7,"event":"{name}","body":{body}}}"#);
    let text = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
    let frame = line("poll", &text(0)).len();
    assert!(other(&line(&"n".repeat(OTHER_NAME_CHARS_MAX), "{}")).is_some());
    assert!(other(&line("poll", &text(OTHER_LINE_BYTES_MAX - frame))).is_some());
    for too_much in [
        line(&"n".repeat(OTHER_NAME_CHARS_MAX + 1), "{}"),
        line("", "{}"),
        line("a-b", "{}"),
        line("投票", "{}"),
        line("poll", "[]"),
        line("poll", "null"),
        line("poll", &text(OTHER_LINE_BYTES_MAX - frame + 1)),
    ] {
        assert_eq!(read_event(&too_much), None, "{too_much:.80}");
    }
}

#[test]
fn an_echo_is_a_comment_without_a_place() {
    let RoomEvent::Comment(comment) = comment("hi", None, None) else {
        panic!("a comment")
    };
    let text = echo_text(Dialect::SocketIo, &comment);
    let expected =
        r#"42["comment",{"user":{"id":5,"name":"小\"明\"","avatar":null},"content":"hi","#;
    assert_eq!(
        text,
        format!(r#"{expected}"id":"1795294582778001","at":1795294582700,"live_id":2}}]"#)
    );
}

#[test]
fn a_purge_names_all_its_comments_and_the_first_for_those_who_read_one() {
    let id = |id| CommentId::new(id).unwrap();
    let purged = RoomEvent::Purged {
        live_id: LiveId::new(2).unwrap(),
        comment_ids: [id(1_795_294_582_778_001), id(5)].into(),
    };
    assert_eq!(
        event_text(Dialect::PlainJson, &placed(purged.clone())),
        r#"{"event":"removed","data":{"live_id":2,"id":"1795294582778001","ids":["1795294582778001","5"],"epoch":"k3f","offset":42}}"#
    );
    let line = write_event(&purged, AT);
    assert_eq!(read_event(&line), Some((purged, AT)));
    let of_no_number = line.replace("\"5\"", "\"five\"");
    assert_eq!(read_event(&of_no_number), None);
}

#[test]
fn a_pin_has_the_comment_as_it_was_shown_and_keeps_its_action_from_clients() {
    let RoomEvent::Comment(pinned) = comment("hi", None, None) else {
        panic!("a comment")
    };
    let pin = |comment, by| RoomEvent::Pinned {
        live_id: LiveId::new(2).unwrap(),
        pin: Pin {
            comment,
            by,
            action: ActionId::new(31).unwrap(),
        },
    };
    let user = Principal::User(UserId::new(7).unwrap());
    let shown = r#"{"user":{"id":5,"name":"小\"明\"","avatar":null},"content":"hi","id":"1795294582778001","at":1795294582700,"live_id":2}"#;
    for (event, comment, by) in [
        (pin(Some(pinned), user), shown, "7"),
        (pin(None, Principal::Operator), "null", r#""operator""#),
    ] {
        assert_eq!(
            event_text(Dialect::PlainJson, &placed(event.clone())),
            format!(
                r#"{{"event":"pinned","data":{{"live_id":2,"comment":{comment},"by":{by},"epoch":"k3f","offset":42}}}}"#
            )
        );
        let line = write_event(&event, AT);
        assert_eq!(read_event(&line), Some((event, AT)), "{line}");
    }
}
