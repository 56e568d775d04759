//! Plays the transcripts in `tests/presence_scripts`: nodes that have one room, and a network
//! between them that loses, delays and repeats messages. `scripts.rs` of the folder above says how
//! they are compared and rewritten.
//!
//! # Commands
//! | command | meaning |
//! | --- | --- |
//! | `nodes 2` | nodes 1 and 2 have the room, and know that of each other; `nodes 2 strangers`: they do not know it |
//! | `n1 online alice bob`, `n1 offline alice` | users of node 1 come and go; `u1..1200` are 1,200 of them |
//! | `n1 publishes` | it publishes its next delta, if there is one |
//! | `n1 announces`, `n1 closes`, `n1 opens` | it announces itself; it closes the room; it opens it again, and announces that |
//! | `n1 doubts`, `n1 retries`, `n1 forgets n2` | it may have missed messages; it requests what did not arrive; node 2 is dead |
//! | `deliver`, `deliver m3` | all messages under way arrive in their order, and those that they lead to; this one arrives |
//! | `lose m3`, `repeat m3` | this one gets lost; it arrives, and will once more |
//! | `wait 500ms` | time goes on |
//!
//! A message to all may be `m3` or, for one of its receivers, `m3>n2`.
//!
//! # Outputs
//! `m3 n1 -> n2: …` is a message that is under way from now on; `n2 <- m3` arrives. `n2: n1 +alice
//! -bob` are changes for the room, `n2: n1 has alice` is all of them. Then the replicas that
//! changed: `= n2 of n1: in sync at 3: alice`, with the users as the room knows them.

use std::collections::BTreeSet;

use super::super::remote::RemoteState;
use super::*;
use crate::cluster::redis::scripts::{Scripted, Words, duration_ms, number, play_folder};

/// Of more names than this, the first and the last are shown.
const SHOWN_MAX: usize = 6;
const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// Before the ids of `u1`, `u2`, and so on.
const NUMBERED: i64 = 1_000;

#[test]
fn replicas_do_what_the_presence_scripts_say() {
    play_folder::<LossyNetwork>("presence_scripts");
}

/// One node, and what its room knows of the others.
pub(super) struct PresenceNode {
    /// None while it does not have the room.
    pub(super) replica: Option<PresenceReplica>,
    openings: u64,
    pub(super) users: BTreeMap<NodeId, BTreeSet<UserId>>,
    /// The replicas as they were shown last.
    shown: BTreeMap<NodeId, String>,
}

/// A message under way to one node.
pub(super) struct SentMessage {
    pub(super) number: usize,
    pub(super) to: NodeId,
    text: String,
}

/// The nodes and the messages between them.
pub(super) struct LossyNetwork {
    now: Instant,
    pub(super) nodes: BTreeMap<NodeId, PresenceNode>,
    messages_count: usize,
    pub(super) underway: Vec<SentMessage>,
}

impl Default for LossyNetwork {
    fn default() -> Self {
        Self {
            now: Instant::now(),
            nodes: BTreeMap::new(),
            messages_count: 0,
            underway: Vec::new(),
        }
    }
}

impl Scripted for LossyNetwork {
    fn run(&mut self, mut words: Words<'_>) -> Result<Vec<String>, String> {
        let mut shown = match words.next("a command")? {
            "nodes" => self.open_nodes(&mut words)?,
            "deliver" => match words.next("a message") {
                Ok(message) => self.deliver_one(message, false)?,
                Err(_) => self.deliver_all(),
            },
            "repeat" => self.deliver_one(words.next("a message")?, true)?,
            "lose" => {
                self.take(words.next("a message")?, false)?;
                Vec::new()
            }
            "wait" => {
                let ms = duration_ms(words.next("a duration")?)?;
                self.now += std::time::Duration::from_millis(ms);
                Vec::new()
            }
            node => self.act(node_id(node)?, &mut words)?,
        };
        words.end()?;
        shown.extend(self.changed_replicas());
        Ok(shown)
    }
}

