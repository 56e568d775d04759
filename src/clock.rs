//! Time comes in from outside, so that tests can own it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// The source of the current time. Cheap: called for every command.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock. It may jump; whoever measures a length with it bounds the damage.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
