//! Takes keys out of the sources one by one and notes where each value came from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use toml::{Table, Value as Toml};

use super::fault::ConfigFault;
use super::value::Value;

/// Environment variables that begin like this are ours, all of them.
pub(super) const ENV_PREFIX: &str = "LIVEROOM__";

/// Characters of a refused value that a report repeats.
const FOUND_CHARS_MAX: usize = 60;

/// Names one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
}

impl Key {
    /// The environment variable that overrides it.
    pub fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}__{}", self.section, self.name).to_uppercase()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

/// Which source a value came from; the later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    Env,
}

/// A key that was read.
#[derive(Debug)]
pub(super) struct ConfigEntry {
    pub key: Key,
    pub origin: Origin,
    /// Its value with secrets masked.
    pub shown: Toml,
    /// Refused in one of its sources: its value means nothing.
    pub faulty: bool,
}

/// The sources, emptied key by key: what is left in the end is unknown.
pub(super) struct Reader {
    file_name: String,
    file: Table,
    env: BTreeMap<String, String>,
    pub entries: Vec<ConfigEntry>,
    pub faults: Vec<ConfigFault>,
}

impl Reader {
    /// `file` is its name, as faults give it, and its text.
    pub fn new(file: Option<(&str, &str)>, env: impl Iterator<Item = (String, String)>) -> Self {
        let (file_name, text) = file.unwrap_or_default();
        let mut faults = Vec::new();
        let table = text.parse().unwrap_or_else(|error| {
            faults.push(syntax_fault(file_name, text, &error));
            Table::new()
        });
        let env = env
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        Self {
            file_name: file_name.to_owned(),
            file: table,
            env,
            entries: Vec::new(),
            faults,
        }
    }

    /// The value of one key. A refused value is reported and the default stands in for it, so that
    /// reading goes on to the next fault.
    pub fn read<T: Value>(&mut self, key: Key, default: T, permitted: &T::Permitted) -> T {
        let (mut value, mut origin, mut faulty) = (default, Origin::Default, false);
        let from_file = self
            .file
            .get_mut(key.section)
            .and_then(Toml::as_table_mut)
            .and_then(|it| it.remove(key.name));
        let from_env = self.env.remove(&key.env_name()).map(|text| T::lift(&text));
        for (source, found) in [(Origin::File, from_file), (Origin::Env, from_env)] {
            let Some(found) = found else { continue };
            match T::from_toml(&found, permitted) {
                Some(permitted) => (value, origin) = (permitted, source),
                None => {
                    faulty = true;
                    let found = if T::SECRET {
                        "a value not shown".to_owned()
                    } else {
                        shortened(&found)
                    };
                    self.faults.push(ConfigFault {
                        at: self.place(key, source),
                        found,
                        expected: T::expected(permitted),
                    });
                }
            }
        }
        self.entries.push(ConfigEntry {
            key,
            origin,
            shown: value.shown(),
            faulty,
        });
        value
    }

    /// Reports whatever no key asked for.
    pub fn report_unknown(&mut self) {
        let mut keys_of: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut sections = Vec::new();
        for ConfigEntry { key, .. } in &self.entries {
            if !sections.contains(&key.section) {
                sections.push(key.section);
            }
            keys_of.entry(key.section).or_default().push(key.name);
        }
        let one_of = |names: &[&str]| format!("one of {}", names.join(", "));

        for (name, left) in &self.file {
            let at = format!("{}:{name}", self.file_name);
            match (keys_of.get(name.as_str()), left) {
                (Some(known), Toml::Table(left)) => {
                    self.faults.extend(left.keys().map(|key| ConfigFault {
                        at: format!("{at}.{key}"),
                        found: "an unknown key".to_owned(),
                        expected: one_of(known),
                    }))
                }
                (Some(_), _) => self.faults.push(ConfigFault {
                    at,
                    found: format!("a value of type {}", left.type_str()),
                    expected: format!("a section, [{name}]"),
                }),
                (None, _) => self.faults.push(ConfigFault {
                    at,
                    found: "an unknown section or key".to_owned(),
                    expected: one_of(&sections),
                }),
            }
        }
        self.faults.extend(self.env.keys().map(|name| {
            let section = name[ENV_PREFIX.len()..]
                .split("__")
                .next()
                .unwrap_or_default()
                .to_lowercase();
            let expected = match keys_of.get(section.as_str()) {
                Some(known) => format!(
                    "{ENV_PREFIX}{}__ and {} in capitals",
                    section.to_uppercase(),
                    one_of(known)
                ),
                None => format!(
                    "{ENV_PREFIX}SECTION__KEY, the section being {}",
                    one_of(&sections)
                ),
            };
            ConfigFault {
                at: name.clone(),
                found: "an unknown variable".to_owned(),
                expected,
            }
        }));
    }

    /// The entry of a key of the table.
    pub fn entry(&self, section: &str, name: &str) -> Option<&ConfigEntry> {
        self.entries
            .iter()
            .find(|entry| entry.key.section == section && entry.key.name == name)
    }

    /// Where a value was found, for a report.
    pub fn place(&self, key: Key, origin: Origin) -> String {
        match origin {
            Origin::Default => key.to_string(),
            Origin::File => format!("{}:{key}", self.file_name),
            Origin::Env => key.env_name(),
        }
    }
}

/// Where and why the text is not TOML. The library's own display would repeat the line, and with it
/// perhaps a secret.
fn syntax_fault(file_name: &str, text: &str, error: &toml::de::Error) -> ConfigFault {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    ConfigFault {
        at: line.map_or_else(
            || file_name.to_owned(),
            |line| format!("{file_name}:{line}"),
        ),
        found: error.message().replace('\n', ", "),
        expected: "TOML".to_owned(),
    }
}

/// A value as TOML on one line, cut where a report would become unreadable.
fn shortened(found: &Toml) -> String {
    let text = found.to_string();
    match text.char_indices().nth(FOUND_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