impl LossyNetwork {
    fn open_nodes(&mut self, words: &mut Words<'_>) -> Result<Vec<String>, String> {
        let count: u64 = number(words.next("a number of nodes")?)?;
        for id in (1..=count).map(NodeId) {
            let node = PresenceNode {
                replica: Some(PresenceReplica::new(LiveId::FIRST, id, origin(id, 1))),
                openings: 1,
                users: BTreeMap::new(),
                shown: BTreeMap::new(),
            };
            self.nodes.insert(id, node);
        }
        if words.flag("strangers") {
            return Ok(Vec::new());
        }
        for id in (1..=count).map(NodeId) {
            let announcement = self.replica(id)?.announce();
            self.send_to_all(id, &announcement);
        }
        self.deliver_all();
        self.messages_count = 0;
        self.changed_replicas();
        Ok(Vec::new())
    }

    fn replica(&mut self, id: NodeId) -> Result<&mut PresenceReplica, String> {
        let node = self.nodes.get_mut(&id).ok_or("there is no such node")?;
        let replica = node.replica.as_mut();
        replica.ok_or_else(|| "the node does not have the room".into())
    }

    /// A command of one node.
    fn act(&mut self, id: NodeId, words: &mut Words<'_>) -> Result<Vec<String>, String> {
        let now = self.now;
        Ok(match words.next("what the node does")? {
            "online" => {
                let users = user_ids(&words.rest())?;
                let changes = users.into_iter().map(|id| PresenceChange::Online(user(id)));
                self.replica(id)?.set_local(changes.collect());
                Vec::new()
            }
            "offline" => {
                let users = user_ids(&words.rest())?;
                let changes = users.into_iter().map(|raw| {
                    PresenceChange::Offline(UserId::new(raw).expect("ids are positive"))
                });
                self.replica(id)?.set_local(changes.collect());
                Vec::new()
            }
            "publishes" => match self.replica(id)?.next_delta() {
                Some(delta) => self.send_to_all(id, &delta),
                None => vec!["nothing to publish".into()],
            },
            "announces" => {
                let announcement = self.replica(id)?.announce();
                self.send_to_all(id, &announcement)
            }
            "closes" => {
                let gone = self.replica(id)?.gone();
                let node = self.nodes.get_mut(&id).ok_or("there is no such node")?;
                (node.replica, node.users) = (None, BTreeMap::new());
                self.send_to_all(id, &gone)
            }
            "opens" => {
                let node = self.nodes.get_mut(&id).ok_or("there is no such node")?;
                if node.replica.is_some() {
                    return Err("the node has the room".into());
                }
                node.openings += 1;
                let origin = origin(id, node.openings);
                node.replica = Some(PresenceReplica::new(LiveId::FIRST, id, origin));
                let announcement = self.replica(id)?.announce();
                self.send_to_all(id, &announcement)
            }
            "doubts" => {
                self.replica(id)?.doubt(now);
                Vec::new()
            }
            "retries" => {
                let outcomes = self.replica(id)?.repeat_requests(now);
                self.perform(id, outcomes)
            }
            "forgets" => {
                let other = node_id(words.next("another node")?)?;
                let change = self.replica(id)?.forget(other);
                self.perform(id, change.map(PresenceOutcome::Peers).into_iter().collect())
            }
            other => return Err(format!("a node does not {other}")),
        })
    }

    /// Puts a message on the room's channel.
    fn send_to_all(&mut self, from: NodeId, message: &PresenceMessage) -> Vec<String> {
        let others = self.nodes.keys().copied().filter(|id| *id != from);
        let receivers: Vec<NodeId> = others.collect();
        // It comes back to its sender too.
        let (now, text) = (self.now, json(message));
        if let Ok(replica) = self.replica(from) {
            let outcomes = replica.receive(read(&text), now);
            assert!(outcomes.is_empty(), "of its own message: {outcomes:?}");
        }
        self.put_underway(&receivers, message);
        let shown = self.shown_message(message);
        vec![format!(
            "m{} n{} -> all: {shown}",
            self.messages_count, from.0
        )]
    }

    fn send_to_one(&mut self, from: NodeId, to: NodeId, message: &PresenceMessage) -> String {
        self.put_underway(&[to], message);
        let shown = self.shown_message(message);
        format!("m{} n{} -> n{}: {shown}", self.messages_count, from.0, to.0)
    }

