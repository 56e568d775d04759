//! Terms of a word filter, and lists of them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::fold::{FoldedChar, fold};
use super::read_text::with_look_alikes_as_latin;
use super::view::{Looseness, Pattern, TERM_UNITS_MAX, View};

/// Code points of a term, normalised; of a loose one, those that are letters and digits.
pub const TERM_CHARS: RangeInclusive<usize> = 2..=64;
/// Longest term as it is written, in bytes: what it drops when it is normalised counts here.
pub const TERM_BYTES_MAX: usize = 512;
/// Most tags of a term.
pub const TERM_TAGS_MAX: usize = 8;
/// Longest tag, in code points.
pub const TERM_TAG_CHARS_MAX: usize = 32;
/// Most terms of the site.
pub const SITE_TERMS_MAX: usize = 20_000;
/// Most terms of a streamer.
pub const STREAMER_TERMS_MAX: usize = 500;

const _: () = assert!(*TERM_CHARS.end() <= TERM_UNITS_MAX);

/// What happens to a comment in which a term is found, from the mildest to the severest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterAction {
    /// Everybody sees `*` for the term.
    Mask,
    /// Only its sender sees it.
    Shadow,
    /// It waits for a moderator, who sees it, and may approve it.
    Hold,
    /// It is refused.
    Block,
}

/// What a term is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TermAction {
    /// Terms inside it do not count.
    Allow,
    /// It is counted, and that is all: how a term is tried.
    Observe,
    Act(FilterAction),
}

impl TermAction {
    pub const ALL: [Self; 6] = [
        Self::Allow,
        Self::Observe,
        Self::Act(FilterAction::Mask),
        Self::Act(FilterAction::Shadow),
        Self::Act(FilterAction::Hold),
        Self::Act(FilterAction::Block),
    ];

    /// The word for it in lists, on the wire and in the store. Never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Observe => "observe",
            Self::Act(action) => action.name(),
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl FilterAction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Shadow => "shadow",
            Self::Hold => "hold",
            Self::Block => "block",
        }
    }
}

/// What a term is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermFields {
    /// White space around it is dropped.
    pub text: String,
    pub action: TermAction,
    /// Whether it is found with anything that is no letter or digit between its letters.
    pub loose: bool,
    /// Whether it must not be a part of a longer word. `None`: if it is ASCII.
    pub whole_word: Option<bool>,
    /// For people; they change nothing.
    pub tags: Vec<String>,
}

/// Why fields make no [`FilterTerm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermFault {
    #[error(
        "a term has {} to {} characters when it is normalised, this one has {chars}",
        TERM_CHARS.start(), TERM_CHARS.end()
    )]
    Length { chars: usize },
    #[error(
        "a loose term has at least {} letters or digits, this one has {chars}",
        TERM_CHARS.start()
    )]
    LooseLength { chars: usize },
    #[error("a term has at most {TERM_BYTES_MAX} bytes, this one has {bytes}")]
    Bytes { bytes: usize },
    #[error("a term has no control characters")]
    Control,
    #[error("a term has at most {TERM_TAGS_MAX} tags")]
    Tags,
    #[error(
        "a tag has 1 to {TERM_TAG_CHARS_MAX} characters, none of them a comma, white space or a \
         control character"
    )]
    Tag,
}

/// A text that a filter looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterTerm {
    text: Box<str>,
    action: TermAction,
    looseness: Looseness,
    whole_word: bool,
    tags: Box<[Box<str>]>,
    normalised: Box<str>,
    pattern: Pattern,
}

