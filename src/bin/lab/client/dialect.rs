//! The dialects of the client kinds: the same commands and events in three encodings.
//!
//! Incoming texts are classified by their first bytes only; their content is parsed elsewhere, and
//! only once.

use serde::Serialize;

/// Dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Plain,
    /// Engine.IO 4.
    Eio4,
    /// Engine.IO 3.
    Eio3,
}

/// The transport that carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    WebSocket,
    /// Polling, to the end.
    Polling,
    /// Polling first, then a WebSocket, as socket.io-client does by default.
    Upgrade,
}

/// A text of the server, classified.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// An event and its payload, which is JSON.
    Event {
        name: &'a [u8],
        body: &'a [u8],
    },
    /// The answer to the command with this number; `body` is a JSON object.
    Answer {
        ack: u64,
        body: &'a [u8],
    },
    /// Engine.IO: the session is open.
    Opened(&'a [u8]),
    /// Socket.IO: the namespace is joined.
    Connected,
    Ping,
    Pong,
    /// The server refuses or ends the session.
    Fail(&'a [u8]),
    /// Not understood.
    Unknown,
}

impl Kind {
    /// The path to connect to.
    pub fn path(self, carrier: Carrier, token: &str, ws_path: &str, socketio_path: &str) -> String {
        let transport = match carrier {
            Carrier::WebSocket => "websocket",
            Carrier::Polling | Carrier::Upgrade => "polling",
        };
        match self {
            Kind::Plain if token.is_empty() => ws_path.to_owned(),
            Kind::Plain => format!("{ws_path}?token={token}"),
            Kind::Eio4 => format!("{socketio_path}?EIO=4&transport={transport}"),
            Kind::Eio3 => format!("{socketio_path}?EIO=3&transport={transport}"),
        }
    }

    /// Whether the client may send commands as soon as the WebSocket is open.
    pub fn is_plain(self) -> bool {
        self == Kind::Plain
    }

    /// The text of a command. Socket.IO commands carry the token, as each of theirs must.
    pub fn command<T: Serialize>(self, ack: u64, event: &str, token: &str, fields: &T) -> String {
        #[derive(Serialize)]
        struct Plain<'a, T> {
            id: u64,
            event: &'a str,
            data: &'a T,
        }
        #[derive(Serialize)]
        struct Signed<'a, T> {
            token: &'a str,
            #[serde(flatten)]
            fields: &'a T,
        }
        match self {
            Kind::Plain => json(&Plain {
                id: ack,
                event,
                data: fields,
            }),
            Kind::Eio4 | Kind::Eio3 => {
                format!("42{ack}{}", json(&(event, Signed { token, fields })))
            }
        }
    }

    #[inline]
    pub fn parse(self, text: &[u8]) -> Incoming<'_> {
        match self {
            Kind::Plain => parse_plain(text),
            Kind::Eio4 | Kind::Eio3 => parse_socketio(text),
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("commands have string keys and infallible fields")
}

fn parse_plain(text: &[u8]) -> Incoming<'_> {
    if let Some(rest) = text.strip_prefix(b"{\"event\":\"")
        && let Some((name, rest)) = split_at_quote(rest)
        && let Some(body) = rest
            .strip_prefix(b",\"data\":")
            .and_then(|rest| rest.strip_suffix(b"}"))
    {
        return Incoming::Event { name, body };
    }
    if let Some(rest) = text.strip_prefix(b"{\"id\":")
        && let Some((ack, _)) = leading_number(rest)
    {
        return Incoming::Answer { ack, body: text };
    }
    if text.starts_with(b"{\"msg\":\"fail\"") {
        Incoming::Fail(text)
    } else {
        Incoming::Unknown
    }
}

fn parse_socketio(text: &[u8]) -> Incoming<'_> {
    match text {
        [b'4', b'2', b'[', b'"', rest @ ..] => match split_at_quote(rest) {
            Some((name, [b',', body @ .., b']'])) => Incoming::Event { name, body },
            _ => Incoming::Unknown,
        },
        [b'4', b'3', rest @ ..] => match leading_number(rest) {
            Some((ack, [b'[', body @ .., b']'])) => Incoming::Answer { ack, body },
            _ => Incoming::Unknown,
        },
        [b'4', b'0', ..] => Incoming::Connected,
        [b'4', b'4', body @ ..] => Incoming::Fail(body),
        [b'0', body @ ..] => Incoming::Opened(body),
        [b'2', ..] => Incoming::Ping,
        [b'3', ..] => Incoming::Pong,
        _ => Incoming::Unknown,
    }
}

