//! Who may come in now, and when the others should try again.

use super::bucket::in_us;
use super::{Bucket, BucketRate, Timestamp};

/// The longest anybody is asked to wait, in milliseconds. Beyond, the line starts over at its front:
/// a crowd that large is asked twice.
const RETRY_AFTER_MS_MAX: i64 = 30_000;

/// Lets in as many as a rate allows and gives each of the rest a place in a line, so that they come
/// back one after the other, at the rate, and not all at the same instant. The line is one number
/// and reserves nothing: who does not come back holds up nobody, and who comes new while there is
/// room is let in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Admission {
    bucket: Bucket,
    /// When the last of those sent away was told to come back.
    line_ends_us: i64,
}

impl Admission {
    /// Lets one in, or says in how many milliseconds (1 to [`RETRY_AFTER_MS_MAX`]) to ask again.
    pub fn admit(&mut self, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        let Err(wait_ms) = self.bucket.take(rate, now) else { return Ok(()) };
        let now_us = in_us(now);
        let front_us = in_us(now.plus_ms(i64::try_from(wait_ms).unwrap_or(RETRY_AFTER_MS_MAX)));
        let place_us = self.line_ends_us.saturating_add(rate.cost_us()).max(front_us);
        // Also when the clock was set back.
        let is_over = place_us.saturating_sub(now_us) > RETRY_AFTER_MS_MAX * 1_000;
        self.line_ends_us = if is_over { front_us } else { place_us };
        let after_us = self.line_ends_us.saturating_sub(now_us).unsigned_abs();
        Err(after_us.div_ceil(1_000).clamp(1, RETRY_AFTER_MS_MAX.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const RATE: BucketRate = BucketRate { burst: 1_000, refill: 200, per_ms: 1_000 };
    const START: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn each_one_refused_is_told_a_later_time() {
        let mut admission = Admission::default();
        assert!((0..1_000).all(|_| admission.admit(RATE, START).is_ok()));
        let hints: Vec<u64> = (0..4_000).map(|_| admission.admit(RATE, START).expect_err("it is full")).collect();
        assert_eq!(hints[..3], [5, 10, 15]);
        assert!(hints.is_sorted_by(|one, next| one < next));
        assert_eq!(hints.last(), Some(&20_000));
    }

    #[test]
    fn a_crowd_that_does_as_it_is_told_is_in_after_its_turn_and_asks_twice_at_most() {
        let mut admission = Admission::default();
        // Who asks when, and how often it asked before.
        let mut asking = BTreeMap::from([(START, vec![0; 5_000])]);
        let (mut in_count, mut last) = (0, START);
        while let Some((now, crowd)) = asking.pop_first() {
            for asked in crowd {
                match admission.admit(RATE, now) {
                    Ok(()) => in_count += 1,
                    Err(_) if asked > 0 => panic!("sent away twice"),
                    Err(after_ms) => asking.entry(now.plus_ms(after_ms as i64)).or_default().push(asked + 1),
                }
            }
            last = now;
        }
        assert_eq!((in_count, last.since(START)), (5_000, 20_000));
    }

    #[test]
    fn the_line_has_an_end_and_starts_over_there() {
        let mut admission = Admission::default();
        let hints: Vec<u64> = (0..20_000).filter_map(|_| admission.admit(RATE, START).err()).collect();
        assert!(hints.iter().all(|hint| (1..=30_000).contains(hint)));
        assert_eq!(hints.iter().filter(|hint| **hint == 5).count(), 4);
    }

    #[test]
    fn a_line_nobody_came_back_from_is_forgotten() {
        let mut admission = Admission::default();
        for _ in 0..5_000 {
            let _ = admission.admit(RATE, START);
        }
        let later = START.plus_ms(60_000);
        assert!((0..1_000).all(|_| admission.admit(RATE, later).is_ok()));
        assert_eq!(admission.admit(RATE, later), Err(5));
        assert_eq!(admission.admit(RATE, START), Ok(()), "a clock set back sends nobody away");
    }
}
