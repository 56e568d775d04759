//! Who is online, and how much of it is told: the presence ladder.
//!
//! Telling everybody of each join costs bytes by the square of the room. So a room climbs:
//!
//! | tier | users online | what is told |
//! |---|---|---|
//! | full | up to `full_users_max` | each change, with everybody and their sockets |
//! | merged | up to `merged_users_max` | what changed in the last `merge_ms`, with everybody |
//! | count | any number | the same, with the streamer and the newest few |
//!
//! It climbs above a threshold and steps down below nine tenths of it, so that a room at a threshold
//! does not flicker. In the full tier, too, changes are merged once the lists they cost exceed
//! `list_rate`.
//!
//! **What everybody knows.** At any time each member has been told one and the same state: it was
//! announced while the member was here, or shown to it when it came. Changes since then are counted
//! net, and as long as there are any, an announcement is due. So the last announcement tells the
//! truth, and joins and leaves that cancel each other out need none.

use std::sync::Arc;

use super::{Arrival, Bucket, BucketRate, Departed, LiveId, MemberList, Profile, SocketId, Timestamp, UserId};

/// What happened to the set of users online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceAction {
    Join,
    Leave,
}

/// Who is online, after a change. A state: the latest says who is there. In the full tier it is the
/// report of a change as well, and every member hears every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub live_id: LiveId,
    pub action: PresenceAction,
    /// Who joined or left; of several the last.
    pub user: Arc<Profile>,
    /// Socket ids in the room; empty above the full tier.
    pub clients: Vec<SocketId>,
    /// Users, newest first, each once: all of them up to the merged tier; above it the streamer if
    /// online, then the newest few. `None` where a single user left and the rest is as it was.
    pub users: Option<Vec<Arc<Profile>>>,
    /// Users online, always exact.
    pub count: usize,
    /// How much changed, where this need not be a single change.
    pub news: Option<PresenceNews>,
    /// Whether it is of the full tier: a member that is behind hears it beside later ones. Above, the
    /// latest replaces those before, for their lists are long.
    pub tells_each: bool,
}

/// Users that came and went since what was told before. Who did both is counted in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceNews {
    pub joined: usize,
    pub left: usize,
}

/// Where the tiers of a room begin and how often it speaks; each is a configuration key.
#[derive(Debug, Clone, Copy)]
pub struct PresenceSettings {
    /// Most users of the full tier, and most sockets it lists: few users can have many.
    pub full_users_max: usize,
    /// Most users of the merged tier; at least `full_users_max`.
    pub merged_users_max: usize,
    /// The newest users that are named above it, beside the streamer.
    pub notable_users_max: usize,
    /// Merged changes are told once in so long.
    pub merge_ms: i64,
    /// List entries (users and sockets) that announcements of the full tier may cost a member;
    /// beyond, its changes are merged.
    pub list_rate: BucketRate,
}

/// How much is told, least users first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Full,
    Merged,
    Count,
}

impl Tier {
    /// The tier of a room with so many users that has been in this one.
    fn next(self, users_count: usize, settings: &PresenceSettings) -> Self {
        let above = |threshold: usize| users_count > threshold;
        let near = |threshold: usize| users_count.saturating_mul(10) >= threshold.saturating_mul(9);
        let tier = |reaches: &dyn Fn(usize) -> bool| {
            if reaches(settings.merged_users_max) {
                Tier::Count
            } else if reaches(settings.full_users_max) {
                Tier::Merged
            } else {
                Tier::Full
            }
        };
        self.clamp(tier(&above), tier(&near))
    }
}

/// Net changes since the last announcement.
#[derive(Debug, Default)]
struct Changes {
    joined: usize,
    left: usize,
    last_left: Option<Arc<Profile>>,
    /// The last who was online already and joined again, in a way that others see.
    again: Option<Arc<Profile>>,
}

impl Changes {
    fn any(&self) -> bool {
        self.joined > 0 || self.left > 0 || self.again.is_some()
    }

    fn is_single(&self) -> bool {
        self.joined + self.left + usize::from(self.again.is_some()) == 1
    }
}

/// What every member knows.
#[derive(Debug)]
struct Told {
    /// As it is shown to those who come later: in the words of a join, with its users.
    presence: Arc<Presence>,
    at: Timestamp,
    tier: Tier,
    /// Users that arrived later are not in it.
    arrivals_count: u64,
}

