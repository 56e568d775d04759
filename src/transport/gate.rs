//! Admission of sessions: bounds their number on this node and per address, and the rate of new
//! ones.
//!
//! Addresses share the node's arrivals fairly: those with many recent arrivals leave room for those
//! with few, see [`RecentArrivals`]. All that counts for an address counts for its IPv6 site too,
//! with limits [`SITE_FACTOR`] times as wide, or one customer's 65,536 addresses would be as many
//! clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_address::{SITE_FACTOR, site_key};
use crate::config::LimitsConfig;
use crate::domain::{Bucket, BucketRate, RecentArrivals, Timestamp};
use crate::protocol::refusal::OVERLOADED_RETRY_AFTER_MS;

/// Addresses without a seat whose arrivals are remembered. Beyond, those without a seat are
/// forgotten, all at once: with so many within seconds no address has more than its share. Sites
/// have as many places of their own.
const IDLE_ORIGINS_MAX: usize = 65_536;

/// The number of addresses that triggers the first sweep.
const ADDRESSES_BEFORE_SWEEP: usize = 1_024;

/// The limits of an address or a site.
#[derive(Debug, Clone, Copy)]
struct OriginLimits {
    sessions_max: usize,
    /// New sessions.
    arrivals: BucketRate,
}

impl OriginLimits {
    fn of_address(limits: &LimitsConfig) -> Self {
        // An address that may hold so many sessions may open as many at once.
        let per_s = u32::try_from(limits.connections_per_address).unwrap_or(u32::MAX);
        Self {
            sessions_max: limits.connections_per_address,
            arrivals: BucketRate {
                burst: per_s,
                refill: per_s,
                per_ms: 1_000,
            },
        }
    }

    /// Those of a site whose addresses have these.
    fn of_site(self) -> Self {
        Self {
            sessions_max: self.sessions_max.saturating_mul(SITE_FACTOR as usize),
            arrivals: self.arrivals.times(SITE_FACTOR),
        }
    }
}

/// A session was refused because a bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct Inner {
    seats_taken: usize,
    addresses: Origins,
    sites: Origins,
    arrivals: Bucket,
}

/// The counters of an address or a site.
#[derive(Debug, Clone, Copy)]
struct OriginCounters {
    seats_taken: usize,
    arrivals: Bucket,
    recent: RecentArrivals,
}

impl OriginCounters {
    fn new(now: Timestamp) -> Self {
        Self {
            seats_taken: 0,
            arrivals: Bucket::default(),
            recent: RecentArrivals::none(now),
        }
    }

    /// Takes a seat, if the limits of this origin allow it.
    fn enter(mut self, limits: &OriginLimits, now: Timestamp) -> Result<Self, Refused> {
        if self.seats_taken >= limits.sessions_max {
            return Err(Refused {
                retry_after_ms: OVERLOADED_RETRY_AFTER_MS,
            });
        }
        let taken = self.arrivals.take(limits.arrivals, now);
        taken.map_err(|retry_after_ms| Refused { retry_after_ms })?;
        self.seats_taken += 1;
        Ok(self)
    }

    /// Whether dropping it changes nothing.
    fn is_idle(&self, now: Timestamp) -> bool {
        self.seats_taken == 0 && self.arrivals.is_full(now) && self.recent.count(now) == 0
    }
}

/// Addresses, or sites: those with a seat, and some with a recent one.
#[derive(Debug)]
struct Origins {
    by_key: HashMap<IpAddr, OriginCounters>,
    /// The size that triggers the next sweep.
    sweep_at: usize,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            sweep_at: ADDRESSES_BEFORE_SWEEP,
        }
    }
}

impl Origins {
    fn get(&self, key: IpAddr, now: Timestamp) -> OriginCounters {
        self.by_key
            .get(&key)
            .copied()
            .unwrap_or_else(|| OriginCounters::new(now))
    }

    fn put(&mut self, key: IpAddr, origin: OriginCounters, now: Timestamp) {
        self.by_key.insert(key, origin);
        if self.by_key.len() >= self.sweep_at {
            self.sweep(now);
        }
    }

    /// Drops idle origins. The next sweep is due at twice the size, so its cost per arrival is
    /// constant.
    fn sweep(&mut self, now: Timestamp) {
        self.by_key.retain(|_, origin| !origin.is_idle(now));
        if self
            .by_key
            .values()
            .filter(|origin| origin.seats_taken == 0)
            .count()
            > IDLE_ORIGINS_MAX
        {
            self.by_key.retain(|_, origin| origin.seats_taken > 0);
        }
        self.sweep_at = ADDRESSES_BEFORE_SWEEP.max(2 * self.by_key.len());
    }

