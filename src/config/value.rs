//! The types of values, how they are read from TOML or an environment variable, and how they are
//! shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use toml::Value as Toml;

use crate::limits::{LIST_ITEMS_MAX, THREADS_MAX};

/// Shown in place of a secret.
const MASK: &str = "***";

/// A type that keys can have.
pub(super) trait Value: Sized {
    /// The description of permitted values that a key of this type has.
    type Permitted;

    /// Whether a value must not be shown, not even one that was refused.
    const SECRET: bool = false;

    /// The TOML that the text of an environment variable stands for. What cannot be of the right
    /// type stays a string, which [`Value::from_toml`] then refuses.
    fn lift(text: &str) -> Toml {
        Toml::String(text.to_owned())
    }

    /// `None` if the type is wrong or the value is not permitted.
    fn from_toml(toml: &Toml, permitted: &Self::Permitted) -> Option<Self>;

    /// The right type and the permitted values, in words.
    fn expected(permitted: &Self::Permitted) -> String;

    /// The value as `config check` prints it.
    fn shown(&self) -> Toml;
}

macro_rules! integer_values {
    ($($integer:ty)+) => {$(
        impl Value for $integer {
            type Permitted = RangeInclusive<$integer>;

            fn lift(text: &str) -> Toml {
                lift_parsed::<i64>(text, Toml::Integer)
            }

            fn from_toml(toml: &Toml, permitted: &Self::Permitted) -> Option<Self> {
                let number = <$integer>::try_from(toml.as_integer()?).ok()?;
                permitted.contains(&number).then_some(number)
            }

            fn expected(permitted: &Self::Permitted) -> String {
                format!("an integer from {} to {}", permitted.start(), permitted.end())
            }

            fn shown(&self) -> Toml {
                // Ranges end far below this.
                Toml::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )+};
}

integer_values!(u16 u32 usize);

fn lift_parsed<T: FromStr>(text: &str, into_toml: fn(T) -> Toml) -> Toml {
    text.trim()
        .parse()
        .map_or_else(|_| Toml::String(text.to_owned()), into_toml)
}

/// A length of time in whole milliseconds: the type of the keys that end in `_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(u32);

impl Millis {
    pub const fn new(ms: u32) -> Self {
        Self(ms)
    }

    /// The number of milliseconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Value for Millis {
    type Permitted = RangeInclusive<u32>;

    fn lift(text: &str) -> Toml {
        u32::lift(text)
    }

    fn from_toml(toml: &Toml, permitted: &Self::Permitted) -> Option<Self> {
        u32::from_toml(toml, permitted).map(Self)
    }

    fn expected(permitted: &Self::Permitted) -> String {
        u32::expected(permitted)
    }

    fn shown(&self) -> Toml {
        self.0.shown()
    }
}

impl Value for bool {
    type Permitted = ();

    fn lift(text: &str) -> Toml {
        lift_parsed::<bool>(text, Toml::Boolean)
    }

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        toml.as_bool()
    }

    fn expected((): &()) -> String {
        "true or false".to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::Boolean(*self)
    }
}

/// The condition that a text must meet.
pub(super) struct TextRule {
    pub expected: &'static str,
    pub holds: fn(&str) -> bool,
}

impl Value for String {
    type Permitted = TextRule;

    fn from_toml(toml: &Toml, permitted: &TextRule) -> Option<Self> {
        toml.as_str()
            .filter(|text| (permitted.holds)(text))
            .map(str::to_owned)
    }

    fn expected(permitted: &TextRule) -> String {
        permitted.expected.to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::String(self.clone())
    }
}

/// A list; in the environment its items are separated by commas.
impl<T: Value> Value for Vec<T> {
    type Permitted = T::Permitted;

    const SECRET: bool = T::SECRET;

    fn lift(text: &str) -> Toml {
        Toml::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(T::lift)
                .collect(),
        )
    }

    fn from_toml(toml: &Toml, permitted: &Self::Permitted) -> Option<Self> {
        let items = toml
            .as_array()
            .filter(|items| items.len() <= LIST_ITEMS_MAX)?;
        items
            .iter()
            .map(|item| T::from_toml(item, permitted))
            .collect()
    }

    fn expected(permitted: &Self::Permitted) -> String {
        format!(
            "a list of at most {LIST_ITEMS_MAX}, each {}",
            T::expected(permitted)
        )
    }

    fn shown(&self) -> Toml {
        Toml::Array(self.iter().map(T::shown).collect())
    }
}

