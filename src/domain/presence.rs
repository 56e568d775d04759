//! The presence ladder: how much of a room's presence is announced, by its size.
//!
//! Announcing each join to everybody costs bytes quadratic in the size of the room. So a room has
//! tiers:
//!
//! | tier | users online | announcements |
//! |---|---|---|
//! | full | up to `full_users_max` | each change, with all users and their sockets |
//! | merged | up to `merged_users_max` | the net changes of the last `merge_ms`, with all users |
//! | count | any number | the same, with the streamer and the newest few |
//!
//! A room climbs above a threshold and steps down below nine tenths of it, so that a room at a
//! threshold does not flicker. In the full tier, too, changes are merged once their lists exceed
//! `list_rate`.
//!
//! **Invariant.** At any time all members have received the same last state: it was announced while
//! the member was in the room, or was its snapshot when it joined. Changes since then are counted
//! net, and while there are any, an announcement is due. So the last announcement is right, and
//! joins and leaves that cancel each other out need none.

use std::sync::Arc;

use super::{
    Arrival, Bucket, BucketRate, Departed, LiveId, MemberList, Profile, SocketId, Timestamp, UserId,
};

/// A change of the set of users online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceAction {
    Join,
    Leave,
}

/// The users online after a change. It is a state: the latest replaces those before. In the full
/// tier it also reports one change, and every member receives every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub live_id: LiveId,
    pub action: PresenceAction,
    /// The user that joined or left; of several the last.
    pub user: Arc<Profile>,
    /// Socket ids in the room; empty above the full tier.
    pub clients: Vec<SocketId>,
    /// Users, newest first, each once: all of them up to the merged tier; above it the streamer if
    /// online, then the newest few. `None` where a single user left and the rest is as it was.
    pub users: Option<Vec<Arc<Profile>>>,
    /// Users online, always exact.
    pub count: usize,
    /// The net changes, unless this is a single change.
    pub net_changes: Option<NetChanges>,
    /// Whether it is of the full tier: a member with a backlog receives it beside later ones.
    /// Above, the latest replaces those before, since their lists are long.
    pub announces_each_change: bool,
}

/// Users that joined and left since the last announcement. One that joined and left again is
/// counted in neither; one that left and came back is counted in both, for it has to learn of its
/// own join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetChanges {
    pub joined: usize,
    pub left: usize,
}

/// The thresholds of the tiers and the rate of announcements; each is a configuration key.
#[derive(Debug, Clone, Copy)]
pub struct PresenceSettings {
    /// Most users of the full tier, and most sockets it lists: few users can have many.
    pub full_users_max: usize,
    /// Most users of the merged tier; at least `full_users_max`.
    pub merged_users_max: usize,
    /// The newest users that are named above it, beside the streamer.
    pub notable_users_max: usize,
    /// Time between two merged announcements, in milliseconds.
    pub merge_ms: i64,
    /// List entries (users and sockets) that announcements of the full tier may contain; beyond,
    /// its changes are merged.
    pub list_rate: BucketRate,
}

/// The tiers, least users first.
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
struct PendingChanges {
    joined: usize,
    left: usize,
    last_left: Option<Arc<Profile>>,
    /// The last who was online already and joined again, in a way that others see.
    again: Option<Arc<Profile>>,
}

impl PendingChanges {
    fn any(&self) -> bool {
        self.joined > 0 || self.left > 0 || self.again.is_some()
    }

    fn is_single(&self) -> bool {
        self.joined + self.left + usize::from(self.again.is_some()) == 1
    }
}

/// The state that every member has received.
#[derive(Debug)]
struct LastAnnounced {
    /// The snapshot for later newcomers: a join with the list of users.
    presence: Arc<Presence>,
    at: Timestamp,
    tier: Tier,
    /// The arrival count then: users with a later arrival are not in it.
    arrivals_count: u64,
}

/// Decides when a room announces its presence, and with which content. Recording a change costs the
/// same in a room of any size; lists are made for announcements only.
#[derive(Debug)]
pub struct PresenceLadder {
    live_id: LiveId,
    streamer: UserId,
    settings: PresenceSettings,
    tier: Tier,
    lists: Bucket,
    changes: PendingChanges,
    last: Option<LastAnnounced>,
}

