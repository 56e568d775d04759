//! Who is in one room, as nodes tell each other: a state machine without a connection.
//!
//! Each node tells the others what it shows of its users in *deltas*, counted from 1. Whoever finds
//! one missing asks that node for all of it. A *hello* says how far a node's count is: when it opens
//! the room, when it is back from being alone, and every now and then, so that a lost delta is noticed
//! even if no other follows.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cluster::wire::WirePeer;
use crate::domain::{LiveId, NodeId, PeerChange, PeerUser, UserId};

/// Users of one message.
const USERS_MAX: usize = 500;
/// Deltas that wait for the rest of a node's users. Beyond: they are asked for once more.
const HELD_MAX: usize = 64;
/// How long a question may remain without an answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What nodes say to each other about one room.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "share", rename_all = "snake_case")]
pub enum ShareMessage {
    /// On the room's channel: I have this room, and told so many deltas.
    Hello { node: u64, origin: u64, count: u64 },
    /// On the room's channel: the next delta.
    Delta { node: u64, origin: u64, count: u64, users: Vec<WirePeer> },
    /// On the room's channel: I have this room no more.
    Bye { node: u64, origin: u64 },
    /// To one node: tell me all that you show.
    Ask { live: i64, node: u64 },
    /// To one node: all that I show, up to this delta, in parts counted from 0.
    All { live: i64, node: u64, origin: u64, count: u64, part: usize, parts: usize, users: Vec<WirePeer> },
}

impl ShareMessage {
    /// The node that says it.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Hello { node, .. }
            | Self::Delta { node, .. }
            | Self::Bye { node, .. }
            | Self::Ask { node, .. }
            | Self::All { node, .. } => NodeId(*node),
        }
    }
}

/// What is to be done about a message.
#[derive(Debug)]
pub enum Outcome {
    Peers(PeerChange),
    Send(NodeId, ShareMessage),
}

#[derive(Debug, Default)]
struct Peer {
    origin: u64,
    /// Whether it said all that it shows.
    is_known: bool,
    /// The last delta taken in; meaningless while all of it is asked for.
    count: u64,
    asked: Option<Instant>,
    held: Vec<(u64, Vec<WirePeer>)>,
    parts: Vec<WirePeer>,
    parts_count: usize,
}

/// The shares of one room.
#[derive(Debug)]
pub struct Shares {
    live_id: LiveId,
    node: NodeId,
    /// This life of the room on this node.
    origin: u64,
    count: u64,
    own: HashMap<UserId, PeerUser>,
    changed: BTreeMap<UserId, WirePeer>,
    peers: HashMap<NodeId, Peer>,
}

impl Shares {
    pub fn new(live_id: LiveId, node: NodeId, origin: u64) -> Self {
        Self { live_id, node, origin, count: 0, own: HashMap::new(), changed: BTreeMap::new(), peers: HashMap::new() }
    }

    /// Takes in what this node shows differently.
    pub fn show(&mut self, changes: Vec<Result<PeerUser, UserId>>) {
        for change in changes {
            match change {
                Ok(user) => {
                    let id = user.profile.id;
                    self.changed.insert(id, WirePeer::present(&user));
                    self.own.insert(id, user);
                }
                Err(id) => {
                    self.changed.insert(id, WirePeer::absent(id));
                    self.own.remove(&id);
                }
            }
        }
    }

    /// The next delta, if there is anything to tell. It counts as told: should it get lost, the others
    /// notice.
    pub fn next_delta(&mut self) -> Option<ShareMessage> {
        let mut users = Vec::new();
        while users.len() < USERS_MAX
            && let Some((_, user)) = self.changed.pop_first()
        {
            users.push(user);
        }
        if users.is_empty() {
            return None;
        }
        self.count += 1;
        Some(ShareMessage::Delta { node: self.node.0, origin: self.origin, count: self.count, users })
    }

    pub fn hello(&self) -> ShareMessage {
        ShareMessage::Hello { node: self.node.0, origin: self.origin, count: self.count }
    }

    pub fn bye(&self) -> ShareMessage {
        ShareMessage::Bye { node: self.node.0, origin: self.origin }
    }

    /// All that this node shows, in messages of bounded size.
    fn all(&self) -> Vec<ShareMessage> {
        let users: Vec<&PeerUser> = self.own.values().collect();
        let chunks: Vec<&[&PeerUser]> = if users.is_empty() { vec![&[]] } else { users.chunks(USERS_MAX).collect() };
        let part = |(part, users): (usize, &&[&PeerUser])| ShareMessage::All {
            live: self.live_id.get(),
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            part,
            parts: chunks.len(),
            users: users.iter().map(|user| WirePeer::present(user)).collect(),
        };
        chunks.iter().enumerate().map(part).collect()
    }