    fn put_underway(&mut self, receivers: &[NodeId], message: &PresenceMessage) {
        self.messages_count += 1;
        let underway = receivers.iter().map(|to| SentMessage {
            number: self.messages_count,
            to: *to,
            text: json(message),
        });
        self.underway.extend(underway);
    }

    /// Takes a message, `m3` or `m3>n2`, from the network. `repeat`: it stays there as well.
    fn take(&mut self, word: &str, repeat: bool) -> Result<Vec<SentMessage>, String> {
        let (message, to) = word.split_once('>').unwrap_or((word, ""));
        let wanted: usize = number(message.trim_start_matches('m'))?;
        let to = (!to.is_empty()).then(|| node_id(to)).transpose()?;
        let is_wanted = |message: &mut SentMessage| {
            message.number == wanted && to.is_none_or(|to| to == message.to)
        };
        let taken: Vec<SentMessage> = self.underway.extract_if(.., is_wanted).collect();
        if taken.is_empty() {
            return Err(format!("{word} is not under way"));
        }
        if repeat {
            self.underway
                .extend(taken.iter().map(|message| SentMessage {
                    text: message.text.clone(),
                    ..*message
                }));
        }
        Ok(taken)
    }

    fn deliver_one(&mut self, word: &str, repeat: bool) -> Result<Vec<String>, String> {
        let taken = self.take(word, repeat)?;
        Ok(taken
            .into_iter()
            .flat_map(|message| self.arrive(message))
            .collect())
    }

    fn deliver_all(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        while !self.underway.is_empty() {
            let next = self.underway.remove(0);
            shown.extend(self.arrive(next));
        }
        shown
    }

    fn arrive(&mut self, SentMessage { number, to, text }: SentMessage) -> Vec<String> {
        let (now, message) = (self.now, read(&text));
        let mut shown = vec![format!("n{} <- m{number}", to.0)];
        let outcomes = match self.replica(to) {
            Ok(replica) => replica.receive(message, now),
            // As the engine answers for a room that it does not have.
            Err(_) => match message {
                PresenceMessage::SnapshotRequest { node, .. } => {
                    let no_room = PresenceMessage::no_room(LiveId::FIRST, to);
                    vec![PresenceOutcome::Send(NodeId(node), no_room)]
                }
                _ => Vec::new(),
            },
        };
        shown.extend(self.perform(to, outcomes));
        shown
    }

    fn perform(&mut self, at: NodeId, outcomes: Vec<PresenceOutcome>) -> Vec<String> {
        let mut shown = Vec::new();
        for outcome in outcomes {
            match outcome {
                PresenceOutcome::Send(to, message) => {
                    shown.push(self.send_to_one(at, to, &message));
                }
                PresenceOutcome::Announce => shown.push(format!("n{} is to announce itself", at.0)),
                PresenceOutcome::Peers(change) => shown.push(self.apply(at, change)),
            }
        }
        shown
    }

    /// Applies a change as the room of a node does.
    fn apply(&mut self, at: NodeId, change: PeerChange) -> String {
        let Some(node) = self.nodes.get_mut(&at) else {
            return format!("n{} is not there", at.0);
        };
        match change {
            PeerChange::Present { node: of, user } => {
                node.users.entry(of).or_default().insert(user.profile.id);
                format!("n{}: n{} +{}", at.0, of.0, name(user.profile.id))
            }
            PeerChange::Absent { node: of, user } => {
                node.users.entry(of).or_default().remove(&user);
                format!("n{}: n{} -{}", at.0, of.0, name(user))
            }
            PeerChange::All { node: of, users } => {
                let users = users.iter().map(|user| user.profile.id).collect();
                let shown = names(&users);
                node.users.insert(of, users);
                format!("n{}: n{} has {shown}", at.0, of.0)
            }
        }
    }

