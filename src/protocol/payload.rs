//! The limits of a command: of its JSON, checked before it is parsed, and of its longest text. And
//! what counts as a number in it.

use serde_json::Value;

use crate::config::LimitsConfig;

/// The field of a text that is wrong, and what was expected of it.
pub type FieldFault = &'static str;

/// Checks the JSON text of one command, its wrapper included: the array of a Socket.IO event, the
/// object of a plain JSON frame. If it is longer or deeper than `limits` permits, the command is
/// refused, not the session. One pass over the bytes, without parsing.
pub fn check(json: &str, limits: &LimitsConfig) -> Result<(), FieldFault> {
    if json.len() > limits.command_bytes {
        return Err("payload too large");
    }
    // serde_json gives up at 128 by itself; with a limit of ours no depth of a parser's stack
    // depends on what a client sends.
    if nests_deeper_than(json.as_bytes(), limits.json_depth) {
        return Err("payload nested too deep");
    }
    Ok(())
}

/// A JSON integer or a string of nothing but decimal digits, within 64 bits. The system this
/// replaces took `"7abc"` and `[7,8]` for 7.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// Whether more than `depth_max` brackets are ever open outside strings. On anything that begins
/// like JSON this agrees with a parser as far as the parser gets, so a text that passes is safe to
/// parse, valid or not.
fn nests_deeper_than(json: &[u8], depth_max: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_open_brackets_outside_strings() {
        for (json, deepest) in [
            ("1", 0),
            ("[]", 1),
            (r#"[{"a":[1]},[2]]"#, 3),
            (r#"["[[[[\"[[", {}]"#, 2),
            (r#"["\\",[[]]]"#, 3),
            ("]]]][", 1),
        ] {
            assert!(!nests_deeper_than(json.as_bytes(), deepest), "{json}");
            assert!(
                deepest == 0 || nests_deeper_than(json.as_bytes(), deepest - 1),
                "{json}"
            );
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let limits = LimitsConfig {
            command_bytes: 6,
            json_depth: 3,
            ..LimitsConfig::default()
        };
        assert_eq!(check("[[[]]]", &limits), Ok(()));
        assert_eq!(check("[[[1]]]", &limits), Err("payload too large"));
        assert_eq!(check("[[[[", &limits), Err("payload nested too deep"));
    }
}
