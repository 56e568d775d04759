//! The terms of a list as automata that find all of them in one pass over a text.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::read_text::{ReadText, Version};
use super::term::FilterTerm;
use super::view::{Looseness, is_whole_word};

/// Terms of one looseness.
struct Patterns {
    looseness: Looseness,
    automaton: AhoCorasick,
    /// Sorted by pattern; those of pattern `n` are `firsts[n]..firsts[n + 1]`.
    entries: Box<[Entry]>,
    firsts: Box<[u32]>,
}

struct Entry {
    doubled: u64,
    term: u32,
    whole_word: bool,
}

/// The terms of a list, ready to be searched for.
pub(super) struct Automata(Vec<Patterns>);

impl Automata {
    /// Terms are found as their indices. There are fewer of them than 2^31.
    pub fn of<'a>(terms: impl Iterator<Item = &'a FilterTerm> + Clone) -> Self {
        let of = |looseness| Patterns::of(terms.clone(), looseness);
        let patterns = [Looseness::Strict, Looseness::Loose].map(of);
        Self(patterns.into_iter().flatten().collect())
    }

    /// Calls `found` with the index of a term and the bytes of the text that it stands for, for
    /// each place where a term is found, in no order.
    pub fn find(&self, text: &ReadText, mut found: impl FnMut(usize, Range<usize>)) {
        for patterns in &self.0 {
            for version in text.versions() {
                patterns.find(version, &mut found);
            }
        }
    }

    /// Memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        let bytes = |patterns: &Patterns| {
            patterns.automaton.memory_usage()
                + size_of_val(&*patterns.entries)
                + size_of_val(&*patterns.firsts)
        };
        self.0.iter().map(bytes).sum()
    }
}

impl Patterns {
    /// `None` without a term of this looseness.
    fn of<'a>(terms: impl Iterator<Item = &'a FilterTerm>, looseness: Looseness) -> Option<Self> {
        let mut by_text: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        for (nth, term) in (0..)
            .zip(terms)
            .filter(|(_, term)| term.looseness() == looseness)
        {
            let pattern = term.pattern();
            by_text.entry(&pattern.text).or_default().push(Entry {
                doubled: pattern.doubled,
                term: nth,
                whole_word: term.is_whole_word(),
            });
        }
        if by_text.is_empty() {
            return None;
        }
        // A DFA would be faster still, and take a hundred times the memory.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(by_text.keys())
            .expect("lists and terms are too short to exceed 2^31 states");
        let mut firsts = vec![0];
        let mut entries = Vec::new();
        for of_pattern in by_text.into_values() {
            entries.extend(of_pattern);
            firsts.push(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        }
        Some(Self {
            looseness,
            automaton,
            entries: entries.into(),
            firsts: firsts.into(),
        })
    }

    fn find(&self, version: &Version, found: &mut impl FnMut(usize, Range<usize>)) {
        let view = version.view(self.looseness);
        let folded = &version.folded;
        for hit in self.automaton.find_overlapping_iter(view.text()) {
            let units = view.units_at(hit.start(), hit.end());
            let characters = view.characters(&units);
            let pattern = hit.pattern().as_usize();
            let entries = self.firsts[pattern] as usize..self.firsts[pattern + 1] as usize;
            for entry in &self.entries[entries] {
                if view.meets(&units, entry.doubled, entry.whole_word)
                    && (!entry.whole_word || is_whole_word(folded, &characters))
                {
                    let start = folded[*characters.start()].start as usize;
                    let end = folded[*characters.end()].end as usize;
                    found(entry.term as usize, start..end);
                }
            }
        }
    }
}
