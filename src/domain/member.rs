//! The members of a room (sessions) and its presence (users), over all nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{
    Bucket, BucketRate, NodeId, PeerChange, PeerUser, PresenceChange, SessionId, SocketId,
    Timestamp, UserId,
};

/// How often a user that is online already may join again in a way that others see.
const JOINS_AGAIN: BucketRate = BucketRate {
    burst: 3,
    refill: 1,
    per_ms: 1_000,
};

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
    /// The address of the session, opaque to the domain.
    pub handle: H,
    pub joined_at: Timestamp,
}

/// The effect of a join on the set of users online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The user was not online before.
    New,
    /// It was: by another session, by this one, on another node, or in its grace.
    Again {
        /// Its profile changed.
        renamed: bool,
        /// It is the newest user again.
        moved: bool,
    },
}

/// A user whose presence ended.
#[derive(Debug, Clone)]
pub struct Departed {
    pub profile: Arc<Profile>,
    /// The number of its arrival ([`MemberList::arrivals_count`]).
    pub arrival: u64,
}

/// A change of the users online, caused by another node.
#[derive(Debug, Clone)]
pub enum OnlineChange {
    Arrived(Arc<Profile>, Arrival),
    Departed(Departed),
}

#[derive(Debug)]
struct Online {
    profile: Arc<Profile>,
    /// The number of its arrival. A later join of the same user does not change it.
    arrival: u64,
    /// Its place in `by_time`: when it came or moved to the front, and the number of that step.
    place: (Timestamp, u64),
    joins_again: Bucket,
    /// Its sessions on this node.
    sessions: Vec<SessionId>,
    /// Set after the last connection was lost without a leave: the user stays online until then.
    leaves_at: Option<Timestamp>,
    /// Other nodes on which the user is online.
    remote_nodes_count: usize,
}

impl Arrival {
    /// A join that changes nothing for others.
    pub const QUIET: Arrival = Arrival::Again {
        renamed: false,
        moved: false,
    };
}

impl Online {
    /// Whether the user is online on this node: it has a session here, or is in its grace.
    fn is_local(&self) -> bool {
        !self.sessions.is_empty() || self.leaves_at.is_some()
    }
}

/// The members of one room and the presence that follows from them: two tabs are two members and
/// one presence, on one node or on two. A user whose connection dropped stays present for a grace.
///
/// Members are those of this node. Of other nodes the list has users and their socket ids
/// ([`MemberList::apply_remote`]); changes of this node's users are published to them
/// ([`MemberList::take_local_changes`]).
#[derive(Debug)]
pub struct MemberList<H> {
    members: HashMap<SessionId, Member<H>>,
    online: HashMap<UserId, Online>,
    arrivals_count: u64,
    /// `online` by arrival: a join is announced to a large room with its newest users, and must not
    /// cost a sort of all of them.
    by_arrival: BTreeMap<u64, UserId>,
    /// `online` by the time they came or moved to the front, on any node; lists are made from it. A
    /// user that joins here is the newest, whatever the clocks of other nodes say.
    by_time: BTreeMap<(Timestamp, u64), UserId>,
    places_count: u64,
    /// Users with a `leaves_at`, ordered by it: a room asks for the next one after each message.
    in_grace: BTreeSet<(Timestamp, UserId)>,
    /// Users online on other nodes; only nodes that have any.
    remote: BTreeMap<NodeId, HashMap<UserId, Vec<SocketId>>>,
    /// Socket ids in `remote`.
    remote_sockets_count: usize,
    /// Users of `online` that are online on this node.
    local_count: usize,
    /// Users whose local presence changed since it was last taken.
    local_changed: BTreeSet<UserId>,
}

impl<H> Default for MemberList<H> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            online: HashMap::new(),
            arrivals_count: 0,
            by_arrival: BTreeMap::new(),
            by_time: BTreeMap::new(),
            places_count: 0,
            in_grace: BTreeSet::new(),
            remote: BTreeMap::new(),
            remote_sockets_count: 0,
            local_count: 0,
            local_changed: BTreeSet::new(),
        }
    }
}

