//! The one device of each user, if only one is allowed (`auth.single_device`).
//!
//! Each `/ws` connection gets a ticket when it opens, and of two connections of a user the one with
//! the higher ticket stays. All nodes compare the same tickets, so two connections that open in the
//! same moment leave exactly one, and it does not matter in which order, how often or how late
//! nodes receive them.
//!
//! | input | no device here | a device with a lower ticket | a device with a higher ticket |
//! |---|---|---|---|
//! | a connection opens here | it is the device | it replaces the device | cannot be: tickets only grow |
//! | a ticket of another node | recorded | the device ends | this node answers with its ticket |
//! | the device's connection ends | - | no device is left | the same |

use std::collections::HashMap;

use crate::cluster::DeviceTicket;
use crate::domain::{NodeId, SessionId, Timestamp, UserId};

/// The devices of this node. As many as it has `/ws` sessions at most.
pub struct SingleDevices {
    node: NodeId,
    /// The highest time of any ticket that was issued or received: the clock of a node may be
    /// behind.
    latest_at: i64,
    by_user: HashMap<UserId, (DeviceTicket, SessionId)>,
}

/// The outcome of comparing a ticket of another node.
#[derive(Debug, PartialEq, Eq)]
pub enum Contest {
    /// The user has no device here.
    Unknown,
    /// The device of this node is the later one.
    Stays(DeviceTicket),
    /// This session was the device of this node, and the other node has a later one.
    Ends(SessionId),
}

impl SingleDevices {
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            latest_at: 0,
            by_user: HashMap::new(),
        }
    }

    /// Makes a session the device of its user. Returns its ticket, and the session that was the
    /// device before.
    pub fn claim(
        &mut self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
    ) -> (DeviceTicket, Option<SessionId>) {
        self.latest_at = now.0.max(self.latest_at.saturating_add(1));
        let ticket = DeviceTicket {
            at: self.latest_at,
            node: self.node.0,
        };
        let before = self.by_user.insert(user, (ticket, session));
        (
            ticket,
            before
                .map(|(_, before)| before)
                .filter(|before| *before != session),
        )
    }

    /// The session ended.
    pub fn release(&mut self, user: UserId, session: SessionId) {
        if self
            .by_user
            .get(&user)
            .is_some_and(|(_, device)| *device == session)
        {
            self.by_user.remove(&user);
        }
    }

    /// Compares with the ticket of a device of another node. Without a ticket, from a node of the
    /// version before, that device is the later one.
    pub fn compare(&mut self, user: UserId, other: Option<DeviceTicket>) -> Contest {
        if let Some(other) = other {
            self.latest_at = self.latest_at.max(other.at);
        }
        match self.by_user.get(&user) {
            None => Contest::Unknown,
            Some((own, _)) if other.is_some_and(|other| other <= *own) => Contest::Stays(*own),
            Some((_, session)) => {
                let session = *session;
                self.by_user.remove(&user);
                Contest::Ends(session)
            }
        }
    }

    /// The users with a device here, and their tickets.
    pub fn held(&self) -> Vec<(UserId, DeviceTicket)> {
        self.by_user
            .iter()
            .map(|(user, (ticket, _))| (*user, *ticket))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::FIRST;
    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn a_later_connection_replaces_the_earlier_one_also_in_the_same_millisecond() {
        let mut devices = SingleDevices::new(NodeId(1));
        let (first, none) = devices.claim(USER, SessionId(1), NOW);
        let (second, before) = devices.claim(USER, SessionId(2), NOW);
        assert!(second > first);
        assert_eq!((none, before), (None, Some(SessionId(1))));
        devices.release(USER, SessionId(1));
        assert_eq!(
            devices.held(),
            [(USER, second)],
            "the end of the earlier session changes nothing"
        );
        devices.release(USER, SessionId(2));
        assert_eq!(devices.held(), []);
    }

    #[test]
    fn of_two_nodes_with_a_device_each_exactly_one_keeps_it_whatever_their_clocks_show() {
        for (one_at, two_at) in [(1_000, 1_000), (1_000, 1_001), (1_001, 1_000)] {
            let (mut one, mut two) = (SingleDevices::new(NodeId(1)), SingleDevices::new(NodeId(2)));
            let (at_one, _) = one.claim(USER, SessionId(1), Timestamp(one_at));
            let (at_two, _) = two.claim(USER, SessionId(1), Timestamp(two_at));
            let outcomes = [
                one.compare(USER, Some(at_two)),
                two.compare(USER, Some(at_one)),
            ];
            let ended = outcomes
                .iter()
                .filter(|outcome| **outcome == Contest::Ends(SessionId(1)))
                .count();
            assert_eq!(ended, 1, "{outcomes:?}");
            // A ticket that arrives again has no effect.
            let again = [
                one.compare(USER, Some(at_two)),
                two.compare(USER, Some(at_one)),
            ];
            assert!(
                again
                    .iter()
                    .all(|outcome| !matches!(outcome, Contest::Ends(_))),
                "{again:?}"
            );
            assert_eq!(one.held().len() + two.held().len(), 1);
        }
    }

    #[test]
    fn a_connection_that_opens_later_has_the_higher_ticket_although_its_node_is_behind() {
        let (mut ahead, mut behind) =
            (SingleDevices::new(NodeId(2)), SingleDevices::new(NodeId(1)));
        let (first, _) = ahead.claim(USER, SessionId(1), Timestamp(9_000));
        assert_eq!(behind.compare(USER, Some(first)), Contest::Unknown);
        let (second, _) = behind.claim(USER, SessionId(1), NOW);
        assert_eq!(
            ahead.compare(USER, Some(second)),
            Contest::Ends(SessionId(1))
        );
    }

    #[test]
    fn a_device_of_the_version_before_is_the_later_one() {
        let mut devices = SingleDevices::new(NodeId(1));
        devices.claim(USER, SessionId(1), NOW);
        assert_eq!(devices.compare(USER, None), Contest::Ends(SessionId(1)));
        assert_eq!(devices.compare(USER, None), Contest::Unknown);
    }
}
