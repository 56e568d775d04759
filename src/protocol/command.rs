//! The command of a client, as far as its bytes define it.

use std::fmt;

use serde_json::{Map, Value};

use super::modes::modes_change;
use super::payload::{FieldFault, integer};
use crate::config::LimitsConfig;
use crate::domain::{
    AckId, Action, Coins, CommentId, CommentText, GiftCount, GiftId, LiveId, NOTICE_CHARS_MAX,
    Position, Purge, REASON_CHARS_MAX, Reject, RequestId, RoomCommand, SanctionKind, SanctionOrder,
    TAKE_DOWN_MAX, TITLE_CHARS_MAX, Term, UserId, is_text,
};

/// One command, decoded but not yet believed.
///
/// Faults in single fields are kept as values, because the wire contract fixes the order in which
/// they are reported: first the token, then the live, then the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCommand {
    pub ack: AckId,
    pub token: TokenField,
    /// `None` unless the id was a positive integer or a string of its digits.
    pub live_id: Option<LiveId>,
    pub request: ClientRequest,
}

/// The request of a client, by the part of the server that acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// The room of the live acts on it.
    Room(RoomCommand),
    /// It is stored first, and takes the way of all actions.
    Act(ActionRequest),
    /// Plain JSON only: the session takes the token that came with the command for its own.
    Auth,
}

/// An action on the live, as far as its bytes define it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRequest {
    pub action: Result<Action, Reject>,
    /// Why, for the audit.
    pub reason: Result<Option<String>, Reject>,
    pub request_id: Result<Option<RequestId>, Reject>,
}

/// The `token` of a payload.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenField {
    /// Absent, empty, null, or the payload is not an object.
    Missing,
    /// There, but no string.
    Malformed,
    Present(String),
}

impl fmt::Debug for TokenField {
    /// A token is a password: it is not shown, not even by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenField::Missing => "Missing",
            TokenField::Malformed => "Malformed",
            TokenField::Present(_) => "Present(***)",
        })
    }
}

/// The result of decoding one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    Command(ClientCommand),
    /// Well-formed, but no event we know. Socket.IO ignores it; plain JSON answers `bad_request`.
    UnknownEvent {
        ack: AckId,
    },
    /// Recognisable enough to be answered with `bad_request`, not enough to be a command: too
    /// large, too deep, no JSON.
    Malformed {
        ack: AckId,
        what: FieldFault,
    },
}

/// Longest `epoch` a client may claim to have seen, in bytes; ours are far shorter.
const EPOCH_BYTES_MAX: usize = 64;

/// Reads an event that both dialects have. `payload` is its first argument; anything but an object
/// counts as an empty one, so that it is the missing token that is reported.
pub fn decode_event(
    event: &str,
    payload: Option<Value>,
    ack: AckId,
    limits: &LimitsConfig,
) -> Decoded {
    let mut fields = into_fields(payload);
    let request = if let Some(command) = room_command(event, &fields, limits) {
        ClientRequest::Room(command)
    } else if let Some(action) = action(event, &fields) {
        ClientRequest::Act(ActionRequest {
            action,
            reason: reason(&fields),
            request_id: request_id(&fields),
        })
    } else {
        return Decoded::UnknownEvent { ack };
    };
    let live_id = fields
        .get("live_id")
        .and_then(integer)
        .and_then(LiveId::new);
    Decoded::Command(ClientCommand {
        ack,
        token: take_token(&mut fields),
        live_id,
        request,
    })
}

fn room_command(
    event: &str,
    fields: &Map<String, Value>,
    limits: &LimitsConfig,
) -> Option<RoomCommand> {
    Some(match event {
        "joinLive" => RoomCommand::Join {
            since: since(fields),
        },
        "leaveLive" => RoomCommand::Leave,
        "comment" => RoomCommand::Comment {
            text: comment_text(fields, limits.comment_chars),
            request_id: request_id(fields),
        },
        "gift" => RoomCommand::Gift {
            gift_id: fields
                .get("gift_id")
                .and_then(integer)
                .and_then(GiftId::new),
            count: gift_count(fields),
            shown_price: shown_price(fields),
            request_id: request_id(fields),
        },
        _ => return None,
    })
}

