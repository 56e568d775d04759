//! The files of the repository, and what the code of one imports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::words::is_word;

/// The load lab.
const LAB: &str = "src/bin/lab/";

/// Folders that are not ours, or are recorded as they are.
const SKIPPED_FOLDERS: &[&str] = &["node_modules", "transcripts", "target", ".git"];

/// One file of the repository.
pub struct Source {
    /// From the root, with forward slashes.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn is_lab(&self) -> bool {
        self.path.starts_with(LAB)
    }

    /// A file of unit tests, which may reach anywhere.
    pub fn is_tests(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.ends_with("testing.rs")
    }

    /// The top module it belongs to: `domain` for `src/domain/room.rs`.
    pub fn module(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs")
    }

    /// How many modules deep it is: 1 for `src/outbox.rs` and `src/domain/mod.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("src/").split('/').count();
        if self.path.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }

    /// The modules it is in, and itself last: `transport`, `engine`. None for the root of a crate.
    pub fn module_path(&self) -> Vec<&str> {
        let inside = self
            .path
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .trim_end_matches("/mod");
        if self.depth() == 1 && ["lib", "main"].contains(&inside) {
            Vec::new()
        } else {
            inside.split('/').collect()
        }
    }

    /// Of the modules in the folder `folder`, which this file is below: those that its code names.
    pub fn siblings(&self, folder: &[&str]) -> BTreeSet<String> {
        let code = self.code();
        let from_root: String = ["crate"]
            .iter()
            .chain(folder)
            .flat_map(|part| [*part, "::"])
            .collect();
        let climb = "super::".repeat(self.module_path().len() - folder.len());
        let found = [from_root, climb].into_iter().flat_map(|start| {
            let starts = code
                .match_indices(&start)
                .filter(|(at, _)| !code[..*at].ends_with("super::"));
            starts
                .flat_map(|(at, _)| names_after(&code[at + start.len()..]))
                .collect::<Vec<_>>()
        });
        found.collect()
    }

    /// Its code without comments and without the unit tests at its end, which may reach anywhere.
    pub fn code(&self) -> String {
        let production = self
            .text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let code = production
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| [line, "\n"]).collect()
    }

    /// The top modules that its code names.
    pub fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut names = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            names.extend(names_after(&code[at + "crate::".len()..]));
        }
        // `super::` may climb to the top as well.
        let climb = "super::".repeat(self.depth());
        for (at, _) in code.match_indices(&climb) {
            names.extend(names_after(&code[at + climb.len()..]));
        }
        names
    }
}

/// The first word of a path, or of each path in a group: `a::b` and `{a::b, c}`.
fn names_after(path: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut level, mut names) = (0_usize, vec![word(group)]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| {
        entry
            .expect("a folder of the repository can be listed")
            .path()
    }) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match path.is_dir() {
            true if SKIPPED_FOLDERS.contains(&name.as_str()) || name.starts_with(".venv") => {}
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The files below `folder` that end like one of `extensions`, in order.
pub fn sources(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    let wanted = |path: &PathBuf| {
        path.extension()
            .is_some_and(|it| extensions.contains(&it.to_string_lossy().as_ref()))
    };
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("sources are UTF-8"),
        path: path
            .strip_prefix(root())
            .expect("below the root")
            .to_string_lossy()
            .replace('\\', "/"),
    };
    files.into_iter().filter(wanted).map(read).collect()
}

pub fn rust_sources() -> Vec<Source> {
    let sources = sources("src", &["rs"]);
    assert!(
        sources.len() > 10,
        "found only {} files below src",
        sources.len()
    );
    sources
}

/// Everything that people wrote and read.
pub fn written_files() -> Vec<Source> {
    let mut files = sources("src", &["rs", "js", "css", "html"]);
    files.extend(sources(
        "tests",
        &["rs", "js", "mjs", "py", "sh", "toml", "txt"],
    ));
    files.extend(sources("migrations", &["sql"]));
    for name in [
        "Cargo.toml",
        "config.toml",
        "diesel.toml",
        "README.md",
        "CHANGELOG.md",
        ".clippy.toml",
        ".deny.toml",
    ] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            files.push(Source {
                path: name.to_owned(),
                text,
            });
        }
    }
    files
}

#[test]
fn imports_are_found_however_they_are_written() {
    let source = |path: &str, text: &str| {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
        .imports()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        source("src/a.rs", "use crate::domain::{B, C};\n// crate::http\n"),
        set(&["domain"])
    );
    assert_eq!(
        source("src/a.rs", "use crate::{actors::{x, y}, http, domain::z};"),
        set(&["actors", "http", "domain"])
    );
    assert_eq!(
        source("src/a.rs", "fn f() { crate::app::start() }"),
        set(&["app"])
    );
    assert_eq!(
        source("src/a/b.rs", "use super::c;\nuse super::super::app;"),
        set(&["app"])
    );
    assert_eq!(
        source(
            "src/a/mod.rs",
            "use super::app;\n#[cfg(test)]\nmod tests { use crate::x; }"
        ),
        set(&["app"])
    );
    assert_eq!(
        source("src/a/mod.rs", "#[cfg(test)]\nmod tests;\nuse super::app;"),
        set(&["app"])
    );
}
