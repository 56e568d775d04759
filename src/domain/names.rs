//! Names of users: in one form, of characters that can be seen.
//!
//! Readers must be able to distinguish each name from every other one. So names are compared in the
//! form NFKC, new ones consist of what can be seen, and of names that look alike (Unicode Technical
//! Standard 39) only one is given out.

use std::ops::RangeInclusive;

use unicode_normalization::{UnicodeNormalization, is_nfkc};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_security::skeleton;

/// Code points of a new username.
pub const USERNAME_CHARS: RangeInclusive<usize> = 5..=20;
/// Code points of a new nickname.
pub const NICKNAME_CHARS: RangeInclusive<usize> = 1..=20;

/// Code points of what is looked at as a name at all. NFKC makes one code point of eighteen at
/// worst, so longer texts are not worth the work.
const NAME_CHARS_MAX: usize = 256;

/// Symbols and letters that draw nothing, though their categories say otherwise: an empty Braille
/// cell, a musical notehead, and the place of an object that is not there.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{fffc}'];

/// A name for a new account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

/// A name that others read in place of the username. Several users may have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nickname(String);

/// Why a text makes no [`Username`] or [`Nickname`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Not [`USERNAME_CHARS`] or [`NICKNAME_CHARS`] code points.
    #[error("name too short or too long")]
    Length,
    /// A control, an invisible or a bidirectional character, a mark on nothing, or a space that is
    /// not a single one between two words.
    #[error("name has characters that cannot be seen")]
    Unseen,
}

