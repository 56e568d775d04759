//! A folded text as it is searched: each run of a letter is one unit with a length.
//!
//! A term meets a run of its own length, and any run of three and more, which nobody writes in
//! earnest: `fuuuuck` is `fuck` and `booooob` is `boob`. So one search finds all spellings.

use std::ops::RangeInclusive;

use unicode_script::{Script, UnicodeScript};

use super::fold::FoldedChar;

/// From here on a run of a letter is of any length.
const ANY_RUN: u32 = 3;

/// Most units of a term: its doubled letters are bits of a `u64`.
pub(super) const TERM_UNITS_MAX: usize = 64;

/// What of a text is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looseness {
    /// All of it.
    Strict,
    /// Letters and digits.
    Loose,
}

/// A run of one letter, or any other character; a row of spaces is one.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Its first byte in the text of the view.
    at: u32,
    /// Its first and last character, as indices of the folded text.
    first: u32,
    last: u32,
    /// How often the letter stands there; 1 if it is no letter.
    run: u32,
}

#[derive(Debug)]
pub(super) struct View {
    text: String,
    units: Vec<Unit>,
}

/// A term as it is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Each run of a letter once.
    pub text: Box<str>,
    /// A bit for each unit, the first in the lowest: whether the letter is doubled.
    pub doubled: u64,
}

impl View {
    /// `folded`: shorter than 4 GiB in UTF-8.
    pub fn of(folded: &[FoldedChar], looseness: Looseness) -> Self {
        let mut text = String::with_capacity(folded.len() * 3);
        let mut units: Vec<Unit> = Vec::with_capacity(folded.len());
        let mut before = None;
        for (index, it) in (0_u32..).zip(folded) {
            if looseness == Looseness::Loose && !it.c.is_alphanumeric() {
                continue;
            }
            let unit = units.last_mut().filter(|_| before == Some(it.c));
            match unit {
                Some(unit) if it.c == ' ' => unit.last = index,
                Some(unit) if it.c.is_alphabetic() => {
                    unit.last = index;
                    unit.run += 1;
                }
                _ => {
                    let at = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    text.push(it.c);
                    let (first, last, run) = (index, index, 1);
                    units.push(Unit {
                        at,
                        first,
                        last,
                        run,
                    });
                }
            }
            before = Some(it.c);
        }
        Self { text, units }
    }

    /// Each run of a letter once.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// With runs of three and more as two: the form that is shown and compared.
    pub fn normalised(&self) -> String {
        let mut normalised = String::with_capacity(self.text.len());
        for (c, unit) in self.text.chars().zip(&self.units) {
            normalised.push(c);
            if unit.run > 1 {
                normalised.push(c);
            }
        }
        normalised
    }

    /// The whole view as a pattern. It has at most [`TERM_UNITS_MAX`] units.
    pub fn pattern(&self) -> Pattern {
        let doubled = self.units.iter().take(TERM_UNITS_MAX).enumerate();
        let doubled = doubled.map(|(nth, unit)| u64::from(unit.run > 1) << nth);
        Pattern {
            text: self.text.as_str().into(),
            doubled: doubled.fold(0, |bits, bit| bits | bit),
        }
    }

    /// The units whose text begins and ends at these bytes.
    pub fn units_at(&self, start: usize, end: usize) -> RangeInclusive<usize> {
        let before = |byte: usize| self.units.partition_point(|unit| (unit.at as usize) < byte);
        before(start)..=before(end).saturating_sub(1)
    }

    /// The characters of these units, as indices of the folded text.
    pub fn characters(&self, units: &RangeInclusive<usize>) -> RangeInclusive<usize> {
        self.units[*units.start()].first as usize..=self.units[*units.end()].last as usize
    }

    /// Whether the runs of these units, whose text is the pattern's, meet its runs. A part of a word
    /// may begin and end within a run.
    pub fn meets(&self, units: &RangeInclusive<usize>, doubled: u64, whole_word: bool) -> bool {
        let (first, last) = (*units.start(), *units.end());
        units.clone().all(|nth| {
            let run = self.units[nth].run;
            let wanted = run_of(doubled, nth - first);
            let is_edge = nth == first || nth == last;
            run == wanted || run >= ANY_RUN || (is_edge && !whole_word && run > wanted)
        })
    }
}

