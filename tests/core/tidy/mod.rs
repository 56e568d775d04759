//! Rules about the repository itself, read from its files: who may import whom, and what no file
//! may contain. Each test lists all offenders.

mod sources;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sources::{Source, root, rust_sources, sources, written_files};
use words::{is_word, names_word};

/// May import whatever it likes.
const ANYTHING: &[&str] = &["*"];

/// Each module at the top of `src/` and what it may import; a module that is not here may not be.
/// Nothing but the composition root itself imports `app`.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("limits", &[]),
    ("config", &["limits"]),
    ("clock", &["domain"]),
    ("comment_ids", &["domain"]),
    ("protocol", &["domain", "config"]),
    ("outbox", &["domain"]),
    ("tls", &[]),
    ("storage", &["domain", "tls"]),
    (
        "cluster",
        &["domain", "protocol", "storage", "clock", "config", "tls"],
    ),
    ("catalogue", &["domain", "storage"]),
    ("word_filters", &["domain", "storage"]),
    ("auth", &["domain", "storage", "cluster", "clock", "config"]),
    ("managers", &["domain", "storage", "auth"]),
    (
        "actors",
        &[
            "domain",
            "protocol",
            "outbox",
            "auth",
            "storage",
            "cluster",
            "catalogue",
            "word_filters",
            "comment_ids",
            "config",
            "limits",
            "clock",
        ],
    ),
    ("client_address", &["config"]),
    (
        "transport",
        &[
            "actors",
            "outbox",
            "protocol",
            "domain",
            "limits",
            "config",
            "auth",
            "client_address",
            "clock",
        ],
    ),
    (
        "http",
        &[
            "actors",
            "storage",
            "auth",
            "managers",
            "catalogue",
            "word_filters",
            "domain",
            "protocol",
            "config",
            "limits",
            "clock",
            "client_address",
        ],
    ),
    ("app", ANYTHING),
    ("demo", ANYTHING),
    ("cli", ANYTHING),
    ("main", ANYTHING),
    ("lib", ANYTHING),
];

/// Modules that import each other in a circle, with the reason; in no other folder may they.
const CIRCLES: &[(&str, &str)] = &[(
    "actors",
    "each knows the typed addresses of those that it sends to",
)];

/// Those that may import `app`.
const ABOVE_APP: &[&str] = &["app", "demo", "main", "lib"];

/// Those that may print: they talk to a terminal.
const PRINTERS: &[&str] = &["app", "demo", "cli", "main"];

/// Crates that are named in one place only.
const CONFINED_CRATES: &[(&str, &str)] = &[
    ("diesel", "src/storage/"),
    ("diesel_async", "src/storage/"),
    ("diesel_migrations", "src/storage/"),
    ("jsonwebtoken", "src/auth"),
    ("actix_web_actors", "src/transport/ws.rs"),
    ("redis", "src/cluster/redis/"),
    ("bb8_redis", "src/cluster/redis/"),
];

/// What the pure core must not know: the world, its clock and its dice.
const NOT_IN_DOMAIN: &[&str] = &[
    "actix",
    "actix_web",
    "diesel",
    "serde",
    "serde_json",
    "tokio",
    "rand",
    "log",
    "SystemTime",
    "Instant",
];

/// The lab's modules that may print.
const LAB_PRINTERS: &[&str] = &[
    "src/bin/lab/main.rs",
    "src/bin/lab/progress.rs",
    "src/bin/lab/run.rs",
];

const LINES_MAX: usize = 700;

/// The type that a line declares for its module: whether it is public, and its name.
fn declared_type(line: &str) -> Option<(bool, &str)> {
    let after_pub = line.strip_prefix("pub");
    let declared = after_pub.unwrap_or(line);
    let declared = declared
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(") "))
        .map_or(declared, |(_, rest)| rest);
    let (keyword, rest) = declared
        .strip_prefix(' ')
        .unwrap_or(declared)
        .split_once(' ')?;
    let is_type = ["struct", "enum", "union", "trait", "type"].contains(&keyword);
    let name = rest
        .split(|c: char| !is_word(c))
        .next()
        .filter(|name| is_type && !name.is_empty())?;
    Some((after_pub.is_some(), name))
}

/// Whether code takes something from the crate: `name::` or `use name`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole = !before
            .chars()
            .next_back()
            .is_some_and(|c| is_word(c) || c == ':');
        whole
            && (after.starts_with("::")
                || (before.ends_with("use ") && !after.starts_with(is_word)))
    })
}

