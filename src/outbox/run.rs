//! Several packets in one buffer: the events of one flush of a room.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::packet::{DropPolicy, Packet};

/// The end of one frame of a [`Run`], and its drop policy.
#[derive(Debug, Clone, Copy)]
struct FrameEnd {
    end: u32,
    drop_policy: DropPolicy,
}

#[derive(Debug)]
struct Block {
    bytes: Bytes,
    ends: Vec<FrameEnd>,
}

/// A run of frames, one after the other in shared memory. It is written with one system call, and
/// keeps the end of each frame, so that single frames can be dropped for a slow member, and a
/// polling session takes them one by one.
#[derive(Debug, Clone)]
pub struct Run {
    block: Arc<Block>,
    from: usize,
    to: usize,
}

impl Run {
    /// Concatenates packets. `None` if there is none.
    pub fn of(packets: &[Packet]) -> Option<Self> {
        let bytes = match packets {
            [] => return None,
            // The usual case in a calm room: nothing to copy.
            [only] => only.frame().clone(),
            several => {
                let mut bytes = BytesMut::with_capacity(
                    several.iter().map(|packet| packet.frame().len()).sum(),
                );
                several
                    .iter()
                    .for_each(|packet| bytes.extend_from_slice(packet.frame()));
                bytes.freeze()
            }
        };
        let mut end = 0;
        let end_of = |packet: &Packet| {
            end += packet.frame().len();
            // A run holds what one flush gathered, which `FanOut` bounds far below this.
            FrameEnd {
                end: u32::try_from(end).unwrap_or(u32::MAX),
                drop_policy: packet.drop_policy(),
            }
        };
        let ends: Vec<FrameEnd> = packets.iter().map(end_of).collect();
        let to = ends.len();
        Some(Self {
            block: Arc::new(Block { bytes, ends }),
            from: 0,
            to,
        })
    }

    /// Frames in it.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The frames of `range`, counted from the beginning of this run, which must have them.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            block: self.block.clone(),
            from: self.from + range.start,
            to: self.from + range.end,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.block.bytes[self.start_of(self.from)..self.start_of(self.to)]
    }

    /// One frame of it, as a packet.
    pub fn packet(&self, index: usize) -> Packet {
        let index = self.from + index;
        let frame = self
            .block
            .bytes
            .slice(self.start_of(index)..self.start_of(index + 1));
        Packet::of_frame(frame, self.block.ends[index].drop_policy)
    }

    pub(super) fn drop_policies(&self) -> impl Iterator<Item = DropPolicy> {
        self.block.ends[self.from..self.to]
            .iter()
            .map(|frame| frame.drop_policy)
    }

    /// The drop policy of one frame, counted from the beginning of this run, which must have it.
    pub(super) fn drop_policy(&self, index: usize) -> DropPolicy {
        self.block.ends[self.from + index].drop_policy
    }

    pub(super) fn frame_len(&self, index: usize) -> usize {
        let index = self.from + index;
        self.start_of(index + 1) - self.start_of(index)
    }

    /// Removes `written` bytes from the front. Returns the remainder of a frame that was written in
    /// part.
    pub(super) fn advance(&mut self, written: usize) -> Bytes {
        let at = self.start_of(self.from) + written;
        let whole =
            self.block.ends[self.from..self.to].partition_point(|frame| frame.end as usize <= at);
        self.from += whole;
        if at == self.start_of(self.from) {
            return Bytes::new();
        }
        self.from += 1;
        self.block.bytes.slice(at..self.start_of(self.from))
    }

    fn start_of(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            None => 0,
            Some(before) => self.block.ends[before].end as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Priority;

    fn run(texts: &[&str]) -> Run {
        let packets: Vec<Packet> = texts
            .iter()
            .map(|text| Packet::text(text, Priority::Droppable))
            .collect();
        Run::of(&packets).unwrap()
    }

    fn texts(run: &Run) -> Vec<Bytes> {
        (0..run.len())
            .filter_map(|index| run.packet(index).payload())
            .collect()
    }

    #[test]
    fn a_run_is_its_frames_in_a_row() {
        let run = run(&["a", "bcd", ""]);
        assert_eq!(run.bytes(), b"\x81\x01a\x81\x03bcd\x81\x00");
        assert_eq!(texts(&run), ["a", "bcd", ""]);
        let tail = run.slice(1..3);
        assert_eq!((tail.bytes(), tail.len()), (&b"\x81\x03bcd\x81\x00"[..], 2));
        assert_eq!(texts(&tail.slice(0..1)), ["bcd"]);
        assert!(Run::of(&[]).is_none());
    }

    #[test]
    fn written_bytes_are_removed_exactly() {
        for written in 0..=11 {
            let whole = run(&["a", "bcd", "e"]);
            let mut left = whole.clone();
            let rest = left.advance(written);
            assert_eq!(
                [rest.as_ref(), left.bytes()].concat(),
                whole.bytes()[written..],
                "written={written}"
            );
        }
    }
}
