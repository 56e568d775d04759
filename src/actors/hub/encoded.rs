//! Something for all members, encoded at most once per wire form.

use std::sync::OnceLock;

use crate::domain::{Lane, Presence, Sequenced};
use crate::outbox::Packet;
use crate::protocol::{Dialect, event_text, presence_text};

/// What all members of a room are told. The first hub that needs a wire form makes it, the others
/// share its bytes.
#[derive(Debug)]
pub struct Encoded {
    what: What,
    lane: Lane,
    packets: [OnceLock<Packet>; Dialect::COUNT],
}

#[derive(Debug)]
enum What {
    Event(Sequenced),
    Presence(Presence),
}

impl Encoded {
    pub fn event(sequenced: Sequenced, lane: Lane) -> Self {
        Self::new(What::Event(sequenced), lane)
    }

    pub fn presence(presence: Presence) -> Self {
        Self::new(What::Presence(presence), Lane::Crowd)
    }

    fn new(what: What, lane: Lane) -> Self {
        Self { what, lane, packets: Default::default() }
    }

    /// The packet in the form that `dialect` speaks.
    pub fn packet(&self, dialect: Dialect) -> Packet {
        let packet = self.packets[dialect.index()].get_or_init(|| {
            let text = match &self.what {
                What::Event(sequenced) => event_text(dialect, sequenced),
                What::Presence(presence) => presence_text(dialect, presence),
            };
            Packet::text(&text, self.lane)
        });
        packet.clone()
    }
}
