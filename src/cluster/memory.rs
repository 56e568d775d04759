//! One node: the order of a room is the room's own counter.

use rand::RngExt;

use crate::domain::{Epoch, LiveId, Offset, Position, RoomEvent, Sequenced};

use super::{Broker, RoomLog};

/// Orders events in this process, at once.
pub struct MemoryBroker;

impl Broker for MemoryBroker {
    fn open(&self, _live_id: LiveId, _delivered: Box<dyn Fn(Vec<Sequenced>) + Send + Sync>) -> Box<dyn RoomLog> {
        Box::new(MemoryLog { epoch: new_epoch(), offset: 0 })
    }
}

/// A name no other epoch of any room has: 96 random bits in base 36.
fn new_epoch() -> Epoch {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rng = rand::rng();
    (0..19).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect::<String>().into()
}

struct MemoryLog {
    epoch: Epoch,
    offset: Offset,
}

impl RoomLog for MemoryLog {
    fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    fn append(&mut self, event: RoomEvent) -> Option<Sequenced> {
        self.offset += 1;
        Some(Sequenced { epoch: self.epoch.clone(), offset: self.offset, event })
    }
}
