//! Samples viewers' comments when a room has more of them than anybody can read.
//!
//! Up to the cap, comments pass at once. Above it they gather for a round of [`ROUND_MS`], at whose
//! end as many are shown as the cap allows, fairly by sender ([`fairness`]). The others are sampled
//! out: they are not stored, and only their senders see them. A comment waits if the cap is used up
//! or others wait already, so no comment overtakes another of its sender.
//!
//! Gifts and the streamer's comments are never sampled.

mod fairness;
mod meter;

use std::sync::Arc;

use super::{Bucket, BucketRate, Comment, Timestamp};
use fairness::RecentlyShown;
use meter::Meter;

pub use meter::CrowdRate;

/// How long a comment above the cap waits at most, in milliseconds. Longer rounds choose among more
/// senders and delay shown comments more.
pub const ROUND_MS: i64 = 250;

/// Most comments waiting in one round, or twice a round's share of the cap if that is more. At the
/// bound the rule that ends a round halves the pool.
const WAITING_MAX: usize = 1_024;

/// The decision about waiting comments; both lists are in the order of posting.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SamplingRound {
    pub shown: Vec<Arc<Comment>>,
    pub sampled_out: Vec<Arc<Comment>>,
}

/// The sampler of one room.
#[derive(Debug)]
pub struct CrowdSampler {
    /// `None`: there is no cap.
    cap: Option<BucketRate>,
    bucket: Bucket,
    waiting: Vec<Arc<Comment>>,
    waiting_max: usize,
    /// Start of the current round; there is one exactly while comments wait.
    round_began: Timestamp,
    recently_shown: RecentlyShown,
    meter: Meter,
    sampled_out_count: u64,
}

impl CrowdSampler {
    /// Shows `per_s` comments a second, and after a pause half a second's worth more at once. 0: no
    /// cap.
    pub fn new(per_s: u32) -> Self {
        let cap = cap_of(per_s);
        Self {
            cap,
            bucket: Bucket::default(),
            waiting: Vec::new(),
            waiting_max: WAITING_MAX.max(2 * cap.map_or(1, |cap| cap.burst) as usize),
            round_began: Timestamp::default(),
            recently_shown: RecentlyShown::default(),
            meter: Meter::default(),
            sampled_out_count: 0,
        }
    }

    /// Shows `per_s` comments a second from here on, less than it was made for: the rest of the cap
    /// is for other nodes. Must not be called where there is no cap.
    pub fn narrow(&mut self, per_s: u32) {
        debug_assert!(
            self.cap.is_some(),
            "a lane without a cap has nothing to share"
        );
        self.cap = cap_of(per_s.max(1));
    }

    /// The most comments that ever wait.
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// Whether the next comment may be shown at once; if so, it counts as shown. Otherwise it has
    /// to [`CrowdSampler::wait`].
    pub fn pass(&mut self, comment: &Comment) -> bool {
        let Some(cap) = self.cap else { return true };
        let passes = self.waiting.is_empty() && self.bucket.take(cap, comment.at).is_ok();
        if passes {
            self.recently_shown.record(comment);
            self.meter.count(1, 0);
        }
        passes
    }

    /// Adds a comment to the round. Returns the comments sampled out to make room.
    pub fn wait(&mut self, comment: Arc<Comment>) -> Vec<Arc<Comment>> {
        if self.waiting.is_empty() {
            self.round_began = comment.at;
        }
        self.waiting.push(comment);
        if self.waiting.len() < self.waiting_max {
            return Vec::new();
        }
        let round = self
            .recently_shown
            .choose(std::mem::take(&mut self.waiting), self.waiting_max / 2);
        self.waiting = round.shown;
        self.count_round(0, round.sampled_out.len());
        round.sampled_out
    }

    /// Ends the round if it is due.
    pub fn end_round_if_due(&mut self, now: Timestamp) -> SamplingRound {
        // A clock that jumped back must not make anybody wait for it to catch up.
        let is_due = now.since(self.round_began) >= ROUND_MS || now < self.round_began;
        if is_due && !self.waiting.is_empty() {
            self.end_round(now)
        } else {
            SamplingRound::default()
        }
    }

    /// Ends the round: decides about all waiting comments.
    pub fn end_round(&mut self, now: Timestamp) -> SamplingRound {
        let waiting = std::mem::take(&mut self.waiting);
        let allowed = self.cap.map_or(waiting.len(), |cap| {
            waiting
                .iter()
                .take_while(|_| self.bucket.take(cap, now).is_ok())
                .count()
        });
        let round = self.recently_shown.choose(waiting, allowed);
        round
            .shown
            .iter()
            .for_each(|comment| self.recently_shown.record(comment));
        self.count_round(round.shown.len(), round.sampled_out.len());
        round
    }

    fn count_round(&mut self, shown: usize, sampled_out: usize) {
        if sampled_out > 0 {
            self.meter.start(self.round_began);
        }
        self.meter.count(shown, sampled_out);
        self.sampled_out_count += sampled_out as u64;
    }

    /// The rate of the second that has just passed, if it is to be announced.
    pub fn measure(&mut self, now: Timestamp) -> Option<CrowdRate> {
        self.meter.measure(now)
    }

    /// When [`CrowdSampler::end_round_if_due`] or [`CrowdSampler::measure`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let round = (!self.waiting.is_empty()).then(|| self.round_began.plus_ms(ROUND_MS));
        [round, self.meter.due_at()].into_iter().flatten().min()
    }

    /// Comments sampled out since the room opened.
    pub fn sampled_out_count(&self) -> u64 {
        self.sampled_out_count
    }
}

