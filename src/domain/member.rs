//! Who is in a room: sessions as members, users as presence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{SessionId, SocketId, Timestamp, UserId};

/// A user, as others in the room see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub id: UserId,
    /// Nickname, else username.
    pub name: String,
    pub avatar: Option<String>,
}

/// One session in the room.
#[derive(Debug, Clone)]
pub struct Member<H> {
    pub user: UserId,
    pub socket_id: SocketId,
    /// How to reach it.
    pub handle: H,
    pub joined_at: Timestamp,
}

/// What a join changed in who is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The user was not online before.
    New,
    /// It was: by another session, by this one, or in its grace.
    Again {
        /// Others see it differently now.
        renamed: bool,
    },
}

/// A user whose presence ended.
#[derive(Debug, Clone)]
pub struct Departed {
    pub profile: Arc<Profile>,
    /// The number of its arrival ([`MemberList::arrivals_count`]).
    pub arrival: u64,
}

#[derive(Debug)]
struct Online {
    profile: Arc<Profile>,
    /// Sorts users newest first. A later join of the same user does not move it.
    arrival: u64,
    sessions_count: usize,
    /// Set while the last connection is gone without a good-bye: the user stays online until then.
    leaves_at: Option<Timestamp>,
}

/// The members of one room and the presence that follows from them: two tabs are two members and
/// one presence. A user whose connection dropped stays present for a grace.
#[derive(Debug)]
pub struct MemberList<H> {
    members: HashMap<SessionId, Member<H>>,
    online: HashMap<UserId, Online>,
    arrivals_count: u64,
    /// `online` by arrival: a join is told to a large room with its newest users, and must not cost a
    /// sort of all of them.
    by_arrival: BTreeMap<u64, UserId>,
    /// Those of `online` with a `leaves_at`, by it: a room asks for the next one after each message.
    lingering: BTreeSet<(Timestamp, UserId)>,
}

impl<H> Default for MemberList<H> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            online: HashMap::new(),
            arrivals_count: 0,
            by_arrival: BTreeMap::new(),
            lingering: BTreeSet::new(),
        }
    }
}

impl<H> MemberList<H> {
    /// Adds a member or renews one of the same user. A session that changes hands has to
    /// [leave](Self::leave) first.
    pub fn join(&mut self, session: SessionId, profile: Arc<Profile>, member: Member<H>) -> Arrival {
        let user = profile.id;
        if let Some(old) = self.members.insert(session, member) {
            debug_assert_eq!(old.user, user, "a session changed hands without leaving");
            self.release(old.user, None);
        }
        let arrival = match self.online.get(&user) {
            Some(online) => Arrival::Again { renamed: online.profile != profile },
            None => Arrival::New,
        };
        let online = self.online.entry(user).or_insert_with(|| {
            self.arrivals_count += 1;
            self.by_arrival.insert(self.arrivals_count, user);
            Online { profile: profile.clone(), arrival: self.arrivals_count, sessions_count: 0, leaves_at: None }
        });
        online.profile = profile;
        online.sessions_count += 1;
        if let Some(at) = online.leaves_at.take() {
            self.lingering.remove(&(at, user));
        }
        arrival
    }

    /// Removes a member that said good-bye. The second value is its user when that was the user's
    /// last member here, so presence ends now.
    pub fn leave(&mut self, session: SessionId) -> Option<(Member<H>, Option<Departed>)> {
        let member = self.members.remove(&session)?;
        self.release(member.user, None);
        let gone = self.drop_absent(member.user);
        Some((member, gone))
    }

    /// Removes a member whose connection was lost; presence lingers until `leaves_at`.
    pub fn lose(&mut self, session: SessionId, leaves_at: Timestamp) -> Option<Member<H>> {
        let member = self.members.remove(&session)?;
        self.release(member.user, Some(leaves_at));
        Some(member)
    }

