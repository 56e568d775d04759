//! What a room holds of its users' standings.
//!
//! They reach it in two ways. *Controls* come in the order of the room's log, each with the
//! standing of one user. *Readings* of the store hold all users; a room is opened with one, and
//! gets another when its row says that it is behind: controls may be late or lost, and acts on
//! other lives of the streamer add none to this log. Both carry the streamer's count of changes,
//! so that whatever comes late changes nothing.
//!
//! Two questions are asked, and they have different answers:
//!
//! * What may this user do now? The newest that is known decides, whichever way it came.
//! * Is a comment removed at its place, because its sender was barred before it got that? The log
//!   alone decides, so that every node answers the same. Where the log may lack some, because it was
//!   lost or the room missed a part of it, or has just opened, what the store has stands in for it.
//!   That has no place in the log, so it counts for comments posted since it was decided.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    KICK_REACH_MS, KICKS_KNOWN_MS, Sanction, SanctionKind, Standing, Standings, Timestamp, UserId,
    barring_comments, holding,
};

/// Entries that no longer say anything are looked for when there are so many, and again when there
/// are twice as many as were left.
const SWEEP_MIN: usize = 1_024;

/// A user's value and the change of the streamer that it is from.
#[derive(Debug, Clone)]
struct Versioned<T> {
    version: u64,
    value: T,
}

/// Values of users who have one of their own.
#[derive(Debug)]
struct UserValues<T> {
    /// All changes up to this one are in `users`, or were undone.
    base: u64,
    users: HashMap<UserId, Versioned<T>>,
    sweep_at: usize,
}

impl<T> UserValues<T> {
    fn new(base: u64, users: impl Iterator<Item = (UserId, T)>) -> Self {
        let versioned = |(user, value)| {
            let version = base;
            (user, Versioned { version, value })
        };
        Self {
            base,
            users: users.map(versioned).collect(),
            sweep_at: SWEEP_MIN,
        }
    }

    fn get(&self, user: UserId) -> Option<&T> {
        // Most rooms have none, and a comment there pays nothing for it.
        if self.users.is_empty() {
            return None;
        }
        self.users.get(&user).map(|versioned| &versioned.value)
    }

    /// Whether a change of this user is news.
    fn is_new(&self, user: UserId, version: u64) -> bool {
        let known = self.users.get(&user);
        version > self.base && known.is_none_or(|known| version > known.version)
    }

    /// Sets a value. One that says nothing is kept too, so that an older one that comes later is
    /// recognised; `says_nothing` finds them when there are many.
    fn set(&mut self, user: UserId, version: u64, value: T, says_nothing: impl Fn(&T) -> bool) {
        self.users.insert(user, Versioned { version, value });
        if self.users.len() >= self.sweep_at {
            self.users.retain(|_, known| !says_nothing(&known.value));
            self.sweep_at = SWEEP_MIN.max(2 * self.users.len());
        }
    }
}

/// What of a user's standing decides about its comments at their places, by the log.
#[derive(Debug, Default)]
struct InLog {
    /// What removes them: its mutes and bans, also those that are over by the clock of this node.
    /// Nodes take a control in at different times, and a comment that was posted while a sanction
    /// held may get its place after that.
    barring: Vec<Sanction>,
    is_moderator: bool,
    source: Source,
}

/// Where what is said of a user comes from.
#[derive(Debug, Clone, Copy, Default)]
enum Source {
    /// Its place in the log decides.
    #[default]
    Log,
    /// What is held stands in for the log.
    Reading {
        /// When the user was named a moderator, if that is known.
        named_at: Option<Timestamp>,
    },
}

impl InLog {
    fn of(standing: &Standing, source: Source) -> Self {
        let bars = |sanction: &&Sanction| sanction.kind != SanctionKind::Shadow;
        Self {
            barring: standing.sanctions.iter().filter(bars).cloned().collect(),
            is_moderator: standing.is_moderator,
            source,
        }
    }

    /// The sanction that bars a comment that was posted then.
    fn barring(&self, posted_at: Timestamp) -> Option<&Sanction> {
        match self.source {
            Source::Log => barring_comments(&self.barring, posted_at),
            Source::Reading { .. } => {
                let given = |sanction: &&Sanction| sanction.since <= posted_at;
                let holding = |sanction: &&Sanction| sanction.holds(posted_at);
                let barring = self.barring.iter().filter(given).filter(holding);
                barring.max_by_key(|sanction| sanction.lasts_until())
            }
        }
    }

