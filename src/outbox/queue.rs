//! The queue of one socket, and the order in which packets are dropped at its bound.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::iter::once;

use bytes::{Buf, Bytes};

use super::DrainLimits;
use super::packet::{DropPolicy, KeyedState, Packet, StateKey, Superseded};
use super::run::Run;

#[derive(Debug)]
pub(super) enum QueueItem {
    Packet(Packet),
    Run(Run),
}

impl QueueItem {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Packet(packet) => packet.frame(),
            Self::Run(run) => run.bytes(),
        }
    }

    fn position(&self, wanted: impl Fn(DropPolicy) -> bool) -> Option<usize> {
        (0..self.len()).position(|index| wanted(self.drop_policy(index)))
    }

    fn len(&self) -> usize {
        match self {
            Self::Packet(_) => 1,
            Self::Run(run) => run.len(),
        }
    }

    fn drop_policy(&self, index: usize) -> DropPolicy {
        match self {
            Self::Packet(packet) => packet.drop_policy(),
            Self::Run(run) => run.drop_policy(index),
        }
    }

    /// The states among its frames.
    fn states(&self) -> Vec<StateKey> {
        let states = (0..self.len()).filter_map(|index| self.drop_policy(index).state);
        states.map(|state| state.key).collect()
    }
}

/// Frames in the order they will be written. An item is one push: a packet, or a run of packets.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The remainder of a frame that was written in part: it must follow, whatever is dropped.
    partial_frame: Bytes,
    items: VecDeque<QueueItem>,
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.partial_frame.is_empty() && self.items.is_empty()
    }

    /// The number of items, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (
            self.items.len() + usize::from(!self.partial_frame.is_empty()),
            self.bytes,
        )
    }

    /// Puts bytes before all queued ones.
    pub(super) fn set_prefix(&mut self, partial_frame: Bytes) {
        self.bytes += partial_frame.len() - self.partial_frame.len();
        self.partial_frame = partial_frame;
    }

    /// Queues an item; a state removes an earlier one with the same key if that is to be removed
    /// when superseded.
    pub(super) fn push(&mut self, item: QueueItem) {
        for key in item.states() {
            self.drop_first(|drop_policy| {
                drop_policy.state
                    == Some(KeyedState {
                        key,
                        superseded: Superseded::Removed,
                    })
            });
        }
        self.bytes += item.bytes().len();
        self.items.push_back(item);
    }

    /// Drops the oldest droppable event or superseded state. The search ends at the first match, so
    /// a full queue costs little more than a look at its front.
    pub(super) fn drop_oldest_droppable(&mut self) -> bool {
        let found = self.oldest_droppable();
        found.is_some_and(|(at, index)| self.drop_frame(at, index))
    }

    fn oldest_droppable(&self) -> Option<(usize, usize)> {
        let mut latest: Vec<(StateKey, (usize, usize))> = Vec::new();
        for (at, item) in self.items.iter().enumerate() {
            for index in 0..item.len() {
                let drop_policy = item.drop_policy(index);
                if drop_policy.is_droppable_event() {
                    return Some((at, index));
                }
                let Some(KeyedState { key, .. }) = drop_policy.state else {
                    continue;
                };
                if let Some((_, superseded)) = latest.iter().find(|(known, _)| *known == key) {
                    return Some(*superseded);
                }
                latest.push((key, (at, index)));
            }
        }
        None
    }

    pub(super) fn drop_oldest_state(&mut self) -> bool {
        self.drop_first(|drop_policy| drop_policy.state.is_some())
    }

    fn drop_first(&mut self, wanted: impl Fn(DropPolicy) -> bool) -> bool {
        let found = self
            .items
            .iter()
            .enumerate()
            .find_map(|(at, item)| Some((at, item.position(&wanted)?)));
        found.is_some_and(|(at, index)| self.drop_frame(at, index))
    }

    fn drop_frame(&mut self, at: usize, index: usize) -> bool {
        match self.items.remove(at) {
            Some(QueueItem::Packet(packet)) => self.bytes -= packet.frame().len(),
            Some(QueueItem::Run(run)) => {
                self.bytes -= run.frame_len(index);
                let halves = [run.slice(index + 1..run.len()), run.slice(0..index)];
                for half in halves.into_iter().filter(|half| !half.is_empty()) {
                    self.items.insert(at, QueueItem::Run(half));
                }
            }
            None => {}
        }
        true
    }

    /// Clears all but the remainder of a frame that the peer has in part.
    pub(super) fn clear(&mut self) {
        self.items = VecDeque::new();
        self.bytes = self.partial_frame.len();
    }

    /// Fills `slices` with the next bytes to write. Returns how many are filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let partial_frame =
            once(&*self.partial_frame).filter(|partial_frame| !partial_frame.is_empty());
        let waiting = partial_frame.chain(self.items.iter().map(QueueItem::bytes));
        slices
            .iter_mut()
            .zip(waiting)
            .map(|(slice, bytes)| *slice = IoSlice::new(bytes))
            .count()
    }

    /// Removes `written` bytes from the front.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        let from_partial = written.min(self.partial_frame.len());
        self.partial_frame.advance(from_partial);
        written -= from_partial;
        while written > 0 {
            let Some(mut item) = self.items.pop_front() else {
                return;
            };
            if let Some(left) = written.checked_sub(item.bytes().len()) {
                written = left;
                continue;
            }
            match &mut item {
                QueueItem::Packet(packet) => self.partial_frame = packet.frame().slice(written..),
                QueueItem::Run(run) => {
                    self.partial_frame = run.advance(written);
                    if !run.is_empty() {
                        self.items.push_front(item);
                    }
                }
            }
            return;
        }
        if self.is_empty() {
            // An idle member holds no memory.
            self.items = VecDeque::new();
            self.partial_frame = Bytes::new();
        }
    }

    pub(super) fn take_bytes(&mut self) -> Bytes {
        let waiting = once(&*self.partial_frame).chain(self.items.iter().map(QueueItem::bytes));
        let bytes = waiting.collect::<Vec<_>>().concat().into();
        *self = Self::default();
        bytes
    }

    /// Moves at least one packet, and more as far as `limits` goes, into `into`.
    pub(super) fn take(&mut self, limits: DrainLimits, into: &mut Vec<Packet>) {
        let (mut packets, mut bytes) = (0, 0);
        while let Some(item) = self.items.front_mut() {
            let packet = match item {
                QueueItem::Packet(packet) => packet.clone(),
                QueueItem::Run(run) => run.packet(0),
            };
            let len = packet.frame().len();
            if packets > 0 && (packets == limits.packets_max || bytes + len > limits.bytes_max) {
                break;
            }
            packets += 1;
            bytes += len;
            self.bytes -= len;
            into.push(packet);
            match item {
                QueueItem::Run(run) if run.len() > 1 => *run = run.slice(1..run.len()),
                _ => {
                    self.items.pop_front();
                }
            }
        }
    }
}
