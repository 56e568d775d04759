//! Secrets that rotate: one text, or a list whose first signs and all of which verify.

use toml::{Table, Value as Toml};

use super::value::{Secret, TextRule, Value};
use crate::limits::SECRETS_MAX;

/// 1 to [`SECRETS_MAX`] secrets of one purpose, the one that signs first.
///
/// A change of secret takes two steps, so that no token is refused meanwhile: every node gets the
/// new one at the end of the list, then at its front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    first: Secret,
    /// What earlier ones signed stays good, as does what nodes sign that are ahead.
    others: Vec<Secret>,
}

impl Secrets {
    /// A single secret, which signs and verifies.
    pub fn one(text: impl Into<String>) -> Self {
        Self {
            first: Secret::new(text),
            others: Vec::new(),
        }
    }

    /// `signing` and those that verify beside it.
    pub fn with_others<T: Into<String>>(signing: T, others: impl IntoIterator<Item = T>) -> Self {
        Self {
            others: others.into_iter().map(Secret::new).collect(),
            ..Self::one(signing)
        }
    }

    /// The one that signs.
    pub fn signing(&self) -> &Secret {
        &self.first
    }

    /// All that verify, the one that signs first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// In a file a text or a list of texts. In the environment a text that begins with `[` is a list as
/// in a file, and any other is one secret, whatever characters it has.
impl Value for Secrets {
    type Permitted = TextRule;

    const SECRET: bool = true;

    fn lift(text: &str) -> Toml {
        let as_list = || {
            let mut table: Table = format!("secrets = {text}").parse().ok()?;
            table.remove("secrets").filter(Toml::is_array)
        };
        if text.trim_start().starts_with('[') {
            // What only looks like a list is refused: the whole of it is hardly meant as a secret.
            as_list().unwrap_or(Toml::Array(Vec::new()))
        } else {
            Toml::String(text.to_owned())
        }
    }

    fn from_toml(toml: &Toml, permitted: &TextRule) -> Option<Self> {
        let Some(list) = toml.as_array() else {
            return Secret::from_toml(toml, permitted).map(|first| Self {
                first,
                others: Vec::new(),
            });
        };
        if list.len() > SECRETS_MAX {
            return None;
        }
        let mut secrets = list
            .iter()
            .map(|secret| Secret::from_toml(secret, permitted));
        let first = secrets.next()??;
        let others = secrets.collect::<Option<Vec<_>>>()?;
        Some(Self { first, others })
    }

    fn expected(permitted: &TextRule) -> String {
        let one = Secret::expected(permitted);
        format!("{one}, or a list of 1 to {SECRETS_MAX} such")
    }

    fn shown(&self) -> Toml {
        if self.others.is_empty() {
            self.first.shown()
        } else {
            Toml::Array(self.iter().map(Secret::shown).collect())
        }
    }
}
