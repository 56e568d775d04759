//! Comments: text that is known to fit.

use std::sync::Arc;

use super::word_filter::{FilterAction, FilterVerdict};
use super::{CommentId, LiveId, Profile, RequestId, Timestamp};

/// The text of a comment: not empty, no longer than the limit, otherwise exactly as sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommentText(Arc<str>);

/// Why a text is refused as a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentTextError {
    Empty,
    /// It contains U+0000, which not every store can keep: refused here, before anybody saw it.
    Nul,
    TooLong {
        chars_max: usize,
    },
}

impl CommentText {
    /// Takes any Unicode text of 1 to `chars_max` code points that is not all white space and has
    /// no U+0000. Nothing is trimmed or cut: a text passes unchanged or not at all.
    pub fn parse(text: &str, chars_max: usize) -> Result<Self, CommentTextError> {
        if text.chars().all(char::is_whitespace) {
            return Err(CommentTextError::Empty);
        }
        if text.contains('\0') {
            return Err(CommentTextError::Nul);
        }
        // A code point is at most four bytes, so most texts need no count.
        if text.len() > chars_max && text.chars().count() > chars_max {
            return Err(CommentTextError::TooLong { chars_max });
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a page somewhere else, as far as that can be seen: it has `://` or `www.`,
    /// or a dot between a letter or digit and a word of two letters or more.
    pub fn has_link(&self) -> bool {
        let narrow = |c: char| match c {
            // Full-width forms of ASCII.
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
            c => c,
        };
        let text: String = self.0.chars().map(narrow).collect();
        let text = text.to_ascii_lowercase();
        let is_name = |at: usize| {
            let before = text[..at].chars().next_back();
            let mut word = text[at + 1..].chars();
            before.is_some_and(|c| c.is_ascii_alphanumeric())
                && word
                    .by_ref()
                    .take(2)
                    .filter(char::is_ascii_alphabetic)
                    .count()
                    == 2
        };
        text.contains("://")
            || text.contains("www.")
            || text.match_indices('.').any(|(at, _)| is_name(at))
    }

    /// The text as it is shown after the filter has said this about it; `None` if that is as it was
    /// sent. A mask changes no length.
    pub fn masked(&self, verdict: &FilterVerdict) -> Option<Self> {
        let is_masked = verdict.action() == Some(FilterAction::Mask);
        is_masked.then(|| Self(verdict.masked(&self.0).into()))
    }
}

/// One line a member posted. Presentation calls it danmaku; code calls it a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub id: CommentId,
    pub live_id: LiveId,
    pub author: Arc<Profile>,
    pub text: CommentText,
    pub request_id: Option<RequestId>,
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_counts_code_points_not_bytes() {
        assert!(CommentText::parse(&"界".repeat(200), 200).is_ok());
        assert_eq!(
            CommentText::parse(&"界".repeat(201), 200),
            Err(CommentTextError::TooLong { chars_max: 200 })
        );
    }

    #[test]
    fn links_are_seen_as_they_are_written() {
        let has_link = |text: &str| CommentText::parse(text, 200).unwrap().has_link();
        for text in [
            "http://a.b",
            "看 HTTPS://x/",
            "www.example",
            "加我 t.me/abc",
            "example.com来看",
            "ｅｘａｍｐｌｅ．ｃｏｍ",
        ] {
            assert!(has_link(text), "{text}");
        }
        for text in [
            "你好。再见",
            "3.5",
            "v1.2",
            "...",
            "e.g.",
            "嗯.好的",
            "wow. yes",
            "a/b",
        ] {
            assert!(!has_link(text), "{text}");
        }
    }

    #[test]
    fn text_is_kept_as_sent_or_refused() {
        assert_eq!(
            CommentText::parse("  <b>a</b> ", 200).unwrap().as_str(),
            "  <b>a</b> "
        );
        assert_eq!(
            CommentText::parse(" \u{3000}\n", 200),
            Err(CommentTextError::Empty)
        );
        assert_eq!(CommentText::parse("a\0b", 200), Err(CommentTextError::Nul));
    }
}
