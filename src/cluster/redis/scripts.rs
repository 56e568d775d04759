//! Plays transcripts: cases of commands, and what they lead to. `tests/core/room_scripts` plays
//! those of rooms with the same reader, which describes the form.
//!
//! A script says all that happens, in order: an output that it does not list is a failure.
//! `UPDATE_SCRIPTS=1 cargo test --lib scripts` writes what happened into the scripts; read the diff
//! before keeping it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use script::Script;

#[path = "../../../tests/core/room_scripts/script.rs"]
mod script;

/// The world of one case.
pub trait Scripted: Default {
    /// Carries out one command. Returns what it led to, or why it is none.
    fn run(&mut self, words: Words<'_>) -> Result<Vec<String>, String>;
}

/// Plays all scripts in a folder below `tests`, each case in a world of its own. Panics with the
/// differences, if there are any.
pub fn play_folder<W: Scripted>(folder: &str) {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut differences = String::new();
    for path in scripts_in(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path).expect("a script is UTF-8 text");
        let script = Script::parse(&text).unwrap_or_else(|fault| panic!("{name}:{fault}"));
        let mut world = W::default();
        let played = script.play(|case_starts, command| {
            if case_starts {
                world = W::default();
            }
            // A check that panics is reported with its line.
            let run = AssertUnwindSafe(|| world.run(Words::split(command)));
            catch_unwind(run).unwrap_or_else(|_| Err("panicked, see above".into()))
        });
        let played = played.unwrap_or_else(|fault| panic!("{name}:{fault}"));
        if update {
            fs::write(&path, played.text).expect("a script can be written");
        }
        for difference in played.differences {
            differences += &format!("{name}:{difference}\n");
        }
    }
    assert!(
        update || differences.is_empty(),
        "something else happened (UPDATE_SCRIPTS=1 accepts it):\n\n{differences}"
    );
}

fn scripts_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let entries = fs::read_dir(&folder).expect("the folder of the scripts is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    paths.sort();
    paths
}

/// The words of one command that were not used yet. `key=value` words may stand anywhere.
#[derive(Debug)]
pub struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub fn split(line: &'a str) -> Self {
        let mut words = Self {
            plain: Vec::new(),
            keyed: Vec::new(),
        };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(keyed) => words.keyed.push(keyed),
                None => words.plain.push(word),
            }
        }
        words
    }

    /// The next word; `name` is what the command expects there.
    pub fn next(&mut self, name: &str) -> Result<&'a str, String> {
        if self.plain.is_empty() {
            return Err(format!("{name} is missing"));
        }
        Ok(self.plain.remove(0))
    }

    /// All words that are left, without keys.
    pub fn rest(&mut self) -> Vec<&'a str> {
        std::mem::take(&mut self.plain)
    }

    /// Whether the word is there, anywhere.
    pub fn flag(&mut self, flag: &str) -> bool {
        let at = self.plain.iter().position(|word| *word == flag);
        at.map(|at| self.plain.remove(at)).is_some()
    }

    pub fn key(&mut self, key: &str) -> Option<&'a str> {
        let at = self.keyed.iter().position(|(known, _)| *known == key)?;
        Some(self.keyed.remove(at).1)
    }

    /// `Err` if there are words that the command does not know.
    pub fn end(self) -> Result<(), String> {
        match (self.plain.first(), self.keyed.first()) {
            (None, None) => Ok(()),
            (Some(word), _) | (None, Some((word, _))) => Err(format!("{word} is not understood")),
        }
    }
}

/// Reads a number.
pub fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is not a number"))
}

/// Reads a duration such as `250ms` or `3s`, in milliseconds.
pub fn duration_ms(word: &str) -> Result<u64, String> {
    if let Some(ms) = word.strip_suffix("ms") {
        return number(ms);
    }
    let seconds = word
        .strip_suffix('s')
        .ok_or(format!("{word} has no unit"))?;
    number::<u64>(seconds).map(|seconds| seconds * 1_000)
}