    /// Whether the author of a comment that was posted then is a moderator.
    fn is_moderator(&self, posted_at: Timestamp) -> bool {
        let named_before = match self.source {
            Source::Log => true,
            Source::Reading { named_at } => named_at.is_none_or(|named| named <= posted_at),
        };
        self.is_moderator && named_before
    }
}

/// What stands in for the log, where that may lack some of what is held.
fn in_log_of(held: &UserValues<Standing>, named: &HashMap<UserId, Timestamp>) -> UserValues<InLog> {
    let mut in_log = UserValues::new(held.base, std::iter::empty());
    for (user, known) in &held.users {
        let named_at = named.get(user).copied();
        let value = InLog::of(&known.value, Source::Reading { named_at });
        // One that says nothing is kept if it is newer than the base, as in `UserValues::set`.
        if known.version > held.base || value.is_moderator || !value.barring.is_empty() {
            let version = known.version;
            in_log.users.insert(*user, Versioned { version, value });
        }
    }
    in_log
}

fn moderators_in(held: &UserValues<Standing>) -> Arc<[UserId]> {
    let mut moderators: Vec<UserId> = held
        .users
        .iter()
        .filter(|(_, known)| known.value.is_moderator)
        .map(|(user, _)| *user)
        .collect();
    moderators.sort_unstable();
    moderators.into()
}

/// What changed for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandingChange {
    pub user: UserId,
    pub before: Standing,
    pub after: Standing,
}

impl StandingChange {
    /// The sanction of a kind that holds now and did not before; `Some(None)`: none holds any more.
    pub(super) fn of(&self, kind: SanctionKind, now: Timestamp) -> Option<Option<&Sanction>> {
        let before = holding(&self.before.sanctions, kind, now);
        let after = holding(&self.after.sanctions, kind, now);
        (before.map(|sanction| sanction.id) != after.map(|sanction| sanction.id)).then_some(after)
    }
}

/// The standings of the users of one room, and who was removed from it a moment ago.
#[derive(Debug)]
pub(super) struct Moderation {
    held: UserValues<Standing>,
    in_log: UserValues<InLog>,
    /// When moderators were named, as the last reading said.
    named: HashMap<UserId, Timestamp>,
    /// Whether controls may be missing from the log: the next reading stands in for them.
    is_log_broken: bool,
    /// Those of `held`, by id. Each join is answered with them, and there may be thousands of
    /// sanctions beside them.
    moderators: Arc<[UserId]>,
    /// Users who were removed, each with the last time. Those that may not be missing any more are
    /// dropped with the next.
    kicked: HashMap<UserId, Kicked>,
}

/// When a user was removed, and until when it may not come back.
#[derive(Debug, Clone, Copy)]
struct Kicked {
    at: Timestamp,
    until: Timestamp,
}

impl Moderation {
    pub(super) fn open(standings: Standings) -> Self {
        let Standings {
            version,
            users,
            named,
        } = standings;
        let held = UserValues::new(version, users.into_iter());
        let named = named.into_iter().collect();
        Self {
            moderators: moderators_in(&held),
            in_log: in_log_of(&held, &named),
            named,
            held,
            is_log_broken: false,
            kicked: HashMap::new(),
        }
    }

    /// The streamer's change up to which all are known.
    pub(super) fn version(&self) -> u64 {
        self.held.base
    }

    /// `None`: that of everybody else.
    pub(super) fn standing(&self, user: UserId) -> Option<&Standing> {
        self.held.get(user)
    }

    /// The sanctions of a user in this room.
    pub(super) fn sanctions(&self, user: UserId) -> &[Sanction] {
        self.standing(user)
            .map_or(&[], |standing| standing.sanctions.as_slice())
    }

    pub(super) fn is_moderator(&self, user: UserId) -> bool {
        self.standing(user)
            .is_some_and(|standing| standing.is_moderator)
    }

    /// By id.
    pub(super) fn moderators(&self) -> &Arc<[UserId]> {
        &self.moderators
    }

    /// The sanction by which the log has barred the sender of a comment that was posted then.
    pub(super) fn removes_comment(
        &self,
        author: UserId,
        posted_at: Timestamp,
    ) -> Option<&Sanction> {
        self.in_log.get(author)?.barring(posted_at)
    }