    /// Ends the presence of users whose grace is over, oldest arrival first.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Departed> {
        let mut gone = Vec::new();
        while let Some(&(at, user)) = self.lingering.first()
            && at <= now
        {
            self.lingering.pop_first();
            gone.extend(self.forget(user));
        }
        gone.sort_unstable_by_key(|departed| departed.arrival);
        gone
    }

    /// When the next grace ends.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.lingering.first().map(|(at, _)| *at)
    }

    fn forget(&mut self, user: UserId) -> Option<Departed> {
        let Online { profile, arrival, .. } = self.online.remove(&user)?;
        self.by_arrival.remove(&arrival);
        Some(Departed { profile, arrival })
    }

    fn release(&mut self, user: UserId, leaves_at: Option<Timestamp>) {
        if let Some(online) = self.online.get_mut(&user) {
            online.sessions_count -= 1;
            if online.sessions_count == 0
                && let Some(at) = leaves_at
            {
                online.leaves_at = leaves_at;
                self.lingering.insert((at, user));
            }
        }
    }

    fn drop_absent(&mut self, user: UserId) -> Option<Departed> {
        let online = self.online.get(&user)?;
        if online.sessions_count > 0 || online.leaves_at.is_some() {
            return None;
        }
        self.forget(user)
    }

    pub fn get(&self, session: SessionId) -> Option<&Member<H>> {
        self.members.get(&session)
    }

    pub fn profile(&self, user: UserId) -> Option<&Arc<Profile>> {
        self.online.get(&user).map(|online| &online.profile)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Member<H>)> {
        self.members.iter().map(|(session, member)| (*session, member))
    }

    pub fn members_count(&self) -> usize {
        self.members.len()
    }

    /// How often somebody who was not online came online: the arrival of the newest user ever here.
    pub fn arrivals_count(&self) -> u64 {
        self.arrivals_count
    }

    /// Users online, those in their grace included.
    pub fn users_count(&self) -> usize {
        self.online.len()
    }

    /// Socket ids of all members, in the order they joined.
    pub fn socket_ids(&self) -> Vec<SocketId> {
        let mut ids: Vec<_> =
            self.members.iter().map(|(session, member)| (member.joined_at, *session, &member.socket_id)).collect();
        ids.sort_unstable_by_key(|(joined_at, session, _)| (*joined_at, *session));
        ids.into_iter().map(|(_, _, id)| id.clone()).collect()
    }

    /// The user online that came last.
    pub fn newest(&self) -> Option<&Arc<Profile>> {
        self.profile(*self.by_arrival.last_key_value()?.1)
    }

    /// Users online, newest first, at most `max`.
    pub fn users(&self, max: usize) -> Vec<Arc<Profile>> {
        let newest = self.by_arrival.values().rev().take(max);
        newest.filter_map(|user| self.profile(*user).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE_ENDS: Timestamp = Timestamp(30_000);

    fn join(list: &mut MemberList<()>, session: u64, user: i64) -> Arrival {
        let id = UserId::new(user).unwrap();
        let profile = Arc::new(Profile { id, name: format!("user {user}"), avatar: None });
        let socket_id = format!("s{session}").into();
        let member = Member { user: id, socket_id, handle: (), joined_at: Timestamp(0) };
        list.join(SessionId(session), profile, member)
    }

    fn users(list: &MemberList<()>) -> Vec<i64> {
        list.users(usize::MAX).iter().map(|profile| profile.id.get()).collect()
    }

    #[test]
    fn users_are_listed_newest_first_and_a_second_tab_does_not_move_one() {
        let mut list = MemberList::default();
        for (session, user) in [(1, 10), (2, 20), (3, 30)] {
            assert_eq!(join(&mut list, session, user), Arrival::New);
        }
        assert_eq!(join(&mut list, 4, 10), Arrival::Again { renamed: false });
        assert_eq!(users(&list), [30, 20, 10]);
        assert_eq!(list.users(1).len(), 1);
        assert_eq!((list.members_count(), list.users_count()), (4, 3));
        assert_eq!(list.socket_ids().iter().map(|id| &**id).collect::<Vec<_>>(), ["s1", "s2", "s3", "s4"]);
    }

    #[test]
    fn a_later_join_brings_the_newest_profile() {
        let mut list = MemberList::default();
        join(&mut list, 1, 10);
        let renamed = Arc::new(Profile { id: UserId::new(10).unwrap(), name: "new".into(), avatar: None });
        let member = Member { user: renamed.id, socket_id: "s2".into(), handle: (), joined_at: Timestamp(0) };
        assert_eq!(list.join(SessionId(2), renamed.clone(), member), Arrival::Again { renamed: true });
        assert_eq!(list.profile(renamed.id), Some(&renamed));
    }

    #[test]
    fn a_member_that_joins_again_is_renewed_and_its_user_stays() {
        let mut list = MemberList::default();
        join(&mut list, 1, 10);
        join(&mut list, 2, 20);
        assert_eq!(join(&mut list, 1, 10), Arrival::Again { renamed: false });
        assert_eq!((users(&list), list.members_count()), (vec![20, 10], 2));
        let (_, gone) = list.leave(SessionId(1)).unwrap();
        assert_eq!(gone.map(|gone| gone.arrival), Some(1));
    }

    #[test]
    fn only_the_last_lost_connection_starts_a_grace() {
        let mut list = MemberList::default();
        join(&mut list, 1, 10);
        join(&mut list, 2, 10);
        assert!(list.lose(SessionId(1), GRACE_ENDS).is_some());
        assert_eq!(list.next_expiry(), None);
        assert!(list.lose(SessionId(2), GRACE_ENDS).is_some());
        assert!(list.lose(SessionId(2), GRACE_ENDS).is_none());
        assert_eq!(list.next_expiry(), Some(GRACE_ENDS));
        assert_eq!((list.members_count(), list.users_count()), (0, 1));
        assert!(list.expire(GRACE_ENDS.plus_ms(-1)).is_empty());
        assert_eq!(list.expire(GRACE_ENDS).len(), 1);
        assert_eq!((list.users_count(), list.next_expiry()), (0, None));
    }

    #[test]
    fn a_user_who_comes_back_has_no_grace_left_to_expire() {
        let mut list = MemberList::default();
        join(&mut list, 1, 10);
        list.lose(SessionId(1), GRACE_ENDS);
        join(&mut list, 2, 10);
        assert_eq!(list.next_expiry(), None);
        assert!(list.expire(Timestamp(i64::MAX)).is_empty());
        let (_, gone) = list.leave(SessionId(2)).unwrap();
        assert_eq!(gone.map(|gone| gone.profile.id), UserId::new(10));
    }

    #[test]
    fn nothing_is_kept_of_those_who_are_gone() {
        let mut list = MemberList::default();
        for (session, user) in [(1, 10), (2, 20), (3, 30), (4, 30)] {
            join(&mut list, session, user);
        }
        list.leave(SessionId(1));
        list.lose(SessionId(2), GRACE_ENDS);
        list.lose(SessionId(3), GRACE_ENDS);
        list.leave(SessionId(4));
        list.expire(GRACE_ENDS);
        assert!(list.members.is_empty() && list.online.is_empty());
        assert!(list.by_arrival.is_empty() && list.lingering.is_empty());
    }

    #[test]
    fn strangers_neither_leave_nor_get_lost() {
        let mut list = MemberList::<()>::default();
        assert!(list.leave(SessionId(1)).is_none());
        assert!(list.lose(SessionId(1), GRACE_ENDS).is_none());
        assert_eq!(list.next_expiry(), None);
    }
}