/// Splits at the next quote. Event names have none inside.
fn split_at_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', text)?;
    Some((&text[..end], &text[end + 1..]))
}

/// The number that a text begins with.
pub fn first_number(text: &[u8]) -> Option<u64> {
    leading_number(text).map(|(number, _)| number)
}

fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .take(19)
        .count();
    let number = text[..digits]
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    (digits > 0).then_some((number, &text[digits..]))
}

/// The number after the last `"key":` in a payload. Inside a JSON string the quotes would be
/// escaped, so what is found is a key.
pub fn last_number(body: &[u8], quoted_key: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(body, quoted_key)?;
    leading_number(body[at + quoted_key.len()..].strip_prefix(b":")?).map(|(number, _)| number)
}

/// The `offset` of an event: at the very end of the payload if the server writes it there, anywhere
/// otherwise.
#[inline]
pub fn offset_of(body: &[u8]) -> Option<u64> {
    let inside = body.strip_suffix(b"}")?;
    let digits = inside
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (head, number) = inside.split_at(inside.len() - digits);
    if (1..=19).contains(&digits) && head.ends_with(b"\"offset\":") {
        return leading_number(number).map(|(number, _)| number);
    }
    last_number(body, b"\"offset\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_carry_the_same_payload() {
        let body: &[u8] = br#"{"content":"a","live_id":2,"offset":42}"#;
        let plain = [br#"{"event":"comment","data":"#, body, b"}"].concat();
        let socketio = [br#"42["comment","#, body, b"]"].concat();
        for (kind, text) in [
            (Kind::Plain, plain),
            (Kind::Eio4, socketio.clone()),
            (Kind::Eio3, socketio),
        ] {
            assert_eq!(
                kind.parse(&text),
                Incoming::Event {
                    name: b"comment",
                    body
                }
            );
        }
        assert_eq!(offset_of(body), Some(42));
        assert_eq!(last_number(body, b"\"live_id\""), Some(2));
    }

    #[test]
    fn answers_heartbeats_and_last_words_are_distinguished() {
        let answer: &[u8] = br#"{"id":7,"ok":true}"#;
        assert_eq!(
            Kind::Plain.parse(answer),
            Incoming::Answer {
                ack: 7,
                body: answer
            }
        );
        assert_eq!(
            Kind::Eio4.parse(br#"437[{"ok":true}]"#),
            Incoming::Answer {
                ack: 7,
                body: br#"{"ok":true}"#
            }
        );
        assert_eq!(Kind::Eio3.parse(b"2"), Incoming::Ping);
        assert_eq!(Kind::Eio3.parse(b"3"), Incoming::Pong);
        assert_eq!(Kind::Eio4.parse(br#"40{"sid":"x"}"#), Incoming::Connected);
        assert_eq!(
            Kind::Eio4.parse(br#"0{"sid":"x"}"#),
            Incoming::Opened(br#"{"sid":"x"}"#)
        );
        for text in [
            &b""[..],
            b"x",
            b"42",
            b"42[\"a\"",
            b"43[]",
            b"{\"event\":\"a\"}",
            b"{\"id\":\"x\"}",
        ] {
            assert_eq!(Kind::Plain.parse(text), Incoming::Unknown, "{text:?}");
            assert_eq!(Kind::Eio4.parse(text), Incoming::Unknown, "{text:?}");
        }
    }

    #[test]
    fn an_offset_is_found_wherever_it_stands_but_not_in_a_text() {
        assert_eq!(offset_of(br#"{"offset":7,"content":"x"}"#), Some(7));
        assert_eq!(offset_of(br#"{"content":"\"offset\":9"}"#), None);
        assert_eq!(offset_of(br#"{"content":"a 12"}"#), None);
        assert_eq!(offset_of(b"12"), None);
    }

    #[test]
    fn socketio_commands_carry_the_token() {
        #[derive(Serialize)]
        struct Fields {
            live_id: i64,
        }
        let fields = Fields { live_id: 2 };
        assert_eq!(
            Kind::Plain.command(1, "joinLive", "t", &fields),
            r#"{"id":1,"event":"joinLive","data":{"live_id":2}}"#
        );
        assert_eq!(
            Kind::Eio4.command(1, "joinLive", "t", &fields),
            r#"421["joinLive",{"token":"t","live_id":2}]"#
        );
    }
}
