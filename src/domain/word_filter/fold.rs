//! The one form in which terms and texts are compared, and where each of its characters stands in
//! the text.
//!
//! NFKC, in lower case, without what draws nothing, traditional Chinese as simplified. Marks stay
//! where a language has them; marks that are heaped on a letter as decoration are dropped, and
//! with them the accent that the letter would have kept of them. White space of any kind is one
//! space. Runs of a letter stay: [`super::view`] compares them.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::char::{decompose_canonical, decompose_compatible};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use super::super::names::draws_nothing;
use super::look_alikes::plain_style;
use super::simplified::simplified;

/// A stroke that lengthens Arabic words and means nothing.
const TATWEEL: char = '\u{640}';

/// Pictures that are no letters and fold to themselves, so that a row of them costs little.
const PICTURES: Range<char> = '\u{1f300}'..'\u{1fb00}';

/// One character of the folded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoldedChar {
    pub c: char,
    /// Bytes of the text that it comes from: whole characters, a letter with its marks.
    pub start: u32,
    pub end: u32,
}

/// Folds a text. The longest that makes sense is some kilobytes; what is beyond 4 GiB is not read.
pub(super) fn fold(text: &str) -> Vec<FoldedChar> {
    let kinds = &*KINDS;
    let mut folder = Folder::default();
    let mut folded = Vec::with_capacity(text.len() / 2);
    let mut characters = text.char_indices().peekable();
    while let Some((start, c)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let cluster = match kinds.alone(c) {
            Some(_) if next.is_none_or(|next| kinds.alone(next).is_some()) => {
                start..start + c.len_utf8()
            }
            _ => match next_cluster(kinds, text, start) {
                Some(cluster) => cluster,
                None => break,
            },
        };
        let (Ok(start), Ok(end)) = (u32::try_from(cluster.start), u32::try_from(cluster.end))
        else {
            break;
        };
        while characters.next_if(|(at, _)| *at < cluster.end).is_some() {}
        let written = &text[cluster];
        match alone(kinds, written) {
            Some(c) => folded.push(FoldedChar { c, start, end }),
            None => folder.fold(
                written,
                |c| kinds.is_dropped(c),
                |c| folded.push(FoldedChar { c, start, end }),
            ),
        }
    }
    folded
}

/// The bytes of the next letter with its marks; dropped characters count where they stand between
/// both, and are skipped elsewhere.
fn next_cluster(kinds: &Kinds, text: &str, at: usize) -> Option<Range<usize>> {
    let mut rest = text[at..]
        .char_indices()
        .map(|(offset, c)| (at + offset, c))
        .filter(|(_, c)| !kinds.is_dropped(*c));
    let (start, first) = rest.next()?;
    let joined = rest.take_while(|(_, c)| kinds.joins(*c)).last();
    let (last_at, last) = joined.unwrap_or((start, first));
    Some(start..last_at + last.len_utf8())
}

/// What a text of one character folds to, if that is one character and the tables have it.
fn alone(kinds: &Kinds, written: &str) -> Option<char> {
    let mut characters = written.chars();
    let c = characters.next()?;
    characters.next().is_none().then(|| kinds.alone(c))?
}

/// Folds letters with their marks, one after another in the same buffers.
#[derive(Default)]
struct Folder {
    decomposed: String,
    composed: Vec<char>,
}

impl Folder {
    fn fold(
        &mut self,
        written: &str,
        is_dropped: impl Fn(char) -> bool,
        mut push: impl FnMut(char),
    ) {
        self.decomposed.clear();
        for c in written.chars().filter(|c| !is_dropped(*c)) {
            decompose_compatible(c, |part| self.decomposed.extend(part.to_lowercase()));
        }
        // What is decomposed may have parts that are dropped.
        let composed = self.decomposed.chars().filter(|c| !is_dropped(*c)).nfkc();
        self.composed.clear();
        self.composed.extend(composed);
        if self.composed.iter().any(|c| is_decoration(*c)) {
            self.decomposed.clear();
            let letters = self.composed.iter().filter(|c| !is_decoration(**c));
            self.decomposed.extend(letters.map(|c| without_accent(*c)));
            self.composed.clear();
            // Decoration may have stood between parts of one letter.
            self.composed.extend(self.decomposed.chars().nfkc());
        }
        let mut before = None;
        for c in self.composed.iter().copied() {
            // A mark of a language means as much once as many times.
            if before == Some(c) && is_mark(c) {
                continue;
            }
            before = Some(c);
            push(if c.is_whitespace() {
                ' '
            } else {
                simplified(plain_style(c))
            });
        }
    }
}

