//! Bodies of POSTs while they arrive: how many bytes of them are held, and how slowly they may
//! come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::client_address::{SITE_FACTOR, site_key};
use crate::config::Config;

/// This much of each body counts against no budget: whoever uses a budget up keeps nobody's
/// commands out. There are as many bodies as sessions at most.
const UNCOUNTED_BYTES: usize = 4_096;

/// A body may be late by this much, ...
const GRACE: Duration = Duration::from_secs(10);

/// ... and must come at this rate otherwise, in bytes per second.
const RATE_MIN: u64 = 16_384;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    TooBig,
    /// The connection failed before the body was whole.
    Broken,
    TooSlow,
    /// Its address or the node holds as many bytes of bodies as it may.
    NoRoom,
}

#[derive(Debug, Default)]
struct HeldBytes {
    node: usize,
    by_address: HashMap<IpAddr, usize>,
    by_site: HashMap<IpAddr, usize>,
}

/// Counts the bytes of bodies that this node holds.
#[derive(Debug)]
pub(super) struct Bodies {
    config: Arc<Config>,
    held: Mutex<HeldBytes>,
}

impl Bodies {
    pub(super) fn new(config: Arc<Config>) -> Arc<Self> {
        Arc::new(Self {
            config,
            held: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HeldBytes> {
        // Every change under the lock is a few additions, so a poisoned lock guards whole state.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a body that a session of `address` sends. Its bytes are counted until it is dropped.
    pub(super) async fn read(
        self: &Arc<Self>,
        address: IpAddr,
        declared_bytes: Option<u64>,
        mut payload: web::Payload,
    ) -> Result<PollBody, BodyFault> {
        let bytes_max = self.config.engineio.max_payload_bytes;
        if declared_bytes.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(BodyFault::TooBig);
        }
        let began = Instant::now();
        let mut share = Share {
            bodies: self.clone(),
            address,
            bytes: 0,
        };
        let mut body = BytesMut::new();
        loop {
            let due = began + GRACE + Duration::from_millis(body.len() as u64 * 1_000 / RATE_MIN);
            match timeout_at(due, payload.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if body.len() + chunk.len() > bytes_max {
                        return Err(BodyFault::TooBig);
                    }
                    share.grow_to(body.len() + chunk.len())?;
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(Err(_))) => return Err(BodyFault::Broken),
                Ok(None) => {
                    return Ok(PollBody {
                        bytes: body.freeze(),
                        _share: share,
                    });
                }
                Err(_) => return Err(BodyFault::TooSlow),
            }
        }
    }
}

/// A whole body, and what it holds of the budgets.
#[derive(Debug)]
pub(super) struct PollBody {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// The share of one body in the budgets.
#[derive(Debug)]
struct Share {
    bodies: Arc<Bodies>,
    address: IpAddr,
    /// Those that are counted.
    bytes: usize,
}

impl Share {
    /// Counts a body that has `body_bytes` now.
    fn grow_to(&mut self, body_bytes: usize) -> Result<(), BodyFault> {
        let bytes = body_bytes.saturating_sub(UNCOUNTED_BYTES);
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let limits = &self.bodies.config.limits;
        let site_bytes_max = limits
            .body_bytes_per_address
            .saturating_mul(SITE_FACTOR as usize);
        let site = site_key(self.address);
        let mut held = self.bodies.lock();
        let of =
            |map: &HashMap<IpAddr, usize>, key: IpAddr| map.get(&key).copied().unwrap_or_default();
        let has_room = held.node + more <= limits.body_bytes
            && of(&held.by_address, self.address) + more <= limits.body_bytes_per_address
            && site.is_none_or(|site| of(&held.by_site, site) + more <= site_bytes_max);
        if !has_room {
            return Err(BodyFault::NoRoom);
        }
        held.node += more;
        *held.by_address.entry(self.address).or_default() += more;
        if let Some(site) = site {
            *held.by_site.entry(site).or_default() += more;
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.bodies.lock();
        held.node -= self.bytes;
        give_back(&mut held.by_address, self.address, self.bytes);
        if let Some(site) = site_key(self.address) {
            give_back(&mut held.by_site, site, self.bytes);
        }
    }
}

/// Nothing is kept of an address that holds nothing.
fn give_back(map: &mut HashMap<IpAddr, usize>, key: IpAddr, bytes: usize) {
    if let Some(held) = map.get_mut(&key) {
        *held -= bytes;
        if *held == 0 {
            map.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Arc<Bodies> {
        let mut config = Config::default();
        config.limits.body_bytes = 1_000_000;
        config.limits.body_bytes_per_address = 20_000;
        Bodies::new(Arc::new(config))
    }

    /// A body of which so many bytes count.
    fn hold(bodies: &Arc<Bodies>, address: IpAddr, counted: usize) -> Result<Share, BodyFault> {
        let mut share = Share {
            bodies: bodies.clone(),
            address,
            bytes: 0,
        };
        share.grow_to(counted + UNCOUNTED_BYTES).map(|()| share)
    }

    fn ipv6(site: u16, network: u16) -> IpAddr {
        [0x2001, 0xdb8, site, network, 0, 0, 0, 0].into()
    }

    #[test]
    fn an_address_has_a_budget_that_comes_back_and_small_bodies_need_none() {
        let (bodies, one, other) = (bodies(), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let held = hold(&bodies, one, 20_000).unwrap();
        assert_eq!(hold(&bodies, one, 1).unwrap_err(), BodyFault::NoRoom);
        assert!(hold(&bodies, one, 0).is_ok() && hold(&bodies, other, 20_000).is_ok());
        drop(held);
        let mut share = hold(&bodies, one, 10_000).unwrap();
        assert_eq!(
            share.grow_to(25_000 + UNCOUNTED_BYTES),
            Err(BodyFault::NoRoom)
        );
        assert_eq!(
            share.grow_to(20_000 + UNCOUNTED_BYTES),
            Ok(()),
            "what is refused is not counted"
        );
        drop(share);
        let held = bodies.lock();
        assert_eq!((held.node, held.by_address.len()), (0, 0));
    }

    #[test]
    fn a_site_has_sixteen_times_the_budget_and_the_node_has_one_too() {
        let bodies = bodies();
        let of_site = |site| -> Vec<Share> {
            (0..100)
                .filter_map(|network| hold(&bodies, ipv6(site, network), 20_000).ok())
                .collect()
        };
        let held: Vec<Vec<Share>> = (0..4).map(of_site).collect();
        assert_eq!(
            held.iter().map(Vec::len).collect::<Vec<_>>(),
            [16, 16, 16, 2]
        );
        drop(held);
        let held = bodies.lock();
        assert_eq!(
            (held.node, held.by_address.len(), held.by_site.len()),
            (0, 0, 0)
        );
    }
}
