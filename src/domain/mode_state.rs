//! What a room holds of its modes, and what it remembers of comments because of them.
//!
//! Modes reach a room like standings do: as events in the order of its log, and as readings of the
//! store. Both are numbered, and what comes late changes nothing. What may a user do now? The newest
//! that is known decides. Is a comment removed at its place, because the room was frozen before it
//! got that? The log alone decides, so that every node answers the same.
//!
//! Where the log cannot say what was in force, because the room has just opened here or events were
//! missed or lost, a reading of the store stands in for it until the next change in the log. The
//! place of that change is not known then, so it counts for comments posted since it was made.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::word_filter::normalised;
use super::{BoundedMap, ChangedModes, CommentId, LiveModes, Modes, Timestamp, UserId};

/// Users of whom a room remembers when they commented last, in slow mode: some 3 MB. Beyond, those
/// who commented longest ago may comment early.
const SLOW_USERS_MAX: usize = 32_768;

/// Texts that a room remembers while none may be repeated: some 1 MB. Beyond, the oldest may be
/// repeated early.
const TEXTS_MAX: usize = 16_384;

/// A text as others are compared with it: a hash of its normalised form. Of two in 2^64 that share
/// one by chance, the later is refused for a while.
pub(super) type TextKey = u64;

/// The newest comment of a user, or with a text.
#[derive(Debug, Clone, Copy)]
struct LastComment {
    id: CommentId,
    at: Timestamp,
}

/// What the log says that is in force.
#[derive(Debug, Clone, Copy)]
struct InLog {
    version: u64,
    modes: Modes,
    /// Comments that were posted earlier are not judged by it; `None`: the log gave the change its
    /// place, and that decides.
    since: Option<Timestamp>,
}

impl InLog {
    /// What stands in for the log.
    fn of_reading(held: LiveModes) -> Self {
        Self {
            version: held.version,
            modes: held.modes,
            since: Some(held.since),
        }
    }
}

#[derive(Debug)]
pub(super) struct ModeState {
    /// In force, as the newest that is known says.
    held: LiveModes,
    in_log: InLog,
    /// Whether a change may be missing from the log: the next reading stands in for it.
    is_log_broken: bool,
    last_comments: BoundedMap<UserId, LastComment>,
    texts: BoundedMap<TextKey, LastComment>,
}

impl ModeState {
    pub(super) fn open(read: LiveModes) -> Self {
        let held = in_force(read);
        Self {
            held,
            in_log: InLog::of_reading(held),
            is_log_broken: false,
            last_comments: BoundedMap::new(SLOW_USERS_MAX),
            texts: BoundedMap::new(TEXTS_MAX),
        }
    }

    /// The change up to which all are known.
    pub(super) const fn version(&self) -> u64 {
        self.held.version
    }

    pub(super) const fn in_force(&self) -> Modes {
        self.held.modes
    }

    /// Whether viewers are silent, by the log, with a comment that was posted then.
    pub(super) fn is_frozen_in_log(&self, posted_at: Timestamp) -> bool {
        let InLog { modes, since, .. } = &self.in_log;
        modes.frozen && since.is_none_or(|since| posted_at >= since)
    }

    /// Takes a reading of the store in.
    pub(super) fn take_reading(&mut self, read: LiveModes) {
        if read.version <= self.held.version {
            return;
        }
        self.hold(in_force(read));
        if self.is_log_broken {
            self.stand_in_for_log();
            self.is_log_broken = false;
        }
    }

    /// Changes may be missing from the log, or never come into it: what is held stands in for them,
    /// and so does the next reading.
    pub(super) fn log_broken(&mut self) {
        self.is_log_broken = true;
        self.stand_in_for_log();
    }

    fn stand_in_for_log(&mut self) {
        if self.held.version > self.in_log.version {
            self.in_log = InLog::of_reading(self.held);
        }
    }

    /// Takes a change in, in the order of the log. Returns what its event says: changes that were
    /// made at the same time may get their places in any order, and what members see last is what
    /// holds. Its actor stays that of the event: every node knows that one.
    pub(super) fn take_change(&mut self, changed: ChangedModes, now: Timestamp) -> ChangedModes {
        let ChangedModes { version, modes, by } = changed;
        let modes = modes.in_force();
        if version > self.held.version {
            self.hold(LiveModes {
                version,
                modes,
                since: now,
            });
        }
        if version >= self.in_log.version {
            self.in_log = InLog {
                version,
                modes,
                since: None,
            };
            self.is_log_broken = false;
        }
        let InLog { version, modes, .. } = self.in_log;
        ChangedModes { version, modes, by }
    }

    fn hold(&mut self, modes: LiveModes) {
        self.held = modes;
        if self.held.modes.slow_s == 0 {
            self.last_comments = BoundedMap::new(SLOW_USERS_MAX);
        }
        if self.held.modes.unique_s == 0 {
            self.texts = BoundedMap::new(TEXTS_MAX);
        }
    }

    /// When this user has commented last, as far as slow mode asks.
    pub(super) fn last_comment_at(&self, user: UserId) -> Option<Timestamp> {
        if self.held.modes.slow_s == 0 {
            return None;
        }
        self.last_comments.get(&user).map(|last| last.at)
    }

