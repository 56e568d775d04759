//! Admission to a room: admits at a bounded rate and answers the rest when to retry.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::bucket::in_us;
use super::{Bucket, BucketRate, Timestamp, UserId};

/// The longest retry delay, in milliseconds. Beyond, delays start over at the shortest: a crowd
/// that large has to retry twice.
const RETRY_AFTER_MS_MAX: i64 = 30_000;

/// A user's fair share; beyond it, others go first. A user normally needs one admission: a second
/// session and a return need none.
const USER_SHARE: BucketRate = BucketRate {
    burst: 3,
    refill: 1,
    per_ms: 1_000,
};

/// An address's fair share as a divisor of the rate: a household or an office is admitted at once,
/// and it takes thirty-two addresses to use up the rate.
const ADDRESS_PART: u32 = 32;

/// Most shares kept of users, and of addresses. Beyond, an unknown one counts as within its share,
/// so a full table refuses nobody.
const SHARES_MAX: usize = 65_536;

/// The number of shares from which on full ones are swept out, and the time between sweeps in
/// milliseconds.
const SHARES_BEFORE_SWEEP: usize = 64;
const SWEEP_MS: i64 = 1_000;

/// The user and the address that an admission counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub user: UserId,
    /// The address or prefix that one client is likely to own.
    pub address: IpAddr,
}

/// The order of precedence when not all can be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AdmissionClass {
    /// User and address are within their shares.
    High,
    /// The address is over its share.
    Middle,
    /// The user is over its share.
    Low,
}

impl AdmissionClass {
    const COUNT: usize = 3;

    /// The part of the room's burst that this class must leave to those before it.
    fn reserve(self, burst: u32) -> u32 {
        match self {
            Self::High => 0,
            Self::Middle => burst / 4,
            Self::Low => burst / 2,
        }
    }
}

/// Admits joins at a rate and gives each refused one a retry time of its own, so that a crowd comes
/// back spread over time, at the rate. A queue is one number and reserves nothing: a client that
/// does not come back delays nobody, and a new one is admitted whenever the rate allows it.
///
/// Admission is fair by user, then by address. One over its share gets only what the others leave:
/// it must keep a part of the burst free and waits in a queue of its own. So a user or an address
/// that joins again and again, from however many sockets, delays itself and not the others. One
/// that retries early keeps its retry time, and delays nobody.
#[derive(Debug, Default)]
pub struct Admission {
    bucket: Bucket,
    users: Shares<UserId>,
    addresses: Shares<IpAddr>,
    /// By class: the latest retry time given out, in microseconds.
    queue_end_us: [i64; AdmissionClass::COUNT],
}

impl Admission {
    /// Admits one, or returns in how many milliseconds (1 to [`RETRY_AFTER_MS_MAX`]) to retry.
    pub fn admit(&mut self, claim: Claim, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        let address_share = address_share(rate);
        let (user, address) = (
            self.users.of(claim.user, now),
            self.addresses.of(claim.address, now),
        );
        let class = if user
            .as_ref()
            .is_some_and(|share| share.bucket.is_empty(USER_SHARE, now))
        {
            AdmissionClass::Low
        } else if address
            .as_ref()
            .is_some_and(|share| share.bucket.is_empty(address_share, now))
        {
            AdmissionClass::Middle
        } else {
            AdmissionClass::High
        };
        let Err(wait_ms) = self
            .bucket
            .take_keeping(rate, class.reserve(rate.burst), now)
        else {
            for (share, rate) in [(user, USER_SHARE), (address, address_share)] {
                // An empty share stays empty.
                let _ = share.map(|share| share.bucket.take(rate, now));
            }
            return Ok(());
        };
        let now_us = in_us(now);
        let latest_us = now_us + RETRY_AFTER_MS_MAX * 1_000;
        let retry_at_us = match user.as_ref().map(|share| share.retry_at_us) {
            Some(retry_at_us) if (now_us + 1..=latest_us).contains(&retry_at_us) => retry_at_us,
            _ => {
                let front_us =
                    in_us(now.plus_ms(i64::try_from(wait_ms).unwrap_or(RETRY_AFTER_MS_MAX)));
                let queue_end_us = &mut self.queue_end_us[class as usize];
                let retry_at_us = queue_end_us.saturating_add(rate.cost_us()).max(front_us);
                // The queue also starts over when the clock was set back.
                *queue_end_us = if retry_at_us > latest_us {
                    front_us
                } else {
                    retry_at_us
                };
                *queue_end_us
            }
        };
        if let Some(share) = user {
            share.retry_at_us = retry_at_us;
        }
        let after_us = retry_at_us.saturating_sub(now_us).unsigned_abs();
        Err(after_us
            .div_ceil(1_000)
            .clamp(1, RETRY_AFTER_MS_MAX.unsigned_abs()))
    }
}

