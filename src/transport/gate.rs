//! Admission of sessions: how many there may be on this node and from one address, and how fast
//! they may come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Bucket, BucketRate, Timestamp};
use crate::protocol::refusal::OVERLOADED_RETRY_AFTER_MS;

#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Sessions of this node.
    pub sessions_max: usize,
    /// Sessions of one address.
    pub sessions_per_address_max: usize,
    /// New sessions of this node.
    pub arrivals: BucketRate,
}

/// No room for another session, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct Inner {
    seats_taken: usize,
    /// Only addresses with a seat, so no more of them than seats.
    by_address: HashMap<IpAddr, usize>,
    arrivals: Bucket,
}

/// Counts the sessions of this node, whatever their transport: a client that polls is one session
/// over many connections.
#[derive(Debug)]
pub struct Gate {
    limits: GateLimits,
    inner: Mutex<Inner>,
}

impl Gate {
    pub fn new(limits: GateLimits) -> Arc<Self> {
        Arc::new(Self { limits, inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, which is free again when it is dropped. `address` is what one client is likely
    /// to own.
    pub fn try_enter(self: &Arc<Self>, address: IpAddr, now: Timestamp) -> Result<Seat, Refused> {
        let mut inner = self.lock();
        let from_address = inner.by_address.get(&address).copied().unwrap_or(0);
        if inner.seats_taken >= self.limits.sessions_max || from_address >= self.limits.sessions_per_address_max {
            return Err(Refused { retry_after_ms: OVERLOADED_RETRY_AFTER_MS });
        }
        // Asked last, so that who is refused anyway does not slow others down.
        inner.arrivals.take(self.limits.arrivals, now).map_err(|retry_after_ms| Refused { retry_after_ms })?;
        inner.seats_taken += 1;
        inner.by_address.insert(address, from_address + 1);
        Ok(Seat { gate: self.clone(), address })
    }
}

/// The place of one session.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.gate.lock();
        inner.seats_taken -= 1;
        if let Some(count) = inner.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inner.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn gate(sessions_max: usize, sessions_per_address_max: usize, burst: u32) -> Arc<Gate> {
        let arrivals = BucketRate { burst, refill: 10, per_ms: 1_000 };
        Gate::new(GateLimits { sessions_max, sessions_per_address_max, arrivals })
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn seats_are_counted_per_node_and_per_address_and_come_back() {
        let gate = gate(3, 2, 100);
        let first = gate.try_enter(address(1), NOW).unwrap();
        let _second = gate.try_enter(address(1), NOW).unwrap();
        assert!(gate.try_enter(address(1), NOW).is_err(), "two per address");
        let _third = gate.try_enter(address(2), NOW).unwrap();
        assert!(gate.try_enter(address(3), NOW).is_err(), "three on the node");
        drop(first);
        let _fourth = gate.try_enter(address(3), NOW).unwrap();
        assert_eq!(gate.lock().seats_taken, 3);
    }

    #[test]
    fn addresses_without_a_seat_are_forgotten() {
        let gate = gate(1_000, 1, 1_000);
        for last in 0..=255 {
            drop(gate.try_enter(address(last), NOW).unwrap());
        }
        assert!(gate.lock().by_address.is_empty());
    }

    #[test]
    fn arrivals_beyond_the_burst_are_told_when_to_come_back() {
        let gate = gate(1_000, 1_000, 2);
        let _first = gate.try_enter(address(1), NOW).unwrap();
        let _second = gate.try_enter(address(1), NOW).unwrap();
        assert_eq!(gate.try_enter(address(1), NOW).unwrap_err(), Refused { retry_after_ms: 100 });
        assert!(gate.try_enter(address(1), NOW.plus_ms(100)).is_ok());
    }
}