    /// Takes in a message about this room.
    pub fn hear(&mut self, message: ShareMessage, now: Instant) -> Vec<Outcome> {
        match message {
            ShareMessage::Hello { node, origin, count } => self.greeted(NodeId(node), origin, count, now),
            ShareMessage::Delta { node, origin, count, users } => self.delta(NodeId(node), origin, count, users, now),
            ShareMessage::Bye { node, origin } => {
                let node = NodeId(node);
                let is_known = self.peers.get(&node).is_some_and(|peer| peer.origin == origin);
                if is_known { self.forget(node).map(Outcome::Peers).into_iter().collect() } else { Vec::new() }
            }
            ShareMessage::Ask { node, .. } => {
                self.all().into_iter().map(|message| Outcome::Send(NodeId(node), message)).collect()
            }
            ShareMessage::All { node, origin, count, part, parts, users, .. } => {
                self.part(NodeId(node), (origin, count), (part, parts), users, now)
            }
        }
    }

    fn greeted(&mut self, node: NodeId, origin: u64, count: u64, now: Instant) -> Vec<Outcome> {
        if node == self.node {
            return Vec::new();
        }
        let is_new = self.peers.get(&node).is_none_or(|peer| peer.origin != origin);
        let mut outcomes = Vec::new();
        if is_new {
            // Another life of the room on that node: what it showed before is no more.
            outcomes.extend(self.forget(node).map(Outcome::Peers));
            self.peers.insert(node, Peer { origin, ..Peer::default() });
            if !self.own.is_empty() {
                outcomes.extend(self.all().into_iter().map(|message| Outcome::Send(node, message)));
            } else {
                outcomes.push(Outcome::Send(node, self.hello_to()));
            }
        }
        let is_behind = self.peers.get(&node).is_some_and(|peer| peer.count < count);
        if is_behind {
            outcomes.extend(self.ask(node, now));
        }
        outcomes
    }

    /// What a node without users here tells one that greets: an empty share.
    fn hello_to(&self) -> ShareMessage {
        ShareMessage::All {
            live: self.live_id.get(),
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            part: 0,
            parts: 1,
            users: Vec::new(),
        }
    }

    fn ask(&mut self, node: NodeId, now: Instant) -> Option<Outcome> {
        let peer = self.peers.get_mut(&node)?;
        if peer.asked.is_some_and(|at| now.saturating_duration_since(at) < ASK_AGAIN) {
            return None;
        }
        peer.asked = Some(now);
        Some(Outcome::Send(node, ShareMessage::Ask { live: self.live_id.get(), node: self.node.0 }))
    }

    fn delta(&mut self, node: NodeId, origin: u64, count: u64, users: Vec<WirePeer>, now: Instant) -> Vec<Outcome> {
        if node == self.node {
            return Vec::new();
        }
        if self.peers.get(&node).is_none_or(|peer| peer.origin != origin) {
            // Heard before its hello, or instead of it.
            let mut outcomes = self.greeted(node, origin, 0, now);
            outcomes.extend(self.delta(node, origin, count, users, now));
            return outcomes;
        }
        let Some(peer) = self.peers.get_mut(&node) else { return Vec::new() };
        if peer.asked.is_some() || count > peer.count + 1 {
            if peer.held.len() < HELD_MAX {
                peer.held.push((count, users));
            }
            return self.ask(node, now).into_iter().collect();
        }
        if count <= peer.count {
            return Vec::new();
        }
        peer.count = count;
        changes(node, users).map(Outcome::Peers).collect()
    }

    fn part(
        &mut self,
        node: NodeId,
        (origin, count): (u64, u64),
        (part, parts): (usize, usize),
        users: Vec<WirePeer>,
        now: Instant,
    ) -> Vec<Outcome> {
        if node == self.node {
            return Vec::new();
        }
        let peer = self.peers.entry(node).or_default();
        if part == 0 {
            (peer.parts, peer.parts_count) = (Vec::new(), 0);
        }
        if part != peer.parts_count {
            // A part got lost; the question is repeated when the next hello finds it unanswered.
            return Vec::new();
        }
        peer.parts.extend(users);
        peer.parts_count += 1;
        if peer.parts_count < parts {
            return Vec::new();
        }
        let shown = std::mem::take(&mut peer.parts);
        let held = std::mem::take(&mut peer.held);
        (peer.origin, peer.count, peer.asked, peer.parts_count, peer.is_known) = (origin, count, None, 0, true);
        let users = shown.into_iter().filter_map(|user| user.read()?.ok()).collect();
        let mut outcomes = vec![Outcome::Peers(PeerChange::All { node, users })];
        for (held_count, users) in held {
            if held_count > count {
                outcomes.extend(self.delta(node, origin, held_count, users, now));
            }
        }
        outcomes
    }

    /// Nodes that said what they show.
    pub fn known_count(&self) -> usize {
        self.peers.values().filter(|peer| peer.is_known).count()
    }

    /// A node left or died.
    pub fn forget(&mut self, node: NodeId) -> Option<PeerChange> {
        self.peers.remove(&node).map(|_| PeerChange::All { node, users: Vec::new() })
    }
}