#[track_caller]
fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn modules_import_only_what_is_below_them() {
    let mut offenders = Vec::new();
    // The lab is a program of its own: its modules are not these, and it may name none of them.
    for source in rust_sources().into_iter().filter(|source| !source.is_lab()) {
        let module = source.module();
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            offenders.push(format!("{}: module {module} has no layer", source.path));
            continue;
        };
        for import in source.imports() {
            // Words that are no module of ours are macros, types of the file itself, or std.
            let is_module = LAYERS.iter().any(|(name, _)| *name == import);
            let app_from_below = import == "app" && !ABOVE_APP.contains(&module);
            let permitted =
                import == module || *allowed == ANYTHING || allowed.contains(&import.as_str());
            if is_module && (!permitted || app_from_below) {
                offenders.push(format!("{}: imports {import}", source.path));
            }
        }
    }
    assert_none("a layer reaches up or sideways", offenders);
}

#[test]
fn modules_of_one_folder_import_each_other_in_no_circle() {
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for source in rust_sources()
        .iter()
        .filter(|source| !source.is_lab() && !source.is_tests())
    {
        let path = source.module_path();
        for level in 0..path.len() {
            let folder = folders.entry(path[..level].join("::")).or_default();
            folder
                .entry(path[level].to_owned())
                .or_default()
                .extend(source.siblings(&path[..level]));
        }
    }
    let mut offenders = Vec::new();
    for (folder, mut imports) in folders
        .into_iter()
        .filter(|(name, _)| CIRCLES.iter().all(|(it, _)| it != name))
    {
        // Whoever imports nobody that is left is in no circle.
        loop {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            imports
                .iter_mut()
                .for_each(|(name, of)| of.retain(|it| it != name && left.contains(it)));
            imports.retain(|_, of| !of.is_empty());
            if imports.len() == left.len() {
                break;
            }
        }
        offenders.extend(
            imports
                .iter()
                .map(|(name, of)| format!("{folder}: {name} imports {of:?}")),
        );
    }
    assert_none("modules import each other in a circle", offenders);
}

