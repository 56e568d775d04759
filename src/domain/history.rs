//! The newest events of a room, kept for members that come back.

use std::collections::VecDeque;

use super::{CommentId, Offset, Position, RoomEvent, Sequenced, Timestamp};

/// How much is kept; whichever is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    pub events_max: usize,
    pub age_ms: i64,
}

/// The newest events of one epoch, without a gap. `E` is the form they are kept in.
///
/// A comment that was taken down is not kept any more: its removal takes its place, so that a
/// replay has no gap and does not deliver its text.
#[derive(Debug)]
pub struct History<E> {
    limits: HistoryLimits,
    /// Where the room stands: the place of the newest event, kept or not.
    position: Position,
    kept: VecDeque<Kept<E>>,
}

#[derive(Debug)]
struct Kept<E> {
    at: Timestamp,
    about: About,
    event: E,
}

/// The facts of an event that moderation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Comment(CommentId),
    /// It shows the text of this comment.
    Pin(CommentId),
    Removal(CommentId),
    Other,
}

impl About {
    fn of(event: &RoomEvent) -> Self {
        match event {
            RoomEvent::Comment(comment) => About::Comment(comment.id),
            RoomEvent::Pinned { pin, .. } => match &pin.comment {
                Some(comment) => About::Pin(comment.id),
                None => About::Other,
            },
            RoomEvent::Removed { comment_id, .. } => About::Removal(*comment_id),
            _ => About::Other,
        }
    }
}

impl<E> History<E> {
    /// The history of a room that stands at `position` and of whose past nothing is known.
    pub fn new(limits: HistoryLimits, position: Position) -> Self {
        Self {
            limits,
            position,
            kept: VecDeque::new(),
        }
    }

    /// Keeps an event, delivered at `now`, in the form `event`.
    pub fn push(&mut self, sequenced: &Sequenced, event: E, now: Timestamp) {
        // After a new epoch, or a gap that the broker could not fill, nobody can go on from before
        // it.
        if sequenced.epoch != self.position.epoch || sequenced.offset != self.position.offset + 1 {
            self.kept.clear();
        }
        self.position = Position {
            epoch: sequenced.epoch.clone(),
            offset: sequenced.offset,
        };
        self.kept.push_back(Kept {
            at: now,
            about: About::of(&sequenced.event),
            event,
        });
        self.trim(now);
    }

    /// Forgets what is too old or too much.
    pub fn trim(&mut self, now: Timestamp) {
        let age_ms = self.limits.age_ms;
        let too_old = |kept: &Kept<E>| now.since(kept.at) > age_ms;
        while self.kept.len() > self.limits.events_max || self.kept.front().is_some_and(too_old) {
            self.kept.pop_front();
        }
    }

    /// Puts a comment's removal, in the form that `removal` makes for its place, where the comment
    /// was, and where it was pinned.
    pub fn take_down(&mut self, comment_id: CommentId, removal: impl Fn(Offset) -> E) {
        let (kept_count, newest) = (self.kept.len(), self.position.offset);
        for (index, kept) in self.kept.iter_mut().enumerate() {
            if [About::Comment(comment_id), About::Pin(comment_id)].contains(&kept.about) {
                let offset = newest - (kept_count - 1 - index) as Offset;
                kept.about = About::Removal(comment_id);
                kept.event = removal(offset);
            }
        }
    }

    /// Whether a member that received everything up to `seen`, and nothing after it, can be sent
    /// all the rest.
    pub fn reaches(&self, seen: &Position, now: Timestamp) -> bool {
        if seen.epoch != self.position.epoch || seen.offset > self.position.offset {
            return false;
        }
        match self.missed_count(seen.offset) {
            0 => true,
            // The oldest of them decides, for it is the first to go.
            missed => (self
                .kept
                .len()
                .checked_sub(missed)
                .and_then(|oldest| self.kept.get(oldest)))
            .is_some_and(|kept| now.since(kept.at) <= self.limits.age_ms),
        }
    }

    /// The kept form of the events after `offset`, in order.
    pub fn after(&self, offset: Offset) -> impl ExactSizeIterator<Item = &E> {
        let skipped = self.kept.len().saturating_sub(self.missed_count(offset));
        self.kept.range(skipped..).map(|kept| &kept.event)
    }

