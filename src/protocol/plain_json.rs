//! The dialect of `/ws`: one JSON object per text frame, no client library needed.
//!
//! `{"id":1,"event":"comment","data":{"live_id":2,"data":"hi"}}`; `id` and `data` may be missing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::command::{Decoded, decode_auth, decode_event};
use super::payload::{FieldFault, check};
use crate::config::LimitsConfig;
use crate::domain::AckId;

/// Longest text a client may use as `id`, in characters. It comes back in the answer.
pub const ID_CHARS_MAX: usize = 64;

const NO_OBJECT: FieldFault = "frame: a JSON object";

/// Reads one text frame.
pub fn decode(text: &str, limits: &LimitsConfig) -> Decoded {
    // A derived struct would also read an array as its fields in order.
    if !text.trim_start().starts_with('{') {
        return Decoded::Malformed {
            ack: AckId::None,
            what: NO_OBJECT,
        };
    }
    if let Err(what) = check(text, limits) {
        return Decoded::Malformed {
            ack: find_id(text),
            what,
        };
    }
    let frame: Frame = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(_) => {
            return Decoded::Malformed {
                ack: find_id(text),
                what: NO_OBJECT,
            };
        }
    };
    let Id::Usable(ack) = frame.id else {
        return Decoded::Malformed {
            ack: AckId::None,
            what: "id: an integer or a string of at most 64 characters",
        };
    };
    let Some(Value::String(event)) = frame.event else {
        return Decoded::Malformed {
            ack,
            what: "event: a string",
        };
    };
    match event.as_str() {
        "auth" => decode_auth(frame.data, ack),
        event => decode_event(event, frame.data, ack, limits),
    }
}

/// The `id` of a frame that is refused unread, so that its sender learns which it was. Skips
/// everything else without building or recursing into it, whatever its size and depth.
fn find_id(text: &str) -> AckId {
    match serde_json::from_str(text) {
        Ok(IdOnly {
            id: Id::Usable(ack),
        }) => ack,
        _ => AckId::None,
    }
}

#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    id: Id,
    event: Option<Value>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct IdOnly {
    #[serde(default)]
    id: Id,
}

enum Id {
    Usable(AckId),
    Unusable,
}

impl Default for Id {
    fn default() -> Self {
        Id::Usable(AckId::None)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Id, E> {
        Ok(Id::default())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Usable(AckId::Number(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(i64::try_from(number).map_or(Id::Unusable, |number| Id::Usable(AckId::Number(number))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        let fits = text.chars().nth(ID_CHARS_MAX).is_none();
        Ok(if fits {
            Id::Usable(AckId::Text(text.into()))
        } else {
            Id::Unusable
        })
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Id, E> {
        Ok(Id::Unusable)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Id, E> {
        Ok(Id::Unusable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Id, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Id::Unusable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Id, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Id::Unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::ClientRequest;

    fn read(text: &str) -> Decoded {
        decode(text, &LimitsConfig::default())
    }

    fn malformed_ack(text: &str) -> AckId {
        match read(text) {
            Decoded::Malformed { ack, .. } => ack,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ids_are_integers_or_short_texts() {
        for (id, expected) in [
            ("1", AckId::Number(1)),
            ("-1", AckId::Number(-1)),
            (r#""a b""#, AckId::Text("a b".into())),
            ("null", AckId::None),
        ] {
            let Decoded::Command(command) = read(&format!(r#"{{"id":{id},"event":"leaveLive"}}"#))
            else {
                panic!()
            };
            assert_eq!(command.ack, expected);
        }
        for id in [
            "1.5",
            "true",
            "[1]",
            r#"{"a":1}"#,
            "9223372036854775808",
            &format!("\"{}\"", "界".repeat(65)),
        ] {
            assert_eq!(
                malformed_ack(&format!(r#"{{"id":{id},"event":"leaveLive"}}"#)),
                AckId::None,
                "{id}"
            );
        }
    }

    #[test]
    fn what_is_no_command_is_malformed() {
        for text in [
            "",
            "x",
            "[]",
            "\"joinLive\"",
            "null",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"comment""#,
        ] {
            assert_eq!(malformed_ack(text), AckId::None, "{text}");
        }
        assert_eq!(malformed_ack(r#"{"id":4,"event":null}"#), AckId::Number(4));
        assert_eq!(
            read(r#"{"id":4,"event":"nosuch"}"#),
            Decoded::UnknownEvent {
                ack: AckId::Number(4)
            }
        );
    }

    #[test]
    fn refused_frames_keep_their_id() {
        let deep = format!(
            r#"{{"data":{}{},"id":5,"event":"comment"}}"#,
            "[".repeat(9_000),
            "]".repeat(9_000)
        );
        assert_eq!(malformed_ack(&deep), AckId::Number(5));
        let large = format!(
            r#"{{"data":{{"data":"{}"}},"id":6,"event":"comment"}}"#,
            "x".repeat(9_000)
        );
        assert_eq!(malformed_ack(&large), AckId::Number(6));
        // Half a surrogate pair, as JavaScript writes a cut emoji: JSON to it, not text to us.
        let cut = r#"{"id":7,"event":"comment","data":{"live_id":2,"data":"\ud83d"}}"#;
        assert_eq!(malformed_ack(cut), AckId::Number(7));
    }

    #[test]
    fn auth_needs_no_live() {
        let Decoded::Command(command) = read(r#"{"event":"auth","data":{"token":"t"}}"#) else {
            panic!()
        };
        assert_eq!(command.request, ClientRequest::Auth);
    }
}