/// The action that an event asks for; `None` if there is no such event.
fn action(event: &str, fields: &Map<String, Value>) -> Option<Result<Action, Reject>> {
    let id = |name: &str| fields.get(name).and_then(integer);
    let bad = |what| Reject::BadRequest { what };
    let user = id("user_id")
        .and_then(UserId::new)
        .ok_or(bad("user_id: a positive integer"));
    let comment = id("comment_id")
        .and_then(CommentId::new)
        .ok_or(bad("comment_id: a positive integer"));
    let lift = |kind| user.map(|user| Action::Lift { user, kind });
    if let Some(kind) = SanctionKind::from_name(event) {
        return Some(user.and_then(|user| sanction(fields, user, kind)));
    }
    Some(match event {
        "unmute" => lift(SanctionKind::Mute),
        "unban" => lift(SanctionKind::Ban),
        "unshadow" => lift(SanctionKind::Shadow),
        "setModerator" => user.and_then(|user| {
            let moderator = flag(fields, "moderator", None)?;
            Ok(Action::SetModerator { user, moderator })
        }),
        "setModes" => modes_change(fields).map(Action::SetModes),
        "kick" => user.map(Action::Kick),
        "deleteComment" => comment.map(Action::TakeDown),
        "report" => comment.and_then(|comment| {
            // Moderators read it.
            let has_reason = text(fields, "reason", REASON_CHARS_MAX).is_some();
            let fault = bad(REASON);
            has_reason.then_some(Action::Report(comment)).ok_or(fault)
        }),
        "dismissReports" => comment.map(Action::DismissReports),
        "deleteComments" => user.and_then(|user| {
            let count = id("count")
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| (1..=TAKE_DOWN_MAX).contains(count))
                .ok_or(bad("count: 1 to 500"))?;
            Ok(Action::TakeDownLast { user, count })
        }),
        "pin" => pinned(fields).map(Action::Pin),
        "restore" => user.map(Action::Restore),
        "review" => review(fields),
        "notice" => text(fields, "text", NOTICE_CHARS_MAX)
            .map(|text| Action::Notice(text.into()))
            .ok_or(bad("text: 1 to 200 characters, none of them U+0000")),
        "setTitle" => text(fields, "title", TITLE_CHARS_MAX)
            .map(|title| Action::SetTitle(title.into()))
            .ok_or(bad("title: 1 to 100 characters, none of them U+0000")),
        _ => return None,
    })
}

/// Why, as it is asked for.
const REASON: &str = "reason: 1 to 500 characters, none of them U+0000";

/// The comment that is to be pinned; `None`: no comment any more, which has to be said.
fn pinned(fields: &Map<String, Value>) -> Result<Option<CommentId>, Reject> {
    let fault = Reject::BadRequest {
        what: "comment_id: a positive integer, or null",
    };
    match fields.get("comment_id") {
        Some(Value::Null) => Ok(None),
        Some(id) => match integer(id).and_then(CommentId::new) {
            Some(id) => Ok(Some(id)),
            None => Err(fault),
        },
        None => Err(fault),
    }
}

fn review(fields: &Map<String, Value>) -> Result<Action, Reject> {
    let comment_id = fields
        .get("comment_id")
        .and_then(integer)
        .and_then(CommentId::new)
        .ok_or(Reject::BadRequest {
            what: "comment_id: a positive integer",
        })?;
    let approve = flag(fields, "approve", None)?;
    Ok(Action::Review {
        comment_id,
        approve,
    })
}

/// How long a sanction lasts, as it is asked for.
const SECONDS: &str = "seconds: 1 to 1209600, 0 until this live ends, -1 for ever";

fn sanction(
    fields: &Map<String, Value>,
    user: UserId,
    kind: SanctionKind,
) -> Result<Action, Reject> {
    let term = fields
        .get("seconds")
        .and_then(Value::as_i64)
        .and_then(Term::from_seconds)
        .ok_or(Reject::BadRequest { what: SECONDS })?;
    let mut order = SanctionOrder::new(user, kind, term, None)?;
    match kind {
        SanctionKind::Mute => order.gifts = flag(fields, "gifts", Some(true))?,
        SanctionKind::Ban => order.purge = purge(fields)?,
        SanctionKind::Shadow => {}
    }
    Ok(Action::Sanction(order))
}

