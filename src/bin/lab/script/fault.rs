//! The faults of a script: where, and what was expected.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One fault. Its text has the file, the line, the line's content (so the key) and what was
/// expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFault {
    path: Option<PathBuf>,
    /// Line and column from 1, and the line itself.
    place: Option<(usize, usize, String)>,
    what: String,
}

impl ScriptFault {
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self {
            path: Some(path.to_owned()),
            place: None,
            what: format!("cannot be read: {error}"),
        }
    }

    pub fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        match error.span() {
            Some(span) => Self::at(text, span).because(error.message()),
            None => Self {
                path: None,
                place: None,
                what: error.message().to_owned(),
            },
        }
    }

    /// A fault at a place in `text`.
    pub fn at(text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        let content = text
            .lines()
            .nth(line)
            .unwrap_or_default()
            .trim_end()
            .to_owned();
        Self {
            path: None,
            place: Some((line + 1, column + 1, content)),
            what: String::new(),
        }
    }

    /// A fault where `needle` first stands in `text`.
    pub fn find(text: &str, needle: &str) -> Self {
        let start = text.find(needle).unwrap_or_default();
        Self::at(text, start..start + needle.len())
    }

    pub fn because(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    pub fn in_file(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str("script")?,
        }
        match &self.place {
            Some((line, column, content)) => {
                write!(f, ":{line}:{column}: {}\n  {line} | {content}", self.what)
            }
            None => write!(f, ": {}", self.what),
        }
    }
}

impl std::error::Error for ScriptFault {}
