//! The words of a text, and those that must not come back.

use super::assert_none;
use super::sources::rust_sources;

/// Words that the field has better ones for, and those: no comment or identifier below `src` has
/// them.
const RETIRED_WORDS: &[(&str, &str)] = &[
    ("aside", "blocked, or deferred"),
    ("befell", "changed"),
    ("evening", "room, or run"),
    ("hear", "receive"),
    ("heard", "received"),
    ("hears", "receives"),
    ("manieth", "sequence number"),
    ("patience", "timeout"),
    ("tell", "deliver, publish, notify, or distinguish"),
    ("telling", "delivering, publishing, or notifying"),
    ("tells", "delivers, publishes, notifies, or distinguishes"),
    ("told", "delivered, published, notified, or distinguished"),
    ("untold", "not announced"),
];

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in `text` by itself, not as a part of a longer word.
pub fn names_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_word)
            && !text[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// The words of a line without its string literals, lower case; identifiers count as several.
fn words(line: &str) -> Vec<String> {
    let outside = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut spaced = String::new();
    for c in outside.chars() {
        if c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.push(c);
    }
    let words = spaced
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[test]
fn retired_words_do_not_come_back() {
    let mut offenders = Vec::new();
    for source in rust_sources() {
        for (number, line) in source.text.lines().enumerate() {
            let words = words(line);
            let found = RETIRED_WORDS
                .iter()
                .filter(|(retired, _)| words.iter().any(|word| word == retired));
            offenders.extend(found.map(|(retired, better)| {
                format!("{}:{}: {retired}: say {better}", source.path, number + 1)
            }));
        }
    }
    assert_none("a retired word", offenders);
    assert_eq!(
        words(r#"let SetAside { put_aside } = "evening"; // befell"#),
        ["let", "set", "aside", "put", "aside", "befell"]
    );
}
