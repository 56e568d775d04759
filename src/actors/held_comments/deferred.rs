//! Held comments that could not be decided and are left out for a while, on this node.

use std::collections::HashMap;
use std::time::Instant;

use super::DEFERRED_FOR;
use crate::domain::CommentId;

/// Comments that are deferred at most: those of four looks. Of more, the others that are due wait
/// for the rest of each look.
const DEFERRED_MAX: usize = 1_024;

/// Comments that could not be decided, and since when.
#[derive(Debug, Default)]
pub struct DeferredComments(HashMap<CommentId, Instant>);

impl DeferredComments {
    /// Defers a comment, unless there are as many as may be.
    pub fn add(&mut self, id: CommentId, now: Instant) {
        if self.0.len() < DEFERRED_MAX {
            self.0.insert(id, now);
        }
    }

    /// Those that are not tried again yet.
    pub fn ids(&mut self, now: Instant) -> Vec<CommentId> {
        self.0
            .retain(|_, since| now.duration_since(*since) < DEFERRED_FOR);
        self.0.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_left_out_for_a_while_and_so_many_at_most() {
        let (mut deferred, now) = (DeferredComments::default(), Instant::now());
        for id in (1..).take(DEFERRED_MAX + 1) {
            deferred.add(CommentId::new(id).unwrap(), now);
        }
        let just_before = now + DEFERRED_FOR - std::time::Duration::from_millis(1);
        assert_eq!(deferred.ids(just_before).len(), DEFERRED_MAX);
        assert!(deferred.ids(now + DEFERRED_FOR).is_empty());
    }
}
