//! A text in all ways in which it is searched, each made once however many lists are searched for.

use std::cell::OnceCell;

use unicode_script::Script;

use super::fold::{FoldedChar, fold};
use super::look_alikes::{Writing, latin_of, writing};
use super::view::{Looseness, View};

pub(super) struct ReadText {
    /// As it stands; and with look-alikes as Latin letters, if the text mixes scripts.
    versions: Vec<Version>,
}

pub(super) struct Version {
    pub folded: Vec<FoldedChar>,
    strict: View,
    loose: OnceCell<View>,
}

impl ReadText {
    pub fn of(text: &str) -> Self {
        let folded = fold(text);
        let mut versions = Vec::with_capacity(2);
        let latin = with_look_alikes_as_latin(&folded);
        versions.push(Version::of(folded));
        versions.extend(latin.map(Version::of));
        Self { versions }
    }

    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    pub fn normalised(&self) -> String {
        let as_it_stands = self.versions.first();
        as_it_stands.map_or_else(String::new, |it| it.strict.normalised())
    }
}

impl Version {
    fn of(folded: Vec<FoldedChar>) -> Self {
        Self {
            strict: View::of(&folded, Looseness::Strict),
            loose: OnceCell::new(),
            folded,
        }
    }

    pub fn view(&self, looseness: Looseness) -> &View {
        match looseness {
            Looseness::Strict => &self.strict,
            Looseness::Loose => self
                .loose
                .get_or_init(|| View::of(&self.folded, Looseness::Loose)),
        }
    }
}

/// `None` if the text is in one script, or has no look-alikes.
pub(super) fn with_look_alikes_as_latin(folded: &[FoldedChar]) -> Option<Vec<FoldedChar>> {
    let has_look_alikes = folded.iter().any(|it| latin_of(it.c).is_some());
    if !has_look_alikes || !mixes_scripts(folded) {
        return None;
    }
    let latin = folded.iter().map(|it| FoldedChar {
        c: latin_of(it.c).unwrap_or(it.c),
        ..*it
    });
    Some(latin.collect())
}

fn mixes_scripts(folded: &[FoldedChar]) -> bool {
    let mut writings = folded
        .iter()
        .filter(|it| it.c.is_alphabetic())
        .map(|it| writing(it.c))
        .filter(|it| *it != Writing::Other(Script::Common));
    let first = writings.next();
    writings.any(|it| Some(it) != first)
}