/// Decides when a room speaks of its presence, and what it says. Noting a change costs the same in a
/// room of any size; lists are made when something is announced.
#[derive(Debug)]
pub struct PresenceLadder {
    live_id: LiveId,
    streamer: UserId,
    settings: PresenceSettings,
    tier: Tier,
    lists: Bucket,
    changes: Changes,
    told: Option<Told>,
}

impl PresenceLadder {
    pub fn new(live_id: LiveId, streamer: UserId, settings: PresenceSettings) -> Self {
        Self {
            live_id,
            streamer,
            settings,
            tier: Tier::Full,
            lists: Bucket::default(),
            changes: Changes::default(),
            told: None,
        }
    }

    /// Notes a join. One of a user that was online changes the sockets and the order of users, which is
    /// announced by itself in the full tier only.
    pub fn arrived(&mut self, profile: &Arc<Profile>, arrival: Arrival) {
        match arrival {
            Arrival::New => self.changes.joined += 1,
            Arrival::Again { renamed, moved } => {
                if renamed || (moved && self.tier == Tier::Full) {
                    self.changes.again = Some(profile.clone());
                }
            }
        }
    }

    /// Notes the end of a user's presence.
    pub fn departed(&mut self, departed: Departed) {
        let Departed { profile, arrival } = departed;
        let changes = &mut self.changes;
        if changes.again.as_ref().is_some_and(|again| again.id == profile.id) {
            changes.again = None;
        }
        if self.told.as_ref().is_some_and(|told| arrival <= told.arrivals_count) {
            changes.left += 1;
            changes.last_left = Some(profile);
        } else {
            // Nobody was told that it came.
            changes.joined = changes.joined.saturating_sub(1);
        }
    }

    /// Whether each of several changes at once is announced by itself.
    pub fn tells_each(&self) -> bool {
        self.tier == Tier::Full
    }

    /// What to announce now, if anything. To be asked after every change and when it is due.
    pub fn announce<H>(&mut self, members: &MemberList<H>, now: Timestamp) -> Option<Arc<Presence>> {
        self.tier = self.tier.next(members.users_count(), &self.settings);
        if !self.changes.any() || !self.may_speak(members, now) {
            return None;
        }
        let presence = self.presence(members)?;
        let was_full = self.told.as_ref().is_none_or(|told| told.tier == Tier::Full);
        let is_plain = self.tier == Tier::Full && was_full && self.changes.is_single();
        // A single change reads as it did in the system this replaces: a leave brings no list.
        let announced = Arc::new(match (is_plain, presence.action) {
            (true, PresenceAction::Leave) => Presence { users: None, news: None, ..presence.clone() },
            (true, PresenceAction::Join) => Presence { news: None, ..presence.clone() },
            (false, _) => presence.clone(),
        });
        let shown = match (presence.action, members.users(1).pop()) {
            (PresenceAction::Join, _) => announced.clone(),
            (PresenceAction::Leave, None) => Arc::new(presence),
            (PresenceAction::Leave, Some(newest)) => Arc::new(Presence {
                action: PresenceAction::Join,
                user: newest,
                news: Some(PresenceNews { joined: 0, left: 0 }),
                ..presence
            }),
        };
        self.changes = Changes::default();
        let arrivals_count = members.arrivals_count();
        self.told = Some(Told { presence: shown, at: now, tier: self.tier, arrivals_count });
        Some(announced)
    }

    /// What a member is shown that came and heard no announcement: what all the others were told
    /// last. What changed since, the member itself included, is announced when it is due.
    pub fn shown(&self) -> Option<Arc<Presence>> {
        self.told.as_ref().map(|told| told.presence.clone())
    }

    /// When [`PresenceLadder::announce`] has something to say, if it is not asked before.
    pub fn due(&self) -> Option<Timestamp> {
        let told = self.told.as_ref().filter(|_| self.changes.any())?;
        Some(told.at.plus_ms(self.settings.merge_ms))
    }

    fn may_speak<H>(&mut self, members: &MemberList<H>, now: Timestamp) -> bool {
        let Some(told) = &self.told else { return true };
        // It is time; or the clock was set back, which must not silence a room.
        if !(told.at..told.at.plus_ms(self.settings.merge_ms)).contains(&now) {
            return true;
        }
        // Back in the full tier everybody lacks the full list.
        let is_prompt = self.tier == Tier::Full && (self.changes.is_single() || told.tier != Tier::Full);
        let entries_count =
            members.users_count() + if self.lists_clients(members) { members.sockets_count() } else { 0 };
        is_prompt && self.lists.take_many(self.settings.list_rate, entries_count, now).is_ok()
    }