    fn shown_message(&self, message: &PresenceMessage) -> String {
        match message {
            PresenceMessage::Announce { count, asks, .. } => {
                let asks = if *asks { " and asks" } else { "" };
                format!("announces {count}{asks}")
            }
            PresenceMessage::Delta { count, users, .. } => {
                format!("delta {count} {}", shown_users(users))
            }
            PresenceMessage::Gone { .. } => "closed".into(),
            PresenceMessage::SnapshotRequest { .. } => "asks for a snapshot".into(),
            PresenceMessage::Snapshot {
                origin: NO_ORIGIN, ..
            } => "does not have the room".into(),
            PresenceMessage::Snapshot {
                count,
                part,
                parts,
                users,
                ..
            } => {
                let part = if *parts > 1 {
                    format!(", part {} of {parts}", part + 1)
                } else {
                    String::new()
                };
                // Their order is that of a hash map.
                format!("snapshot at {count}{part}, {} users", users.len())
            }
        }
    }

    /// The replicas that are not as they were shown last.
    fn changed_replicas(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        for (id, node) in &mut self.nodes {
            let mut states = BTreeMap::new();
            for (of, remote) in node.replica.iter().flat_map(|replica| &replica.remotes) {
                let users = node.users.get(of).cloned().unwrap_or_default();
                states.insert(*of, format!("{}: {}", state(&remote.state), names(&users)));
            }
            for of in node.shown.keys().filter(|of| !states.contains_key(of)) {
                changed.push(format!("= n{} of n{}: none", id.0, of.0));
            }
            for (of, state) in &states {
                if node.shown.get(of) != Some(state) {
                    changed.push(format!("= n{} of n{}: {state}", id.0, of.0));
                }
            }
            node.shown = states;
        }
        changed
    }
}

fn state(state: &RemoteState) -> String {
    match state {
        RemoteState::InSync {
            count,
            doubted_at: None,
        } => format!("in sync at {count}"),
        RemoteState::InSync { count, .. } => format!("doubted at {count}"),
        RemoteState::Requested { deferred, .. } if deferred.is_empty() => "requested".into(),
        RemoteState::Requested { deferred, .. } => {
            format!("requested, {} deferred", deferred.len())
        }
    }
}

/// The origin of an opening of the room on a node.
fn origin(NodeId(node): NodeId, opening: u64) -> u64 {
    node * 100 + opening
}

fn json(message: &PresenceMessage) -> String {
    serde_json::to_string(message).expect("strings and numbers are JSON")
}

fn read(text: &str) -> PresenceMessage {
    serde_json::from_str(text).expect("a message as it was written")
}

fn node_id(word: &str) -> Result<NodeId, String> {
    let id = word
        .strip_prefix('n')
        .ok_or(format!("{word} is not a node"))?;
    number(id).map(NodeId)
}

fn user_ids(words: &[&str]) -> Result<Vec<i64>, String> {
    let mut ids = Vec::new();
    for word in words {
        if let Some(at) = NAMES.iter().position(|name| name == word) {
            ids.push(at as i64 + 1);
        } else if let Some((first, last)) =
            word.strip_prefix('u').and_then(|it| it.split_once(".."))
        {
            ids.extend(NUMBERED + number::<i64>(first)?..=NUMBERED + number::<i64>(last)?);
        } else {
            return Err(format!("{word} is not a user"));
        }
    }
    Ok(ids)
}

fn name(id: UserId) -> String {
    let index = usize::try_from(id.get() - 1).expect("ids are positive");
    match NAMES.get(index) {
        Some(name) => (*name).to_owned(),
        None => format!("u{}", id.get() - NUMBERED),
    }
}

fn names(users: &BTreeSet<UserId>) -> String {
    if users.is_empty() {
        return "nobody".into();
    }
    joined(users.iter().map(|user| name(*user)).collect())
}

fn shown_users(users: &[WirePeer]) -> String {
    let change = |user: &WirePeer| match user.clone().read().expect("a user as it was written") {
        PresenceChange::Online(user) => format!("+{}", name(user.profile.id)),
        PresenceChange::Offline(user) => format!("-{}", name(user)),
    };
    joined(users.iter().map(change).collect())
}

fn joined(mut names: Vec<String>) -> String {
    if names.len() > SHOWN_MAX {
        let between = format!("({} more)", names.len() - 2);
        let count = names.len();
        names.splice(1..count - 1, [between]);
    }
    names.join(" ")
}