fn purge(fields: &Map<String, Value>) -> Result<Purge, Reject> {
    let fault = Reject::BadRequest {
        what: "purge: none, recent or live",
    };
    match fields.get("purge") {
        None | Some(Value::Null) => Ok(Purge::default()),
        Some(purge) => purge.as_str().and_then(Purge::from_name).ok_or(fault),
    }
}

/// A field that is true or false. `default`: if it is absent and may be.
fn flag(fields: &Map<String, Value>, name: &str, default: Option<bool>) -> Result<bool, Reject> {
    let what = match name {
        "gifts" => "gifts: true or false",
        "approve" => "approve: true or false",
        _ => "moderator: true or false",
    };
    let fault = Reject::BadRequest { what };
    match fields.get(name) {
        None | Some(Value::Null) => default.ok_or(fault),
        Some(value) => value.as_bool().ok_or(fault),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str, chars_max: usize) -> Option<&'a str> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| is_text(text, chars_max))
}

fn reason(fields: &Map<String, Value>) -> Result<Option<String>, Reject> {
    match fields.get("reason") {
        None | Some(Value::Null) => Ok(None),
        Some(_) => match text(fields, "reason", REASON_CHARS_MAX) {
            Some(reason) => Ok(Some(reason.to_owned())),
            None => Err(Reject::BadRequest { what: REASON }),
        },
    }
}

/// Reads the `auth` event, which only plain JSON has: a Socket.IO payload carries its own token.
pub(super) fn decode_auth(payload: Option<Value>, ack: AckId) -> Decoded {
    let token = take_token(&mut into_fields(payload));
    Decoded::Command(ClientCommand {
        ack,
        token,
        live_id: None,
        request: ClientRequest::Auth,
    })
}

