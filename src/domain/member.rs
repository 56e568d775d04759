//! Who is in a room: sessions as members, users as presence, over all nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Bucket, BucketRate, NodeId, PeerChange, PeerUser, SessionId, SocketId, Timestamp, UserId};

/// How often a user that is online already may join again in a way that others see.
const JOINS_AGAIN: BucketRate = BucketRate { burst: 3, refill: 1, per_ms: 1_000 };

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

/// What other nodes told of their members changed in who is online.
#[derive(Debug, Clone)]
pub enum PeerNews {
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
    /// Set while the last connection is gone without a good-bye: the user stays online until then.
    leaves_at: Option<Timestamp>,
    /// How many other nodes show it.
    elsewhere: usize,
}

impl Arrival {
    /// A join that nobody but the joiner notices.
    pub const QUIET: Arrival = Arrival::Again { renamed: false, moved: false };
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
    /// `online` by when they came or moved to the front, on whatever node: what lists are made from. Who
    /// comes here is the newest, whatever the clocks of the nodes say.
    by_time: BTreeMap<(Timestamp, u64), UserId>,
    places_count: u64,
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
            places_count: 0,
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
    ///
    /// The joiner becomes the newest user. Of a user that is online already that is so within a small
    /// budget, and not for a new session that only comes back (`is_return`): then its join is quiet.
    pub fn join(&mut self, session: SessionId, profile: Arc<Profile>, member: Member<H>, is_return: bool) -> Arrival {
        let (user, joined_at) = (profile.id, member.joined_at);
        let before = self.members.insert(session, member);
        debug_assert!(before.as_ref().is_none_or(|old| old.user == user), "a session changed hands without leaving");
        let front = self.by_time.last_key_value().map_or(joined_at, |((newest, _), _)| joined_at.max(*newest));
        let arrival = match self.arrive(profile, front) {
            Arrival::Again { renamed, .. } => {
                // A grace that is over, and whose end a late timer has not noticed, holds nobody's place.
                let leaves_at = self.online.get(&user).and_then(|online| online.leaves_at);
                let is_return = is_return && before.is_none() && leaves_at.is_none_or(|at| joined_at < at);
                let is_seen = (renamed || !is_return) && self.may_join_again(user, joined_at);
                if is_seen && !is_return {
                    self.place(user, front);
                }
                Arrival::Again { renamed: renamed && is_seen, moved: !is_return && is_seen }
            }
            Arrival::New => Arrival::New,
        };
        if before.is_none() {
            self.change_own(user, |online| {
                online.sessions.push(session);
                online.leaves_at.take()
            });
        } else if arrival != Arrival::QUIET {
            self.own_changed.insert(user);
        }
        arrival
    }

    fn may_join_again(&mut self, user: UserId, now: Timestamp) -> bool {
        self.online.get_mut(&user).is_some_and(|online| online.joins_again.take(JOINS_AGAIN, now).is_ok())
    }

    /// Notes that a user is online, for whatever reason. One that was online stays in its place.
    fn arrive(&mut self, profile: Arc<Profile>, arrived_at: Timestamp) -> Arrival {
        let user = profile.id;
        if let Some(online) = self.online.get_mut(&user) {
            let renamed = online.profile != profile;
            online.profile = profile;
            return Arrival::Again { renamed, moved: false };
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
            elsewhere: 0,
        };
        self.online.insert(user, online);
        self.place(user, arrived_at);
        Arrival::New
    }

    /// Gives a user online the place of one that came at this time, after others of the same time.
    fn place(&mut self, user: UserId, at: Timestamp) {
        let Some(online) = self.online.get_mut(&user) else { return };
        self.places_count += 1;
        self.by_time.remove(&online.place);
        online.place = (at, self.places_count);
        self.by_time.insert(online.place, user);
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
        let Online { profile, arrival, place, .. } = self.online.remove(&user)?;
        self.by_arrival.remove(&arrival);
        self.by_time.remove(&place);
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
        let arrival = match self.arrive(profile.clone(), arrived_at) {
            Arrival::Again { renamed, .. } => {
                // It joined again there, in a way that others see: how often it may was decided there.
                let moved = self.online.get(&profile.id).is_some_and(|online| online.place.0 < arrived_at);
                if moved {
                    self.place(profile.id, arrived_at);
                }
                Arrival::Again { renamed, moved }
            }
            Arrival::New => Arrival::New,
        };
        self.peer_sockets_count += sockets.len();
        let before = self.peers.entry(node).or_default().insert(profile.id, sockets);
        self.peer_sockets_count -= before.as_ref().map_or(0, Vec::len);
        if before.is_none()
            && let Some(online) = self.online.get_mut(&profile.id)
        {
            online.elsewhere += 1;
        }
        // The same told again is no news, and sockets that come and go are not announced by themselves.
        (arrival != Arrival::QUIET).then_some(PeerNews::Arrived(profile, arrival))
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
            arrived_at: online.place.0,
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
            let arrived_at = self.online.get(user).map_or(Timestamp::default(), |online| online.place.0);
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
mod tests;
