//! Something for all members, encoded at most once per wire form.

use std::sync::{Arc, OnceLock};

use crate::actors::consoles::BatchProbe;
use crate::domain::{CrowdRate, LiveId, Presence, Priority, Sequenced};
use crate::outbox::{DropPolicy, KeyedState, Packet, Run, StateKey, Superseded};
use crate::protocol::{Dialect, event_text, presence_text, rate_text};

/// An event or announcement for all members of a room. The first hub that needs a wire form encodes
/// it, the others share its bytes.
#[derive(Debug)]
pub struct Encoded {
    what: What,
    drop_policy: DropPolicy,
    packets: [OnceLock<Packet>; Dialect::COUNT],
}

#[derive(Debug)]
enum What {
    Event(Sequenced),
    Presence(Arc<Presence>),
    Rate(LiveId, CrowdRate),
}

impl Encoded {
    pub fn event(sequenced: Sequenced, priority: Priority) -> Self {
        Self::new(What::Event(sequenced), priority.into())
    }

    /// A presence that lists the users says who is there, so of a member that is behind the latest
    /// is kept longest. In the full tier each also reports who came or left, which later ones do
    /// not repeat.
    pub fn presence(presence: Arc<Presence>) -> Self {
        let key = StateKey(presence.live_id.get().unsigned_abs());
        let superseded = if presence.announces_each_change {
            Superseded::Delivered
        } else {
            Superseded::Removed
        };
        let state = presence
            .users
            .is_some()
            .then_some(KeyedState { key, superseded });
        Self::new(
            What::Presence(presence),
            DropPolicy {
                priority: Priority::Droppable,
                state,
            },
        )
    }

    pub fn rate(live_id: LiveId, rate: CrowdRate) -> Self {
        // Lives count from 1, so the complement of an id is not the key of another live's presence.
        let key = StateKey(!live_id.get().unsigned_abs());
        let state = Some(KeyedState {
            key,
            superseded: Superseded::Removed,
        });
        Self::new(
            What::Rate(live_id, rate),
            DropPolicy {
                priority: Priority::Droppable,
                state,
            },
        )
    }

    fn new(what: What, drop_policy: DropPolicy) -> Self {
        Self {
            what,
            drop_policy,
            packets: Default::default(),
        }
    }

    /// The event, if it is one.
    pub fn sequenced(&self) -> Option<&Sequenced> {
        match &self.what {
            What::Event(sequenced) => Some(sequenced),
            What::Presence(_) | What::Rate(..) => None,
        }
    }

    pub fn priority(&self) -> Priority {
        self.drop_policy.priority
    }

    /// The packet in the form that `dialect` speaks.
    pub fn packet(&self, dialect: Dialect) -> Packet {
        let packet = self.packets[dialect.index()].get_or_init(|| {
            let text = match &self.what {
                What::Event(sequenced) => event_text(dialect, sequenced),
                What::Presence(presence) => presence_text(dialect, presence),
                What::Rate(live_id, rate) => rate_text(dialect, *live_id, *rate),
            };
            Packet::text(&text, self.drop_policy)
        });
        packet.clone()
    }
}

/// The events that a room gathered for all its members until it handed them over: in each wire form
/// one run of frames, made by the first hub that needs it.
#[derive(Debug)]
pub struct Gathered {
    events: Vec<Arc<Encoded>>,
    runs: [OnceLock<Option<Run>>; Dialect::COUNT],
    /// Set if a console looks at the room.
    probe: Option<BatchProbe>,
}

impl Gathered {
    pub fn new(events: Vec<Arc<Encoded>>, probe: Option<BatchProbe>) -> Self {
        Self {
            events,
            runs: Default::default(),
            probe,
        }
    }

    /// Measures what the batch costs, if a console looks at the room.
    pub fn probe(&self) -> Option<&BatchProbe> {
        self.probe.as_ref()
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// All of it in the form that `dialect` speaks; `None` if there is nothing.
    pub fn run(&self, dialect: Dialect) -> Option<&Run> {
        let make = || {
            let packets: Vec<Packet> = self
                .events
                .iter()
                .map(|encoded| encoded.packet(dialect))
                .collect();
            Run::of(&packets)
        };
        self.runs[dialect.index()]
            .get_or_init(|| match &self.probe {
                None => make(),
                Some(probe) => probe.encoding(make),
            })
            .as_ref()
    }
}