    fn leave(&mut self, key: IpAddr) {
        if let Some(origin) = self.by_key.get_mut(&key) {
            origin.seats_taken -= 1;
        }
    }
}

/// One seat in so many is kept free while sessions without a room can be closed for it.
const SPARE_SHARE: usize = 16;

/// Counts the sessions of this node, whatever their transport: a client that polls is one session
/// over many connections.
#[derive(Debug)]
pub struct Gate {
    sessions_max: usize,
    /// New sessions of this node.
    arrivals: BucketRate,
    address_limits: OriginLimits,
    site_limits: OriginLimits,
    inner: Mutex<Inner>,
}

impl Gate {
    pub fn new(limits: &LimitsConfig) -> Arc<Self> {
        let per_s = limits.connections_per_s;
        let arrivals = BucketRate {
            burst: per_s,
            refill: per_s,
            per_ms: 1_000,
        };
        Self::with(
            limits.connections,
            arrivals,
            OriginLimits::of_address(limits),
        )
    }

    fn with(sessions_max: usize, arrivals: BucketRate, address_limits: OriginLimits) -> Arc<Self> {
        let site_limits = address_limits.of_site();
        Arc::new(Self {
            sessions_max,
            arrivals,
            address_limits,
            site_limits,
            inner: Mutex::default(),
        })
    }

