//! What nodes say to each other beside rooms, as JSON.

use serde::{Deserialize, Serialize};

use crate::cluster::{DeviceTicket, NodeReport, OverviewAsked, RoomsAsked, Signal};
use crate::domain::{LiveId, NodeId, UserId};

/// On the channel of all nodes, or to one of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "node_message", rename_all = "snake_case")]
pub enum NodeMessage {
    /// Each second: this node is here. Nodes of an older version do not say where they listen, nor
    /// show their secret.
    Heartbeat {
        node: u64,
        #[serde(default)]
        address: String,
        #[serde(default)]
        secret_check: String,
    },
    /// This node stops; what it shows stays for so long, in ms, for its users are on their way.
    Leave {
        node: u64,
        grace_ms: u64,
    },
    /// To one node, which joined in the eyes of this one: it is to announce itself in its rooms.
    /// Nodes of an older version ignore it, and do so within 30 s.
    AskAnnouncements {
        node: u64,
    },
    Signal {
        node: u64,
        signal: WireSignal,
    },
    /// A user has no `/ws` connection to this node any more. Whoever has one says so again.
    DeviceClosed {
        node: u64,
        user: i64,
    },
    /// The users with a `/ws` connection to this node, and their tickets, where one device is all
    /// that is allowed. Nodes of an older version ignore it.
    Devices {
        node: u64,
        devices: Vec<(i64, DeviceTicket)>,
    },
    /// Asks for a report to this node. Nodes of an older version neither write nor read
    /// `rooms`, and of one version before not `overview`.
    AskReport {
        node: u64,
        number: u64,
        #[serde(default)]
        rooms: RoomsAsked,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overview: Option<Box<OverviewAsked>>,
    },
    /// To the node that asked.
    Report {
        number: u64,
        report: Box<NodeReport>,
    },
}

