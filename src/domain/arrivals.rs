//! Fairness between newcomers of different origins: recent arrivals must leave a reserve.

use super::Timestamp;

/// The half-life of an arrival count, in milliseconds.
const HALF_LIFE_MS: i64 = 10_000;

/// Doublings of recent arrivals after which the reserve grows no more.
const DOUBLINGS_MAX: u32 = 16;

/// Recent arrivals from one origin: a count that halves every ten seconds.
///
/// It decides how much of a shared [`Bucket`](super::Bucket) the next arrival from there must leave
/// to others, see [`RecentArrivals::reserve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentArrivals {
    count: u32,
    halved_at: Timestamp,
}

impl RecentArrivals {
    /// None, as of `now`.
    pub fn none(now: Timestamp) -> Self {
        Self {
            count: 0,
            halved_at: now,
        }
    }

    /// Counts one more.
    pub fn record(&mut self, now: Timestamp) {
        let count = self.count(now).saturating_add(1);
        let is_known = self.count > 0 && now >= self.halved_at;
        // With a count of zero, the half-life begins with this arrival.
        let halved_at = if is_known {
            self.halved_at.plus_ms(self.halvings(now) * HALF_LIFE_MS)
        } else {
            now
        };
        *self = Self { count, halved_at };
    }

    /// The count now; zero if the clock was set back.
    pub fn count(&self, now: Timestamp) -> u32 {
        if now < self.halved_at {
            return 0;
        }
        u32::try_from(self.halvings(now))
            .ok()
            .and_then(|halvings| self.count.checked_shr(halvings))
            .unwrap_or(0)
    }

    fn halvings(&self, now: Timestamp) -> i64 {
        now.since(self.halved_at) / HALF_LIFE_MS
    }

    /// How many of a `burst` that all origins share must remain when one more arrives from this
    /// origin: none for the first, and a further thirty-second of the burst with each doubling of
    /// the count, up to half of the burst.
    ///
    /// Origins with many arrivals thus stop early enough to leave room for those with few, whatever
    /// their number, and share the rest. The whole refill is still used, since a refused origin may
    /// enter a moment later, and a single origin may use half of the burst at once.
    ///
    /// For an origin that many users share, only each `share`-th arrival counts.
    pub fn reserve(&self, burst: u32, share: u32, now: Timestamp) -> u32 {
        let count = self.count(now) / share.max(1);
        let doublings = (u32::BITS - count.leading_zeros()).min(DOUBLINGS_MAX);
        let reserve = u64::from(burst) * u64::from(doublings) / u64::from(2 * DOUBLINGS_MAX);
        u32::try_from(reserve).unwrap_or(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Bucket, BucketRate};

    const START: Timestamp = Timestamp(1_000_000_000);
    const RATE: BucketRate = BucketRate {
        burst: 1_000,
        refill: 1_000,
        per_ms: 1_000,
    };

    /// A node's bucket, and what is remembered of each place.
    struct Node {
        bucket: Bucket,
        places: Vec<RecentArrivals>,
    }

    impl Node {
        fn new(places: usize) -> Self {
            Self {
                bucket: Bucket::default(),
                places: vec![RecentArrivals::none(START); places],
            }
        }

        fn admits(&mut self, place: usize, now: Timestamp) -> bool {
            let recent = &mut self.places[place];
            let admitted = self
                .bucket
                .take_keeping(RATE, recent.reserve(RATE.burst, 1, now), now)
                .is_ok();
            if admitted {
                recent.record(now);
            }
            admitted
        }
    }

    #[test]
    fn what_is_remembered_halves() {
        let mut recent = RecentArrivals::none(START);
        for _ in 0..100 {
            recent.record(START);
        }
        assert_eq!(
            [0, 9_999, 10_000, 20_000, 70_000].map(|ms| recent.count(START.plus_ms(ms))),
            [100, 100, 50, 25, 0]
        );
        recent.record(START.plus_ms(15_000));
        assert_eq!(
            [15_000, 20_000].map(|ms| recent.count(START.plus_ms(ms))),
            [51, 25],
            "halved when it was due"
        );
        assert_eq!(recent.count(START.plus_ms(i64::MAX / 2)), 0);
        assert_eq!(
            recent.count(START.plus_ms(-1)),
            0,
            "a clock that was set back"
        );
    }

    #[test]
    fn the_reserve_grows_with_each_doubling_and_ends_at_half() {
        let reserve = |count| {
            RecentArrivals {
                count,
                halved_at: START,
            }
            .reserve(3_200, 1, START)
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 1_000, 1_000_000, u32::MAX].map(reserve),
            [0, 100, 200, 200, 300, 1_000, 1_600, 1_600]
        );
        let shared = RecentArrivals {
            count: 64,
            halved_at: START,
        };
        assert_eq!(shared.reserve(3_200, 16, START), 300);
        assert_eq!(
            shared.reserve(1, 1, START),
            0,
            "a bucket of one is for whoever comes"
        );
    }

    #[test]
    fn newcomers_get_in_however_few_or_many_addresses_flood() {
        for flooders in [1, 10, 100, 1_000] {
            let mut node = Node::new(flooders + 200);
            let mut refused = 0;
            // Each flooder tries every 5 ms; after ten seconds 200 newcomers come, one every 10 ms.
            for ms in 0..12_000 {
                let now = START.plus_ms(ms);
                for flooder in
                    (0..flooders).filter(|flooder| (ms as usize + flooder).is_multiple_of(5))
                {
                    node.admits(flooder, now);
                }
                if ms >= 10_000 && ms % 10 == 0 {
                    let newcomer = flooders + (ms as usize - 10_000) / 10;
                    refused += usize::from(!node.admits(newcomer, now));
                }
            }
            assert_eq!(refused, 0, "of 200 newcomers beside {flooders} that flood");
        }
    }

    #[test]
    fn a_hundred_newcomers_of_one_moment_get_in_beside_ten_that_flood() {
        let mut node = Node::new(110);
        for ms in 0..10_000 {
            (0..10).for_each(|flooder| {
                node.admits(flooder, START.plus_ms(ms));
            });
        }
        let now = START.plus_ms(10_000);
        assert_eq!(
            (10..110)
                .filter(|newcomer| node.admits(*newcomer, now))
                .count(),
            100
        );
    }

    #[test]
    fn the_whole_rate_is_used_by_one_place_or_by_ten() {
        for places in [1, 10] {
            let mut node = Node::new(places);
            let admitted = |node: &mut Node, from_ms: i64| {
                let tries = (from_ms..from_ms + 10_000)
                    .flat_map(|ms| (0..2 * places).map(move |n| (ms, n % places)));
                tries
                    .filter(|(ms, place)| node.admits(*place, START.plus_ms(*ms)))
                    .count()
            };
            admitted(&mut node, 0);
            let in_ten_seconds = admitted(&mut node, 10_000);
            assert!(
                (9_900..=10_500).contains(&in_ten_seconds),
                "{places} places: {in_ten_seconds}"
            );
        }
    }

    #[test]
    fn those_that_flood_share_what_there_is() {
        let mut node = Node::new(3);
        let mut admitted = [0; 3];
        for ms in 0..60_000 {
            let now = START.plus_ms(ms);
            // The first tries twenty times as often as the others.
            for place in std::iter::repeat_n(0, 20).chain([1, 2]) {
                admitted[place] += usize::from(node.admits(place, now));
            }
        }
        let [greedy, one, other] = admitted;
        assert!(greedy < 2 * one && greedy < 2 * other, "{admitted:?}");
    }
}