impl<H> MemberList<H> {
    /// Adds a member or renews one of the same user. A session that changes hands has to
    /// [leave](Self::leave) first.
    ///
    /// The joiner becomes the newest user. Of a user that is online already that is so within a
    /// small budget, and not for a new session that only comes back (`is_return`): then its join is
    /// quiet.
    pub fn join(
        &mut self,
        session: SessionId,
        profile: Arc<Profile>,
        member: Member<H>,
        is_return: bool,
    ) -> Arrival {
        let (user, joined_at) = (profile.id, member.joined_at);
        let before = self.members.insert(session, member);
        debug_assert!(
            before.as_ref().is_none_or(|old| old.user == user),
            "a session changed hands without leaving"
        );
        let front = self
            .by_time
            .last_key_value()
            .map_or(joined_at, |((newest, _), _)| joined_at.max(*newest));
        let arrival = match self.arrive(profile, front) {
            Arrival::Again { renamed, .. } => {
                // A grace that is over, but not expired yet by a late timer, does not make this
                // join a return.
                let leaves_at = self.online.get(&user).and_then(|online| online.leaves_at);
                let is_return =
                    is_return && before.is_none() && leaves_at.is_none_or(|at| joined_at < at);
                let is_seen = (renamed || !is_return) && self.may_join_again(user, joined_at);
                if is_seen && !is_return {
                    self.place(user, front);
                }
                Arrival::Again {
                    renamed: renamed && is_seen,
                    moved: !is_return && is_seen,
                }
            }
            Arrival::New => Arrival::New,
        };
        if before.is_none() {
            self.change_local(user, |online| {
                online.sessions.push(session);
                online.leaves_at.take()
            });
        } else if arrival != Arrival::QUIET {
            self.local_changed.insert(user);
        }
        arrival
    }

    fn may_join_again(&mut self, user: UserId, now: Timestamp) -> bool {
        self.online
            .get_mut(&user)
            .is_some_and(|online| online.joins_again.take(JOINS_AGAIN, now).is_ok())
    }

    /// Records that a user is online. One that was online already keeps its place.
    fn arrive(&mut self, profile: Arc<Profile>, arrived_at: Timestamp) -> Arrival {
        let user = profile.id;
        if let Some(online) = self.online.get_mut(&user) {
            let renamed = online.profile != profile;
            online.profile = profile;
            return Arrival::Again {
                renamed,
                moved: false,
            };
        }
        self.arrivals_count += 1;
        let arrival = self.arrivals_count;
        self.by_arrival.insert(arrival, user);
        let online = Online {
            profile,
            arrival,
            place: (arrived_at, 0),
            joins_again: Bucket::default(),
            sessions: Vec::new(),
            leaves_at: None,
            remote_nodes_count: 0,
        };
        self.online.insert(user, online);
        self.place(user, arrived_at);
        Arrival::New
    }

    /// Gives a user online the place of one that came at this time, after others of the same time.
    fn place(&mut self, user: UserId, at: Timestamp) {
        let Some(online) = self.online.get_mut(&user) else {
            return;
        };
        self.places_count += 1;
        self.by_time.remove(&online.place);
        online.place = (at, self.places_count);
        self.by_time.insert(online.place, user);
    }

    /// Changes a user's local presence. `change` returns the end of a grace that is over.
    fn change_local(
        &mut self,
        user: UserId,
        change: impl FnOnce(&mut Online) -> Option<Timestamp>,
    ) {
        let Some(online) = self.online.get_mut(&user) else {
            return;
        };
        let before = usize::from(online.is_local());
        let lingered_until = change(online);
        self.local_count = self.local_count + usize::from(online.is_local()) - before;
        self.local_changed.insert(user);
        if let Some(at) = lingered_until {
            self.in_grace.remove(&(at, user));
        }
    }

    /// Removes a member that left. The second value is its user when that was the user's
    /// last member anywhere, so presence ends now.
    pub fn leave(&mut self, session: SessionId) -> Option<(Member<H>, Option<Departed>)> {
        let member = self.members.remove(&session)?;
        self.release(session, member.user, None);
        let gone = self.drop_absent(member.user);
        Some((member, gone))
    }

    /// Removes a member whose connection was lost; presence lingers until `leaves_at`.
    pub fn connection_lost(
        &mut self,
        session: SessionId,
        leaves_at: Timestamp,
    ) -> Option<Member<H>> {
        let member = self.members.remove(&session)?;
        self.release(session, member.user, Some(leaves_at));
        Some(member)
    }

    /// Ends the presence of users whose grace is over, oldest arrival first. A user that is online
    /// on another node stays. No grace lasts longer than `grace_ms` from now: a clock that was set
    /// back must not keep users online that are gone.
    pub fn expire(&mut self, now: Timestamp, grace_ms: i64) -> Vec<Departed> {
        let latest = now.plus_ms(grace_ms);
        while let Some(&(at, user)) = self.in_grace.last()
            && at > latest
        {
            self.in_grace.pop_last();
            self.in_grace.insert((latest, user));
            if let Some(online) = self.online.get_mut(&user) {
                online.leaves_at = Some(latest);
            }
        }
        let mut gone = Vec::new();
        while let Some(&(at, user)) = self.in_grace.first()
            && at <= now
        {
            self.change_local(user, |online| online.leaves_at.take());
            gone.extend(self.drop_absent(user));
        }
        gone.sort_unstable_by_key(|departed| departed.arrival);
        gone
    }

