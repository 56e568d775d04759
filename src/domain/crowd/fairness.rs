//! Which comments are shown when not all can be: each sender in turn, and first who was not shown
//! lately.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Turn;
use crate::domain::{Comment, Timestamp, UserId};

/// How long a sender that was shown yields to those that were not, in milliseconds.
const LATELY_MS: i64 = 60_000;

/// Shown comments remembered at most: a minute's worth of the default cap, and more. Beyond, the
/// oldest are forgotten early, as if they were older than [`LATELY_MS`].
const LATELY_MAX: usize = 4_096;

/// Who was shown lately, and in which order.
#[derive(Debug, Default)]
pub(super) struct ShownLately {
    shown_count: u64,
    /// When a sender was last shown, as a count of shown comments.
    last: HashMap<UserId, u64>,
    /// What went into `last`, oldest first. An entry of a sender that was shown again since means
    /// nothing.
    order: VecDeque<(Timestamp, UserId, u64)>,
}

impl ShownLately {
    pub fn note(&mut self, comment: &Comment) {
        self.shown_count += 1;
        let (at, sender, turn) = (comment.at, comment.author.id, self.shown_count);
        while self.order.front().is_some_and(|(oldest, ..)| at.since(*oldest) > LATELY_MS)
            || self.order.len() >= LATELY_MAX
        {
            self.forget_oldest();
        }
        self.last.insert(sender, turn);
        self.order.push_back((at, sender, turn));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, sender, turn)) = self.order.pop_front()
            && self.last.get(&sender) == Some(&turn)
        {
            self.last.remove(&sender);
        }
    }

    /// Chooses `count` of `waiting`, which are in the order they were posted: the oldest of each
    /// sender, then the second of each, and so on. Where a round has not room for all, senders that
    /// were not shown lately come first, then those whose turn is longest ago, then who came first.
    pub fn choose(&self, waiting: Vec<Arc<Comment>>, count: usize) -> Turn {
        if waiting.len() <= count {
            return Turn { shown: waiting, sampled_out: Vec::new() };
        }
        let mut rounds: HashMap<UserId, u32> = HashMap::new();
        let mut ranks: Vec<(u32, Option<u64>, usize)> = waiting
            .iter()
            .enumerate()
            .map(|(arrival, comment)| {
                let sender = comment.author.id;
                let round = rounds.entry(sender).or_default();
                *round += 1;
                (*round, self.last.get(&sender).copied(), arrival)
            })
            .collect();
        ranks.select_nth_unstable(count);
        let mut is_shown = vec![false; waiting.len()];
        for (.., arrival) in &ranks[..count] {
            is_shown[*arrival] = true;
        }
        let mut turn = Turn::default();
        for (comment, is_shown) in waiting.into_iter().zip(is_shown) {
            if is_shown { turn.shown.push(comment) } else { turn.sampled_out.push(comment) }
        }
        turn
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
            author: Arc::new(Profile { id: author, name: String::new(), avatar: None }),
            text: CommentText::parse("x", 200).unwrap(),
            request_id: None,
            at: Timestamp(at_ms),
        })
    }

    /// Senders and ids.
    pub fn ids(comments: &[Arc<Comment>]) -> Vec<(i64, CommentId)> {
        comments.iter().map(|comment| (comment.author.id.get() - 1, comment.id)).collect()
    }

    fn senders(comments: &[Arc<Comment>]) -> Vec<i64> {
        ids(comments).into_iter().map(|(sender, _)| sender).collect()
    }

    fn choose(lately: &ShownLately, waiting: &[i64], count: usize) -> Turn {
        lately.choose(waiting.iter().map(|sender| comment(*sender, 0)).collect(), count)
    }

    #[test]
    fn one_of_each_sender_before_a_second_of_any() {
        let lately = ShownLately::default();
        assert_eq!(senders(&choose(&lately, &[1, 1, 1, 2, 3], 3).shown), [1, 2, 3]);
        assert_eq!(senders(&choose(&lately, &[1, 1, 1, 2, 3], 4).shown), [1, 1, 2, 3]);
        let turn = choose(&lately, &[1, 2, 1, 2], 0);
        assert_eq!((turn.shown.len(), turn.sampled_out.len()), (0, 4));
    }

    #[test]
    fn what_is_shown_of_a_sender_is_its_oldest_in_order() {
        let waiting: Vec<_> = [1, 2, 1, 2, 1, 2].iter().map(|sender| comment(*sender, 0)).collect();
        let turn = ShownLately::default().choose(waiting.clone(), 4);
        assert_eq!(ids(&turn.shown), ids(&waiting[..4]));
        assert_eq!(ids(&turn.sampled_out), ids(&waiting[4..]));
    }

    #[test]
    fn who_was_shown_yields_until_it_is_forgotten() {
        let mut lately = ShownLately::default();
        lately.note(&comment(2, 0));
        lately.note(&comment(1, 0));
        assert_eq!(senders(&choose(&lately, &[1, 2, 3, 4], 3).shown), [2, 3, 4]);
        lately.note(&comment(3, LATELY_MS + 1));
        assert_eq!(senders(&choose(&lately, &[1, 2, 3, 4], 3).shown), [1, 2, 4]);
    }

    #[test]
    fn memory_of_who_was_shown_is_bounded() {
        let mut lately = ShownLately::default();
        for sender in 0..20_000 {
            lately.note(&comment(sender, 0));
        }
        assert_eq!((lately.last.len(), lately.order.len()), (LATELY_MAX, LATELY_MAX));
        lately.note(&comment(1, LATELY_MS + 1));
        assert_eq!((lately.last.len(), lately.order.len()), (1, 1));
    }
}