fn cap_of(per_s: u32) -> Option<BucketRate> {
    (per_s > 0).then_some(BucketRate {
        burst: (per_s / 2).max(1),
        refill: per_s,
        per_ms: 1_000,
    })
}

#[cfg(test)]
mod tests {
    use super::fairness::tests::{comment, ids};
    use super::*;

    /// Posts comments as a room does, and returns those shown and those left out at once.
    fn post(
        lane: &mut CrowdSampler,
        comments: impl IntoIterator<Item = Arc<Comment>>,
    ) -> SamplingRound {
        let mut round = SamplingRound::default();
        for comment in comments {
            if lane.pass(&comment) {
                round.shown.push(comment);
            } else {
                round.sampled_out.extend(lane.wait(comment));
            }
        }
        round
    }

    fn count_of(sender: i64, comments: &[Arc<Comment>]) -> usize {
        ids(comments)
            .into_iter()
            .filter(|(of, _)| *of == sender)
            .count()
    }

    #[test]
    fn up_to_the_cap_everything_passes_at_once() {
        let mut lane = CrowdSampler::new(40);
        for second in 0..10 {
            // One after another, and half a second's worth together.
            let spread = (0..20).map(|n| comment(n, second * 1_000 + n * 25));
            let together = (0..10).map(|n| comment(n, second * 1_000 + 750));
            assert_eq!(post(&mut lane, spread.chain(together)).shown.len(), 30);
        }
        assert_eq!((lane.next_deadline(), lane.sampled_out_count()), (None, 0));
    }

    #[test]
    fn without_a_cap_nothing_is_sampled() {
        let mut lane = CrowdSampler::new(0);
        assert_eq!(
            post(&mut lane, (0..100_000).map(|n| comment(n % 7, 0)))
                .shown
                .len(),
            100_000
        );
        assert_eq!(lane.next_deadline(), None);
    }

    #[test]
    fn above_the_cap_each_round_shows_as_much_as_the_cap_allows() {
        let mut lane = CrowdSampler::new(40);
        let mut shown = 0;
        for ms in (0..10_000).step_by(5) {
            shown += lane.end_round_if_due(Timestamp(ms)).shown.len();
            shown += post(&mut lane, [comment(ms % 300, ms)]).shown.len();
        }
        shown += lane.end_round(Timestamp(10_000)).shown.len();
        assert!(
            (400..=420).contains(&shown),
            "40 a second for 10 s, and half a second's worth: {shown}"
        );
        assert_eq!(lane.sampled_out_count() as usize, 2_000 - shown);
    }

    #[test]
    fn a_loud_sender_is_shown_once_while_a_hundred_quiet_ones_wait() {
        let mut lane = CrowdSampler::new(404);
        post(&mut lane, (0..202).map(|_| comment(900, 0)));
        let (loud, quiet) = (
            || comment(900, 0),
            (1..=100).map(|sender| comment(sender, 0)),
        );
        let early = post(
            &mut lane,
            (0..600)
                .map(|_| loud())
                .chain(quiet)
                .chain((0..300).map(|_| loud())),
        );
        let round = lane.end_round(Timestamp(ROUND_MS));
        assert_eq!(early.shown.len(), 0);
        assert_eq!(round.shown.len(), 101);
        assert_eq!(count_of(900, &round.shown), 1);
        assert_eq!(count_of(900, &round.sampled_out), 899);
    }

    #[test]
    fn a_sender_that_was_sampled_out_comes_first_in_the_next_round() {
        let mut lane = CrowdSampler::new(8);
        post(&mut lane, (0..4).map(|_| comment(900, 0)));
        // Two a turn, and six who ask again in each.
        let mut shown = Vec::new();
        for round in 0..3 {
            post(
                &mut lane,
                (1..=6).map(|sender| comment(sender, round * ROUND_MS)),
            );
            let round = lane.end_round_if_due(Timestamp((round + 1) * ROUND_MS));
            shown.extend(ids(&round.shown).into_iter().map(|(sender, _)| sender));
        }
        assert_eq!(shown, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn nobody_overtakes_himself() {
        let mut lane = CrowdSampler::new(4);
        let mut shown = Vec::new();
        for ms in 0..5_000 {
            shown.extend(ids(&lane.end_round_if_due(Timestamp(ms)).shown));
            if ms % 3 == 0 {
                shown.extend(ids(&post(&mut lane, [comment(ms % 2, ms)]).shown));
            }
        }
        for sender in 0..2 {
            let own: Vec<_> = shown.iter().filter(|(of, _)| *of == sender).collect();
            assert!(own.len() >= 9 && own.is_sorted(), "{own:?}");
        }
    }

    #[test]
    fn the_pool_is_bounded_and_still_fair_at_its_bound() {
        let mut lane = CrowdSampler::new(40);
        post(&mut lane, (0..20).map(|_| comment(900, 0)));
        let mut left_out = 0;
        for n in 0..100_000 {
            // Nine of ten are of one sender.
            let sender = if n % 10 == 0 { n / 10 % 300 } else { 900 };
            left_out += post(&mut lane, [comment(sender, 0)]).sampled_out.len();
            assert!(lane.waiting.len() < lane.waiting_max());
        }
        let round = lane.end_round(Timestamp(ROUND_MS));
        assert_eq!(
            left_out + round.shown.len() + round.sampled_out.len(),
            100_000
        );
        assert_eq!(
            (round.shown.len(), count_of(900, &round.shown)),
            (10, 0),
            "it was shown lately"
        );
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_up() {
        let mut lane = CrowdSampler::new(1);
        post(&mut lane, [comment(1, 1_000_000), comment(2, 1_000_000)]);
        let round = lane.end_round_if_due(Timestamp(5));
        assert_eq!(round.shown.len() + round.sampled_out.len(), 1);
    }
}