/// A mark that belongs to no script, and is left when letters have got the accents that they have
/// in any language; and a mark that encloses a letter.
fn is_decoration(c: char) -> bool {
    match c.general_category() {
        GeneralCategory::EnclosingMark => true,
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark => {
            c.script() == Script::Inherited
        }
        _ => false,
    }
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

fn without_accent(c: char) -> char {
    if c.is_ascii() || c.script() != Script::Latin {
        return c;
    }
    let mut letter = None;
    decompose_canonical(c, |part| {
        letter.get_or_insert(part);
    });
    letter.unwrap_or(c)
}

fn is_dropped(c: char) -> bool {
    (!c.is_ascii() && draws_nothing(c)) || c == TATWEEL || (c.is_control() && !c.is_whitespace())
}

/// Whether it may change what stands before it: a mark, or a part of a Korean syllable.
fn joins(c: char) -> bool {
    let mut first = None;
    decompose_compatible(c, |part| {
        first.get_or_insert(part);
    });
    first.is_some_and(|first| {
        is_mark(first) || is_nfc_quick([first].into_iter()) == IsNormalized::Maybe
    })
}

/// What the functions above say of each character of the Basic Multilingual Plane, computed once:
/// asking them anew for each character of each text would cost ten times as much.
static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::compute);

/// Computes the tables that folding needs now, some ten milliseconds, and not with the first text.
pub(super) fn prepare() {
    LazyLock::force(&KINDS);
}

const PLANE: usize = 1 << 16;
const DROPPED: u16 = 0;
const JOINS: u16 = 1;
const SEVERAL: u16 = 2;

struct Kinds {
    /// One of the constants above, none of which is a character that anything folds to, or the
    /// character to which one folds that has no marks.
    plane: Box<[u16]>,
}

impl Kinds {
    fn compute() -> Self {
        let kind = |number: usize| {
            let c = u32::try_from(number).ok().and_then(char::from_u32);
            c.map_or(SEVERAL, kind)
        };
        Self {
            plane: (0..PLANE).map(kind).collect(),
        }
    }

    fn of(&self, c: char) -> Option<u16> {
        self.plane.get(u32::from(c) as usize).copied()
    }

    fn is_dropped(&self, c: char) -> bool {
        match self.of(c) {
            Some(kind) => kind == DROPPED,
            None => !PICTURES.contains(&c) && is_dropped(c),
        }
    }

    fn joins(&self, c: char) -> bool {
        match self.of(c) {
            Some(kind) => kind == JOINS,
            None => !PICTURES.contains(&c) && joins(c),
        }
    }

    /// What a character folds to that stands without marks, if that is one character.
    fn alone(&self, c: char) -> Option<char> {
        match self.of(c) {
            Some(DROPPED | JOINS | SEVERAL) => None,
            Some(folded) => char::from_u32(folded.into()),
            None => PICTURES.contains(&c).then_some(c),
        }
    }
}