    fn presence<H>(&self, members: &MemberList<H>) -> Option<Presence> {
        let Changes { joined, left, last_left, again } = &self.changes;
        // Whoever is the newest came after the last announcement if anybody did.
        let newest = || members.newest().map(|user| (PresenceAction::Join, user.clone()));
        let last_left = || last_left.clone().map(|user| (PresenceAction::Leave, user));
        let again = || again.clone().map(|user| (PresenceAction::Join, user));
        let (action, user) = match (joined, left) {
            (1.., _) => newest(),
            (0, 1..) => last_left(),
            (0, 0) => again(),
        }?;
        Some(Presence {
            live_id: self.live_id,
            action,
            user: user.clone(),
            clients: if self.lists_clients(members) { members.socket_ids() } else { Vec::new() },
            users: Some(self.users(members, (action == PresenceAction::Join).then_some(&user))),
            count: members.users_count(),
            news: Some(PresenceNews { joined: *joined, left: *left }),
            tells_each: self.tells_each(),
        })
    }

    fn lists_clients<H>(&self, members: &MemberList<H>) -> bool {
        self.tier == Tier::Full && members.sockets_count() <= self.settings.full_users_max
    }

    /// Users online, as far as the tier lists them; of a few always the one that is named as the joiner,
    /// although others that joined again since are newer.
    fn users<H>(&self, members: &MemberList<H>, joiner: Option<&Arc<Profile>>) -> Vec<Arc<Profile>> {
        match self.tier {
            Tier::Full | Tier::Merged => members.users(self.settings.merged_users_max),
            Tier::Count => {
                let streamer = members.profile(self.streamer).cloned();
                let mut newest = members.users(self.settings.notable_users_max);
                let is_listed = |id: UserId| id == self.streamer || newest.iter().any(|user| user.id == id);
                if let Some(joiner) = joiner.filter(|joiner| !is_listed(joiner.id)) {
                    newest.pop();
                    newest.push(joiner.clone());
                }
                streamer.into_iter().chain(newest.into_iter().filter(|user| user.id != self.streamer)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Member, SessionId};

    const SETTINGS: PresenceSettings = PresenceSettings {
        full_users_max: 200,
        merged_users_max: 1_000,
        notable_users_max: 20,
        merge_ms: 1_500,
        list_rate: BucketRate { burst: 2_000, refill: 1_000, per_ms: 1_000 },
    };

    #[test]
    fn tiers_are_left_upwards_at_once_and_downwards_below_nine_tenths() {
        use Tier::{Count, Full, Merged};
        let mut tier = Full;
        let mut at = |users_count| {
            tier = tier.next(users_count, &SETTINGS);
            tier
        };
        assert_eq!([at(200), at(201), at(180), at(179), at(200)], [Full, Merged, Merged, Full, Full]);
        assert_eq!([at(1_000), at(1_001), at(900), at(899)], [Merged, Count, Count, Merged]);
        assert_eq!([at(50_000), at(0), at(1_001)], [Count, Full, Count]);
    }

    #[test]
    fn equal_thresholds_leave_no_merged_tier_on_the_way_up() {
        let settings = PresenceSettings { merged_users_max: 200, ..SETTINGS };
        assert_eq!(Tier::Full.next(201, &settings), Tier::Count);
        assert_eq!(Tier::Count.next(180, &settings), Tier::Count);
        assert_eq!(Tier::Count.next(179, &settings), Tier::Full);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_silence_a_room() {
        let mut members = MemberList::<()>::default();
        let settings = PresenceSettings { full_users_max: 1, ..SETTINGS };
        let mut ladder = PresenceLadder::new(LiveId::FIRST, UserId::FIRST, settings);
        let mut come = |number: i64, now| {
            let user = UserId::new(number).expect("positive");
            let profile = Arc::new(Profile { id: user, name: format!("user {number}"), avatar: None });
            let member = Member { user, socket_id: "s".into(), handle: (), joined_at: now };
            let arrival = members.join(SessionId(number as u64), profile.clone(), member, false);
            ladder.arrived(&profile, arrival);
            ladder.announce(&members, now).map(|presence| presence.count)
        };
        assert_eq!(come(1, Timestamp(1_000_000)), Some(1));
        assert_eq!(come(2, Timestamp(1_000_001)), None);
        assert_eq!(come(3, Timestamp(5)), Some(3));
    }
}