    /// How many seats too many are taken: while strangers hold seats, some are kept free for
    /// clients that join a room.
    pub fn seats_short(&self) -> usize {
        let spare = (self.sessions_max / SPARE_SHARE).max(1);
        (self.lock().seats_taken + spare).saturating_sub(self.sessions_max)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, which is free again when it is dropped. `address` is what one client is likely
    /// to own. Nothing is kept of an address that is refused.
    pub fn try_enter(self: &Arc<Self>, address: IpAddr, now: Timestamp) -> Result<Seat, Refused> {
        let mut inner = self.lock();
        if inner.seats_taken >= self.sessions_max {
            return Err(Refused {
                retry_after_ms: OVERLOADED_RETRY_AFTER_MS,
            });
        }
        let mut from_address = inner
            .addresses
            .get(address, now)
            .enter(&self.address_limits, now)?;
        let site = match site_key(address) {
            Some(key) => Some((
                key,
                inner.sites.get(key, now).enter(&self.site_limits, now)?,
            )),
            None => None,
        };
        // The node's bucket is taken from last, so that a refused session does not slow others
        // down.
        let burst = self.arrivals.burst;
        let of_site = site.map_or(0, |(_, origin)| {
            origin.recent.reserve(burst, SITE_FACTOR, now)
        });
        let reserve = from_address.recent.reserve(burst, 1, now).max(of_site);
        let taken = inner.arrivals.take_keeping(self.arrivals, reserve, now);
        taken.map_err(|retry_after_ms| Refused { retry_after_ms })?;
        inner.seats_taken += 1;
        from_address.recent.record(now);
        inner.addresses.put(address, from_address, now);
        if let Some((key, mut origin)) = site {
            origin.recent.record(now);
            inner.sites.put(key, origin, now);
        }
        Ok(Seat {
            gate: self.clone(),
            address,
        })
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
        inner.addresses.leave(self.address);
        if let Some(site) = site_key(self.address) {
            inner.sites.leave(site);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn gate(sessions_max: usize, sessions_per_address_max: usize, burst: u32) -> Arc<Gate> {
        let arrivals = BucketRate {
            burst,
            refill: 10,
            per_ms: 1_000,
        };
        let address_limits = OriginLimits {
            sessions_max: sessions_per_address_max,
            arrivals: BucketRate {
                burst: 100,
                refill: 1,
                per_ms: 1_000,
            },
        };
        Gate::with(sessions_max, arrivals, address_limits)
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
        assert!(
            gate.try_enter(address(3), NOW).is_err(),
            "three on the node"
        );
        drop(first);
        let _fourth = gate.try_enter(address(3), NOW).unwrap();
        assert_eq!(gate.lock().seats_taken, 3);
    }

    #[test]
    fn one_seat_in_sixteen_is_to_be_free() {
        for (sessions_max, taken, short) in [
            (1, 0, 0),
            (1, 1, 1),
            (16, 15, 0),
            (16, 16, 1),
            (160, 150, 0),
            (160, 157, 7),
        ] {
            let gate = gate(sessions_max, sessions_max, 1_000);
            let _seats: Vec<Seat> = (0..taken)
                .map(|n| gate.try_enter([192, 0, 2, n].into(), NOW).unwrap())
                .collect();
            assert_eq!(gate.seats_short(), short, "{taken} of {sessions_max}");
        }
    }

    #[test]
    fn addresses_without_a_seat_are_dropped() {
        let gate = gate(10_000, 1, 100_000);
        for first in 0..20 {
            for last in 0..=255 {
                let address = [192, 0, first, last].into();
                drop(
                    gate.try_enter(address, NOW.plus_ms(10_000 * i64::from(first)))
                        .unwrap(),
                );
            }
        }
        assert!(gate.lock().addresses.by_key.len() <= ADDRESSES_BEFORE_SWEEP);
    }

    #[test]
    fn addresses_that_come_and_go_in_masses_take_bounded_memory_and_those_with_a_seat_are_kept() {
        let gate = gate(10_000, 1, u32::MAX);
        let seated = gate.try_enter(address(1), NOW).unwrap();
        for number in 0..200_000_u32 {
            let passing = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
            drop(gate.try_enter(passing, NOW).unwrap());
            assert!(gate.lock().addresses.by_key.len() <= 2 * (IDLE_ORIGINS_MAX + 1));
        }
        assert!(
            gate.try_enter(address(1), NOW).is_err(),
            "its one seat is taken"
        );
        drop(seated);
        assert!(gate.try_enter(address(1), NOW).is_ok());
    }

    #[test]
    fn an_address_that_is_refused_leaves_nothing_behind() {
        let gate = gate(1, 1, 100);
        let _only = gate.try_enter(address(1), NOW).unwrap();
        assert!((2..=255).all(|last| gate.try_enter(address(last), NOW).is_err()));
        assert_eq!(gate.lock().addresses.by_key.len(), 1);
    }

    #[test]
    fn ten_addresses_that_come_and_go_leave_room_for_newcomers() {
        // 1,000 a second for the node, 200 for an address.
        let gate = Gate::new(&LimitsConfig::default());
        let mut refused = 0;
        for ms in 0..5_000 {
            let now = NOW.plus_ms(ms);
            refused += (0..10)
                .filter(|last| gate.try_enter(address(*last), now).is_err())
                .count();
        }
        assert!(refused > 40_000, "{refused} of 50,000");
        let now = NOW.plus_ms(5_000);
        assert_eq!(
            (100..150)
                .filter(|last| gate.try_enter(address(*last), now).is_ok())
                .count(),
            50
        );
    }

    #[test]
    fn a_site_has_sixteen_times_the_seats_of_an_address() {
        let gate = gate(10_000, 2, 10_000);
        let address = |subnet: u16| IpAddr::from([0x2001, 0xdb8, 1, subnet, 0, 0, 0, 0]);
        let seats: Vec<Seat> = (0..1_000)
            .filter_map(|subnet| gate.try_enter(address(subnet), NOW).ok())
            .collect();
        assert_eq!(seats.len(), 32);
        let elsewhere = IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0]);
        assert!(gate.try_enter(elsewhere, NOW).is_ok());
        drop(seats);
        assert!(gate.try_enter(address(1_000), NOW).is_ok());
    }

    #[test]
    fn a_site_that_spreads_its_arrivals_over_its_addresses_leaves_room_for_newcomers() {
        let gate = gate(1_000_000, 1_000, 1_000);
        for ms in 0..20_000_u32 {
            let now = NOW.plus_ms(i64::from(ms));
            for n in 0..4 {
                let subnet = (4 * ms + n) as u16;
                drop(gate.try_enter(IpAddr::from([0x2001, 0xdb8, 1, subnet, 0, 0, 0, 0]), now));
            }
        }
        let now = NOW.plus_ms(20_000);
        assert_eq!(
            (0..50)
                .filter(|last| gate.try_enter(address(*last), now).is_ok())
                .count(),
            50
        );
    }

    #[test]
    fn an_address_that_comes_and_goes_keeps_nobody_else_out() {
        let gate = gate(1_000, 1_000, 200);
        let came = (0..1_000)
            .filter(|_| gate.try_enter(address(1), NOW).is_ok())
            .count();
        assert_eq!(came, 100);
        assert!(gate.try_enter(address(2), NOW).is_ok());
    }

    #[test]
    fn arrivals_beyond_the_burst_get_a_retry_delay() {
        let gate = gate(1_000, 1_000, 2);
        let _first = gate.try_enter(address(1), NOW).unwrap();
        let _second = gate.try_enter(address(1), NOW).unwrap();
        assert_eq!(
            gate.try_enter(address(1), NOW).unwrap_err(),
            Refused {
                retry_after_ms: 100
            }
        );
        assert!(gate.try_enter(address(1), NOW.plus_ms(100)).is_ok());
    }
}
