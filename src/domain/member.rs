//! Who is in a room: sessions as members, users as presence, over all nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{NodeId, PeerChange, PeerUser, SessionId, SocketId, Timestamp, UserId};

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
    /// It was: by another session, by this one, on another node, or in its grace.
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

/// What other nodes told of their members changed in who is online.
#[derive(Debug, Clone)]
pub enum PeerNews {
    Arrived(Arc<Profile>, Arrival),
    Departed(Departed),
}

#[derive(Debug)]
struct Online {
    profile: Arc<Profile>,
    /// Sorts users newest first. A later join of the same user does not move it.
    arrival: u64,
    arrived_at: Timestamp,
    /// Its sessions on this node.
    sessions: Vec<SessionId>,
    /// Set while the last connection is gone without a good-bye: the user stays online until then.
    leaves_at: Option<Timestamp>,
    /// How many other nodes show it.
    elsewhere: usize,
}

impl Online {
    /// Whether this node shows it: there is a session here, or was until a moment ago.
    fn is_own(&self) -> bool {
        !self.sessions.is_empty() || self.leaves_at.is_some()
    }
}

/// The members of one room and the presence that follows from them: two tabs are two members and
/// one presence, on one node or on two. A user whose connection dropped stays present for a grace.
///
/// Members are those of this node. Of other nodes it knows what they show: users and their socket
/// ids ([`MemberList::hear`]); what this node shows is told to them as it changes
/// ([`MemberList::take_own_changes`]).
#[derive(Debug)]
pub struct MemberList<H> {
    members: HashMap<SessionId, Member<H>>,
    online: HashMap<UserId, Online>,
    arrivals_count: u64,
    /// `online` by arrival: a join is told to a large room with its newest users, and must not cost a
    /// sort of all of them.
    by_arrival: BTreeMap<u64, UserId>,
    /// `online` by when they came, on whatever node: what lists are made from. Of this node's own the one
    /// that came later is later, whatever the clock did.
    by_time: BTreeMap<(Timestamp, u64), UserId>,
    latest_own: Timestamp,
    /// Those of `online` with a `leaves_at`, by it: a room asks for the next one after each message.
    lingering: BTreeSet<(Timestamp, UserId)>,
    /// What other nodes show; only those that show anybody.
    peers: BTreeMap<NodeId, HashMap<UserId, Vec<SocketId>>>,
    /// Socket ids in `peers`.
    peer_sockets_count: usize,
    /// Users of `online` that this node shows.
    own_count: usize,
    /// Users whose part on this node changed since it was taken.
    own_changed: BTreeSet<UserId>,
}

impl<H> Default for MemberList<H> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            online: HashMap::new(),
            arrivals_count: 0,
            by_arrival: BTreeMap::new(),
            by_time: BTreeMap::new(),
            latest_own: Timestamp::default(),
            lingering: BTreeSet::new(),
            peers: BTreeMap::new(),
            peer_sockets_count: 0,
            own_count: 0,
            own_changed: BTreeSet::new(),
        }
    }
}

impl<H> MemberList<H> {
    /// Adds a member or renews one of the same user. A session that changes hands has to
    /// [leave](Self::leave) first.
    pub fn join(&mut self, session: SessionId, profile: Arc<Profile>, member: Member<H>) -> Arrival {
        let (user, joined_at) = (profile.id, member.joined_at);
        if let Some(old) = self.members.insert(session, member) {
            debug_assert_eq!(old.user, user, "a session changed hands without leaving");
            self.release(session, user, None);
        }
        self.latest_own = self.latest_own.max(joined_at);
        let arrival = self.arrive(profile, self.latest_own);
        self.change_own(user, |online| {
            online.sessions.push(session);
            online.leaves_at.take()
        });
        arrival
    }

    /// Notes that a user is online, for whatever reason.
    fn arrive(&mut self, profile: Arc<Profile>, arrived_at: Timestamp) -> Arrival {
        let user = profile.id;
        if let Some(online) = self.online.get_mut(&user) {
            let renamed = online.profile != profile;
            online.profile = profile;
            return Arrival::Again { renamed };
        }
        self.arrivals_count += 1;
        let arrival = self.arrivals_count;
        self.by_arrival.insert(arrival, user);
        self.by_time.insert((arrived_at, arrival), user);
        let online = Online { profile, arrival, arrived_at, sessions: Vec::new(), leaves_at: None, elsewhere: 0 };
        self.online.insert(user, online);
        Arrival::New
    }

    /// Changes what this node shows of a user. `change` returns the end of a grace that is over.
    fn change_own(&mut self, user: UserId, change: impl FnOnce(&mut Online) -> Option<Timestamp>) {
        let Some(online) = self.online.get_mut(&user) else { return };
        let before = usize::from(online.is_own());
        let lingered_until = change(online);
        self.own_count = self.own_count + usize::from(online.is_own()) - before;
        self.own_changed.insert(user);
        if let Some(at) = lingered_until {
            self.lingering.remove(&(at, user));
        }
    }

