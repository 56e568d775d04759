//! The choices of an operator: defaults, then a file, then `LIVEROOM__SECTION__KEY` variables.
//!
//! `table.rs` lists every key once; all else follows from it. Whatever is wrong is reported at
//! once: unknown keys, wrong types, values out of range, and values that do not go together.

mod fault;
mod reader;
mod relations;
mod secrets;
mod table;
mod value;

use std::ffi::OsString;
use std::path::Path;
use std::{env, fmt, fs};

pub use fault::{ConfigFault, ConfigFaults};
pub use reader::{Key, Origin};
pub use relations::ValueCheck;
pub use secrets::Secrets;
pub use table::{
    AdminConfig, AuthConfig, ClusterConfig, Config, DEVELOPMENT_JWT_SECRET,
    DEVELOPMENT_MEDIA_SECRET, EngineioConfig, FanoutConfig, LimitsConfig, MediaConfig,
    OutboxConfig, PresenceConfig, RoomsConfig, ServerConfig, StoreConfig, WebsocketConfig,
};
pub use value::{Millis, Network, Secret, StoreUrl, ThreadCount};

use reader::{ConfigEntry, ENV_PREFIX, Reader};

/// Read where no other file is named, if it is there.
const DEFAULT_PATH: &str = "config.toml";

/// A configuration and where each of its values came from. Its `Display` is TOML with secrets
/// masked, one comment a value: what `config check` prints.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    entries: Vec<ConfigEntry>,
}

impl LoadedConfig {
    /// Reads the file at `path`, or `config.toml` of the working directory if there is one, and
    /// this process's environment, and checks the values, also by `checks`.
    pub fn load(path: Option<&Path>, checks: &[ValueCheck]) -> Result<Self, ConfigFaults> {
        let (env, mut faults) = own_variables(env::vars_os());
        let file = match (
            path,
            fs::read_to_string(path.unwrap_or(Path::new(DEFAULT_PATH))),
        ) {
            (_, Ok(text)) => Some(text),
            (None, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            (_, Err(error)) => {
                faults.push(ConfigFault {
                    at: name_of(path),
                    found: error.to_string().to_lowercase(),
                    expected: "a file that can be read".to_owned(),
                });
                None
            }
        };
        let name = name_of(path);
        Self::read(
            file.as_deref().map(|text| (name.as_str(), text)),
            env.into_iter(),
            checks,
            faults,
        )
    }

    /// Reads and checks the given sources: a file's name and text, and environment variables.
    pub fn from_sources(
        file: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFaults> {
        Self::read(file, env, &[], Vec::new())
    }

    fn read(
        file: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
        checks: &[ValueCheck],
        mut faults: Vec<ConfigFault>,
    ) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(file, env);
        let config = Config::read(&mut reader);
        reader.report_unknown();
        relations::check(&config, &mut reader);
        relations::check_values(&config, checks, &mut reader);
        faults.append(&mut reader.faults);
        if faults.is_empty() {
            Ok(Self {
                config,
                entries: reader.entries,
            })
        } else {
            Err(ConfigFaults(faults))
        }
    }

    /// Every key there is, in the order of `config.toml`, with the origin of its value.
    pub fn keys(&self) -> impl Iterator<Item = (Key, Origin)> {
        self.entries.iter().map(|entry| (entry.key, entry.origin))
    }
}

impl fmt::Display for LoadedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for ConfigEntry {
            key, origin, shown, ..
        } in &self.entries
        {
            if key.section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{}]", key.section)?;
                section = key.section;
            }
            let origin = match origin {
                Origin::Default => "default",
                Origin::File => "file",
                Origin::Env => "env",
            };
            writeln!(f, "{} = {shown} # {origin}", key.name)?;
        }
        Ok(())
    }
}

fn name_of(path: Option<&Path>) -> String {
    path.unwrap_or(Path::new(DEFAULT_PATH))
        .display()
        .to_string()
}

/// The variables of this program, and a fault for each that is not Unicode.
fn own_variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> (Vec<(String, String)>, Vec<ConfigFault>) {
    let mut ours = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in all {
        // Names of this program are ASCII: one that is not Unicode is another program's, or unknown
        // as it is shown.
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(ENV_PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => ours.push((name, value)),
            Err(_) => faults.push(ConfigFault {
                at: name,
                found: "bytes that are no UTF-8".to_owned(),
                expected: "text".to_owned(),
            }),
        }
    }
    (ours, faults)
}