impl PresenceLadder {
    pub fn new(live_id: LiveId, streamer: UserId, settings: PresenceSettings) -> Self {
        Self {
            live_id,
            streamer,
            settings,
            tier: Tier::Full,
            lists: Bucket::default(),
            changes: PendingChanges::default(),
            last: None,
        }
    }

    /// Records a join. One of a user that was online changes the sockets and the order of users,
    /// which is announced by itself in the full tier only.
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

    /// Records the end of a user's presence.
    pub fn departed(&mut self, departed: Departed) {
        let Departed { profile, arrival } = departed;
        let changes = &mut self.changes;
        if changes
            .again
            .as_ref()
            .is_some_and(|again| again.id == profile.id)
        {
            changes.again = None;
        }
        if self
            .last
            .as_ref()
            .is_some_and(|last| arrival <= last.arrivals_count)
        {
            changes.left += 1;
            changes.last_left = Some(profile);
        } else {
            // Its arrival was never announced.
            changes.joined = changes.joined.saturating_sub(1);
        }
    }

    /// Whether each change is announced by itself.
    pub fn announces_each_change(&self) -> bool {
        self.tier == Tier::Full
    }

    /// The announcement to make now, if any. Call it after every change, and when it is due.
    pub fn announce<H>(
        &mut self,
        members: &MemberList<H>,
        now: Timestamp,
    ) -> Option<Arc<Presence>> {
        self.tier = self.tier.next(members.users_count(), &self.settings);
        if !self.changes.any() || !self.is_announcement_due(members, now) {
            return None;
        }
        let presence = self.presence(members)?;
        let was_full = self
            .last
            .as_ref()
            .is_none_or(|last| last.tier == Tier::Full);
        let is_plain = self.tier == Tier::Full && was_full && self.changes.is_single();
        // A single change reads as it did in the system this replaces: a leave brings no list.
        let announced = Arc::new(match (is_plain, presence.action) {
            (true, PresenceAction::Leave) => Presence {
                users: None,
                net_changes: None,
                ..presence.clone()
            },
            (true, PresenceAction::Join) => Presence {
                net_changes: None,
                ..presence.clone()
            },
            (false, _) => presence.clone(),
        });
        let for_newcomers = match (presence.action, members.users(1).pop()) {
            (PresenceAction::Join, _) => announced.clone(),
            (PresenceAction::Leave, None) => Arc::new(presence),
            (PresenceAction::Leave, Some(newest)) => Arc::new(Presence {
                action: PresenceAction::Join,
                user: newest,
                net_changes: Some(NetChanges { joined: 0, left: 0 }),
                ..presence
            }),
        };
        self.changes = PendingChanges::default();
        let arrivals_count = members.arrivals_count();
        self.last = Some(LastAnnounced {
            presence: for_newcomers,
            at: now,
            tier: self.tier,
            arrivals_count,
        });
        Some(announced)
    }

    /// The presence for a newcomer that received no announcement: the last one that all others
    /// received. Changes since then, the newcomer included, are announced when they are due.
    pub fn snapshot_for_newcomer(&self) -> Option<Arc<Presence>> {
        self.last.as_ref().map(|last| last.presence.clone())
    }

    /// When the next announcement is due, if changes wait for one.
    pub fn due(&self) -> Option<Timestamp> {
        let last = self.last.as_ref().filter(|_| self.changes.any())?;
        Some(last.at.plus_ms(self.settings.merge_ms))
    }

    fn is_announcement_due<H>(&mut self, members: &MemberList<H>, now: Timestamp) -> bool {
        let Some(last) = &self.last else { return true };
        // The interval is over; or the clock was set back, which must not silence a room.
        if !(last.at..last.at.plus_ms(self.settings.merge_ms)).contains(&now) {
            return true;
        }
        // After a step down to the full tier all members lack the full list.
        let is_prompt =
            self.tier == Tier::Full && (self.changes.is_single() || last.tier != Tier::Full);
        let entries_count = members.users_count()
            + if self.lists_clients(members) {
                members.sockets_count()
            } else {
                0
            };
        is_prompt
            && self
                .lists
                .take_many(self.settings.list_rate, entries_count, now)
                .is_ok()
    }

