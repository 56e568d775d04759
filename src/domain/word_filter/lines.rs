//! Lists of terms as lines of text: how they are exported, kept in files, and imported.
//!
//! A line is a term: its text, its action, its options and its tags, with tabs between them. All but
//! the text may be missing: `block`, no options, no tags. Options and tags are words with commas
//! between them. The options are `loose`, `whole` and `part`, for a term that must or need not be a
//! whole word; without them a term of ASCII must be one. In the text `\#` is `#` and `\\` is `\`. A
//! line that begins with `#` is a comment. Lines end with a line feed, with or without a carriage
//! return before it; a byte order mark at the start is skipped.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::term::{
    FilterAction, FilterTerm, TermAction, TermFault, TermFields, TermList, TermListFault,
};

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 2_048;
/// Most faults that one import reports.
pub const IMPORT_FAULTS_MAX: usize = 20;

const HEADER: &str = "# text\taction\toptions\ttags\n";

/// Why a line is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("not UTF-8")]
    NotUtf8,
    #[error("more than text, action, options and tags")]
    Fields,
    #[error("`\\` stands before neither `#` nor `\\`")]
    Escape,
    #[error("no action: allow, observe, mask, shadow, hold or block")]
    Action,
    #[error("no option: loose, and either whole or part")]
    Option,
    #[error("the same term as in line {line}")]
    Duplicate { line: usize },
    #[error("a list has at most {terms_max} terms")]
    Full { terms_max: usize },
    #[error(transparent)]
    Term(#[from] TermFault),
}

/// Why lines make no list: the first [`IMPORT_FAULTS_MAX`] faults, each with the number of its
/// line, counted from 1. Shown as a line of text each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError(pub Vec<(usize, LineFault)>);

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (line, fault)) in self.0.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "\n" };
            write!(f, "{separator}line {line}: {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportError {}

/// Reads a list of at most `terms_max` terms. All of it is good or none of it is taken.
pub fn import(bytes: &[u8], terms_max: usize) -> Result<TermList, ImportError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut list = TermList::new(terms_max);
    let mut lines_of_terms = Vec::new();
    let mut faults = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let pushed = read_line(bytes).and_then(|term| {
            let Some(term) = term else { return Ok(()) };
            list.push(term).map_err(|fault| match fault {
                TermListFault::Full { terms_max } => LineFault::Full { terms_max },
                TermListFault::Duplicate { nth } => LineFault::Duplicate {
                    line: lines_of_terms[nth],
                },
            })?;
            lines_of_terms.push(line);
            Ok(())
        });
        let Err(fault) = pushed else { continue };
        // All further terms would be too many as well.
        let is_last = matches!(fault, LineFault::Full { .. });
        faults.push((line, fault));
        if is_last || faults.len() >= IMPORT_FAULTS_MAX {
            break;
        }
    }
    if faults.is_empty() {
        Ok(list)
    } else {
        Err(ImportError(faults))
    }
}

/// A list that [`import`] reads again as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermLines {
    text: Arc<str>,
    count: usize,
}

impl TermLines {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many terms there are.
    pub const fn count(&self) -> usize {
        self.count
    }
}

/// Writes a list so that [`import`] reads the same.
pub fn export(list: &TermList) -> TermLines {
    let mut lines = HEADER.to_owned();
    for term in list.terms() {
        write_line(&mut lines, term);
    }
    TermLines {
        text: lines.into(),
        count: list.terms().len(),
    }
}

/// `None` for a comment and for an empty line.
fn read_line(line: &[u8]) -> Result<Option<FilterTerm>, LineFault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE_BYTES_MAX {
        return Err(LineFault::TooLong);
    }
    let line = str::from_utf8(line).map_err(|_| LineFault::NotUtf8)?;
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split('\t').map(str::trim);
    let [text, action, options, tags] = std::array::from_fn(|_| fields.next().unwrap_or_default());
    if fields.any(|field| !field.is_empty()) {
        return Err(LineFault::Fields);
    }
    let (loose, whole_word) = read_options(options)?;
    let term = FilterTerm::new(TermFields {
        text: unescaped(text)?,
        action: match action {
            "" => TermAction::Act(FilterAction::Block),
            name => TermAction::parse(name).ok_or(LineFault::Action)?,
        },
        loose,
        whole_word,
        tags: words(tags).map(str::to_owned).collect(),
    })?;
    Ok(Some(term))
}

fn read_options(options: &str) -> Result<(bool, Option<bool>), LineFault> {
    let (mut loose, mut whole_word) = (false, None);
    for option in words(options) {
        match (option, whole_word) {
            ("loose", _) if !loose => loose = true,
            ("whole", None) => whole_word = Some(true),
            ("part", None) => whole_word = Some(false),
            _ => return Err(LineFault::Option),
        }
    }
    Ok((loose, whole_word))
}

fn words(field: &str) -> impl Iterator<Item = &str> {
    let words = field.split(',').map(str::trim);
    words.filter(|_| !field.is_empty())
}