fn address_share(rate: BucketRate) -> BucketRate {
    let burst = (rate.burst / ADDRESS_PART).max(1);
    BucketRate {
        burst,
        refill: rate.refill,
        per_ms: rate.per_ms.saturating_mul(ADDRESS_PART),
    }
}

/// The recent admissions of one user or address.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    bucket: Bucket,
    /// The retry time it was given, in microseconds.
    retry_at_us: i64,
}

/// The shares of recent users or addresses, at most [`SHARES_MAX`].
#[derive(Debug)]
struct Shares<K> {
    by_key: HashMap<K, Share>,
    swept_at: Timestamp,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            swept_at: Timestamp::default(),
        }
    }
}

impl<K: Eq + Hash> Shares<K> {
    /// The share of `key`; `None` if the table is full.
    fn of(&mut self, key: K, now: Timestamp) -> Option<&mut Share> {
        let is_swept = (self.swept_at..self.swept_at.plus_ms(SWEEP_MS)).contains(&now);
        if self.by_key.len() >= SHARES_BEFORE_SWEEP && !is_swept {
            self.swept_at = now;
            self.by_key
                .retain(|_, share| !share.bucket.is_full(now) || share.retry_at_us > in_us(now));
            self.by_key.shrink_to(2 * self.by_key.len());
        }
        if self.by_key.len() >= SHARES_MAX && !self.by_key.contains_key(&key) {
            return None;
        }
        Some(self.by_key.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;

    const RATE: BucketRate = BucketRate {
        burst: 1_000,
        refill: 200,
        per_ms: 1_000,
    };
    const START: Timestamp = Timestamp(1_000_000_000);

    /// A user, by number, at an address, by number.
    fn claim(user: u32, address: u32) -> Claim {
        let user = UserId::new(i64::from(user) + 1).expect("positive");
        Claim {
            user,
            address: Ipv4Addr::from_bits(address).into(),
        }
    }

    /// So many users, each at an address of its own, ask at once. Returns the answers.
    fn crowd(
        admission: &mut Admission,
        numbers: std::ops::Range<u32>,
        now: Timestamp,
    ) -> Vec<Result<(), u64>> {
        numbers
            .map(|number| admission.admit(claim(number, number), RATE, now))
            .collect()
    }

    #[test]
    fn each_refused_one_gets_a_later_retry_time() {
        let mut admission = Admission::default();
        assert!(
            crowd(&mut admission, 0..1_000, START)
                .iter()
                .all(Result::is_ok)
        );
        let answers = crowd(&mut admission, 1_000..5_000, START);
        let hints: Vec<u64> = answers
            .into_iter()
            .map(|answers| answers.expect_err("it is full"))
            .collect();
        assert_eq!(hints[..3], [5, 10, 15]);
        assert!(hints.iter().is_sorted_by(|one, next| one < next));
        assert_eq!(hints.last(), Some(&20_000));
    }

    #[test]
    fn an_early_retry_keeps_its_time_and_delays_nobody() {
        let mut admission = Admission::default();
        crowd(&mut admission, 0..1_000, START);
        let first = admission.admit(claim(1_000, 1_000), RATE, START);
        assert_eq!(first, Err(5));
        assert!((0..500).all(|_| admission.admit(claim(1_000, 1_000), RATE, START) == first));
        assert_eq!(admission.admit(claim(1_001, 1_001), RATE, START), Err(10));
        assert_eq!(
            admission.admit(claim(1_000, 1_000), RATE, START.plus_ms(3)),
            Err(2)
        );
        assert_eq!(
            admission.admit(claim(1_000, 1_000), RATE, START.plus_ms(5)),
            Ok(())
        );
    }

    /// Everybody retries at the given time. Returns how many were admitted and how long it took.
    fn serve(mut asking: BTreeMap<Timestamp, Vec<(Claim, u32)>>) -> (u32, i64) {
        let mut admission = Admission::default();
        let (mut in_count, mut last) = (0, START);
        while let Some((now, crowd)) = asking.pop_first() {
            for (claim, asked) in crowd {
                match admission.admit(claim, RATE, now) {
                    Ok(()) => in_count += 1,
                    Err(_) if asked > 0 => panic!("sent away twice"),
                    Err(after_ms) => asking
                        .entry(now.plus_ms(after_ms as i64))
                        .or_default()
                        .push((claim, asked + 1)),
                }
            }
            last = now;
        }
        (in_count, last.since(START))
    }

    #[test]
    fn a_crowd_that_retries_on_time_is_admitted_after_two_requests_at_most() {
        let crowd = (0..5_000)
            .map(|number| (claim(number, number), 0))
            .collect();
        assert_eq!(serve(BTreeMap::from([(START, crowd)])), (5_000, 20_000));
    }

    #[test]
    fn a_crowd_behind_one_address_comes_in_at_the_same_rate() {
        let crowd = (0..1_750).map(|number| (claim(number, 7), 0)).collect();
        let (in_count, took_ms) = serve(BTreeMap::from([(START, crowd)]));
        assert_eq!(in_count, 1_750);
        assert!(
            (4_800..=5_000).contains(&took_ms),
            "{took_ms} ms for the 1,000 beyond three quarters of the burst"
        );
    }

    #[test]
    fn a_user_that_comes_in_again_and_again_keeps_nobody_out() {
        let mut admission = Admission::default();
        let mut honest = 1;
        for ms in 0..20_000 {
            let now = START.plus_ms(ms);
            // Twelve hundred a second, from the address of the others.
            let _ = admission.admit(claim(0, 7), RATE, now);
            if ms % 5 == 0 {
                let _ = admission.admit(claim(0, 7), RATE, now);
            }
            if ms % 10 == 0 {
                assert_eq!(
                    admission.admit(claim(honest, 7), RATE, now),
                    Ok(()),
                    "user {honest} after {ms} ms"
                );
                honest += 1;
            }
        }
    }

    #[test]
    fn an_address_with_many_users_keeps_no_other_out() {
        let mut admission = Admission::default();
        for ms in 0..20_000_u32 {
            let now = START.plus_ms(i64::from(ms));
            // Each of its users once.
            let _ = admission.admit(claim(1_000_000 + ms, 7), RATE, now);
            if ms % 10 == 0 {
                assert_eq!(
                    admission.admit(claim(ms, ms), RATE, now),
                    Ok(()),
                    "after {ms} ms"
                );
            }
        }
    }

    #[test]
    fn one_over_its_share_gets_the_rest_of_the_rate() {
        let mut admission = Admission::default();
        let taken = (0..10_000)
            .filter(|ms| {
                admission
                    .admit(claim(0, 0), RATE, START.plus_ms(*ms))
                    .is_ok()
            })
            .count();
        assert!(
            (2_490..=2_510).contains(&taken),
            "half of the burst and 200 a second for 10 s, not {taken}"
        );
    }

    #[test]
    fn retry_times_are_bounded_and_start_over() {
        let mut admission = Admission::default();
        let answers = crowd(&mut admission, 0..25_000, START);
        let hints: Vec<u64> = answers.into_iter().filter_map(Result::err).collect();
        assert!(hints.iter().all(|hint| (1..=30_000).contains(hint)));
        assert_eq!(hints.iter().filter(|hint| **hint == 5).count(), 4);
    }

    #[test]
    fn a_queue_nobody_came_back_from_is_forgotten() {
        let mut admission = Admission::default();
        crowd(&mut admission, 0..5_000, START);
        let later = START.plus_ms(60_000);
        assert!(
            crowd(&mut admission, 5_000..6_000, later)
                .iter()
                .all(Result::is_ok)
        );
        assert_eq!(admission.admit(claim(6_000, 6_000), RATE, later), Err(5));
        assert_eq!(
            admission.admit(claim(6_001, 6_001), RATE, START),
            Ok(()),
            "a clock set back sends nobody away"
        );
    }

    #[test]
    fn shares_are_bounded_and_dropped_when_they_are_full_again() {
        let mut admission = Admission::default();
        crowd(&mut admission, 0..100_000, START);
        assert_eq!(
            (
                admission.users.by_key.len(),
                admission.addresses.by_key.len()
            ),
            (SHARES_MAX, SHARES_MAX)
        );
        let later = START.plus_ms(RETRY_AFTER_MS_MAX + 1);
        admission
            .admit(claim(0, 0), RATE, later)
            .expect("the crowd is gone");
        assert_eq!(
            (
                admission.users.by_key.len(),
                admission.addresses.by_key.len()
            ),
            (1, 1)
        );
    }
}
