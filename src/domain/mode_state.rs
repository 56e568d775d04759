//! What a room holds of its modes, and what it remembers of comments because of them.
//!
//! Modes reach a room like standings do: as events in the order of its log, and as readings of the
//! store. Both are numbered, and what comes late changes nothing. What may a user do now? The newest
//! that is known decides. Is a comment removed at its place, because the room was frozen before it
//! got that? The log alone decides, so that every node answers the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::word_filter::normalised;
use super::{BoundedMap, ChangedModes, CommentId, LiveModes, Modes, Principal, Timestamp, UserId};

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

#[derive(Debug)]
pub(super) struct ModeState {
    /// In force, as the newest that is known says.
    held: LiveModes,
    in_log: LiveModes,
    /// Who made the change that `in_log` is from; `None`: it was read from the store.
    in_log_by: Option<Principal>,
    last_comments: BoundedMap<UserId, LastComment>,
    texts: BoundedMap<TextKey, LastComment>,
}

impl ModeState {
    pub(super) fn open(read: LiveModes) -> Self {
        let held = in_force(read);
        Self {
            held,
            in_log: held,
            in_log_by: None,
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

    /// Whether viewers are silent, by the log.
    pub(super) const fn is_frozen_in_log(&self) -> bool {
        self.in_log.modes.frozen
    }

    /// Takes a reading of the store in.
    pub(super) fn take_reading(&mut self, read: LiveModes) {
        if read.version > self.held.version {
            self.hold(in_force(read));
        }
    }

    /// Takes a change in, in the order of the log. Returns what its event says: changes that were
    /// made at the same time may get their places in any order, and what members see last is what
    /// holds.
    pub(super) fn take_change(&mut self, changed: ChangedModes) -> ChangedModes {
        let ChangedModes { version, modes, by } = changed;
        let change = in_force(LiveModes { version, modes });
        if version > self.held.version {
            self.hold(change);
        }
        if version >= self.in_log.version {
            (self.in_log, self.in_log_by) = (change, Some(by));
        }
        let LiveModes { version, modes } = self.in_log;
        let by = self.in_log_by.unwrap_or(by);
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

    /// A comment was taken, here or on another node. A clock that is ahead of ours delays nobody
    /// for longer than the mode says.
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
        let at = at.min(now);
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

fn in_force(LiveModes { version, modes }: LiveModes) -> LiveModes {
    let modes = modes.in_force();
    LiveModes { version, modes }
}