impl Username {
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        new_name(text, &USERNAME_CHARS).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Nickname {
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        new_name(text, &NICKNAME_CHARS).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn new_name(text: &str, chars: &RangeInclusive<usize>) -> Result<String, NameFault> {
    let name = canonical_name(text);
    if !chars.contains(&name.chars().count()) {
        return Err(NameFault::Length);
    }
    if !name.chars().all(is_seen) || has_odd_spaces(&name) || begins_with_a_mark(&name) {
        return Err(NameFault::Unseen);
    }
    Ok(name)
}

/// The form in which names are stored and compared: NFKC. It makes one of the letters that fonts,
/// keyboards and systems write differently, such as full-width ones and letters with separate
/// accents.
pub fn canonical_name(text: &str) -> String {
    let is_short = text.chars().nth(NAME_CHARS_MAX).is_none();
    if is_short && !is_nfkc(text) {
        text.nfkc().collect()
    } else {
        text.to_owned()
    }
}

/// The visual skeleton of a name: names with one skeleton look alike. Empty for a name without a
/// visible character. Never shown.
pub fn name_skeleton(name: &str) -> String {
    let seen: String = canonical_name(name)
        .chars()
        .filter(|c| is_seen(*c))
        .collect();
    skeleton(&seen).collect()
}

fn is_seen(c: char) -> bool {
    match c.general_category_group() {
        // Controls, formats, private use, and what no version of Unicode knows yet.
        GeneralCategoryGroup::Other => false,
        GeneralCategoryGroup::Separator => c == ' ',
        _ => !draws_nothing(c),
    }
}

/// Whether a character that is no space draws nothing by itself.
pub(super) fn draws_nothing(c: char) -> bool {
    // A skeleton leaves out what Unicode says may be ignored, such as fillers and variation
    // selectors.
    BLANK.contains(&c) || skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
}

/// Spaces at the ends or several in a row look like fewer.
fn has_odd_spaces(name: &str) -> bool {
    name.starts_with(' ') || name.ends_with(' ') || name.contains("  ")
}

/// A mark is drawn onto what stands before it, which here is somebody else's text.
fn begins_with_a_mark(name: &str) -> bool {
    let is_mark = |c: char| {
        matches!(
            c.general_category(),
            GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
                | GeneralCategory::EnclosingMark
        )
    };
    name.split(' ').any(|word| word.starts_with(is_mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, NameFault> {
        Username::parse(text).map(|name| name.0)
    }

    #[test]
    fn names_of_many_scripts_are_good_as_they_are() {
        for name in [
            "alice",
            "o'neill-smith",
            "alice@example.com",
            "two words",
            "五个汉字名",
            "小花🌹小花🌹",
            "Ærøskøbing",
            "Пётр Ильич",
            "محمد علي",
            "שרה לוי",
            "さくらもち",
            "김철수입니다",
            "नमस्ते दोस्त",
            "สวัสดีครับ",
            "a_b.c:d/e",
        ] {
            assert_eq!(parse(name).as_deref(), Ok(name));
        }
    }

    #[test]
    fn one_name_has_one_form() {
        for (written, name) in [
            ("ａｌｉｃｅ", "alice"),
            ("Zoe\u{301}lie", "Zo\u{e9}lie"),
            ("two\u{a0}words", "two words"),
            ("two\u{3000}words", "two words"),
            ("𝓪𝓵𝓲𝓬𝓮", "alice"),
            ("ﬁve⁵", "five5"),
        ] {
            assert_eq!(parse(written).as_deref(), Ok(name));
            assert_eq!(canonical_name(written), canonical_name(name));
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for unseen in [
            '\u{0}',
            '\u{7}',
            '\n',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2067}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffc}',
            '\u{e000}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{10ffff}',
            '\u{1680}',
        ] {
            assert_eq!(
                parse(&format!("ali{unseen}ce")),
                Err(NameFault::Unseen),
                "{unseen:?}"
            );
            assert_eq!(
                parse(&unseen.to_string().repeat(6)),
                Err(NameFault::Unseen),
                "{unseen:?}"
            );
        }
        for name in [
            " alice",
            "alice ",
            "ali  ce",
            "alice\u{3000}",
            "\u{301}alice",
            "two \u{301}words",
            "     ",
        ] {
            assert_eq!(parse(name), Err(NameFault::Unseen), "{name:?}");
        }
    }

    #[test]
    fn length_counts_code_points_of_the_one_form() {
        assert_eq!(parse("abcd"), Err(NameFault::Length));
        assert_eq!(
            parse("Zoe\u{301}l"),
            Err(NameFault::Length),
            "four letters, one of them in two code points"
        );
        assert_eq!(parse(&"a".repeat(21)), Err(NameFault::Length));
        assert_eq!(
            parse("\u{fdfa}\u{fdfa}"),
            Err(NameFault::Length),
            "36 code points in the one form"
        );
    }

    #[test]
    fn a_nickname_may_be_short_and_is_read_as_any_name() {
        let parse = |text: &str| Nickname::parse(text).map(|name| name.0);
        assert_eq!(parse("小"), Ok("小".to_owned()));
        assert_eq!(parse("ａ"), Ok("a".to_owned()));
        assert_eq!(parse(""), Err(NameFault::Length));
        assert_eq!(parse(&"小".repeat(21)), Err(NameFault::Length));
        assert_eq!(parse("a\u{202e}b"), Err(NameFault::Unseen));
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("alice", "\u{430}lice"),
            ("alice", "a1ice"),
            ("alice", "aIice"),
            ("paypal", "р\u{430}ура\u{4cf}"),
            ("modern", "modem"),
            ("scope", "ѕсоре"),
            ("alice", "ａlice"),
            ("alice", "al\u{200b}ice"),
            ("alice", "alice\u{2800}"),
        ] {
            assert_eq!(name_skeleton(one), name_skeleton(other), "{one} {other}");
        }
        for (one, other) in [
            ("alice", "alicia"),
            ("user11", "user12"),
            ("小花小花花", "小花小花草"),
            ("zoe", "zoé"),
        ] {
            assert_ne!(name_skeleton(one), name_skeleton(other), "{one} {other}");
        }
        assert_eq!(name_skeleton("\u{3164}\u{200b}"), "");
    }

    #[test]
    fn work_is_bounded_whatever_is_sent() {
        let long = "\u{fdfa}".repeat(20_000);
        assert_eq!(canonical_name(&long), long);
        assert_eq!(parse(&long), Err(NameFault::Length));
    }
}