    /// Removes a member that said good-bye. The second value is its user when that was the user's
    /// last member anywhere, so presence ends now.
    pub fn leave(&mut self, session: SessionId) -> Option<(Member<H>, Option<Departed>)> {
        let member = self.members.remove(&session)?;
        self.release(session, member.user, None);
        let gone = self.drop_absent(member.user);
        Some((member, gone))
    }

    /// Removes a member whose connection was lost; presence lingers until `leaves_at`.
    pub fn lose(&mut self, session: SessionId, leaves_at: Timestamp) -> Option<Member<H>> {
        let member = self.members.remove(&session)?;
        self.release(session, member.user, Some(leaves_at));
        Some(member)
    }

    /// Ends the presence of users whose grace is over, oldest arrival first. Whom another node shows
    /// stays. No grace lasts longer than `grace_ms` from now: a clock that was set back must not keep
    /// those online who are gone.
    pub fn expire(&mut self, now: Timestamp, grace_ms: i64) -> Vec<Departed> {
        let latest = now.plus_ms(grace_ms);
        while let Some(&(at, user)) = self.lingering.last()
            && at > latest
        {
            self.lingering.pop_last();
            self.lingering.insert((latest, user));
            if let Some(online) = self.online.get_mut(&user) {
                online.leaves_at = Some(latest);
            }
        }
        let mut gone = Vec::new();
        while let Some(&(at, user)) = self.lingering.first()
            && at <= now
        {
            self.change_own(user, |online| online.leaves_at.take());
            gone.extend(self.drop_absent(user));
        }
        gone.sort_unstable_by_key(|departed| departed.arrival);
        gone
    }