/// A file that no module names is not compiled, and its tests pass without a word.
#[test]
fn every_rust_file_of_the_tests_is_compiled() {
    let files: Vec<Source> = sources("tests", &["rs"])
        .into_iter()
        .filter(|it| !it.path.contains("/peers/"))
        .collect();
    let names_module = |file: &str, module: &str| {
        let named = [format!("mod {module};"), format!("\"../{module}/mod.rs\"")];
        files
            .iter()
            .any(|it| it.path == file && named.iter().any(|text| it.text.contains(text)))
    };
    let offenders = files.iter().filter(|source| {
        let (folder, name) = source.path.rsplit_once('/').expect("below tests");
        let (above, folder_name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let is_compiled = match name {
            "main.rs" => true,
            // Shared by programs: any of them may name it.
            "mod.rs" if above == "tests" => {
                files.iter().any(|it| names_module(&it.path, folder_name))
            }
            "mod.rs" => ["main.rs", "mod.rs"]
                .iter()
                .any(|it| names_module(&format!("{above}/{it}"), folder_name)),
            _ => {
                let module = name.trim_end_matches(".rs");
                ["main.rs", "mod.rs"]
                    .iter()
                    .any(|it| names_module(&format!("{folder}/{it}"), module))
            }
        };
        !is_compiled
    });
    assert_none(
        "no module names it",
        offenders.map(|source| source.path.clone()).collect(),
    );
}

#[test]
fn the_lab_knows_the_server_only_by_its_wire() {
    let lab = rust_sources().into_iter().filter(Source::is_lab);
    let offenders = lab.filter(|source| names_crate(&source.code(), "liveroom"));
    assert_none(
        "who shares code with the server shares its mistakes",
        offenders.map(|source| source.path).collect(),
    );
}

#[test]
fn domain_knows_neither_the_world_nor_its_clock() {
    let mut offenders = Vec::new();
    for source in rust_sources()
        .iter()
        .filter(|source| source.module() == "domain")
    {
        let code = source.code();
        for name in NOT_IN_DOMAIN {
            let type_name = name.starts_with(char::is_uppercase);
            if if type_name {
                names_word(&code, name)
            } else {
                names_crate(&code, name)
            } {
                offenders.push(format!("{}: names {name}", source.path));
            }
        }
    }
    assert_none("the core is not pure", offenders);
}

#[test]
fn confined_crates_are_named_in_one_place() {
    let mut offenders = Vec::new();
    for source in rust_sources() {
        for (name, place) in CONFINED_CRATES {
            if !source.path.starts_with(place) && names_crate(&source.code(), name) {
                offenders.push(format!(
                    "{}: names {name}, which belongs to {place}",
                    source.path
                ));
            }
        }
    }
    assert_none("a crate leaks", offenders);
}

#[test]
fn every_migration_exists_for_both_databases_and_both_ways() {
    let names = |database: &str| -> BTreeSet<String> {
        let entries =
            fs::read_dir(root().join("migrations").join(database)).expect("a folder of migrations");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    };
    let (sqlite, postgresql) = (names("sqlite"), names("postgresql"));
    let mut offenders: Vec<String> = sqlite
        .symmetric_difference(&postgresql)
        .map(|name| format!("{name}: for one database only"))
        .collect();
    // What stands before the underscore is the version: of two migrations that share it one is never
    // run.
    let mut versions = BTreeSet::new();
    for name in &sqlite {
        if !versions.insert(name.split('_').next()) {
            offenders.push(format!("{name}: another has its version"));
        }
    }
    for name in sqlite.union(&postgresql) {
        let dated = name.len() > 11
            && name.char_indices().take(11).all(|(at, c)| match at {
                4 | 7 | 10 => c == '-',
                _ => c.is_ascii_digit(),
            });
        if !dated {
            offenders.push(format!("{name}: not named YYYY-MM-DD-…"));
        }
        for (database, direction) in [
            ("sqlite", "up"),
            ("sqlite", "down"),
            ("postgresql", "up"),
            ("postgresql", "down"),
        ] {
            let path = format!("migrations/{database}/{name}/{direction}.sql");
            if !fs::read_to_string(root().join(&path)).is_ok_and(|sql| !sql.trim().is_empty()) {
                offenders.push(format!("{path}: missing or empty"));
            }
        }
    }
    assert!(!sqlite.is_empty(), "no migrations");
    assert_none("migrations are not in pairs", offenders);
}

#[test]
fn files_are_small_enough_to_be_read() {
    let long = sources("src", &["rs", "js", "css", "html"])
        .into_iter()
        .filter_map(|source| {
            let lines = source.text.lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
        });
    assert_none("longer than 700 lines", long.collect());
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = rust_sources().into_iter().filter(|source| {
        let generated = source.text.starts_with("// @generated");
        !generated && !source.text.starts_with("//!")
    });
    assert_none(
        "does not start with `//!`",
        silent.map(|source| source.path).collect(),
    );
}

#[test]
fn nothing_unfinished_is_left_and_only_the_command_line_prints() {
    // In pieces, so that this file does not find itself.
    let unfinished = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let print = ["print", "ln!("].concat();
    let mut offenders = Vec::new();
    for source in written_files() {
        let may_print = match source.is_lab() {
            true => LAB_PRINTERS.contains(&source.path.as_str()),
            false => {
                // Tests say why they are skipped.
                let is_test =
                    !source.path.starts_with("src/") || source.path.ends_with("/tests.rs");
                is_test || PRINTERS.contains(&source.module())
            }
        };
        for (number, line) in source.text.lines().enumerate() {
            let macros = unfinished
                .iter()
                .filter(|name| source.is_rust() && line.contains(name.as_str()));
            let marked = marks.iter().filter(|mark| names_word(line, mark));
            let printed =
                (source.is_rust() && !may_print && line.contains(&print)).then_some(&print);
            for found in macros.chain(marked).chain(printed) {
                offenders.push(format!("{}:{}: {found}", source.path, number + 1));
            }
        }
    }
    assert_none("left over", offenders);
}

/// A name that two modules share is searched for twice, and read with the wrong meaning once.
/// Private types of different modules may share one, since nobody else meets them.
#[test]
fn the_name_of_a_public_type_is_used_once() {
    let mut types: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
    for source in rust_sources()
        .iter()
        .filter(|source| !source.is_lab() && !source.is_tests())
    {
        for (is_public, name) in source.code().lines().filter_map(declared_type) {
            types
                .entry(name.to_owned())
                .or_default()
                .push((is_public, source.path.clone()));
        }
    }
    assert!(types.len() > 300, "found only {} types", types.len());
    let shared = types
        .into_iter()
        .filter(|(_, of)| of.len() > 1 && of.iter().any(|(is_public, _)| *is_public));
    let paths = |of: Vec<(bool, String)>| {
        of.into_iter()
            .map(|(_, path)| path)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_none(
        "one name, two types",
        shared
            .map(|(name, of)| format!("{name}: {}", paths(of)))
            .collect(),
    );
    assert_eq!(
        declared_type("pub(super) struct Share<'a> {"),
        Some((true, "Share"))
    );
    assert_eq!(
        declared_type("pub type Stored<'a, T> = BoxFuture<'a, T>;"),
        Some((true, "Stored"))
    );
    assert_eq!(declared_type("enum Private {"), Some((false, "Private")));
    assert_eq!(
        declared_type("    pub struct InFunction;").or(declared_type("pub fn type_of() {")),
        None
    );
}

#[test]
fn lines_have_no_tabs_and_no_trailing_space() {
    let mut offenders = Vec::new();
    for source in written_files() {
        for (number, line) in source.text.lines().enumerate() {
            if line.contains('\t') || line.ends_with(' ') {
                offenders.push(format!("{}:{}", source.path, number + 1));
            }
        }
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            offenders.push(format!("{}: no newline at its end", source.path));
        }
    }
    assert_none("white space", offenders);
}