impl FilterTerm {
    pub fn new(fields: TermFields) -> Result<Self, TermFault> {
        let text = fields.text.trim();
        if text.len() > TERM_BYTES_MAX {
            return Err(TermFault::Bytes { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(TermFault::Control);
        }
        let folded = fold(text);
        // A text that has this term mixes scripts as well, and is searched in Latin letters too.
        let folded = with_look_alikes_as_latin(&folded).unwrap_or(folded);
        let folded = without_outer_spaces(&folded);
        let strict = View::of(folded, Looseness::Strict);
        let normalised = strict.normalised();
        let chars = normalised.chars().count();
        if !TERM_CHARS.contains(&chars) {
            return Err(TermFault::Length { chars });
        }
        let (looseness, view) = if fields.loose {
            let view = View::of(folded, Looseness::Loose);
            let chars = view.normalised().chars().count();
            if chars < *TERM_CHARS.start() {
                return Err(TermFault::LooseLength { chars });
            }
            (Looseness::Loose, view)
        } else {
            (Looseness::Strict, strict)
        };
        Ok(Self {
            text: text.into(),
            action: fields.action,
            looseness,
            whole_word: fields.whole_word.unwrap_or(normalised.is_ascii()),
            tags: tags(&fields.tags)?,
            normalised: normalised.into(),
            pattern: view.pattern(),
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As it is compared: lists have one term of each.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    pub const fn action(&self) -> TermAction {
        self.action
    }

    pub fn is_loose(&self) -> bool {
        self.looseness == Looseness::Loose
    }

    pub const fn is_whole_word(&self) -> bool {
        self.whole_word
    }

    /// Whether it must be a whole word if nothing else is said.
    pub fn is_whole_word_by_default(&self) -> bool {
        self.normalised.is_ascii()
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| &**tag)
    }

    /// What it has beside itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.text, &self.normalised, &self.pattern.text];
        let texts = texts.into_iter().map(|text| text.len()).sum::<usize>();
        let tags = self.tags.iter().map(|tag| size_of_val(tag) + tag.len());
        texts + tags.sum::<usize>()
    }

    pub(super) const fn looseness(&self) -> Looseness {
        self.looseness
    }

    pub(super) const fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

fn without_outer_spaces(mut folded: &[FoldedChar]) -> &[FoldedChar] {
    while let [FoldedChar { c: ' ', .. }, rest @ ..] | [rest @ .., FoldedChar { c: ' ', .. }] =
        folded
    {
        folded = rest;
    }
    folded
}

fn tags(tags: &[String]) -> Result<Box<[Box<str>]>, TermFault> {
    if tags.len() > TERM_TAGS_MAX {
        return Err(TermFault::Tags);
    }
    let is_tag = |tag: &str| {
        (1..=TERM_TAG_CHARS_MAX).contains(&tag.chars().count())
            && !tag.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control())
    };
    if !tags.iter().all(|tag| is_tag(tag)) {
        return Err(TermFault::Tag);
    }
    Ok(tags.iter().map(|tag| tag.as_str().into()).collect())
}

/// Terms of the site or of one streamer: no more than they may have, and each once.
#[derive(Debug)]
pub struct TermList {
    terms: Vec<FilterTerm>,
    places: HashMap<Box<str>, usize>,
    terms_max: usize,
}

/// Why a list does not take a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermListFault {
    #[error("a list has at most {terms_max} terms")]
    Full { terms_max: usize },
    /// FilterTerm `nth` of the list, counted from 0, is normalised the same.
    #[error("the list has this term already")]
    Duplicate { nth: usize },
}

impl TermList {
    pub fn new(terms_max: usize) -> Self {
        Self {
            terms: Vec::new(),
            places: HashMap::new(),
            terms_max,
        }
    }

    pub fn push(&mut self, term: FilterTerm) -> Result<(), TermListFault> {
        if let Some(nth) = self.places.get(term.normalised()) {
            return Err(TermListFault::Duplicate { nth: *nth });
        }
        if self.terms.len() >= self.terms_max {
            let terms_max = self.terms_max;
            return Err(TermListFault::Full { terms_max });
        }
        self.places
            .insert(term.normalised().into(), self.terms.len());
        self.terms.push(term);
        Ok(())
    }

    pub fn terms(&self) -> &[FilterTerm] {
        &self.terms
    }

    pub fn into_terms(self) -> Vec<FilterTerm> {
        self.terms
    }
}
