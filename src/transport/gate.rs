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
    /// New sessions of one address: less than those of the node, or one client that comes and goes
    /// could keep everybody else out.
    pub arrivals_per_address: BucketRate,
}

/// No room for another session, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct Inner {
    seats_taken: usize,
    by_address: HashMap<IpAddr, Address>,
    arrivals: Bucket,
}

#[derive(Debug, Default)]
struct Address {
    seats_taken: usize,
    arrivals: Bucket,
}

/// Addresses remembered before those without a seat and with a full bucket are forgotten.
const ADDRESSES_BEFORE_SWEEP: usize = 1_024;

/// One seat in so many is to be free, if there is anybody who can be asked to go.
const SPARE_SHARE: usize = 16;

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

    /// How many seats too many are taken: while strangers hold seats, some are kept free for those who come to
    /// join a room.
    pub fn seats_short(&self) -> usize {
        let spare = (self.limits.sessions_max / SPARE_SHARE).max(1);
        (self.lock().seats_taken + spare).saturating_sub(self.limits.sessions_max)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, which is free again when it is dropped. `address` is what one client is likely
    /// to own.
    pub fn try_enter(self: &Arc<Self>, address: IpAddr, now: Timestamp) -> Result<Seat, Refused> {
        let mut inner = self.lock();
        inner.sweep(now);
        let Inner { seats_taken, by_address, arrivals } = &mut *inner;
        let from_address = by_address.entry(address).or_default();
        let refused = |retry_after_ms| Refused { retry_after_ms };
        if *seats_taken >= self.limits.sessions_max || from_address.seats_taken >= self.limits.sessions_per_address_max
        {
            return Err(refused(OVERLOADED_RETRY_AFTER_MS));
        }
        // The node's bucket is asked last, so that who is refused anyway does not slow others down.
        from_address.arrivals.take(self.limits.arrivals_per_address, now).map_err(refused)?;
        arrivals.take(self.limits.arrivals, now).map_err(refused)?;
        *seats_taken += 1;
        from_address.seats_taken += 1;
        Ok(Seat { gate: self.clone(), address })
    }
}

impl Inner {
    /// At most twice as many addresses are kept as there is a reason for.
    fn sweep(&mut self, now: Timestamp) {
        if self.by_address.len() >= ADDRESSES_BEFORE_SWEEP.max(2 * self.seats_taken) {
            self.by_address.retain(|_, address| address.seats_taken > 0 || !address.arrivals.is_full(now));
        }
    }
}

/// The place of one session.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Seat {
    /// Where its session came from, as the gate counts it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.gate.lock();
        inner.seats_taken -= 1;
        if let Some(address) = inner.by_address.get_mut(&self.address) {
            address.seats_taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn gate(sessions_max: usize, sessions_per_address_max: usize, burst: u32) -> Arc<Gate> {
        let arrivals = BucketRate { burst, refill: 10, per_ms: 1_000 };
        let arrivals_per_address = BucketRate { burst: 100, refill: 1, per_ms: 1_000 };
        Gate::new(GateLimits { sessions_max, sessions_per_address_max, arrivals, arrivals_per_address })
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
    fn one_seat_in_sixteen_is_to_be_free() {
        for (sessions_max, taken, short) in
            [(1, 0, 0), (1, 1, 1), (16, 15, 0), (16, 16, 1), (160, 150, 0), (160, 157, 7)]
        {
            let gate = gate(sessions_max, sessions_max, 1_000);
            let _seats: Vec<Seat> = (0..taken).map(|n| gate.try_enter([192, 0, 2, n].into(), NOW).unwrap()).collect();
            assert_eq!(gate.seats_short(), short, "{taken} of {sessions_max}");
        }
    }

    #[test]
    fn addresses_without_a_seat_are_forgotten() {
        let gate = gate(10_000, 1, 100_000);
        for first in 0..20 {
            for last in 0..=255 {
                let address = [192, 0, first, last].into();
                drop(gate.try_enter(address, NOW.plus_ms(10_000 * i64::from(first))).unwrap());
            }
        }
        assert!(gate.lock().by_address.len() <= ADDRESSES_BEFORE_SWEEP);
    }

    #[test]
    fn an_address_that_comes_and_goes_keeps_nobody_else_out() {
        let gate = gate(1_000, 1_000, 200);
        let came = (0..1_000).filter(|_| gate.try_enter(address(1), NOW).is_ok()).count();
        assert_eq!(came, 100);
        assert!(gate.try_enter(address(2), NOW).is_ok());
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