    /// A comment was taken, here or on another node. The wait counts from when it was posted: one
    /// that was held has the time of its decision, and its id has the other. A clock that is ahead
    /// of ours delays nobody for longer than the mode says.
    pub(super) fn comment_taken(
        &mut self,
        user: UserId,
        id: CommentId,
        at: Timestamp,
        now: Timestamp,
    ) {
        let slow_ms = i64::from(self.held.modes.slow_s) * 1_000;
        if slow_ms == 0 {
            return;
        }
        while let Some((_, oldest)) = self.last_comments.oldest()
            && now.since(oldest.at) >= slow_ms
        {
            self.last_comments.pop_oldest();
        }
        let at = at.min(now).min(id.made_at());
        let known = self.last_comments.get(&user);
        // One that was held is taken when it is held, and not again when it is shown.
        if known.is_none_or(|known| known.at <= at && known.id != id) {
            self.last_comments.insert(user, LastComment { id, at });
        }
    }

    /// The text as members would see it, for comparison with others; `None`: texts may be repeated.
    pub(super) fn text_key(&self, shown: &str) -> Option<TextKey> {
        if self.held.modes.unique_s == 0 {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        normalised(shown).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// Whether a comment with this text was shown a moment ago.
    pub(super) fn is_repeated(&self, key: TextKey, now: Timestamp) -> bool {
        let unique_ms = i64::from(self.held.modes.unique_s) * 1_000;
        let known = self.texts.get(&key);
        known.is_some_and(|known| now.since(known.at) < unique_ms)
    }

    /// A comment with this text is shown, or about to be, here or on another node.
    pub(super) fn text_taken(
        &mut self,
        key: TextKey,
        id: CommentId,
        at: Timestamp,
        now: Timestamp,
    ) {
        let unique_ms = i64::from(self.held.modes.unique_s) * 1_000;
        while let Some((_, oldest)) = self.texts.oldest()
            && now.since(oldest.at) >= unique_ms
        {
            self.texts.pop_oldest();
        }
        let at = at.min(now);
        self.texts.insert(key, LastComment { id, at });
    }

    /// A comment with this text is not shown to others after all.
    pub(super) fn text_released(&mut self, key: TextKey, id: CommentId) {
        if self.texts.get(&key).is_some_and(|known| known.id == id) {
            self.texts.remove(&key);
        }
    }

    /// A comment that was taken is refused after all: its author may post another one at once.
    pub(super) fn comment_refused(&mut self, user: UserId, id: CommentId) {
        if self
            .last_comments
            .get(&user)
            .is_some_and(|last| last.id == id)
        {
            self.last_comments.remove(&user);
        }
    }
}

fn in_force(live: LiveModes) -> LiveModes {
    LiveModes {
        modes: live.modes.in_force(),
        ..live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Principal;

    const NOON: Timestamp = Timestamp(CommentId::EPOCH_MS + 1_000_000);

    fn slow(slow_s: u16) -> ModeState {
        let modes = Modes {
            slow_s,
            ..Modes::default()
        };
        ModeState::open(LiveModes {
            version: 1,
            modes,
            since: NOON,
        })
    }

    fn id_made_at(at: Timestamp) -> CommentId {
        let ms = at.0 - CommentId::EPOCH_MS;
        CommentId::new(ms << CommentId::SERIAL_BITS).expect("positive")
    }

    #[test]
    fn a_held_comment_costs_the_wait_of_slow_mode_from_when_it_was_posted() {
        let mut state = slow(30);
        let (user, id) = (UserId::FIRST, id_made_at(NOON));
        assert_eq!(id.made_at(), NOON);
        state.comment_taken(user, id, NOON, NOON);
        let decided_at = NOON.plus_ms(60_000);
        state.comment_taken(user, id, decided_at, decided_at);
        assert_eq!(state.last_comment_at(user), Some(NOON));
    }

    #[test]
    fn a_held_comment_that_is_decided_late_does_not_hide_a_newer_one() {
        let mut state = slow(120);
        let (user, posted_again_at) = (UserId::FIRST, NOON.plus_ms(90_000));
        state.comment_taken(
            user,
            id_made_at(posted_again_at),
            posted_again_at,
            posted_again_at,
        );
        let decided_at = NOON.plus_ms(100_000);
        state.comment_taken(user, id_made_at(NOON), decided_at, decided_at);
        assert_eq!(state.last_comment_at(user), Some(posted_again_at));
    }

    #[test]
    fn a_reading_that_stands_in_for_the_log_judges_what_was_posted_since_the_change() {
        let frozen = Modes {
            frozen: true,
            ..Modes::default()
        };
        let mut state = ModeState::open(LiveModes {
            version: 5,
            modes: frozen,
            since: NOON,
        });
        assert!(!state.is_frozen_in_log(NOON.plus_ms(-1)));
        assert!(state.is_frozen_in_log(NOON));
        let changed = ChangedModes {
            version: 5,
            modes: frozen,
            by: Principal::Operator,
        };
        assert_eq!(state.take_change(changed, NOON), changed);
        assert!(
            state.is_frozen_in_log(NOON.plus_ms(-1)),
            "its place decides"
        );
    }

    #[test]
    fn an_overtaken_change_says_the_same_on_a_node_that_read_the_later_one() {
        let later = Modes {
            slow_s: 20,
            ..Modes::default()
        };
        let change = |version, modes, by| ChangedModes { version, modes, by };
        let early = change(1, Modes::default(), Principal::Operator);
        let late = change(2, later, Principal::User(UserId::FIRST));
        let mut follows = ModeState::open(LiveModes::default());
        let mut reads = ModeState::open(LiveModes {
            version: 2,
            modes: later,
            since: NOON,
        });
        follows.take_change(late, NOON);
        let expected = change(2, later, Principal::Operator);
        assert_eq!(follows.take_change(early, NOON), expected);
        assert_eq!(reads.take_change(early, NOON), expected);
    }
}
