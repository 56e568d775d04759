//! Several packets in one piece of memory: what a room tells everybody at once.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::packet::{Packet, Standing};

/// Where one frame of a [`Run`] ends.
#[derive(Debug, Clone, Copy)]
struct Mark {
    end: u32,
    standing: Standing,
}

#[derive(Debug)]
struct Block {
    bytes: Bytes,
    marks: Vec<Mark>,
}

/// A run of frames, one after the other in shared memory. It is written with one system call, and
/// still knows where each frame ends: a member that falls behind loses single ones, and a polling
/// session takes them one by one.
#[derive(Debug, Clone)]
pub struct Run {
    block: Arc<Block>,
    from: usize,
    to: usize,
}

impl Run {
    /// Puts packets together. `None` if there is none.
    pub fn of(packets: &[Packet]) -> Option<Self> {
        let bytes = match packets {
            [] => return None,
            // The usual case in a calm room, and there is nothing to put together.
            [only] => only.frame().clone(),
            several => {
                let mut bytes = BytesMut::with_capacity(several.iter().map(|packet| packet.frame().len()).sum());
                several.iter().for_each(|packet| bytes.extend_from_slice(packet.frame()));
                bytes.freeze()
            }
        };
        let mut end = 0;
        let mark = |packet: &Packet| {
            end += packet.frame().len();
            // A run holds what one flush gathered, which `FanOut` bounds far below this.
            Mark { end: u32::try_from(end).unwrap_or(u32::MAX), standing: packet.standing() }
        };
        let marks: Vec<Mark> = packets.iter().map(mark).collect();
        let to = marks.len();
        Some(Self { block: Arc::new(Block { bytes, marks }), from: 0, to })
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
        Self { block: self.block.clone(), from: self.from + range.start, to: self.from + range.end }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.block.bytes[self.start_of(self.from)..self.start_of(self.to)]
    }

    /// One frame of it, for its own.
    pub fn packet(&self, index: usize) -> Packet {
        let index = self.from + index;
        let frame = self.block.bytes.slice(self.start_of(index)..self.start_of(index + 1));
        Packet::of_frame(frame, self.block.marks[index].standing)
    }

    pub(super) fn standings(&self) -> impl Iterator<Item = Standing> {
        self.block.marks[self.from..self.to].iter().map(|mark| mark.standing)
    }

    /// The standing of one frame, counted from the beginning of this run, which must have it.
    pub(super) fn standing(&self, index: usize) -> Standing {
        self.block.marks[self.from + index].standing
    }

    pub(super) fn frame_len(&self, index: usize) -> usize {
        let index = self.from + index;
        self.start_of(index + 1) - self.start_of(index)
    }

    /// Takes `written` bytes off its front. Returns what is left of the frame that this ended in.
    pub(super) fn advance(&mut self, written: usize) -> Bytes {
        let at = self.start_of(self.from) + written;
        let whole = self.block.marks[self.from..self.to].partition_point(|mark| mark.end as usize <= at);
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
            Some(before) => self.block.marks[before].end as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Lane;

    fn run(texts: &[&str]) -> Run {
        let packets: Vec<Packet> = texts.iter().map(|text| Packet::text(text, Lane::Crowd)).collect();
        Run::of(&packets).unwrap()
    }

    fn texts(run: &Run) -> Vec<Bytes> {
        (0..run.len()).filter_map(|index| run.packet(index).payload()).collect()
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
    fn what_was_written_is_taken_off_to_the_byte() {
        for written in 0..=11 {
            let whole = run(&["a", "bcd", "e"]);
            let mut left = whole.clone();
            let rest = left.advance(written);
            assert_eq!([rest.as_ref(), left.bytes()].concat(), whole.bytes()[written..], "written={written}");
        }
    }
}
