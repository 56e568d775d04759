//! What a command from a client may cost: its JSON before anyone parses it, and its longest text.

/// The field of a text that is wrong, and what was expected of it.
pub type FieldFault = &'static str;

/// Bounds of the JSON text of one command, its wrapper included: the array of a Socket.IO event,
/// the object of a plain JSON frame. Beyond them the command is refused, not the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Bytes. A comment of 200 code points, each escaped as a surrogate pair, is 2,400; a token is
    /// some hundred.
    pub bytes_max: usize,
    /// Arrays and objects open at once. serde_json gives up at 128 by itself; this limit is ours,
    /// so that no depth of a parser's stack depends on what a client sends.
    pub depth_max: usize,
    /// Characters (Unicode code points) of a comment. A longer one is refused when its room acts on it.
    pub comment_chars_max: usize,
}

impl PayloadLimits {
    pub const DEFAULT: PayloadLimits = PayloadLimits { bytes_max: 8_192, depth_max: 16, comment_chars_max: 200 };

    /// One pass over the bytes, without parsing.
    pub fn check(&self, json: &str) -> Result<(), FieldFault> {
        if json.len() > self.bytes_max {
            return Err("payload too large");
        }
        if nests_deeper_than(json.as_bytes(), self.depth_max) {
            return Err("payload nested too deep");
        }
        Ok(())
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
            assert!(deepest == 0 || nests_deeper_than(json.as_bytes(), deepest - 1), "{json}");
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let limits = PayloadLimits { bytes_max: 6, depth_max: 3, ..PayloadLimits::DEFAULT };
        assert_eq!(limits.check("[[[]]]"), Ok(()));
        assert_eq!(limits.check("[[[1]]]"), Err("payload too large"));
        assert_eq!(limits.check("[[[["), Err("payload nested too deep"));
    }
}
