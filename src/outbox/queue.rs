//! What waits for one socket, and what gives way when it is too much.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::iter::once;

use bytes::{Buf, Bytes};

use super::Portion;
use super::packet::{Packet, Standing, State, StateKey, Superseded};
use super::run::Run;

#[derive(Debug)]
pub(super) enum Entry {
    Packet(Packet),
    Run(Run),
}

impl Entry {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Packet(packet) => packet.frame(),
            Self::Run(run) => run.bytes(),
        }
    }

    fn position(&self, wanted: impl Fn(Standing) -> bool) -> Option<usize> {
        (0..self.len()).position(|index| wanted(self.standing(index)))
    }

    fn len(&self) -> usize {
        match self {
            Self::Packet(_) => 1,
            Self::Run(run) => run.len(),
        }
    }

    fn standing(&self, index: usize) -> Standing {
        match self {
            Self::Packet(packet) => packet.standing(),
            Self::Run(run) => run.standing(index),
        }
    }

    /// The states among its frames.
    fn states(&self) -> Vec<StateKey> {
        let states = (0..self.len()).filter_map(|index| self.standing(index).state);
        states.map(|state| state.key).collect()
    }
}

/// Frames in the order they will be written. An entry is what one member is told at once: one
/// packet, or a run of them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The end of a frame whose beginning was written: it must follow, whatever is dropped.
    rest: Bytes,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.entries.is_empty()
    }

    /// Entries, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len() + usize::from(!self.rest.is_empty()), self.bytes)
    }

    /// Puts bytes before everything else that is to be written.
    pub(super) fn begin_with(&mut self, rest: Bytes) {
        self.bytes += rest.len() - self.rest.len();
        self.rest = rest;
    }

    /// Queues; a state removes an earlier one with its key that says nothing else.
    pub(super) fn push(&mut self, entry: Entry) {
        for key in entry.states() {
            self.drop_first(|standing| standing.state == Some(State { key, superseded: Superseded::Removed }));
        }
        self.bytes += entry.bytes().len();
        self.entries.push_back(entry);
    }

    /// Drops an event of the crowd or a state that a later one supersedes, whichever is seen first from
    /// the oldest frame on: the search ends there, so a full queue costs no more than a look at its front.
    pub(super) fn drop_oldest_crowd(&mut self) -> bool {
        let found = self.oldest_crowd();
        found.is_some_and(|(at, index)| self.drop_frame(at, index))
    }

    fn oldest_crowd(&self) -> Option<(usize, usize)> {
        let mut latest: Vec<(StateKey, (usize, usize))> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            for index in 0..entry.len() {
                let standing = entry.standing(index);
                if standing.is_crowd_event() {
                    return Some((at, index));
                }
                let Some(State { key, .. }) = standing.state else { continue };
                if let Some((_, superseded)) = latest.iter().find(|(known, _)| *known == key) {
                    return Some(*superseded);
                }
                latest.push((key, (at, index)));
            }
        }
        None
    }

    pub(super) fn drop_oldest_state(&mut self) -> bool {
        self.drop_first(|standing| standing.state.is_some())
    }

    fn drop_first(&mut self, wanted: impl Fn(Standing) -> bool) -> bool {
        let found = self.entries.iter().enumerate().find_map(|(at, entry)| Some((at, entry.position(&wanted)?)));
        found.is_some_and(|(at, index)| self.drop_frame(at, index))
    }

    fn drop_frame(&mut self, at: usize, index: usize) -> bool {
        match self.entries.remove(at) {
            Some(Entry::Packet(packet)) => self.bytes -= packet.frame().len(),
            Some(Entry::Run(run)) => {
                self.bytes -= run.frame_len(index);
                let halves = [run.slice(index + 1..run.len()), run.slice(0..index)];
                for half in halves.into_iter().filter(|half| !half.is_empty()) {
                    self.entries.insert(at, Entry::Run(half));
                }
            }
            None => {}
        }
        true
    }

    /// Forgets all but the end of a frame whose beginning the peer has.
    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = self.rest.len();
    }

    /// What is to be written next, as far as there is room in `slices`. Returns how many are filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = once(&*self.rest).filter(|rest| !rest.is_empty());
        let waiting = rest.chain(self.entries.iter().map(Entry::bytes));
        slices.iter_mut().zip(waiting).map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count()
    }

    /// Takes off what was written.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        let from_rest = written.min(self.rest.len());
        self.rest.advance(from_rest);
        written -= from_rest;
        while written > 0 {
            let Some(mut entry) = self.entries.pop_front() else { return };
            if let Some(left) = written.checked_sub(entry.bytes().len()) {
                written = left;
                continue;
            }
            match &mut entry {
                Entry::Packet(packet) => self.rest = packet.frame().slice(written..),
                Entry::Run(run) => {
                    self.rest = run.advance(written);
                    if !run.is_empty() {
                        self.entries.push_front(entry);
                    }
                }
            }
            return;
        }
        if self.is_empty() {
            // An idle member holds no memory.
            self.entries = VecDeque::new();
            self.rest = Bytes::new();
        }
    }

    pub(super) fn take_bytes(&mut self) -> Bytes {
        let waiting = once(&*self.rest).chain(self.entries.iter().map(Entry::bytes));
        let bytes = waiting.collect::<Vec<_>>().concat().into();
        *self = Self::default();
        bytes
    }

    /// Moves at least one packet, and more as far as `portion` goes, into `into`.
    pub(super) fn take(&mut self, portion: Portion, into: &mut Vec<Packet>) {
        let (mut packets, mut bytes) = (0, 0);
        while let Some(entry) = self.entries.front_mut() {
            let packet = match entry {
                Entry::Packet(packet) => packet.clone(),
                Entry::Run(run) => run.packet(0),
            };
            let len = packet.frame().len();
            if packets > 0 && (packets == portion.packets_max || bytes + len > portion.bytes_max) {
                break;
            }
            packets += 1;
            bytes += len;
            self.bytes -= len;
            into.push(packet);
            match entry {
                Entry::Run(run) if run.len() > 1 => *run = run.slice(1..run.len()),
                _ => {
                    self.entries.pop_front();
                }
            }
        }
    }
}