fn changes(node: NodeId, users: Vec<WirePeer>) -> impl Iterator<Item = PeerChange> {
    users.into_iter().filter_map(WirePeer::read).map(move |change| match change {
        Ok(user) => PeerChange::Present { node, user },
        Err(user) => PeerChange::Absent { node, user },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Profile, Timestamp};

    fn user(id: i64) -> PeerUser {
        let profile = Profile { id: UserId::new(id).unwrap(), name: format!("user {id}"), avatar: None };
        PeerUser { profile: Arc::new(profile), sockets: vec![format!("s{id}").into()], arrived_at: Timestamp(id) }
    }

    /// Two nodes and what each was told to show of the other.
    struct Pair {
        one: Shares,
        two: Shares,
        now: Instant,
    }

    impl Pair {
        fn new() -> Self {
            let shares = |node| Shares::new(LiveId::FIRST, NodeId(node), node * 100);
            Self { one: shares(1), two: shares(2), now: Instant::now() }
        }

        /// Hands a message to node two and everything that follows from it to whom it is for. Returns
        /// what node two shows of node one afterwards, as far as it changed.
        fn hand_two(&mut self, message: ShareMessage) -> Vec<PeerChange> {
            let mut todo = vec![(NodeId(2), message)];
            let mut changes = Vec::new();
            while let Some((to, message)) = todo.pop() {
                let shares = if to == NodeId(1) { &mut self.one } else { &mut self.two };
                for outcome in shares.hear(message, self.now).into_iter().rev() {
                    match outcome {
                        Outcome::Send(node, message) => todo.push((node, message)),
                        Outcome::Peers(change) if to == NodeId(2) => changes.push(change),
                        Outcome::Peers(_) => {}
                    }
                }
            }
            changes
        }
    }

    #[test]
    fn a_delta_is_told_once_and_in_order() {
        let mut pair = Pair::new();
        pair.hand_two(pair.one.hello());
        pair.one.show(vec![Ok(user(7))]);
        let delta = pair.one.next_delta().unwrap();
        let again = serde_json::to_string(&delta).unwrap();
        assert_eq!(pair.hand_two(delta), [PeerChange::Present { node: NodeId(1), user: user(7) }]);
        assert_eq!(pair.hand_two(serde_json::from_str(&again).unwrap()), []);
        assert!(pair.one.next_delta().is_none());
    }

    #[test]
    fn a_lost_delta_is_made_up_for_by_all() {
        let mut pair = Pair::new();
        pair.hand_two(pair.one.hello());
        pair.one.show(vec![Ok(user(7))]);
        pair.one.next_delta().unwrap();
        pair.one.show(vec![Ok(user(8))]);
        let second = pair.one.next_delta().unwrap();
        let changes = pair.hand_two(second);
        let [PeerChange::All { node, users }] = &changes[..] else { panic!("{changes:?}") };
        let mut ids: Vec<i64> = users.iter().map(|user| user.profile.id.get()).collect();
        ids.sort_unstable();
        assert_eq!((*node, ids), (NodeId(1), vec![7, 8]));
    }

    #[test]
    fn a_hello_tells_a_newcomer_all_and_notices_what_got_lost() {
        let mut pair = Pair::new();
        pair.one.show((1..=1_200).map(|id| Ok(user(id))).collect());
        while pair.one.next_delta().is_some() {}
        let changes = pair.hand_two(pair.one.hello());
        let [PeerChange::All { users, .. }] = &changes[..] else { panic!("{} changes", changes.len()) };
        assert_eq!(users.len(), 1_200);
        assert!(pair.hand_two(pair.one.hello()).is_empty(), "nothing is missing");
    }

    #[test]
    fn another_life_of_the_room_shows_nothing_of_the_one_before() {
        let mut pair = Pair::new();
        pair.one.show(vec![Ok(user(7))]);
        pair.one.next_delta().unwrap();
        pair.hand_two(pair.one.hello());
        pair.one = Shares::new(LiveId::FIRST, NodeId(1), 555);
        assert_eq!(pair.hand_two(pair.one.hello())[0], PeerChange::All { node: NodeId(1), users: vec![] });
        let bye_of_the_one_before = ShareMessage::Bye { node: 1, origin: 100 };
        assert!(pair.hand_two(bye_of_the_one_before).is_empty());
        assert_eq!(pair.hand_two(pair.one.bye()), [PeerChange::All { node: NodeId(1), users: vec![] }]);
    }

    #[test]
    fn one_that_was_told_of_users_and_hears_they_left_shows_nobody() {
        let mut pair = Pair::new();
        pair.hand_two(pair.one.hello());
        pair.one.show(vec![Ok(user(7))]);
        let delta = pair.one.next_delta().unwrap();
        pair.hand_two(delta);
        pair.one.show(vec![Err(UserId::new(7).unwrap())]);
        let delta = pair.one.next_delta().unwrap();
        assert_eq!(pair.hand_two(delta), [PeerChange::Absent { node: NodeId(1), user: UserId::new(7).unwrap() }]);
    }
}
