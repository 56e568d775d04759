//! The filter of a room: what the terms of the site and of its streamer say about a text.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fold;
use super::look_alikes;
use super::patterns::Automata;
use super::read_text::ReadText;
use super::term::{FilterAction, FilterTerm, TermAction, TermList};

/// A term of a filter in use.
#[derive(Debug)]
pub struct CountedTerm {
    term: FilterTerm,
    /// Comments in which it was found; shared with the filters that come after.
    hits: Arc<AtomicU64>,
}

impl CountedTerm {
    pub const fn term(&self) -> &FilterTerm {
        &self.term
    }

    /// Comments of this process in which it was found, in this filter and in those before it that
    /// had the same term.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// A list of terms that is ready to be searched for. Costly to make: a tenth of a second for
/// [`SITE_TERMS_MAX`](super::SITE_TERMS_MAX) terms, so never on a thread of rooms.
pub struct CompiledTerms {
    terms: Box<[Arc<CountedTerm>]>,
    automata: Automata,
}

impl CompiledTerms {
    /// `before`: the list that this one replaces; terms of both go on to be counted.
    pub fn compile(list: TermList, before: Option<&Self>) -> Self {
        // A filter without terms looks at no text.
        if !list.terms().is_empty() {
            fold::prepare();
            look_alikes::prepare();
        }
        let counted = before.map(Self::counters).unwrap_or_default();
        let terms: Box<[_]> = list
            .into_terms()
            .into_iter()
            .map(|term| {
                let hits = counted.get(term.normalised()).copied();
                let hits = hits.cloned().unwrap_or_default();
                Arc::new(CountedTerm { term, hits })
            })
            .collect();
        let automata = Automata::of(terms.iter().map(|it| &it.term));
        Self { terms, automata }
    }

    fn counters(&self) -> HashMap<&str, &Arc<AtomicU64>> {
        let terms = self.terms.iter();
        terms.map(|it| (it.term.normalised(), &it.hits)).collect()
    }

    pub fn terms(&self) -> &[Arc<CountedTerm>] {
        &self.terms
    }

    /// Memory that the list takes, in bytes, but for what the allocator adds.
    pub fn bytes(&self) -> usize {
        let of_terms = |it: &Arc<CountedTerm>| {
            size_of_val(it) + size_of::<CountedTerm>() + size_of::<AtomicU64>() + it.term.bytes()
        };
        self.automata.bytes() + self.terms.iter().map(of_terms).sum::<usize>()
    }
}

impl fmt::Debug for CompiledTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompiledTerms({})", self.terms.len())
    }
}

/// Whose list a term is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermOwner {
    Site,
    Streamer,
}

/// The terms that count in a room. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct WordFilter {
    site: Option<Arc<CompiledTerms>>,
    streamer: Option<Arc<CompiledTerms>>,
}

impl WordFilter {
    pub const fn new(
        site: Option<Arc<CompiledTerms>>,
        streamer: Option<Arc<CompiledTerms>>,
    ) -> Self {
        Self { site, streamer }
    }

    /// Finds the terms in a text and decides what happens to it. Takes time in proportion to the
    /// text, however many terms there are.
    pub fn check(&self, text: &str) -> FilterVerdict {
        let lists = [
            (TermOwner::Site, &self.site),
            (TermOwner::Streamer, &self.streamer),
        ];
        let mut lists = lists
            .into_iter()
            .filter_map(|(owner, list)| Some((owner, list.as_deref()?)))
            .filter(|(_, list)| !list.terms.is_empty())
            .peekable();
        let mut hits = Vec::new();
        if lists.peek().is_some() {
            let read = ReadText::of(text);
            for (owner, list) in lists {
                list.automata.find(&read, |term, span| {
                    let term = Arc::clone(&list.terms[term]);
                    hits.push(Hit {
                        term,
                        owner,
                        span,
                        is_allowed: false,
                    });
                });
            }
        }
        FilterVerdict::of(hits)
    }
}