fn unescaped(text: &str) -> Result<String, LineFault> {
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        unescaped.push(match c {
            '\\' => characters
                .next()
                .filter(|c| matches!(c, '#' | '\\'))
                .ok_or(LineFault::Escape)?,
            c => c,
        });
    }
    Ok(unescaped)
}

fn write_line(lines: &mut String, term: &FilterTerm) {
    for (nth, c) in term.text().chars().enumerate() {
        if c == '\\' || (c == '#' && nth == 0) {
            lines.push('\\');
        }
        lines.push(c);
    }
    let whole_word = match (term.is_whole_word(), term.is_whole_word_by_default()) {
        (true, false) => Some("whole"),
        (false, true) => Some("part"),
        _ => None,
    };
    let options = term
        .is_loose()
        .then_some("loose")
        .into_iter()
        .chain(whole_word);
    let options = options.collect::<Vec<_>>().join(",");
    let tags = term.tags().collect::<Vec<_>>().join(",");
    let line = format!("\t{}\t{options}\t{tags}", term.action().name());
    // Writing to a string cannot fail.
    let _ = writeln!(lines, "{}", line.trim_end_matches('\t'));
}

#[cfg(test)]
mod tests {
    use super::super::term::SITE_TERMS_MAX;
    use super::*;

    fn faults(bytes: &[u8]) -> String {
        import(bytes, SITE_TERMS_MAX).unwrap_err().to_string()
    }

    #[test]
    fn files_of_any_editor_are_read() {
        let file = "\u{feff}# insults\r\n\r\n傻冒\tHold\r\n".replace("Hold", "hold");
        let file = file + "  av  \t\tpart, loose\tadult,en\r\n路口交通\tallow\n\\#tag\n\\\\o/";
        let list = import(file.as_bytes(), SITE_TERMS_MAX).unwrap();
        let terms: Vec<_> = list
            .terms()
            .iter()
            .map(|term| {
                (
                    term.text(),
                    term.action().name(),
                    term.is_loose(),
                    term.is_whole_word(),
                )
            })
            .collect();
        assert_eq!(
            terms,
            [
                ("傻冒", "hold", false, false),
                ("av", "block", true, false),
                ("路口交通", "allow", false, false),
                ("#tag", "block", false, true),
                ("\\o/", "block", false, true),
            ]
        );
        assert_eq!(list.terms()[1].tags().collect::<Vec<_>>(), ["adult", "en"]);
        assert_eq!(
            export(&list).as_str(),
            "# text\taction\toptions\ttags\n傻冒\thold\nav\tblock\tloose,part\tadult,en\n\
             路口交通\tallow\n\\#tag\tblock\n\\\\o/\tblock\n"
        );
    }

    #[test]
    fn each_fault_has_its_line() {
        for (file, fault) in [
            (
                &b"# \nok\n\xe5\xa5\xb3"[..],
                "line 3: a term has 2 to 64 characters when it is normalised, this one has 1",
            ),
            (b"fuck\n\nFUCK\thold", "line 3: the same term as in line 1"),
            (b"ok\na\xff\xfe", "line 2: not UTF-8"),
            (
                b"ok\tban",
                "line 1: no action: allow, observe, mask, shadow, hold or block",
            ),
            (
                b"ok\t\twhole,part",
                "line 1: no option: loose, and either whole or part",
            ),
            (
                b"ok\t\tloos",
                "line 1: no option: loose, and either whole or part",
            ),
            (
                b"ok\tblock\t\ttag\tmore",
                "line 1: more than text, action, options and tags",
            ),
            (b"a\\b", "line 1: `\\` stands before neither `#` nor `\\`"),
            (b"a\rb", "line 1: a term has no control characters"),
            (
                b"ok\t\t\tt,",
                "line 1: a tag has 1 to 32 characters, none of them a comma, white space or a control character",
            ),
            (
                b"a\nb\nfuck",
                "line 1: a term has 2 to 64 characters when it is normalised, this one has 1\nline 2: a term has 2 to 64 characters when it is normalised, this one has 1",
            ),
        ] {
            assert_eq!(faults(file), fault);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_wherever_it_ends() {
        let mut file = b"ok\n".to_vec();
        file.resize(10_000_000, b'a');
        assert_eq!(faults(&file), "line 2: longer than 2048 bytes");
        let many: String = (0..100_000).map(|nth| format!("term {nth}\n")).collect();
        assert_eq!(
            faults(many.as_bytes()),
            "line 20001: a list has at most 20000 terms"
        );
        assert_eq!(
            faults("x\n".repeat(100_000).as_bytes()).lines().count(),
            IMPORT_FAULTS_MAX
        );
        let full: String = (0..SITE_TERMS_MAX)
            .map(|nth| format!("term {nth}\n"))
            .collect();
        assert_eq!(
            import(full.as_bytes(), SITE_TERMS_MAX)
                .unwrap()
                .terms()
                .len(),
            SITE_TERMS_MAX
        );
    }
}
