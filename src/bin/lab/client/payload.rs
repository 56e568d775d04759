//! Bodies of Engine.IO: several packets in one, and refusals.

use serde_json::Value;

use super::dialect::Kind;

/// Between the packets of an Engine.IO 4 payload.
const SEPARATOR: u8 = 0x1e;

/// Engine.IO's code for a session that is over.
const UNKNOWN_SID: u64 = 1;

/// A stable word for an answer other than a good one. That its id is not known any more is how a
/// server sends away a polling client that should come back.
pub fn refusal(status: u16, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match (status, body["code"].as_u64()) {
        (400, Some(UNKNOWN_SID)) => "sid_unknown".to_owned(),
        _ => format!("http_{status}"),
    }
}

pub fn encode(kind: Kind, packets: &[String]) -> String {
    match kind {
        Kind::Eio3 => packets
            .iter()
            .map(|text| format!("{}:{text}", text.encode_utf16().count()))
            .collect(),
        Kind::Eio4 | Kind::Plain => packets.join("\x1e"),
    }
}

/// The first packet of a body and the rest; `None` if there is none that is well formed.
pub fn split(kind: Kind, body: &[u8]) -> Option<(&[u8], &[u8])> {
    match kind {
        Kind::Eio3 => split_counted(body),
        Kind::Eio4 | Kind::Plain => Some(match memchr::memchr(SEPARATOR, body) {
            Some(end) => (&body[..end], &body[end + 1..]),
            None => (body, &[]),
        }),
    }
}

/// `<length>:<packet>`, the length in UTF-16 code units.
fn split_counted(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', body)?;
    let mut units = std::str::from_utf8(&body[..colon])
        .ok()?
        .parse::<usize>()
        .ok()?;
    let text = &body[colon + 1..];
    let mut end = 0;
    while units > 0 {
        // The first byte of a character says how long it is; one of four bytes is two units.
        let (bytes, of_units) = match text.get(end)? {
            0..=0x7f => (1, 1),
            0xc0..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            0xf0..=0xf7 => (4, 2),
            _ => return None,
        };
        end += bytes;
        units = units.checked_sub(of_units)?;
    }
    Some((text.get(..end)?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_split_again() {
        let packets = ["40", "42[\"comment\",\"你好 🌹\"]", "2"].map(str::to_owned);
        for kind in [Kind::Eio3, Kind::Eio4] {
            let body = encode(kind, &packets);
            let (mut rest, mut found) = (body.as_bytes(), Vec::new());
            while !rest.is_empty() {
                let (packet, after) = split(kind, rest).expect("it was encoded");
                found.push(String::from_utf8_lossy(packet).into_owned());
                rest = after;
            }
            assert_eq!(found, packets, "{kind:?}");
        }
        assert_eq!(
            encode(Kind::Eio3, &packets[1..2]),
            "21:42[\"comment\",\"你好 🌹\"]"
        );
    }

    #[test]
    fn a_session_that_is_over_is_distinguished_from_other_refusals() {
        assert_eq!(
            refusal(400, br#"{"code":1,"message":"Session ID unknown"}"#),
            "sid_unknown"
        );
        assert_eq!(
            refusal(400, br#"{"code":3,"message":"Bad request"}"#),
            "http_400"
        );
        assert_eq!(refusal(503, b""), "http_503");
    }

    #[test]
    fn what_is_cut_short_or_miscounted_is_not_split() {
        for body in ["", "3", "x:40", "3:40", "1:🌹", "-1:a"] {
            assert_eq!(split(Kind::Eio3, body.as_bytes()), None, "{body}");
        }
    }
}