/// A place where a term was found.
#[derive(Debug, Clone)]
pub struct Hit {
    pub term: Arc<CountedTerm>,
    pub owner: TermOwner,
    /// Bytes of the text as it was sent, whole characters.
    pub span: Range<usize>,
    /// Whether it lies inside a place where a term was found that allows it: it does not count.
    pub is_allowed: bool,
}

/// What a filter says about a text.
#[derive(Debug, Clone, Default)]
pub struct FilterVerdict {
    hits: Vec<Hit>,
}

impl FilterVerdict {
    fn of(mut hits: Vec<Hit>) -> Self {
        // A term may be found in the same place twice, in letters as they stand and as they look.
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end, Arc::as_ptr(&hit.term)));
        hits.dedup_by(|one, other| one.span == other.span && Arc::ptr_eq(&one.term, &other.term));
        let allowing = [TermOwner::Site, TermOwner::Streamer].map(|owner| {
            let allowing = hits.iter().filter(|hit| hit.owner == owner);
            outermost(allowing.filter(|hit| hit.action() == TermAction::Allow))
        });
        for hit in hits
            .iter_mut()
            .filter(|hit| hit.action() != TermAction::Allow)
        {
            // A streamer cannot weaken the terms of the site.
            let owners = match hit.owner {
                TermOwner::Site => &allowing[..1],
                TermOwner::Streamer => &allowing[..],
            };
            hit.is_allowed = owners.iter().any(|spans| contain(spans, &hit.span));
        }
        Self { hits }
    }

    /// The severest action of all terms that count; `None`: the text may pass as it is.
    pub fn action(&self) -> Option<FilterAction> {
        let actions = self.counting().map(Hit::action);
        actions
            .filter_map(|action| match action {
                TermAction::Act(action) => Some(action),
                TermAction::Allow | TermAction::Observe => None,
            })
            .max()
    }

    /// All that was found, in the order of the text; terms that allow, and allowed ones, as well.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    fn counting(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter().filter(|hit| !hit.is_allowed)
    }

    /// Counts the terms that were found, each once. For comments alone: whoever tries a text does
    /// not count.
    pub fn count(&self) {
        let mut terms: Vec<&Arc<CountedTerm>> = self.counting().map(|hit| &hit.term).collect();
        terms.sort_by_key(|term| Arc::as_ptr(term));
        terms.dedup_by(|one, other| Arc::ptr_eq(one, other));
        for term in terms {
            term.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The text that was checked with `*` for each character of the terms that mask, and as many
    /// characters as before.
    pub fn masked(&self, text: &str) -> String {
        let masking = |hit: &&Hit| hit.action() == TermAction::Act(FilterAction::Mask);
        let mut spans = outermost(self.counting().filter(masking))
            .into_iter()
            .peekable();
        let shown = text.char_indices().map(|(at, c)| {
            while spans.next_if(|span| span.end <= at).is_some() {}
            let is_masked = spans.peek().is_some_and(|span| span.start <= at);
            if is_masked { '*' } else { c }
        });
        shown.collect()
    }
}

impl Hit {
    fn action(&self) -> TermAction {
        self.term.term.action()
    }
}

/// The spans of hits, which are in the order of the text, without those that lie inside another: of
/// those that are left, one that begins later ends later.
fn outermost<'a>(hits: impl Iterator<Item = &'a Hit>) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for span in hits.map(|hit| hit.span.clone()) {
        match spans.last_mut() {
            Some(last) if span.end <= last.end => {}
            Some(last) if span.start == last.start => *last = span,
            _ => spans.push(span),
        }
    }
    spans
}

/// Whether a span lies inside one of these, which are [`outermost`].
fn contain(spans: &[Range<usize>], span: &Range<usize>) -> bool {
    let begin_before = spans.partition_point(|it| it.start <= span.start);
    let farthest = begin_before.checked_sub(1).and_then(|last| spans.get(last));
    farthest.is_some_and(|it| span.end <= it.end)
}

/// A text as terms are compared with it: two texts with one form are the same to a reader. Call
/// [`prepare`](super::prepare) at the start of a process that calls this on a thread of rooms.
pub fn normalised(text: &str) -> String {
    ReadText::of(text).normalised()
}
