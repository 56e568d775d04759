//! Wrong operator tokens: counted, slowed and logged.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::warn;

use super::tries::AddressBuckets;
use crate::domain::{BucketRate, Timestamp};

/// Wrong tokens that one address may show in a minute before it is slowed. An operator who mistypes
/// one, or a script that still has an old one, needs no more to be noticed.
const RATE: BucketRate = BucketRate {
    burst: 30,
    refill: 30,
    per_ms: 60_000,
};

/// How long a token from an address that is slowed waits before it is compared. The right one waits
/// too, or the time of an answer would reveal the result.
const SLOWED_BY: Duration = Duration::from_secs(1);

/// One log line in this time says how many there were.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Wrong operator tokens of each address.
///
/// An address that showed too many is slowed and not locked out: strangers may share an address
/// with an operator, such as that of a proxy that is not among the trusted ones.
pub struct WrongTokens {
    addresses: AddressBuckets,
    unlogged: Arc<Mutex<Unlogged>>,
}

/// The content of the next log line.
#[derive(Default)]
struct Unlogged {
    count: u64,
    last_address: Option<IpAddr>,
}

impl Default for WrongTokens {
    fn default() -> Self {
        Self {
            addresses: AddressBuckets::new(RATE),
            unlogged: Arc::default(),
        }
    }
}

impl WrongTokens {
    /// Waits if this address has shown too many wrong tokens. To be called before a token is
    /// compared.
    pub async fn slow_down(&self, address: IpAddr, now: Timestamp) {
        if self.addresses.is_spent(address, now) {
            tokio::time::sleep(SLOWED_BY).await;
        }
    }

    /// Counts a wrong token. An error is too many of them, and says in how many milliseconds there
    /// may be another. Runs on a worker, where it can start a task.
    pub fn count(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        self.log_soon(address);
        self.addresses.take(address, now)
    }

    fn log_soon(&self, address: IpAddr) {
        let mut unlogged = self.unlogged.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.count += 1;
        unlogged.last_address = Some(address);
        if unlogged.count > 1 {
            // The task that the first one started says so.
            return;
        }
        let unlogged = self.unlogged.clone();
        actix_web::rt::spawn(async move {
            tokio::time::sleep(LOG_EVERY).await;
            let Unlogged {
                count,
                last_address,
            } = std::mem::take(&mut *unlogged.lock().unwrap_or_else(PoisonError::into_inner));
            let last_address = last_address
                .map(|address| address.to_string())
                .unwrap_or_default();
            warn!("operator tokens refused: count={count} last_address={last_address}");
        });
    }
}
