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