    /// When the next grace ends.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.lingering.first().map(|(at, _)| *at)
    }

    fn release(&mut self, session: SessionId, user: UserId, leaves_at: Option<Timestamp>) {
        let mut lingers = false;
        self.change_own(user, |online| {
            online.sessions.retain(|other| *other != session);
            if online.sessions.is_empty() && leaves_at.is_some() {
                online.leaves_at = leaves_at;
                lingers = true;
            }
            None
        });
        if let Some(at) = leaves_at.filter(|_| lingers) {
            self.lingering.insert((at, user));
        }
    }

    fn drop_absent(&mut self, user: UserId) -> Option<Departed> {
        let online = self.online.get(&user)?;
        if online.is_own() || online.elsewhere > 0 {
            return None;
        }
        let Online { profile, arrival, arrived_at, .. } = self.online.remove(&user)?;
        self.by_arrival.remove(&arrival);
        self.by_time.remove(&(arrived_at, arrival));
        Some(Departed { profile, arrival })
    }

    /// Takes in what another node told of its members, and returns what that changed in who is online.
    pub fn hear(&mut self, change: PeerChange) -> Vec<PeerNews> {
        match change {
            PeerChange::Present { node, user } => self.peer_present(node, user).into_iter().collect(),
            PeerChange::Absent { node, user } => self.peer_absent(node, user).into_iter().collect(),
            PeerChange::All { node, mut users } => {
                let mut gone: Vec<UserId> = match self.peers.get(&node) {
                    Some(shown) => {
                        let still: BTreeSet<UserId> = users.iter().map(|user| user.profile.id).collect();
                        shown.keys().filter(|user| !still.contains(user)).copied().collect()
                    }
                    None => Vec::new(),
                };
                gone.sort_unstable_by_key(|user| self.online.get(user).map(|online| online.arrival));
                users.sort_by_key(|user| user.arrived_at);
                let mut news: Vec<PeerNews> =
                    users.into_iter().filter_map(|user| self.peer_present(node, user)).collect();
                news.extend(gone.into_iter().filter_map(|user| self.peer_absent(node, user)));
                news
            }
        }
    }

    fn peer_present(&mut self, node: NodeId, user: PeerUser) -> Option<PeerNews> {
        let PeerUser { profile, sockets, arrived_at } = user;
        let arrival = self.arrive(profile.clone(), arrived_at);
        let before = self.peers.entry(node).or_default().insert(profile.id, sockets.clone());
        self.peer_sockets_count += sockets.len();
        self.peer_sockets_count -= before.as_ref().map_or(0, Vec::len);
        if before.is_none()
            && let Some(online) = self.online.get_mut(&profile.id)
        {
            online.elsewhere += 1;
        }
        // The same told again is no news.
        let is_known = before.is_some_and(|before| before == sockets) && arrival == Arrival::Again { renamed: false };
        (!is_known).then_some(PeerNews::Arrived(profile, arrival))
    }

    fn peer_absent(&mut self, node: NodeId, user: UserId) -> Option<PeerNews> {
        let shown = self.peers.get_mut(&node)?;
        self.peer_sockets_count -= shown.remove(&user)?.len();
        if shown.is_empty() {
            self.peers.remove(&node);
        }
        if let Some(online) = self.online.get_mut(&user) {
            online.elsewhere -= 1;
        }
        self.drop_absent(user).map(PeerNews::Departed)
    }

    /// What this node shows differently since this was last asked: what to tell the others.
    pub fn take_own_changes(&mut self) -> Vec<Result<PeerUser, UserId>> {
        let changed = std::mem::take(&mut self.own_changed);
        changed.into_iter().map(|user| self.own(user).ok_or(user)).collect()
    }

    /// What this node shows of a user.
    fn own(&self, user: UserId) -> Option<PeerUser> {
        let online = self.online.get(&user).filter(|online| online.is_own())?;
        let sockets = online.sessions.iter().filter_map(|session| self.members.get(session));
        Some(PeerUser {
            profile: online.profile.clone(),
            sockets: sockets.map(|member| member.socket_id.clone()).collect(),
            arrived_at: online.arrived_at,
        })
    }

    /// Of the nodes that show anybody, whether `own` is the first: one of them speaks for all. When
    /// nobody is shown, everybody may say so.
    pub fn leads(&self, own: NodeId) -> bool {
        (self.own_count > 0 || self.online.is_empty()) && self.peers.keys().next().is_none_or(|first| own < *first)
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

    /// A user's sessions in the room, on this node.
    pub fn sessions_of(&self, user: UserId) -> Vec<SessionId> {
        self.online.get(&user).map(|online| online.sessions.clone()).unwrap_or_default()
    }

    /// Sessions in the room, on this node.
    pub fn members_count(&self) -> usize {
        self.members.len()
    }

    /// How often somebody who was not online came online: the arrival of the newest user ever here.
    pub fn arrivals_count(&self) -> u64 {
        self.arrivals_count
    }

    /// Users online on any node, those in their grace included.
    pub fn users_count(&self) -> usize {
        self.online.len()
    }

    /// Of those, the ones that this node shows.
    pub fn own_users_count(&self) -> usize {
        self.own_count
    }

    /// Socket ids of all nodes' members.
    pub fn sockets_count(&self) -> usize {
        self.members.len() + self.peer_sockets_count
    }

    /// Socket ids of all nodes' members, in the order they joined; those of other nodes with their
    /// user's first.
    pub fn socket_ids(&self) -> Vec<SocketId> {
        let own = self.members.iter().map(|(session, member)| (member.joined_at, session.0, &member.socket_id));
        let elsewhere = self.peers.values().flatten().flat_map(|(user, sockets)| {
            let arrived_at = self.online.get(user).map_or(Timestamp::default(), |online| online.arrived_at);
            sockets.iter().map(move |socket| (arrived_at, 0, socket))
        });
        let mut ids: Vec<_> = own.chain(elsewhere).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, _, id)| id.clone()).collect()
    }

    /// The user online that this node heard of last.
    pub fn newest(&self) -> Option<&Arc<Profile>> {
        self.profile(*self.by_arrival.last_key_value()?.1)
    }

    /// Users online, newest first, at most `max`.
    pub fn users(&self, max: usize) -> Vec<Arc<Profile>> {
        let newest = self.by_time.values().rev().take(max);
        newest.filter_map(|user| self.profile(*user).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE_MS: i64 = 30_000;
    const GRACE_ENDS: Timestamp = Timestamp(GRACE_MS);

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
        assert!(list.expire(GRACE_ENDS.plus_ms(-1), GRACE_MS).is_empty());
        assert_eq!(list.expire(GRACE_ENDS, GRACE_MS).len(), 1);
        assert_eq!((list.users_count(), list.next_expiry()), (0, None));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_grace_anew_and_no_more() {
        let mut list = MemberList::default();
        for (session, user) in [(1, 10), (2, 20)] {
            join(&mut list, session, user);
            list.lose(SessionId(session), Timestamp(1_000_000 + user));
        }
        assert!(list.expire(Timestamp(5), GRACE_MS).is_empty());
        assert_eq!(list.next_expiry(), Some(Timestamp(5 + GRACE_MS)));
        join(&mut list, 3, 20);
        assert_eq!(list.expire(Timestamp(5 + GRACE_MS), GRACE_MS).len(), 1);
        assert_eq!((users(&list), list.next_expiry()), (vec![20], None));
    }

    #[test]
    fn a_user_who_comes_back_has_no_grace_left_to_expire() {
        let mut list = MemberList::default();
        join(&mut list, 1, 10);
        list.lose(SessionId(1), GRACE_ENDS);
        join(&mut list, 2, 10);
        assert_eq!(list.next_expiry(), None);
        assert!(list.expire(Timestamp(i64::MAX), GRACE_MS).is_empty());
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
        list.expire(GRACE_ENDS, GRACE_MS);
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