fn into_fields(payload: Option<Value>) -> Map<String, Value> {
    match payload {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A value that is not a text is refused like an empty text.
fn comment_text(fields: &Map<String, Value>, chars_max: usize) -> Result<CommentText, Reject> {
    let text = fields
        .get("data")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok(CommentText::parse(text, chars_max)?)
}

fn take_token(fields: &mut Map<String, Value>) -> TokenField {
    match fields.get_mut("token").map(Value::take) {
        None | Some(Value::Null) => TokenField::Missing,
        Some(Value::String(token)) if token.is_empty() => TokenField::Missing,
        Some(Value::String(token)) => TokenField::Present(token),
        Some(_) => TokenField::Malformed,
    }
}

fn since(fields: &Map<String, Value>) -> Result<Option<Position>, Reject> {
    match fields.get("since") {
        None | Some(Value::Null) => Ok(None),
        Some(since) => match position(since) {
            Some(position) => Ok(Some(position)),
            None => Err(Reject::BadRequest {
                what: "since: {epoch: string, offset: integer from 0}",
            }),
        },
    }
}

fn position(since: &Value) -> Option<Position> {
    let epoch = since
        .get("epoch")?
        .as_str()
        .filter(|epoch| epoch.len() <= EPOCH_BYTES_MAX)?;
    Some(Position {
        epoch: epoch.into(),
        offset: since.get("offset")?.as_u64()?,
    })
}

fn gift_count(fields: &Map<String, Value>) -> Result<GiftCount, Reject> {
    match fields.get("num") {
        None | Some(Value::Null) => Ok(GiftCount::ONE),
        Some(num) => {
            let fault = Reject::BadRequest {
                what: "num: an integer from 1 to 999",
            };
            integer(num).and_then(GiftCount::new).ok_or(fault)
        }
    }
}

/// The price that the client shows for one gift.
fn shown_price(fields: &Map<String, Value>) -> Result<Option<Coins>, Reject> {
    match fields.get("coin") {
        None | Some(Value::Null) => Ok(None),
        Some(coin) => {
            let fault = Reject::BadRequest {
                what: "coin: the price of one, a positive integer",
            };
            let price = integer(coin).filter(|coin| (1..=Coins::MAX.get()).contains(coin));
            price.map(|coin| Some(Coins::new(coin))).ok_or(fault)
        }
    }
}

fn request_id(fields: &Map<String, Value>) -> Result<Option<RequestId>, Reject> {
    match fields.get("request_id") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_str().and_then(RequestId::parse) {
            Some(request_id) => Ok(Some(request_id)),
            None => Err(Reject::BadRequest {
                what: "request_id: 1 to 64 of A-Z a-z 0-9 _ -",
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::CommentFault;

    fn command(event: &str, payload: Value) -> ClientCommand {
        match decode_event(event, Some(payload), AckId::None, &LimitsConfig::default()) {
            Decoded::Command(command) => command,
            other => panic!("{other:?}"),
        }
    }

    fn room_command(event: &str, payload: Value) -> RoomCommand {
        match command(event, payload).request {
            ClientRequest::Room(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_are_positive_integers_or_their_digits() {
        let seven = LiveId::new(7);
        for (live_id, expected) in [
            (json!(7), seven),
            (json!("7"), seven),
            (json!("07"), seven),
            (json!(i64::MAX), LiveId::new(i64::MAX)),
            (json!(0), None),
            (json!(-7), None),
            (json!(7.5), None),
            (json!(7.0), None),
            (json!(u64::MAX), None),
            (json!("9223372036854775808"), None),
            (json!(""), None),
            (json!("+7"), None),
            (json!("-7"), None),
            (json!(" 7"), None),
            (json!("7abc"), None),
            (json!("７"), None),
            (json!([7]), None),
            (json!({"a": 7}), None),
            (json!(true), None),
            (json!(null), None),
        ] {
            assert_eq!(
                command("joinLive", json!({"live_id": live_id})).live_id,
                expected,
                "{live_id}"
            );
        }
    }

    #[test]
    fn tokens_are_missing_malformed_or_present() {
        for (payload, expected) in [
            (json!({}), TokenField::Missing),
            (json!({"token": null}), TokenField::Missing),
            (json!({"token": ""}), TokenField::Missing),
            (json!([1, 2]), TokenField::Missing),
            (json!("hello"), TokenField::Missing),
            (json!({"token": 5}), TokenField::Malformed),
            (json!({"token": {"a": 1}}), TokenField::Malformed),
            (json!({"token": "t"}), TokenField::Present("t".into())),
        ] {
            assert_eq!(
                command("leaveLive", payload.clone()).token,
                expected,
                "{payload}"
            );
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let shown = format!("{:?}", command("leaveLive", json!({"token": "secret"})));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_pin_says_which_comment_or_that_there_is_none() {
        let action = |payload| match command("pin", payload).request {
            ClientRequest::Act(request) => request.action,
            other => panic!("{other:?}"),
        };
        let fault = Reject::BadRequest {
            what: "comment_id: a positive integer, or null",
        };
        for (payload, expected) in [
            (
                json!({"comment_id": "7"}),
                Ok(Action::Pin(CommentId::new(7))),
            ),
            (json!({"comment_id": null}), Ok(Action::Pin(None))),
            (json!({}), Err(fault)),
            (json!({"comment_id": 0}), Err(fault)),
            (json!({"comment_id": "c7"}), Err(fault)),
            (json!({"comment_id": [7]}), Err(fault)),
        ] {
            assert_eq!(action(payload.clone()), expected, "{payload}");
        }
    }

    #[test]
    fn gift_count_defaults_to_one_and_ends_at_999() {
        for (num, expected) in [
            (json!(null), Some(1)),
            (json!(1), Some(1)),
            (json!("12"), Some(12)),
            (json!(999), Some(999)),
            (json!(1000), None),
            (json!(0), None),
            (json!(1.5), None),
            (json!("1.5"), None),
            (json!([]), None),
        ] {
            let RoomCommand::Gift { count, .. } = room_command("gift", json!({"num": num})) else {
                panic!()
            };
            assert_eq!(count.ok().map(GiftCount::get), expected, "{num}");
        }
        let RoomCommand::Gift { count, .. } = room_command("gift", json!({})) else {
            panic!()
        };
        assert_eq!(count, Ok(GiftCount::ONE));
    }

    #[test]
    fn a_wrong_request_id_is_a_fault_and_a_missing_one_is_not() {
        for (request_id, fits) in [
            (json!(null), true),
            (json!("c-1_A"), true),
            (json!(""), false),
            (json!("a b"), false),
            (json!("x".repeat(65)), false),
            (json!(1), false),
        ] {
            let RoomCommand::Comment {
                request_id: read, ..
            } = room_command("comment", json!({"request_id": request_id}))
            else {
                panic!()
            };
            assert_eq!(read.is_ok(), fits, "{request_id}");
        }
    }

    #[test]
    fn an_action_is_read_with_its_target_and_faults_in_fields_are_kept() {
        let act = |event: &str, payload: Value| match command(event, payload).request {
            ClientRequest::Act(request) => request,
            other => panic!("{other:?}"),
        };
        let (user, comment) = (UserId::new(7).unwrap(), CommentId::new(i64::MAX).unwrap());
        for (event, payload, expected) in [
            ("kick", json!({"user_id": 7}), Some(Action::Kick(user))),
            ("kick", json!({"user_id": "7"}), Some(Action::Kick(user))),
            ("kick", json!({"user_id": 0}), None),
            ("kick", json!({}), None),
            (
                "deleteComment",
                json!({"comment_id": i64::MAX.to_string()}),
                Some(Action::TakeDown(comment)),
            ),
            ("deleteComment", json!({"comment_id": null}), None),
            (
                "notice",
                json!({"text": "hello"}),
                Some(Action::Notice("hello".into())),
            ),
            (
                "notice",
                json!({"text": "界".repeat(200)}),
                Some(Action::Notice("界".repeat(200).into())),
            ),
            ("notice", json!({"text": "界".repeat(201)}), None),
            ("notice", json!({"text": ""}), None),
            ("notice", json!({"text": "a\0"}), None),
            ("notice", json!({"text": 5}), None),
        ] {
            assert_eq!(
                act(event, payload.clone()).action.ok(),
                expected,
                "{event} {payload}"
            );
        }
        let named = act(
            "kick",
            json!({"user_id": 7, "reason": "rude", "request_id": "k-1"}),
        );
        assert_eq!(
            (named.reason, named.request_id),
            (Ok(Some("rude".into())), Ok(RequestId::parse("k-1")))
        );
        for reason in [json!(""), json!(1), json!("界".repeat(501)), json!("a\0")] {
            assert!(
                act("kick", json!({"user_id": 7, "reason": reason}))
                    .reason
                    .is_err(),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_malformed_position_is_a_fault_and_a_missing_one_is_not() {
        for (since, fits) in [
            (json!(null), true),
            (json!({"epoch": "e", "offset": 3}), true),
            (json!({"epoch": "e", "offset": 0}), true),
            (json!({"epoch": "e", "offset": u64::MAX}), true),
            (json!({"epoch": "e", "offset": 3.5}), false),
            (json!({"epoch": "e", "offset": "3"}), false),
            (json!({"epoch": "e"}), false),
            (json!({}), false),
            (json!([]), false),
            (json!({"epoch": "e", "offset": -3}), false),
            (json!({"epoch": "e".repeat(65), "offset": 3}), false),
            (json!({"epoch": 1, "offset": 3}), false),
            (json!("e:3"), false),
        ] {
            let RoomCommand::Join { since: read } =
                room_command("joinLive", json!({"since": since}))
            else {
                panic!()
            };
            assert_eq!(read.is_ok(), fits, "{since}");
        }
    }

    #[test]
    fn a_comment_is_a_text_within_the_limit_or_a_fault() {
        let empty = Reject::CommentRefused {
            fault: CommentFault::Empty,
        };
        for (data, expected) in [
            (json!("hi"), Ok("hi")),
            (json!(null), Err(empty)),
            (json!(5), Err(empty)),
            (json!(["a"]), Err(empty)),
            (json!(" \u{3000}"), Err(empty)),
            (
                json!("a\0b"),
                Err(Reject::CommentRefused {
                    fault: CommentFault::Nul,
                }),
            ),
            (
                json!("界".repeat(201)),
                Err(Reject::CommentTooLong { chars_max: 200 }),
            ),
        ] {
            let RoomCommand::Comment { text, .. } = room_command("comment", json!({"data": data}))
            else {
                panic!()
            };
            assert_eq!(
                text.as_ref().map(CommentText::as_str),
                expected.as_ref().copied(),
                "{data}"
            );
        }
    }
}
