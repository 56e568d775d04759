//! The word filter: lists of terms, and what they say about a text.
//!
//! Terms and texts are compared in one normalised form (`fold.rs`), in which runs of a letter count
//! as one (`view.rs`); what was found is given as places of the text as it was sent. `patterns.rs`
//! finds all terms of a list in one pass. `filter.rs` decides: a term that allows makes those inside
//! it not count, and of the rest the severest action wins.
//!
//! A filter is a value: it is made away from the rooms and given to them whole, and checking a text
//! changes nothing.

mod filter;
mod fold;
mod lines;
mod look_alikes;
mod patterns;
mod read_text;
mod simplified;
mod term;
#[cfg(test)]
mod tests;
mod view;

/// Computes the tables that texts need, some tens of milliseconds, and not with the first text. What
/// compiles a list does it as well.
pub fn prepare() {
    fold::prepare();
    look_alikes::prepare();
}

pub use filter::{
    CompiledTerms, CountedTerm, FilterVerdict, Hit, TermOwner, WordFilter, normalised,
};
pub use lines::{
    IMPORT_FAULTS_MAX, ImportError, LINE_BYTES_MAX, LineFault, TermLines, export, import,
};
pub use term::{
    FilterAction, FilterTerm, SITE_TERMS_MAX, STREAMER_TERMS_MAX, TERM_BYTES_MAX, TERM_CHARS,
    TERM_TAG_CHARS_MAX, TERM_TAGS_MAX, TermAction, TermFault, TermFields, TermList, TermListFault,
};