    /// Whether the log has named the sender of a comment that was posted then a moderator.
    pub(super) fn is_moderator_in_log(&self, user: UserId, posted_at: Timestamp) -> bool {
        let in_log = self.in_log.get(user);
        in_log.is_some_and(|in_log| in_log.is_moderator(posted_at))
    }

    /// Takes a standing in, in the order of the log. Returns what changes by it.
    pub(super) fn take_control(
        &mut self,
        version: u64,
        user: UserId,
        standing: Standing,
        now: Timestamp,
    ) -> Option<StandingChange> {
        if self.in_log.is_new(user, version) {
            let in_log = InLog::of(&standing, Source::Log);
            self.in_log.set(user, version, in_log, |in_log| {
                let holds = |sanction: &Sanction| sanction.holds(now);
                !in_log.is_moderator && !in_log.barring.iter().any(holds)
            });
        }
        if !self.held.is_new(user, version) {
            return None;
        }
        let before = self.standing(user).cloned().unwrap_or_default();
        let after = standing.clone();
        self.held
            .set(user, version, standing, |standing| standing.is_plain(now));
        if version == self.held.base + 1 {
            self.held.base = version;
        }
        if before.is_moderator != after.is_moderator {
            self.moderators = moderators_in(&self.held);
        }
        Some(StandingChange {
            user,
            before,
            after,
        })
    }

    /// Controls may be missing from the log, or never come into it: what is held stands in for
    /// them, and so does the next reading.
    pub(super) fn log_broken(&mut self) {
        self.is_log_broken = true;
        self.in_log = in_log_of(&self.held, &self.named);
    }

    /// Takes a reading of the store in. Returns what changes by it.
    pub(super) fn take_reading(&mut self, reading: Standings) -> Vec<StandingChange> {
        let Standings {
            version,
            users,
            named,
        } = reading;
        if version <= self.held.base {
            return Vec::new();
        }
        self.named = named.into_iter().collect();
        let mut known = std::mem::take(&mut self.held.users);
        // Controls that are ahead of the reading.
        let later: Vec<_> = known
            .extract_if(|_, value| value.version > version)
            .collect();
        let mut changes = Vec::new();
        let mut next = UserValues::new(version, users.into_iter());
        for (user, read) in &next.users {
            let before = known
                .remove(user)
                .map_or_else(Standing::default, |known| known.value);
            changes.push((*user, before, read.value.clone()));
        }
        let gone = known.into_iter();
        changes.extend(gone.map(|(user, known)| (user, known.value, Standing::default())));
        changes.retain(|(user, before, after)| {
            before != after && later.iter().all(|(later, _)| later != user)
        });
        changes.sort_unstable_by_key(|(user, ..)| *user);
        next.users.extend(later);
        self.held = next;
        self.moderators = moderators_in(&self.held);
        if std::mem::take(&mut self.is_log_broken) {
            self.in_log = in_log_of(&self.held, &self.named);
        }
        let change = |(user, before, after)| StandingChange {
            user,
            before,
            after,
        };
        changes.into_iter().map(change).collect()
    }

    /// Keeps a user out who was removed at that time. Returns until when.
    pub(super) fn kicked(&mut self, user: UserId, at: Timestamp, now: Timestamp) -> Timestamp {
        self.kicked
            .retain(|_, kicked| now.since(kicked.at) < KICKS_KNOWN_MS);
        // The clock of the node that removed it may be ahead of ours.
        let until = at.plus_ms(KICK_REACH_MS).min(now.plus_ms(KICK_REACH_MS));
        self.kicked.insert(user, Kicked { at, until });
        until
    }

    /// Whether that removal of a user, or a later one, was applied already.
    pub(super) fn is_kick_known(&self, user: UserId, at: Timestamp) -> bool {
        self.kicked.get(&user).is_some_and(|known| at <= known.at)
    }

    /// Milliseconds for which a user who was removed may not come back.
    pub(super) fn kicked_for_ms(&self, user: UserId, now: Timestamp) -> Option<u64> {
        if self.kicked.is_empty() {
            return None;
        }
        let until = self.kicked.get(&user)?.until;
        (now < until).then(|| until.since(now).unsigned_abs())
    }
}
