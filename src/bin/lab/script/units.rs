//! Values a script may hold: each says what it expects when it gets something else.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Nothing in a script lasts longer: a day.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Events per second, per room, at most. Above it one lab would be the bottleneck.
const RATE_MAX: f64 = 1_000_000.0;

/// A time such as `"250ms"`, `"10s"`, `"1.5m"`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(DurationVisitor)
}

/// As [`duration`], for a key that may be missing.
pub fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of at most a day, such as \"250ms\", \"10s\" or \"1.5m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds_per = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let length = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds_per).ok()?;
    (length <= DURATION_MAX).then_some(length)
}

/// So many per second, or a factor: zero or more.
pub fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(NumberVisitor {
        max: RATE_MAX,
        what: "a number per second from 0 to 1000000",
    })
}

/// As [`rate`], for a key that may be missing.
pub fn some_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    rate(deserializer).map(Some)
}

/// A share of a whole.
pub fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(NumberVisitor {
        max: 1.0,
        what: "a share from 0 to 1",
    })
}

/// A bound of an objective.
pub fn some_bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    deserializer
        .deserialize_any(NumberVisitor {
            max: f64::MAX,
            what: "a number from 0 up",
        })
        .map(Some)
}

struct NumberVisitor {
    max: f64,
    what: &'static str,
}

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        match number.is_finite() && (0.0..=self.max).contains(&number) {
            true => Ok(number),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        self.visit_f64(number as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, expected_ms) in [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("1.5m", Some(90_000)),
            ("24h", Some(86_400_000)),
        ]
        .into_iter()
        .chain(["", "10", "s", "-1s", "1d", "25h", "1.2.3s", "1 s"].map(|text| (text, None)))
        {
            assert_eq!(
                parse_duration(text),
                expected_ms.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