/// The address to listen on. `localhost` is taken as 127.0.0.1; other names are not looked up,
/// since whether an address is public must be known before anything starts.
impl Value for IpAddr {
    type Permitted = ();

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        match toml.as_str()? {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            address => address.parse().ok(),
        }
    }

    fn expected((): &()) -> String {
        "an IP address such as 127.0.0.1, 0.0.0.0 or ::1".to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::String(self.to_string())
    }
}

/// An address of its own to listen on: `host:port`, or nothing. Names are treated as in an
/// [`IpAddr`] of the table.
impl Value for Option<SocketAddr> {
    type Permitted = ();

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        let text = toml.as_str()?;
        if text.is_empty() {
            return Some(None);
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)),
            None => text.parse().ok()?,
        };
        Some(Some(address))
    }

    fn expected((): &()) -> String {
        "nothing, or an IP address and a port such as 127.0.0.1:7002 or [::1]:7002".to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::String(self.map_or_else(String::new, |address| address.to_string()))
    }
}

/// A text that is never shown: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever signs or compares with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value is set is not a secret.
    fn masked(&self) -> &'static str {
        if self.is_empty() { "" } else { MASK }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Value for Secret {
    type Permitted = TextRule;

    const SECRET: bool = true;

    fn from_toml(toml: &Toml, permitted: &TextRule) -> Option<Self> {
        String::from_toml(toml, permitted).map(Self)
    }

    fn expected(permitted: &TextRule) -> String {
        String::expected(permitted)
    }

    fn shown(&self) -> Toml {
        Toml::String(self.masked().to_owned())
    }
}

/// Where rows are kept: `sqlite://path`, `postgres://…` or `postgresql://…`. Shown without its
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// A SQLite file; the demonstration keeps its own.
    pub fn sqlite(path: &Path) -> Self {
        Self(format!("sqlite://{}", path.display()))
    }

    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite://")
    }

    /// The address with its password, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without the password of `user:password@` and of a `password=` parameter.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, query) = self.0.split_once('?').unwrap_or((&self.0, ""));
        match address
            .split_once("://")
            .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)))
        {
            Some((scheme, (login, place))) if login.contains(':') => {
                let user = login.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:{MASK}@{place}")?;
            }
            _ => f.write_str(address)?,
        }
        for (index, parameter) in query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .enumerate()
        {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match parameter.split_once('=') {
                Some((name, _)) if name.contains("password") => write!(f, "{name}={MASK}")?,
                _ => f.write_str(parameter)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for StoreUrl {
    type Permitted = ();

    const SECRET: bool = true;

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        let url = toml.as_str()?;
        let place = ["sqlite://", "postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))?;
        (!place.is_empty()).then(|| Self::new(url))
    }

    fn expected((): &()) -> String {
        "sqlite://path, or postgres://user:password@host/database".to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::String(self.to_string())
    }
}

/// How many threads: a number, or 0 for one per core of the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadCount(usize);

impl ThreadCount {
    pub const PER_CORE: Self = Self(0);

    /// The number to start, at least 1.
    pub fn get(self) -> usize {
        match self.0 {
            0 => thread::available_parallelism()
                .map_or(1, usize::from)
                .min(THREADS_MAX),
            count => count,
        }
    }
}

impl Value for ThreadCount {
    type Permitted = ();

    fn lift(text: &str) -> Toml {
        usize::lift(text)
    }

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        usize::from_toml(toml, &(0..=THREADS_MAX)).map(Self)
    }

    fn expected((): &()) -> String {
        format!(
            "{}, 0 being one per core",
            usize::expected(&(0..=THREADS_MAX))
        )
    }

    fn shown(&self) -> Toml {
        self.0.shown()
    }
}

/// An address, or all addresses that begin alike: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Takes `address` or `address/bits`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits
            .map_or(Some(bits_max), |bits| bits.parse().ok())
            .filter(|bits| *bits <= bits_max)?;
        Some(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether `address` is one of these. An IPv4 address that came in as `::ffff:a.b.c.d`, as it
    /// does on a socket for both families, is taken as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Value for Network {
    type Permitted = ();

    fn from_toml(toml: &Toml, (): &()) -> Option<Self> {
        Self::parse(toml.as_str()?)
    }

    fn expected((): &()) -> String {
        "an address or a network such as 10.0.0.0/8".to_owned()
    }

    fn shown(&self) -> Toml {
        Toml::String(self.to_string())
    }
}
