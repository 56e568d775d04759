//! One node: the order of a room is the room's own counter.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::RngExt;

use crate::clock::Clock;
use crate::domain::{Epoch, LiveId, Offset, Position, RoomEvent, Sequenced, Timestamp};

use super::{Broker, RoomLog};

/// Orders events in this process.
pub struct MemoryBroker {
    history: HistoryLimits,
    clock: Arc<dyn Clock>,
}

/// What is kept for members that come back; whichever is reached first.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLimits {
    pub events_max: usize,
    pub age_ms: i64,
}

impl MemoryBroker {
    pub fn new(history: HistoryLimits, clock: Arc<dyn Clock>) -> Self {
        Self { history, clock }
    }
}

impl Broker for MemoryBroker {
    fn open(&self, _live_id: LiveId, _delivered: Box<dyn Fn(Vec<Sequenced>) + Send + Sync>) -> Box<dyn RoomLog> {
        Box::new(MemoryLog {
            epoch: new_epoch(),
            offset: 0,
            history: self.history,
            recent: VecDeque::new(),
            clock: self.clock.clone(),
        })
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
    history: HistoryLimits,
    recent: VecDeque<(Timestamp, Sequenced)>,
    clock: Arc<dyn Clock>,
}

impl MemoryLog {
    fn trim(&mut self, now: Timestamp) {
        let too_old = |at: Timestamp| now.since(at) > self.history.age_ms;
        while self.recent.len() > self.history.events_max || self.recent.front().is_some_and(|(at, _)| too_old(*at)) {
            self.recent.pop_front();
        }
    }
}

impl RoomLog for MemoryLog {
    fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    fn append(&mut self, event: RoomEvent) -> Option<Sequenced> {
        self.offset += 1;
        let sequenced = Sequenced { epoch: self.epoch.clone(), offset: self.offset, event };
        let now = self.clock.now();
        self.recent.push_back((now, sequenced.clone()));
        self.trim(now);
        Some(sequenced)
    }

    fn recent(&self) -> Vec<Sequenced> {
        self.recent.iter().map(|(_, sequenced)| sequenced.clone()).collect()
    }

    fn recent_count(&self) -> usize {
        self.recent.len()
    }
}