impl NodeMessage {
    /// `None` for a report, which only the node that asked for it receives.
    pub fn sender(&self) -> Option<NodeId> {
        match self {
            Self::Heartbeat { node, .. }
            | Self::Leave { node, .. }
            | Self::AskAnnouncements { node }
            | Self::Signal { node, .. }
            | Self::DeviceClosed { node, .. }
            | Self::Devices { node, .. }
            | Self::AskReport { node, .. } => Some(NodeId(*node)),
            Self::Report { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WireSignal {
    Recheck {
        user: i64,
    },
    OtherDevice {
        user: i64,
        /// Nodes of an older version neither write nor read it.
        #[serde(default)]
        ticket: Option<DeviceTicket>,
    },
    Kick {
        live: i64,
        user: i64,
        /// It is in the room's log as well, where nodes of this version find it.
        #[serde(default)]
        is_logged: bool,
    },
    CatalogueChanged,
}

impl From<Signal> for WireSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Recheck(user) => Self::Recheck { user: user.get() },
            Signal::OtherDevice(user, ticket) => Self::OtherDevice {
                user: user.get(),
                ticket,
            },
            Signal::Kick { live_id, user } => Self::Kick {
                live: live_id.get(),
                user: user.get(),
                is_logged: true,
            },
            Signal::CatalogueChanged => Self::CatalogueChanged,
        }
    }
}

impl WireSignal {
    /// `None` for what no node writes, and for a kick that is in a room's log.
    pub fn read(self) -> Option<Signal> {
        Some(match self {
            Self::Recheck { user } => Signal::Recheck(UserId::new(user)?),
            Self::OtherDevice { user, ticket } => Signal::OtherDevice(UserId::new(user)?, ticket),
            Self::Kick {
                is_logged: true, ..
            } => return None,
            Self::Kick { live, user, .. } => Signal::Kick {
                live_id: LiveId::new(live)?,
                user: UserId::new(user)?,
            },
            Self::CatalogueChanged => Signal::CatalogueChanged,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, from_value, json, to_string, to_value};

    use super::*;
    use crate::cluster::{RoomTotals, RoomsPage};

    #[test]
    fn older_nodes_ask_for_all_rooms_and_are_answered() {
        let asked =
            from_value(json!({"node_message": "ask_report", "node": 7, "number": 1})).unwrap();
        assert!(matches!(
            asked,
            NodeMessage::AskReport {
                node: 7,
                number: 1,
                rooms: RoomsAsked::All,
                overview: None,
            }
        ));
        let page = RoomsAsked::Page(RoomsPage {
            after: 3,
            limit: 100,
        });
        let text = to_value(NodeMessage::AskReport {
            node: 7,
            number: 2,
            rooms: page.clone(),
            overview: None,
        })
        .unwrap();
        assert_eq!(
            text["rooms"],
            json!({"page": {"after": 3, "limit": 100}}),
            "an older node ignores the field"
        );
        assert!(
            matches!(from_value(text).unwrap(), NodeMessage::AskReport { rooms, .. } if rooms == page)
        );
    }

    #[test]
    fn a_kick_is_taken_from_the_signal_of_an_older_node_and_otherwise_from_the_log() {
        let kick = Signal::Kick {
            live_id: LiveId::FIRST,
            user: UserId::FIRST,
        };
        let own = to_value(WireSignal::from(kick)).unwrap();
        assert_eq!(
            own,
            json!({"kind": "kick", "live": 1, "user": 1, "is_logged": true})
        );
        assert_eq!(from_value::<WireSignal>(own).unwrap().read(), None);
        let older: WireSignal = from_value(json!({"kind": "kick", "live": 1, "user": 1})).unwrap();
        assert_eq!(older.read(), Some(kick));
    }

    #[test]
    fn a_device_of_an_older_node_has_no_ticket_and_older_nodes_read_a_device_with_one() {
        let older: WireSignal = from_value(json!({"kind": "other_device", "user": 1})).unwrap();
        assert_eq!(older.read(), Some(Signal::OtherDevice(UserId::FIRST, None)));
        let signal = Signal::OtherDevice(
            UserId::FIRST,
            Some(DeviceTicket {
                at: 5,
                node: u64::MAX,
            }),
        );
        let own = to_value(WireSignal::from(signal)).unwrap();
        assert_eq!(
            (&own["kind"], &own["user"]),
            (&json!("other_device"), &json!(1))
        );
        assert_eq!(from_value::<WireSignal>(own).unwrap().read(), Some(signal));
        let ticket = DeviceTicket {
            at: 5,
            node: u64::MAX,
        };
        let text = to_string(&NodeMessage::Devices {
            node: u64::MAX,
            devices: vec![(1, ticket)],
        })
        .unwrap();
        let read = from_str::<NodeMessage>(&text).unwrap();
        assert!(
            matches!(read, NodeMessage::Devices { node: u64::MAX, devices } if devices == [(1, ticket)])
        );
    }

    #[test]
    fn reports_of_older_nodes_are_counted_from_their_lists() {
        let room = |live_id: i64| {
            json!({
                "live_id": live_id, "title": "title", "owner_id": 1, "status": 1, "members": 3, "users": 2,
                "comments_per_s": 0.0, "gifts_per_s": 0.0, "sampled_out": 0, "coin": 0, "coins_posted": 0,
                "look_count": 0, "history_length": 0, "epoch": "e", "offset": 0, "in_flight": 0, "opened_at": 0,
            })
        };
        let report: NodeReport = from_value(json!({
            "node": "older", "address": "127.0.0.1:1", "version": "0.0.1", "started_at": 0, "alone_since": null,
            "sessions": 9, "writes_queued": 0, "rooms": [room(1), room(2)],
        }))
        .unwrap();
        assert_eq!(
            (report.next_after, report.room_totals()),
            (
                None,
                RoomTotals {
                    rooms: 2,
                    members: 6
                }
            )
        );
    }
}
