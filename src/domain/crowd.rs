//! The crowd lane: which of the viewers' comments a room shows when there are more than anybody can
//! read.
//!
//! Up to the cap comments pass at once. Above it they gather for a turn of [`TURN_MS`], at whose end
//! as many are shown as the cap allows, each sender in turn ([`fairness`]); the rest are sampled out:
//! never stored, shown to nobody but their senders. Whether a comment waits depends on the cap and
//! on those that wait already, so no comment overtakes another of its sender.
//!
//! Gifts and the streamer's comments never come here.

mod fairness;
mod meter;

use std::sync::Arc;

use super::{Bucket, BucketRate, Comment, Timestamp};
use fairness::ShownLately;
use meter::Meter;

pub use meter::CrowdRate;

/// How long a comment above the cap may wait for what becomes of it, in milliseconds. Longer turns
/// choose among more senders, and delay what they show.
pub const TURN_MS: i64 = 250;

/// Comments that may wait in one turn, or twice a turn's share of the cap if that is more. At the
/// bound the pool is halved by the rule that ends a turn.
const WAITING_MAX: usize = 1_024;

/// What became of comments that waited, each in the order they were posted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub shown: Vec<Arc<Comment>>,
    pub sampled_out: Vec<Arc<Comment>>,
}

/// The crowd lane of one room.
#[derive(Debug)]
pub struct CrowdLane {
    /// `None`: there is no cap.
    cap: Option<BucketRate>,
    bucket: Bucket,
    waiting: Vec<Arc<Comment>>,
    waiting_max: usize,
    /// When the turn under way began; there is one exactly while comments wait.
    turn_began: Timestamp,
    lately: ShownLately,
    meter: Meter,
    sampled_out_count: u64,
}

impl CrowdLane {
    /// A lane that shows `per_s` comments a second, and after a pause half a second's worth more at
    /// once. 0: no cap.
    pub fn new(per_s: u32) -> Self {
        let cap = cap_of(per_s);
        Self {
            cap,
            bucket: Bucket::default(),
            waiting: Vec::new(),
            waiting_max: WAITING_MAX.max(2 * cap.map_or(1, |cap| cap.burst) as usize),
            turn_began: Timestamp::default(),
            lately: ShownLately::default(),
            meter: Meter::default(),
            sampled_out_count: 0,
        }
    }

    /// Shows `per_s` comments a second from here on, less than it was made for: the rest of the cap is
    /// for other nodes. Must not be called where there is no cap.
    pub fn narrow(&mut self, per_s: u32) {
        debug_assert!(self.cap.is_some(), "a lane without a cap has nothing to share");
        self.cap = cap_of(per_s.max(1));
    }

    /// The most comments that ever wait.
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// Whether the next comment may be shown at once; if so, it counts as shown. Otherwise it has to
    /// [`CrowdLane::wait`].
    pub fn pass(&mut self, comment: &Comment) -> bool {
        let Some(cap) = self.cap else { return true };
        let passes = self.waiting.is_empty() && self.bucket.take(cap, comment.at).is_ok();
        if passes {
            self.lately.note(comment);
            self.meter.count(1, 0);
        }
        passes
    }

    /// Takes a comment into the turn. Returns those that had to make room.
    pub fn wait(&mut self, comment: Arc<Comment>) -> Vec<Arc<Comment>> {
        if self.waiting.is_empty() {
            self.turn_began = comment.at;
        }
        self.waiting.push(comment);
        if self.waiting.len() < self.waiting_max {
            return Vec::new();
        }
        let turn = self.lately.choose(std::mem::take(&mut self.waiting), self.waiting_max / 2);
        self.waiting = turn.shown;
        self.count_turn(0, turn.sampled_out.len());
        turn.sampled_out
    }

    /// Ends the turn if its time has come.
    pub fn end_turn_due(&mut self, now: Timestamp) -> Turn {
        // A clock that jumped back must not make anybody wait for it to catch up.
        let is_due = now.since(self.turn_began) >= TURN_MS || now < self.turn_began;
        if is_due && !self.waiting.is_empty() { self.end_turn(now) } else { Turn::default() }
    }

    /// Decides about all that wait.
    pub fn end_turn(&mut self, now: Timestamp) -> Turn {
        let waiting = std::mem::take(&mut self.waiting);
        let allowed = self
            .cap
            .map_or(waiting.len(), |cap| waiting.iter().take_while(|_| self.bucket.take(cap, now).is_ok()).count());
        let turn = self.lately.choose(waiting, allowed);
        turn.shown.iter().for_each(|comment| self.lately.note(comment));
        self.count_turn(turn.shown.len(), turn.sampled_out.len());
        turn
    }

    fn count_turn(&mut self, shown: usize, sampled_out: usize) {
        if sampled_out > 0 {
            self.meter.start(self.turn_began);
        }
        self.meter.count(shown, sampled_out);
        self.sampled_out_count += sampled_out as u64;
    }

    /// What members should be told of the second that has just passed, if anything.
    pub fn measure(&mut self, now: Timestamp) -> Option<CrowdRate> {
        self.meter.measure(now)
    }

    /// When [`CrowdLane::end_turn_due`] or [`CrowdLane::measure`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let turn = (!self.waiting.is_empty()).then(|| self.turn_began.plus_ms(TURN_MS));
        [turn, self.meter.due_at()].into_iter().flatten().min()
    }

    /// Comments sampled out since the room opened.
    pub fn sampled_out_count(&self) -> u64 {
        self.sampled_out_count
    }
}

