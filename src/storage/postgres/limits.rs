//! How long the database may be silent.

use std::time::Duration;

use super::{AUDIT_MS, Access};
use crate::storage::StoreOptions;

/// The time that a call may take beyond the limit at which the database ends a statement by itself.
/// After that the database is not slow but gone.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a connection may take to show that it is alive before it is lent: one round trip.
const CHECK: Duration = Duration::from_secs(2);

/// The time limits of this side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first packet to a connection with our settings.
    pub connect: Duration,
    pub check: Duration,
    statement: Duration,
}

impl Limits {
    pub fn of(options: &StoreOptions) -> Self {
        let connect = Duration::from_millis(options.wait_ms.into());
        Self {
            connect,
            check: CHECK,
            statement: Duration::from_millis(options.statement_ms.into()),
        }
    }

    /// All statements of one call together. Longer than the wait for a lock, which is answered: who
    /// gave up sooner would leave one more connection waiting for that lock each time it tries
    /// again.
    pub fn call(&self, access: Access) -> Duration {
        SILENCE
            + match access {
                Access::Read | Access::Write | Access::Brief => self.statement.max(self.connect),
                Access::Snapshot => Duration::from_millis(AUDIT_MS.into()),
            }
    }
}
