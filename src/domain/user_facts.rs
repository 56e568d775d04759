//! What modes ask about users and only the store knows: whether they follow the streamer, and what
//! they have given in this live. A room reads it when a comment asks for it, of many users in one
//! call and in one call at a time; the comment waits meanwhile.

use super::{BoundedMap, Caller, Coins, CommentText, Modes, Reject, RequestId, Timestamp, UserId};

/// Users whose facts a room knows: some 2 MB. Beyond, those that were read longest ago are read
/// again.
const KNOWN_MAX: usize = 16_384;
/// Comments that wait for facts in a room; one more is `busy`.
const WAITING_MAX: usize = 512;
/// Comments of one user among them; one more is `busy`.
const WAITING_OF_USER_MAX: usize = 4;
/// For how long facts count that let a user speak, in milliseconds: who stops following may speak
/// for so long.
const PASSES_FOR_MS: i64 = 30_000;
/// For how long facts count that do not let it, in milliseconds: who begins to follow on another
/// node is refused for so long.
const REFUSED_FOR_MS: i64 = 1_000;

/// Facts about one user in a live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserFacts {
    /// Since when it follows the streamer; `None`: it does not.
    pub follows_since: Option<Timestamp>,
    /// What it has given in this live.
    pub coins: Coins,
}

/// A comment that waits for facts of its author, as it was posted.
#[derive(Debug)]
pub(super) struct WaitingComment<H> {
    pub caller: Caller<H>,
    pub text: Result<CommentText, Reject>,
    pub request_id: Result<Option<RequestId>, Reject>,
}

impl<H> WaitingComment<H> {
    fn author(&self) -> UserId {
        self.caller.profile.id
    }
}

#[derive(Debug)]
struct KnownFacts {
    facts: UserFacts,
    read_at: Timestamp,
}

/// The facts that a room knows, and the comments that wait for others.
#[derive(Debug)]
pub(super) struct FactReader<H> {
    known: BoundedMap<UserId, KnownFacts>,
    /// In the order in which they were posted.
    waiting: Vec<WaitingComment<H>>,
    is_reading: bool,
}

impl<H> FactReader<H> {
    pub(super) fn new() -> Self {
        Self {
            known: BoundedMap::new(KNOWN_MAX),
            waiting: Vec::new(),
            is_reading: false,
        }
    }

    /// What is known of a user and recent enough to decide.
    pub(super) fn get(&self, user: UserId, modes: &Modes, now: Timestamp) -> Option<UserFacts> {
        let KnownFacts { facts, read_at } = self.known.get(&user)?;
        let passes = modes.admit_follower(facts.follows_since, now).is_ok()
            && modes.admit_gifter(facts.coins).is_ok();
        let counts_for_ms = if passes {
            PASSES_FOR_MS
        } else {
            REFUSED_FOR_MS
        };
        (now.since(*read_at) < counts_for_ms).then_some(*facts)
    }

    /// Something about a user changed: it is read again.
    pub(super) fn forget(&mut self, user: UserId) {
        self.known.remove(&user);
    }

    /// Has a comment wait. Errors: `Busy` if as many wait as may.
    pub(super) fn wait(&mut self, comment: WaitingComment<H>) -> Result<(), Reject> {
        let author = comment.author();
        let of_author = self.waiting.iter().filter(|it| it.author() == author);
        if self.waiting.len() >= WAITING_MAX || of_author.count() >= WAITING_OF_USER_MAX {
            return Err(Reject::BUSY);
        }
        self.waiting.push(comment);
        Ok(())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The users whose facts are to be read now; `None`: nobody's, or a reading is under way.
    pub(super) fn begin_reading(&mut self) -> Option<Vec<UserId>> {
        if self.is_reading || self.waiting.is_empty() {
            return None;
        }
        self.is_reading = true;
        let mut users: Vec<UserId> = self.waiting.iter().map(WaitingComment::author).collect();
        users.sort_unstable();
        users.dedup();
        Some(users)
    }

    /// Ends a reading; the users that were asked about, in order, are in `asked`. `read`: what was
    /// found, of those that have any facts; `None`: it failed. Returns the comments that waited for
    /// it, in the order in which they were posted.
    pub(super) fn end_reading(
        &mut self,
        asked: &[UserId],
        read: Option<&[(UserId, UserFacts)]>,
        now: Timestamp,
    ) -> Vec<WaitingComment<H>> {
        self.is_reading = false;
        if let Some(read) = read {
            for user in asked {
                let found = read.iter().find(|(known, _)| known == user);
                let facts = found.map_or_else(UserFacts::default, |(_, facts)| *facts);
                let read_at = now;
                self.known.insert(*user, KnownFacts { facts, read_at });
            }
        }
        let waited = |it: &mut WaitingComment<H>| asked.binary_search(&it.author()).is_ok();
        self.waiting.extract_if(.., waited).collect()
    }
}