    /// All that is kept, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &E> {
        self.kept.iter().map(|kept| &kept.event)
    }

    fn missed_count(&self, offset: Offset) -> usize {
        usize::try_from(self.position.offset.saturating_sub(offset)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{ActionId, Comment, CommentText, LiveId, Pin, Principal, Profile, UserId};

    const LIMITS: HistoryLimits = HistoryLimits {
        events_max: 4,
        age_ms: 1_000,
    };

    fn at(offset: Offset) -> Position {
        Position {
            epoch: "e".into(),
            offset,
        }
    }

    fn comment(offset: Offset) -> Sequenced {
        let author = Arc::new(Profile {
            id: UserId::FIRST,
            name: "alice".into(),
            avatar: None,
        });
        let text = CommentText::parse("hello", 200).unwrap();
        let id = CommentId::new(offset as i64 + 100).unwrap();
        let comment = Comment {
            id,
            live_id: LiveId::FIRST,
            author,
            text,
            request_id: None,
            at: Timestamp(0),
        };
        Sequenced {
            epoch: "e".into(),
            offset,
            event: RoomEvent::Comment(Arc::new(comment)),
        }
    }

    /// Events 11 to `last`, delivered 100 ms apart from 100.
    fn history(last: Offset) -> History<String> {
        let mut history = History::new(LIMITS, at(10));
        for offset in 11..=last {
            history.push(
                &comment(offset),
                format!("c{offset}"),
                Timestamp((offset as i64 - 10) * 100),
            );
        }
        history
    }

    fn after(history: &History<String>, offset: Offset) -> Vec<&str> {
        history.after(offset).map(String::as_str).collect()
    }

    #[test]
    fn all_that_was_missed_or_nothing() {
        let history = history(16);
        let now = Timestamp(600);
        assert!(history.reaches(&at(16), now));
        assert_eq!(after(&history, 16), [""; 0]);
        assert!(history.reaches(&at(12), now));
        assert_eq!(after(&history, 12), ["c13", "c14", "c15", "c16"]);
        assert!(!history.reaches(&at(11), now), "the twelfth is gone");
        assert!(!history.reaches(&at(0), now));
        assert!(!history.reaches(&at(17), now), "nobody has seen the future");
        assert!(!history.reaches(&at(u64::MAX), now));
        assert!(!history.reaches(
            &Position {
                epoch: "before".into(),
                offset: 14
            },
            now
        ));
    }

    #[test]
    fn a_room_that_just_opened_reaches_only_where_it_stands() {
        let history = history(10);
        assert!(history.reaches(&at(10), Timestamp(0)));
        assert!(!history.reaches(&at(9), Timestamp(0)));
    }

    #[test]
    fn age_counts_also_while_nothing_happens() {
        let mut history = history(12);
        assert!(history.reaches(&at(10), Timestamp(1_100)));
        assert!(!history.reaches(&at(10), Timestamp(1_101)));
        assert!(history.reaches(&at(11), Timestamp(1_101)));
        assert!(
            history.reaches(&at(12), Timestamp(1_000_000)),
            "nothing was missed"
        );
        history.trim(Timestamp(1_101));
        assert_eq!(history.iter().len(), 1);
    }

    #[test]
    fn a_removed_comment_leaves_its_removal_in_its_place() {
        let mut history = history(14);
        let id = CommentId::new(113).unwrap();
        history.take_down(id, |offset| format!("removed {offset}"));
        assert_eq!(after(&history, 11), ["c12", "removed 13", "c14"]);
        history.take_down(CommentId::new(500).unwrap(), |_| {
            panic!("there is no such comment")
        });
    }

    #[test]
    fn a_removed_comment_is_gone_where_it_was_pinned_too() {
        let mut history = history(12);
        let RoomEvent::Comment(pinned) = comment(11).event else {
            panic!("a comment")
        };
        let id = pinned.id;
        let pin = Pin {
            comment: Some(pinned),
            by: Principal::Operator,
            action: ActionId::FIRST,
        };
        let pinned = Sequenced {
            event: pin.event(LiveId::FIRST),
            ..comment(13)
        };
        history.push(&pinned, "p13".into(), Timestamp(300));
        history.take_down(id, |offset| format!("removed {offset}"));
        assert_eq!(after(&history, 10), ["removed 11", "c12", "removed 13"]);
    }

    #[test]
    fn nobody_goes_on_across_a_gap_or_from_another_epoch() {
        let mut gap = history(12);
        gap.push(&comment(14), "c14".into(), Timestamp(400));
        assert!(!gap.reaches(&at(12), Timestamp(400)));
        assert!(gap.reaches(&at(13), Timestamp(400)));

        let mut renewed = history(12);
        renewed.push(
            &Sequenced {
                epoch: "f".into(),
                ..comment(13)
            },
            "c13".into(),
            Timestamp(400),
        );
        assert!(!renewed.reaches(&at(12), Timestamp(400)));
        assert_eq!(renewed.iter().len(), 1);
    }

    #[test]
    fn without_a_window_nothing_is_kept() {
        let mut history = History::new(
            HistoryLimits {
                events_max: 0,
                age_ms: 1_000,
            },
            at(0),
        );
        history.push(&comment(1), "c1", Timestamp(0));
        assert!(!history.reaches(&at(0), Timestamp(0)));
        assert!(history.reaches(&at(1), Timestamp(0)));
    }
}
