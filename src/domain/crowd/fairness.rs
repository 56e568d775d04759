//! Chooses comments fairly: one of each sender before a second of any, and senders that were not
//! shown recently first.

use std::collections::HashMap;
use std::sync::Arc;

use super::SamplingRound;
use crate::domain::{BoundedMap, Comment, Timestamp, UserId};

/// How long a sender that was shown yields to senders that were not, in milliseconds.
const RECENT_MS: i64 = 60_000;

/// Senders remembered at most: as many as a minute of the default cap can show, and more. Beyond,
/// the one shown longest ago is forgotten early, as if that were longer than [`RECENT_MS`] ago.
const RECENT_MAX: usize = 4_096;

/// The senders shown recently.
#[derive(Debug)]
pub(super) struct RecentlyShown {
    shown_count: u64,
    /// When a sender was last shown.
    last: BoundedMap<UserId, LastShown>,
}

#[derive(Debug)]
struct LastShown {
    at: Timestamp,
    /// The same as a count of shown comments.
    count: u64,
}

impl Default for RecentlyShown {
    fn default() -> Self {
        Self {
            shown_count: 0,
            last: BoundedMap::new(RECENT_MAX),
        }
    }
}

impl RecentlyShown {
    pub fn record(&mut self, comment: &Comment) {
        self.shown_count += 1;
        while self
            .last
            .oldest()
            .is_some_and(|(_, oldest)| comment.at.since(oldest.at) > RECENT_MS)
        {
            self.last.pop_oldest();
        }
        self.last.insert(
            comment.author.id,
            LastShown {
                at: comment.at,
                count: self.shown_count,
            },
        );
    }

    /// Chooses `count` of `waiting`, which are in the order they were posted: the oldest of each
    /// sender, then the second of each, and so on. Where not all n-th comments fit, senders that
    /// were not shown recently come first, then those shown longest ago, then the earliest comment.
    pub fn choose(&self, waiting: Vec<Arc<Comment>>, count: usize) -> SamplingRound {
        if waiting.len() <= count {
            return SamplingRound {
                shown: waiting,
                sampled_out: Vec::new(),
            };
        }
        let mut counts: HashMap<UserId, u32> = HashMap::new();
        let mut ranks: Vec<(u32, Option<u64>, usize)> = waiting
            .iter()
            .enumerate()
            .map(|(arrival, comment)| {
                let sender = comment.author.id;
                let nth = counts.entry(sender).or_default();
                *nth += 1;
                (*nth, self.last.get(&sender).map(|last| last.count), arrival)
            })
            .collect();
        ranks.select_nth_unstable(count);
        let mut is_shown = vec![false; waiting.len()];
        for (.., arrival) in &ranks[..count] {
            is_shown[*arrival] = true;
        }
        let mut round = SamplingRound::default();
        for (comment, is_shown) in waiting.into_iter().zip(is_shown) {
            if is_shown {
                round.shown.push(comment)
            } else {
                round.sampled_out.push(comment)
            }
        }
        round
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::{CommentId, CommentText, LiveId, Profile};

    static NEXT_ID: AtomicI64 = AtomicI64::new(1);

    /// A comment with an id above all made before it. Senders count from 0.
    pub fn comment(sender: i64, at_ms: i64) -> Arc<Comment> {
        let author = UserId::new(sender + 1).unwrap();
        Arc::new(Comment {
            id: CommentId::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).unwrap(),
            live_id: LiveId::FIRST,
            author: Arc::new(Profile {
                id: author,
                name: String::new(),
                avatar: None,
            }),
            text: CommentText::parse("x", 200).unwrap(),
            request_id: None,
            at: Timestamp(at_ms),
        })
    }

    /// Senders and ids.
    pub fn ids(comments: &[Arc<Comment>]) -> Vec<(i64, CommentId)> {
        comments
            .iter()
            .map(|comment| (comment.author.id.get() - 1, comment.id))
            .collect()
    }

    fn senders(comments: &[Arc<Comment>]) -> Vec<i64> {
        ids(comments)
            .into_iter()
            .map(|(sender, _)| sender)
            .collect()
    }

    fn choose(recently_shown: &RecentlyShown, waiting: &[i64], count: usize) -> SamplingRound {
        recently_shown.choose(
            waiting.iter().map(|sender| comment(*sender, 0)).collect(),
            count,
        )
    }

    #[test]
    fn one_of_each_sender_before_a_second_of_any() {
        let recently_shown = RecentlyShown::default();
        assert_eq!(
            senders(&choose(&recently_shown, &[1, 1, 1, 2, 3], 3).shown),
            [1, 2, 3]
        );
        assert_eq!(
            senders(&choose(&recently_shown, &[1, 1, 1, 2, 3], 4).shown),
            [1, 1, 2, 3]
        );
        let round = choose(&recently_shown, &[1, 2, 1, 2], 0);
        assert_eq!((round.shown.len(), round.sampled_out.len()), (0, 4));
    }

    #[test]
    fn the_oldest_comments_of_a_sender_are_shown_in_order() {
        let waiting: Vec<_> = [1, 2, 1, 2, 1, 2]
            .iter()
            .map(|sender| comment(*sender, 0))
            .collect();
        let round = RecentlyShown::default().choose(waiting.clone(), 4);
        assert_eq!(ids(&round.shown), ids(&waiting[..4]));
        assert_eq!(ids(&round.sampled_out), ids(&waiting[4..]));
    }

    #[test]
    fn a_sender_that_was_shown_yields_until_it_is_forgotten() {
        let mut recently_shown = RecentlyShown::default();
        recently_shown.record(&comment(2, 0));
        recently_shown.record(&comment(1, 0));
        assert_eq!(
            senders(&choose(&recently_shown, &[1, 2, 3, 4], 3).shown),
            [2, 3, 4]
        );
        recently_shown.record(&comment(3, RECENT_MS + 1));
        assert_eq!(
            senders(&choose(&recently_shown, &[1, 2, 3, 4], 3).shown),
            [1, 2, 4]
        );
    }

    #[test]
    fn memory_of_who_was_shown_is_bounded() {
        let mut recently_shown = RecentlyShown::default();
        for sender in 0..20_000 {
            recently_shown.record(&comment(sender, 0));
        }
        assert_eq!(recently_shown.last.len(), RECENT_MAX);
        recently_shown.record(&comment(1, RECENT_MS + 1));
        assert_eq!(recently_shown.last.len(), 1);
    }
}