fn cap_of(per_s: u32) -> Option<BucketRate> {
    (per_s > 0).then_some(BucketRate { burst: (per_s / 2).max(1), refill: per_s, per_ms: 1_000 })
}

#[cfg(test)]
mod tests {
    use super::fairness::tests::{comment, ids};
    use super::*;

    /// Posts comments as a room does, and returns those shown and those left out at once.
    fn post(lane: &mut CrowdLane, comments: impl IntoIterator<Item = Arc<Comment>>) -> Turn {
        let mut turn = Turn::default();
        for comment in comments {
            if lane.pass(&comment) {
                turn.shown.push(comment);
            } else {
                turn.sampled_out.extend(lane.wait(comment));
            }
        }
        turn
    }

    fn count_of(sender: i64, comments: &[Arc<Comment>]) -> usize {
        ids(comments).into_iter().filter(|(of, _)| *of == sender).count()
    }

    #[test]
    fn up_to_the_cap_everything_passes_at_once() {
        let mut lane = CrowdLane::new(40);
        for second in 0..10 {
            // One after another, and half a second's worth together.
            let spread = (0..20).map(|n| comment(n, second * 1_000 + n * 25));
            let together = (0..10).map(|n| comment(n, second * 1_000 + 750));
            assert_eq!(post(&mut lane, spread.chain(together)).shown.len(), 30);
        }
        assert_eq!((lane.next_deadline(), lane.sampled_out_count()), (None, 0));
    }

    #[test]
    fn a_lane_without_cap_never_samples() {
        let mut lane = CrowdLane::new(0);
        assert_eq!(post(&mut lane, (0..100_000).map(|n| comment(n % 7, 0))).shown.len(), 100_000);
        assert_eq!(lane.next_deadline(), None);
    }

    #[test]
    fn above_the_cap_each_turn_shows_what_the_cap_allows() {
        let mut lane = CrowdLane::new(40);
        let mut shown = 0;
        for ms in (0..10_000).step_by(5) {
            shown += lane.end_turn_due(Timestamp(ms)).shown.len();
            shown += post(&mut lane, [comment(ms % 300, ms)]).shown.len();
        }
        shown += lane.end_turn(Timestamp(10_000)).shown.len();
        assert!((400..=420).contains(&shown), "40 a second for 10 s, and half a second's worth: {shown}");
        assert_eq!(lane.sampled_out_count() as usize, 2_000 - shown);
    }

    #[test]
    fn a_loud_sender_is_heard_once_while_a_hundred_quiet_ones_wait() {
        let mut lane = CrowdLane::new(404);
        post(&mut lane, (0..202).map(|_| comment(900, 0)));
        let (loud, quiet) = (|| comment(900, 0), (1..=100).map(|sender| comment(sender, 0)));
        let early = post(&mut lane, (0..600).map(|_| loud()).chain(quiet).chain((0..300).map(|_| loud())));
        let turn = lane.end_turn(Timestamp(TURN_MS));
        assert_eq!(early.shown.len(), 0);
        assert_eq!(turn.shown.len(), 101);
        assert_eq!(count_of(900, &turn.shown), 1);
        assert_eq!(count_of(900, &turn.sampled_out), 899);
    }

    #[test]
    fn who_was_left_out_comes_first_in_the_next_turn() {
        let mut lane = CrowdLane::new(8);
        post(&mut lane, (0..4).map(|_| comment(900, 0)));
        // Two a turn, and six who ask again in each.
        let mut heard = Vec::new();
        for turn in 0..3 {
            post(&mut lane, (1..=6).map(|sender| comment(sender, turn * TURN_MS)));
            let turn = lane.end_turn_due(Timestamp((turn + 1) * TURN_MS));
            heard.extend(ids(&turn.shown).into_iter().map(|(sender, _)| sender));
        }
        assert_eq!(heard, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn nobody_overtakes_himself() {
        let mut lane = CrowdLane::new(4);
        let mut shown = Vec::new();
        for ms in 0..5_000 {
            shown.extend(ids(&lane.end_turn_due(Timestamp(ms)).shown));
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
        let mut lane = CrowdLane::new(40);
        post(&mut lane, (0..20).map(|_| comment(900, 0)));
        let mut left_out = 0;
        for n in 0..100_000 {
            // Nine of ten are of one sender.
            let sender = if n % 10 == 0 { n / 10 % 300 } else { 900 };
            left_out += post(&mut lane, [comment(sender, 0)]).sampled_out.len();
            assert!(lane.waiting.len() < lane.waiting_max());
        }
        let turn = lane.end_turn(Timestamp(TURN_MS));
        assert_eq!(left_out + turn.shown.len() + turn.sampled_out.len(), 100_000);
        assert_eq!((turn.shown.len(), count_of(900, &turn.shown)), (10, 0), "it was shown lately");
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_up() {
        let mut lane = CrowdLane::new(1);
        post(&mut lane, [comment(1, 1_000_000), comment(2, 1_000_000)]);
        let turn = lane.end_turn_due(Timestamp(5));
        assert_eq!(turn.shown.len() + turn.sampled_out.len(), 1);
    }
}