/// How often a pattern has the letter of its unit `nth`.
fn run_of(doubled: u64, nth: usize) -> u32 {
    if nth < TERM_UNITS_MAX && doubled >> nth & 1 == 1 {
        2
    } else {
        1
    }
}

/// Whether these characters of a folded text are no part of a longer word. Letters of different
/// scripts are never of one word, a letter and a digit are.
pub(super) fn is_whole_word(folded: &[FoldedChar], characters: &RangeInclusive<usize>) -> bool {
    let (first, last) = (*characters.start(), *characters.end());
    let before = first.checked_sub(1).and_then(|nth| folded.get(nth));
    let after = folded.get(last + 1);
    before.is_none_or(|it| !is_joined(it.c, folded[first].c))
        && after.is_none_or(|it| !is_joined(folded[last].c, it.c))
}

fn is_joined(one: char, other: char) -> bool {
    let is_of_any = |script| matches!(script, Script::Common | Script::Inherited);
    let (script, other_script) = (one.script(), other.script());
    one.is_alphanumeric()
        && other.is_alphanumeric()
        && (script == other_script || is_of_any(script) || is_of_any(other_script))
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold;
    use super::*;

    fn view(text: &str, looseness: Looseness) -> View {
        View::of(&fold(text), looseness)
    }

    /// Whether a term of this text is all of the other one.
    fn meets(text: &str, term: &str, whole_word: bool) -> bool {
        let (text, term) = (view(text, Looseness::Strict), view(term, Looseness::Strict));
        let units = text.units_at(0, text.text().len());
        text.text() == term.text() && text.meets(&units, term.pattern().doubled, whole_word)
    }

    #[test]
    fn a_run_of_three_and_more_is_of_any_length() {
        for (text, term) in [
            ("fuuuuck", "fuck"),
            ("fffuuuccckkk", "fuck"),
            ("aaassshooole", "asshole"),
            ("asshole", "asshole"),
            ("傻傻傻冒", "傻冒"),
            ("哈哈哈哈哈", "哈哈哈"),
            ("a   b", "a b"),
        ] {
            assert!(meets(text, term, true), "{text} {term}");
        }
        for (text, term) in [
            ("fuuck", "fuck"),
            ("as", "ass"),
            ("asss hole", "ashole"),
            ("asole", "asshole"),
            ("8888", "88"),
        ] {
            assert!(!meets(text, term, true), "{text} {term}");
            assert!(!meets(text, term, false), "{text} {term}");
        }
        assert!(
            meets("黄黄片", "黄片", false),
            "a part of a word begins within a run"
        );
        assert!(!meets("黄黄片", "黄片", true));
    }

    #[test]
    fn the_loose_view_has_letters_and_digits_alone() {
        assert_eq!(
            view("f u-c_k! 傻@冒 7", Looseness::Loose).text(),
            "fuck傻冒7"
        );
        assert_eq!(view("a-a-a b", Looseness::Loose).normalised(), "aab");
        assert_eq!(
            view("Haaaa  ha 777", Looseness::Strict).normalised(),
            "haa ha 777"
        );
    }

    #[test]
    fn a_word_ends_where_its_script_ends() {
        let is_whole = |text: &str, part: &str| {
            let folded = fold(text);
            let text: String = folded.iter().map(|it| it.c).collect();
            let start = text[..text.find(part).unwrap()].chars().count();
            is_whole_word(&folded, &(start..=start + part.chars().count() - 1))
        };
        for text in ["av", "看av片", "_av_", "av!", "av한", "ж av"] {
            assert!(is_whole(text, "av"), "{text}");
        }
        for text in ["have", "avs", "xav", "av1", "1av"] {
            assert!(!is_whole(text, "av"), "{text}");
        }
    }
}