    /// Up to `max` users with sessions on this node that match, by user id from behind `after`, with
    /// these sessions. Looks at all users.
    pub fn local_page(
        &self,
        after: Option<UserId>,
        max: usize,
        matches: impl Fn(&Profile) -> bool,
    ) -> Vec<(&Profile, &[SessionId])> {
        let mut page: BTreeMap<UserId, &Online> = BTreeMap::new();
        for (user, online) in &self.online {
            // The page is full of lower ids, as a rule: then nothing else is looked at.
            let is_beyond =
                page.len() >= max && page.last_key_value().is_some_and(|(last, _)| user > last);
            if is_beyond
                || online.sessions.is_empty()
                || after.is_some_and(|after| *user <= after)
                || !matches(&online.profile)
            {
                continue;
            }
            page.insert(*user, online);
            if page.len() > max {
                page.pop_last();
            }
        }
        page.into_values()
            .map(|online| (&*online.profile, &*online.sessions))
            .collect()
    }

    /// When the next grace ends.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.in_grace.first().map(|(at, _)| *at)
    }

    fn release(&mut self, session: SessionId, user: UserId, leaves_at: Option<Timestamp>) {
        let mut lingers = false;
        self.change_local(user, |online| {
            online.sessions.retain(|other| *other != session);
            if online.sessions.is_empty() && leaves_at.is_some() {
                online.leaves_at = leaves_at;
                lingers = true;
            }
            None
        });
        if let Some(at) = leaves_at.filter(|_| lingers) {
            self.in_grace.insert((at, user));
        }
    }

    fn drop_absent(&mut self, user: UserId) -> Option<Departed> {
        let online = self.online.get(&user)?;
        if online.is_local() || online.remote_nodes_count > 0 {
            return None;
        }
        let Online {
            profile,
            arrival,
            place,
            ..
        } = self.online.remove(&user)?;
        self.by_arrival.remove(&arrival);
        self.by_time.remove(&place);
        Some(Departed { profile, arrival })
    }

    /// Applies a presence change of another node. Returns the changes of the users online.
    pub fn apply_remote(&mut self, change: PeerChange) -> Vec<OnlineChange> {
        match change {
            PeerChange::Present { node, user } => {
                self.remote_present(node, user).into_iter().collect()
            }
            PeerChange::Absent { node, user } => {
                self.remote_absent(node, user).into_iter().collect()
            }
            PeerChange::All { node, mut users } => {
                let mut gone: Vec<UserId> = match self.remote.get(&node) {
                    Some(online_there) => {
                        let still: BTreeSet<UserId> =
                            users.iter().map(|user| user.profile.id).collect();
                        online_there
                            .keys()
                            .filter(|user| !still.contains(user))
                            .copied()
                            .collect()
                    }
                    None => Vec::new(),
                };
                gone.sort_unstable_by_key(|user| {
                    self.online.get(user).map(|online| online.arrival)
                });
                users.sort_by_key(|user| user.arrived_at);
                let mut changes: Vec<OnlineChange> = users
                    .into_iter()
                    .filter_map(|user| self.remote_present(node, user))
                    .collect();
                changes.extend(
                    gone.into_iter()
                        .filter_map(|user| self.remote_absent(node, user)),
                );
                changes
            }
        }
    }

    fn remote_present(&mut self, node: NodeId, user: PeerUser) -> Option<OnlineChange> {
        let PeerUser {
            profile,
            sockets,
            arrived_at,
        } = user;
        let arrival = match self.arrive(profile.clone(), arrived_at) {
            Arrival::Again { renamed, .. } => {
                // It moved to the front there: that node has applied the limit.
                let moved = self
                    .online
                    .get(&profile.id)
                    .is_some_and(|online| online.place.0 < arrived_at);
                if moved {
                    self.place(profile.id, arrived_at);
                }
                Arrival::Again { renamed, moved }
            }
            Arrival::New => Arrival::New,
        };
        self.remote_sockets_count += sockets.len();
        let before = self
            .remote
            .entry(node)
            .or_default()
            .insert(profile.id, sockets);
        self.remote_sockets_count -= before.as_ref().map_or(0, Vec::len);
        if before.is_none()
            && let Some(online) = self.online.get_mut(&profile.id)
        {
            online.remote_nodes_count += 1;
        }
        // A repeated state is not a change, and sockets that come and go are not announced by
        // themselves.
        (arrival != Arrival::QUIET).then_some(OnlineChange::Arrived(profile, arrival))
    }

    fn remote_absent(&mut self, node: NodeId, user: UserId) -> Option<OnlineChange> {
        let online_there = self.remote.get_mut(&node)?;
        self.remote_sockets_count -= online_there.remove(&user)?.len();
        if online_there.is_empty() {
            self.remote.remove(&node);
        }
        if let Some(online) = self.online.get_mut(&user) {
            online.remote_nodes_count -= 1;
        }
        self.drop_absent(user).map(OnlineChange::Departed)
    }

    /// Changes of this node's users since the last call, to be published to other nodes.
    pub fn take_local_changes(&mut self) -> Vec<PresenceChange> {
        let changed = std::mem::take(&mut self.local_changed);
        let change = |user| {
            self.local(user)
                .map_or(PresenceChange::Offline(user), PresenceChange::Online)
        };
        changed.into_iter().map(change).collect()
    }

    /// A user's local presence.
    fn local(&self, user: UserId) -> Option<PeerUser> {
        let online = self.online.get(&user).filter(|online| online.is_local())?;
        let sockets = online
            .sessions
            .iter()
            .filter_map(|session| self.members.get(session));
        Some(PeerUser {
            profile: online.profile.clone(),
            sockets: sockets.map(|member| member.socket_id.clone()).collect(),
            arrived_at: online.place.0,
        })
    }

    /// Whether `own` is the first of the nodes that have users here: the first one writes the list
    /// of users for all. While nobody is online, every node may write the empty list.
    pub fn leads(&self, own: NodeId) -> bool {
        (self.local_count > 0 || self.online.is_empty())
            && self.remote.keys().next().is_none_or(|first| own < *first)
    }

    pub fn get(&self, session: SessionId) -> Option<&Member<H>> {
        self.members.get(&session)
    }

    pub fn profile(&self, user: UserId) -> Option<&Arc<Profile>> {
        self.online.get(&user).map(|online| &online.profile)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Member<H>)> {
        self.members
            .iter()
            .map(|(session, member)| (*session, member))
    }

    /// A user's sessions in the room, on this node.
    pub fn sessions_of(&self, user: UserId) -> Vec<SessionId> {
        self.online
            .get(&user)
            .map(|online| online.sessions.clone())
            .unwrap_or_default()
    }

    /// All sessions in the room, on this node, in order.
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = self.members.keys().copied().collect();
        sessions.sort_unstable();
        sessions
    }

    /// Sessions in the room, on this node.
    pub fn members_count(&self) -> usize {
        self.members.len()
    }

    /// Arrivals so far: how often a user that was not online came online.
    pub fn arrivals_count(&self) -> u64 {
        self.arrivals_count
    }

    /// Users online on any node, those in their grace included.
    pub fn users_count(&self) -> usize {
        self.online.len()
    }

    /// Those of them that are online on this node.
    pub fn local_users_count(&self) -> usize {
        self.local_count
    }

    /// Socket ids of all nodes' members.
    pub fn sockets_count(&self) -> usize {
        self.members.len() + self.remote_sockets_count
    }

    /// Socket ids of all nodes' members, in the order they joined; those of other nodes with their
    /// user's first.
    pub fn socket_ids(&self) -> Vec<SocketId> {
        let own = self
            .members
            .iter()
            .map(|(session, member)| (member.joined_at, session.0, &member.socket_id));
        let remote = self.remote.values().flatten().flat_map(|(user, sockets)| {
            let arrived_at = self
                .online
                .get(user)
                .map_or(Timestamp::default(), |online| online.place.0);
            sockets.iter().map(move |socket| (arrived_at, 0, socket))
        });
        let mut ids: Vec<_> = own.chain(remote).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, _, id)| id.clone()).collect()
    }

    /// The user online that arrived last, as seen by this node.
    pub fn newest(&self) -> Option<&Arc<Profile>> {
        self.profile(*self.by_arrival.last_key_value()?.1)
    }

    /// Users online, newest first, at most `max`.
    pub fn users(&self, max: usize) -> Vec<Arc<Profile>> {
        let newest = self.by_time.values().rev().take(max);
        newest
            .filter_map(|user| self.profile(*user).cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests;
