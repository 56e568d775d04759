//! The building blocks of the page. All text passes through here and is escaped here.

use super::format::escape;

/// A card with a heading; empty if its content is.
pub fn card(heading: &str, content: &str) -> String {
    match content {
        "" => String::new(),
        content => format!(
            r#"<section class="card"><h2>{}</h2>{content}</section>"#,
            escape(heading)
        ),
    }
}

pub fn note(text: &str) -> String {
    format!(r#"<p class="note">{}</p>"#, escape(text))
}

/// A table whose columns but the first hold numbers; empty if it has no rows.
pub fn numbers<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading: String = headings
        .iter()
        .map(|text| format!("<th>{}</th>", escape(text)))
        .collect();
    let cells = |row: &[String; COLUMNS]| {
        row.iter()
            .map(|text| format!("<td>{}</td>", escape(text)))
            .collect::<String>()
    };
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>", cells(row)))
        .collect();
    format!(
        r#"<table class="numbers"><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"#
    )
}

/// Names and what is to be said of them.
pub fn facts(facts: &[(&str, String)]) -> String {
    let fact = |(name, value): &(&str, String)| {
        format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value))
    };
    format!(
        r#"<dl class="facts">{}</dl>"#,
        facts.iter().map(fact).collect::<String>()
    )
}

/// A figure worth reading first, and what puts it in proportion.
pub fn tile(name: &str, value: &str, beside: &str) -> String {
    let (name, value, beside) = (escape(name), escape(value), escape(beside));
    format!(
        r#"<div class="tile"><dt>{name}</dt><dd class="big">{value}</dd><dd class="small">{beside}</dd></div>"#
    )
}

/// A verdict in colour and in words, for those who see no colour.
pub fn mark(passed: bool, kept: &str, broken: &str) -> String {
    let (class, sign, word) = if passed {
        ("kept", '✓', kept)
    } else {
        ("broken", '✗', broken)
    };
    format!(
        r#"<span class="mark {class}">{sign} {}</span>"#,
        escape(word)
    )
}

/// Longer text as it was written, folded away until asked for.
pub fn folded(title: &str, text: &str) -> String {
    format!(
        "<details><summary>{}</summary><pre>{}</pre></details>",
        escape(title),
        escape(text)
    )
}