    fn presence<H>(&self, members: &MemberList<H>) -> Option<Presence> {
        let PendingChanges {
            joined,
            left,
            last_left,
            again,
        } = &self.changes;
        // If anybody joined since the last announcement, so did the newest user.
        let newest = || {
            members
                .newest()
                .map(|user| (PresenceAction::Join, user.clone()))
        };
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
            clients: if self.lists_clients(members) {
                members.socket_ids()
            } else {
                Vec::new()
            },
            users: Some(self.users(members, (action == PresenceAction::Join).then_some(&user))),
            count: members.users_count(),
            net_changes: Some(NetChanges {
                joined: *joined,
                left: *left,
            }),
            announces_each_change: self.announces_each_change(),
        })
    }

    fn lists_clients<H>(&self, members: &MemberList<H>) -> bool {
        self.tier == Tier::Full && members.sockets_count() <= self.settings.full_users_max
    }

    /// Users online, as far as the tier lists them; of a few always the one that is named as the
    /// joiner, although others that joined again since are newer.
    fn users<H>(
        &self,
        members: &MemberList<H>,
        joiner: Option<&Arc<Profile>>,
    ) -> Vec<Arc<Profile>> {
        match self.tier {
            Tier::Full | Tier::Merged => members.users(self.settings.merged_users_max),
            Tier::Count => {
                let streamer = members.profile(self.streamer).cloned();
                let mut newest = members.users(self.settings.notable_users_max);
                let is_listed =
                    |id: UserId| id == self.streamer || newest.iter().any(|user| user.id == id);
                if let Some(joiner) = joiner.filter(|joiner| !is_listed(joiner.id)) {
                    newest.pop();
                    newest.push(joiner.clone());
                }
                streamer
                    .into_iter()
                    .chain(newest.into_iter().filter(|user| user.id != self.streamer))
                    .collect()
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
        list_rate: BucketRate {
            burst: 2_000,
            refill: 1_000,
            per_ms: 1_000,
        },
    };

    #[test]
    fn tiers_are_left_upwards_at_once_and_downwards_below_nine_tenths() {
        use Tier::{Count, Full, Merged};
        let mut tier = Full;
        let mut at = |users_count| {
            tier = tier.next(users_count, &SETTINGS);
            tier
        };
        assert_eq!(
            [at(200), at(201), at(180), at(179), at(200)],
            [Full, Merged, Merged, Full, Full]
        );
        assert_eq!(
            [at(1_000), at(1_001), at(900), at(899)],
            [Merged, Count, Count, Merged]
        );
        assert_eq!([at(50_000), at(0), at(1_001)], [Count, Full, Count]);
    }

    #[test]
    fn equal_thresholds_leave_no_merged_tier_on_the_way_up() {
        let settings = PresenceSettings {
            merged_users_max: 200,
            ..SETTINGS
        };
        assert_eq!(Tier::Full.next(201, &settings), Tier::Count);
        assert_eq!(Tier::Count.next(180, &settings), Tier::Count);
        assert_eq!(Tier::Count.next(179, &settings), Tier::Full);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_silence_a_room() {
        let mut members = MemberList::<()>::default();
        let settings = PresenceSettings {
            full_users_max: 1,
            ..SETTINGS
        };
        let mut ladder = PresenceLadder::new(LiveId::FIRST, UserId::FIRST, settings);
        let mut come = |number: i64, now| {
            let user = UserId::new(number).expect("positive");
            let profile = Arc::new(Profile {
                id: user,
                name: format!("user {number}"),
                avatar: None,
            });
            let member = Member {
                user,
                socket_id: "s".into(),
                handle: (),
                joined_at: now,
            };
            let arrival = members.join(SessionId(number as u64), profile.clone(), member, false);
            ladder.arrived(&profile, arrival);
            ladder
                .announce(&members, now)
                .map(|presence| presence.count)
        };
        assert_eq!(come(1, Timestamp(1_000_000)), Some(1));
        assert_eq!(come(2, Timestamp(1_000_001)), None);
        assert_eq!(come(3, Timestamp(5)), Some(3));
    }
}