fn kind(c: char) -> u16 {
    if is_dropped(c) {
        return DROPPED;
    }
    if joins(c) {
        return JOINS;
    }
    let mut folded = None;
    let mut count = 0;
    Folder::default().fold(c.encode_utf8(&mut [0; 4]), is_dropped, |c| {
        folded = Some(c);
        count += 1;
    });
    folded
        .filter(|_| count == 1)
        .and_then(|c| u16::try_from(u32::from(c)).ok())
        .unwrap_or(SEVERAL)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
        fold(text).into_iter().map(|it| it.c).collect()
    }

    #[test]
    fn a_text_has_one_form_however_it_is_written() {
        for (written, form) in [
            ("Fuck", "fuck"),
            ("ｆｕｃｋ", "fuck"),
            ("Ⓕⓤⓒⓚ", "fuck"),
            ("𝓕𝖚𝒸𝕜", "fuck"),
            ("🅵🆄🅲🅺", "fuck"),
            ("fu\u{200b}\u{fe0f}\u{ad}ck", "fuck"),
            ("f\u{e0041}u\u{7}ck", "fuck"),
            ("\u{feff}ﬁve\u{3000}\u{2028}５", "five  5"),
            ("賣淫", "卖淫"),
            ("豈\u{f900}", "岂岂"),
            ("ｶﾞｶ\u{3099}", "ガガ"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("كــلب", "كلب"),
        ] {
            assert_eq!(folded(written), form, "{written}");
        }
    }

    #[test]
    fn marks_of_languages_stay_and_decoration_goes() {
        for (written, form) in [
            ("Zoe\u{301}", "zo\u{e9}"),
            ("tiê\u{301}ng Việt", "tiếng việt"),
            ("नमस्ते", "नमस्ते"),
            ("น้ำ", "น\u{e49}\u{e4d}า"),
            ("f\u{336}u\u{336}c\u{336}k\u{336}", "fuck"),
            ("u\u{301}\u{302}\u{303}\u{304}", "u"),
            ("за\u{301}мок", "замок"),
            ("ก\u{e47}\u{e47}\u{e47}\u{e47}", "ก\u{e47}"),
            ("1\u{fe0f}\u{20e3}", "1"),
            ("a\u{200b}\u{301}", "á"),
            ("\u{1100}\u{ff9e}\u{1161}", "가"),
        ] {
            assert_eq!(folded(written), form, "{written}");
        }
    }

    #[test]
    fn each_character_has_its_place_in_the_text() {
        let places = |text: &'static str| -> Vec<(char, &str)> {
            let places = fold(text).into_iter();
            places
                .map(|it| (it.c, &text[it.start as usize..it.end as usize]))
                .collect()
        };
        assert_eq!(
            places("\u{200b}Ａ\u{200b}e\u{200b}\u{301}ﬁ\u{200b}賣"),
            [
                ('a', "Ａ"),
                ('é', "e\u{200b}\u{301}"),
                ('f', "ﬁ"),
                ('i', "ﬁ"),
                ('卖', "賣")
            ]
        );
    }

    /// Characters that the rules are about, and any others.
    fn texts() -> impl Strategy<Value = String> {
        let odd = "[a-zA-Zéﬁ\u{300}-\u{310}\u{336}\u{200b}-\u{200f}\u{1100}-\u{11ff}\u{3099}ｶﾞ\
            \u{e01}-\u{e4f}\u{640}-\u{660}賣裏\u{7}\u{fe0f}\u{20e3}Ⓐ🅰]{0,20}";
        prop_oneof![any::<String>(), odd]
    }

    proptest! {
        #[test]
        fn to_fold_twice_is_to_fold_once(text in texts()) {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }

        #[test]
        fn places_are_characters_of_the_text_and_in_its_order(text in texts()) {
            let mut before = 0;
            for it in fold(&text) {
                let (start, end) = (it.start as usize, it.end as usize);
                prop_assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
                prop_assert!(start < end && before <= start);
                before = start;
            }
        }

        /// The table must not say anything else than the rules that it was computed from.
        #[test]
        fn what_stands_between_letters_changes_neither(c in any::<char>()) {
            let mut alone = String::new();
            if !is_dropped(c) && !joins(c) {
                Folder::default().fold(&c.to_string(), is_dropped, |c| alone.push(c));
                prop_assert_eq!(folded(&format!("x{c}-")), format!("x{alone}-"));
            }
        }
    }
}
