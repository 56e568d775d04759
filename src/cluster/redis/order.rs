//! One room's events on one node, from here into the shared log and from there to the room's members:
//! a state machine without a connection or a clock.
//!
//! **Following.** What the room appends waits, goes to Redis in batches, one at a time, and is told
//! when it has its place. Batches say after which place they come, so what was missed is noticed, and
//! looked up in the log before anything later is told.
//!
//! **Alone.** Redis is away for too long: whatever waits is told at once, in an epoch of this node's
//! own, and noted. When Redis is back the room *heals*: one call of the script appends what was noted
//! to the log, as the beginning of a new shared epoch, and returns what others said meanwhile, which
//! is told in this node's own epoch. From there on the room follows again. So no member is told an
//! event twice, none meets a gap inside an epoch, and other nodes' members hear all that was noted.
//! A log that was lost, or fell back to an older state, is healed in the same way.
//!
//! Whatever the network does, each event has one effect on the log: the script counts the events of
//! each origin. And each is told once here: told events are remembered by their marks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::warn;

use super::entries::{Answer, Batch, Entry, Known, Mark, Place};
use crate::cluster::FromLog;
use crate::cluster::memory::new_epoch;
use crate::domain::{BoundedMap, Epoch, GiftRecordId, Position, RoomEvent, Sequenced, Timestamp};
use crate::protocol::{read_event, write_event};

/// Events of one batch.
pub const BATCH_MAX: usize = 512;
/// Events told alone that are noted for the others; beyond, the oldest comment is given up first.
const NOTED_MAX: usize = 1_024;
/// Marks of told events that are remembered: more than any look returns.
const TOLD_MAX: usize = 4_096;
/// Events that a look returns at most: all that the log keeps.
pub const LOOK_MAX: usize = 2_048;

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub count: u64,
    pub event: RoomEvent,
    /// When it was appended, for the others.
    pub at: Timestamp,
    since: Instant,
}

impl Waiting {
    /// The only event of an origin.
    pub fn first(event: RoomEvent, at: Timestamp) -> Self {
        Self { count: 1, event, at, since: Instant::now() }
    }

    /// The gift record that it announces.
    pub fn record(&self) -> Option<GiftRecordId> {
        match &self.event {
            RoomEvent::Gift { receipt, .. } => Some(receipt.record_id),
            _ => None,
        }
    }

    pub fn line(&self) -> String {
        write_event(&self.event, self.at)
    }
}

/// What to ask of Redis next. One question at a time.
#[derive(Debug)]
pub struct Question {
    /// Comes back with the answer: late answers are no answers.
    pub number: u64,
    pub known: Option<Known>,
    pub renew: bool,
    /// How much of what was missed to tell.
    pub fill: usize,
    pub batch: Vec<Waiting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Append,
    Look,
    Heal,
}

/// One room's order.
#[derive(Debug)]
pub struct RoomOrder {
    origin: u64,
    count: u64,
    known: Option<Known>,
    waiting: VecDeque<Waiting>,
    /// The batch that is being appended, or whose fate is unknown: it is repeated as it was.
    in_flight: Vec<Waiting>,
    /// Appended behind others' events, and told when those are.
    behind: Vec<Waiting>,
    asked: Option<Asked>,
    questions_count: u64,
    must_look: bool,
    /// The newest place that was published, where it could not be followed.
    heard: Place,
    opened_at: Timestamp,
    /// This node's own epoch and count, while it is alone.
    alone: Option<(Epoch, u64)>,
    noted: VecDeque<Waiting>,
    told: Told,
    out: Vec<FromLog>,
}

/// Marks of told events, the newest; and the gifts that were told alone, which another node may have
/// announced too.
#[derive(Debug)]
struct Told {
    marks: BoundedMap<Mark, ()>,
    gifts: BoundedMap<GiftRecordId, ()>,
}

impl Default for Told {
    fn default() -> Self {
        Self { marks: BoundedMap::new(TOLD_MAX), gifts: BoundedMap::new(NOTED_MAX) }
    }
}

impl Told {
    /// False if it was told before.
    fn note(&mut self, mark: Mark) -> bool {
        if self.marks.contains_key(&mark) {
            return false;
        }
        self.marks.insert(mark, ());
        true
    }

    /// False for a gift that was told before.
    fn note_gift(&mut self, event: &RoomEvent) -> bool {
        let RoomEvent::Gift { receipt, .. } = event else { return true };
        if self.gifts.contains_key(&receipt.record_id) {
            return false;
        }
        self.gifts.insert(receipt.record_id, ());
        true
    }
}

impl RoomOrder {
    /// A room of which nothing is known yet.
    pub fn new(origin: u64, opened_at: Timestamp) -> Self {
        Self {
            origin,
            count: 0,
            known: None,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            behind: Vec::new(),
            asked: None,
            questions_count: 0,
            must_look: false,
            heard: Place::default(),
            opened_at,
            alone: None,
            noted: VecDeque::new(),
            told: Told::default(),
            out: Vec::new(),
        }
    }

    /// Where members stand: what they are told next comes after it. `None` before the log was seen.
    pub fn position(&self) -> Option<Position> {
        match (&self.alone, &self.known) {
            (Some((epoch, offset)), _) => Some(Position { epoch: epoch.clone(), offset: *offset }),
            (None, Some(known)) => Some(Position { epoch: known.epoch.clone(), offset: known.place.offset }),
            (None, None) => None,
        }
    }

    pub fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// What to tell the room since this was last asked.
    pub fn take_out(&mut self) -> Vec<FromLog> {
        std::mem::take(&mut self.out)
    }

    /// Takes in an event of this node.
    pub fn append(&mut self, event: RoomEvent, at: Timestamp, now: Instant) {
        self.count += 1;
        let waiting = Waiting { count: self.count, event, at, since: now };
        // While the room heals, what comes waits for the outcome: it belongs into the new epoch.
        if self.alone.is_some() && self.asked != Some(Asked::Heal) {
            self.tell_alone(waiting);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    /// Whether there is nothing to ask and nothing under way: time alone changes nothing.
    pub fn is_at_rest(&self) -> bool {
        self.known.is_some()
            && self.asked.is_none()
            && !self.must_look
            && self.alone.is_none()
            && self.waiting.is_empty()
            && self.in_flight.is_empty()
    }

    /// Events that have no place yet.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// How long the oldest of them waits.
    pub fn waits_for(&self, now: Instant) -> Duration {
        let oldest = self.in_flight.first().or(self.waiting.front());
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest.since))
    }

    /// Something was missed, perhaps.
    pub fn look(&mut self) {
        self.must_look = true;
    }

    /// Goes on alone, until it heals.
    pub fn go_alone(&mut self) {
        if self.alone.is_none() {
            self.alone = Some((new_epoch(), 0));
        }
        // An answer that still comes is no answer any more: healing finds out what became of it.
        self.asked = None;
        let left = self.behind.drain(..).chain(self.in_flight.drain(..)).chain(self.waiting.drain(..));
        for waiting in left.collect::<Vec<_>>() {
            self.tell_alone(waiting);
        }
    }

    fn tell_alone(&mut self, waiting: Waiting) {
        if !self.told.note(Mark { origin: self.origin, count: waiting.count }) {
            // It was published, and told then; only the answer never came.
            return;
        }
        self.told.note_gift(&waiting.event);
        self.tell_in_own_epoch(waiting.event.clone());
        if self.noted.len() == NOTED_MAX {
            let comment = self.noted.iter().position(|noted| matches!(noted.event, RoomEvent::Comment(_)));
            self.noted.remove(comment.unwrap_or(0));
        }
        self.noted.push_back(waiting);
    }

    fn tell_in_own_epoch(&mut self, event: RoomEvent) {
        let Some((epoch, offset)) = &mut self.alone else { return };
        *offset += 1;
        let sequenced = Sequenced { epoch: epoch.clone(), offset: *offset, event };
        self.tell(sequenced);
    }

    fn tell(&mut self, sequenced: Sequenced) {
        match self.out.last_mut() {
            Some(FromLog::Ordered(events)) => events.push(sequenced),
            _ => self.out.push(FromLog::Ordered(vec![sequenced])),
        }
    }

    /// What to ask now, if anything and if nothing is asked already. The answer goes to
    /// [`RoomOrder::answered`] or [`RoomOrder::failed`]. Comments noted before `since` are given up:
    /// nobody wants to hear them so late.
    pub fn ask(&mut self, since: Timestamp) -> Option<Question> {
        if self.asked.is_some() {
            return None;
        }
        self.questions_count += 1;
        let (number, known) = (self.questions_count, self.known.clone());
        if self.alone.is_some() {
            self.asked = Some(Asked::Heal);
            self.noted.retain(|noted| noted.at >= since || !matches!(noted.event, RoomEvent::Comment(_)));
            let batch = self.noted.iter().cloned().collect();
            return Some(Question { number, known, renew: true, fill: LOOK_MAX, batch });
        }
        if self.must_look || known.is_none() {
            self.must_look = false;
            self.asked = Some(Asked::Look);
            return Some(Question { number, known, renew: false, fill: LOOK_MAX, batch: Vec::new() });
        }
        if self.in_flight.is_empty() {
            self.in_flight = self.waiting.drain(..self.waiting.len().min(BATCH_MAX)).collect();
        }
        if self.in_flight.is_empty() {
            return None;
        }
        self.asked = Some(Asked::Append);
        Some(Question { number, known, renew: false, fill: 0, batch: self.in_flight.clone() })
    }

    /// The question found no answer.
    pub fn failed(&mut self, number: u64) {
        if number != self.questions_count {
            return;
        }
        match self.asked.take() {
            // It is not known whether it was done. It is asked again, or found out by healing.
            Some(Asked::Append) | None => {}
            Some(Asked::Look) => self.must_look = true,
            Some(Asked::Heal) => self.go_alone(),
        }
    }

    /// What others published.
    pub fn published(&mut self, batch: Batch) {
        let is_lost = self.must_look || self.alone.is_some();
        let Some(known) = self.known.as_ref().filter(|_| !is_lost) else {
            // Whatever is being looked up may or may not contain it.
            self.heard = self.heard.max(batch.end);
            return;
        };
        if batch.before == known.place {
            for entry in batch.entries {
                self.follow(entry, None);
            }
            let mark = self.known.as_ref().filter(|known| known.place == batch.end).and_then(|known| known.mark);
            self.known = Some(Known { epoch: batch.epoch, place: batch.end, mark });
        } else if batch.end > known.place
            || (batch.end.generation == known.place.generation && batch.epoch != known.epoch)
        {
            self.must_look = true;
        } else if batch.end.generation < known.place.generation && batch.end.offset > 0 {
            // Late news of an epoch that is over, or the log began anew behind our back.
            self.must_look |= batch.entries.iter().any(|entry| !self.told.marks.contains_key(&entry.mark));
        }
    }

    /// The answer to what was asked last.
    pub fn answered(&mut self, number: u64, answer: Answer) {
        if number != self.questions_count {
            return;
        }
        let Some(asked) = self.asked.take() else { return };
        self.settle(asked, answer);
        self.look_for_heard();
    }

    /// Once more, and only once, for what was published while the answer was on its way.
    fn look_for_heard(&mut self) {
        let heard = std::mem::take(&mut self.heard);
        self.must_look |= self.known.as_ref().is_some_and(|known| known.place < heard);
    }

    fn settle(&mut self, asked: Asked, answer: Answer) {
        match asked {
            Asked::Heal => self.healed(answer),
            _ if !answer.same => {
                // What is there now may contain some of what was told, anywhere. So the room does what
                // it does when Redis is back: it tells what is new in an epoch of its own, and begins a
                // shared one.
                warn!("log of a room was lost or rolled back, a new epoch begins: epoch={}", answer.epoch);
                self.go_alone();
            }
            Asked::Look => {
                self.catch_up(answer.missed);
                self.forget_told();
                if self.behind.is_empty() {
                    // What was published after the look may have come before its answer.
                    if self.known.as_ref().is_none_or(|known| known.place <= answer.end) {
                        self.know(answer.epoch, answer.end, None);
                    }
                } else {
                    // Events of ours had their places, and are not there any more: the log began anew.
                    self.go_alone();
                }
            }
            Asked::Append => self.appended(answer),
        }
    }

    fn appended(&mut self, answer: Answer) {
        let own = std::mem::take(&mut self.in_flight);
        self.report_known(&own, &answer.places);
        let is_next = self.known.as_ref().is_some_and(|known| known.place == answer.before);
        let mut last = None;
        for (waiting, place) in own.into_iter().zip(&answer.places) {
            match u64::try_from(*place) {
                Ok(0) => {}
                Ok(offset) if is_next => {
                    let mark = Mark { origin: self.origin, count: waiting.count };
                    let place = Place { offset, ..answer.end };
                    let entry = Entry { place, epoch: answer.epoch.clone(), mark, line: String::new() };
                    self.follow(entry, Some(waiting.event));
                    last = Some(mark);
                }
                // Others came before it, and what they said is on its way; or it was applied before, and
                // the answer does not say where.
                _ => self.behind.push(waiting),
            }
        }
        if is_next {
            self.know(answer.epoch, answer.end, last);
        }
        self.forget_told();
        self.must_look |= !self.behind.is_empty();
    }

    /// What was published before its answer came was told then.
    fn forget_told(&mut self) {
        let (origin, told) = (self.origin, &self.told);
        self.behind.retain(|own| !told.marks.contains_key(&Mark { origin, count: own.count }));
    }

    /// Gifts that another node announced before us.
    fn report_known(&mut self, own: &[Waiting], places: &[i64]) {
        for (waiting, place) in own.iter().zip(places) {
            if let (0, Some(record_id)) = (place, waiting.record()) {
                self.out.push(FromLog::GiftKnown(record_id, None));
            }
        }
    }

    fn healed(&mut self, answer: Answer) {
        let last = std::mem::take(&mut self.noted).back().map(|last| last.count);
        // A room that was opened alone has no use for what was told before.
        let since = if self.known.is_some() { Timestamp(i64::MIN) } else { self.opened_at };
        for entry in &answer.missed {
            if self.told.note(entry.mark)
                && let Some((event, at)) = read_event(&entry.line)
                && at >= since
                && self.told.note_gift(&event)
            {
                self.tell_in_own_epoch(event);
            }
        }
        self.alone = None;
        let placed_last = answer.places.last().is_some_and(|place| *place > 0);
        let mark = last.filter(|_| placed_last).map(|count| Mark { origin: self.origin, count });
        self.known = Some(Known { epoch: answer.epoch, place: answer.end, mark });
    }

    /// Tells what was missed.
    fn catch_up(&mut self, missed: Vec<Entry>) {
        let known = self.known.as_ref().map(|known| known.place);
        if let (Some(known), Some(first)) = (known, missed.first())
            && first.place.generation == known.generation
            && first.place.offset > known.offset + 1
        {
            let events = first.place.offset - known.offset - 1;
            warn!("events are kept no more, members miss them: epoch={} events={events}", first.epoch);
        }
        for entry in missed {
            if known.is_none_or(|known| entry.place > known) {
                self.follow(entry, None);
            }
        }
    }

    /// Tells an event of the shared log, unless it was told before: a log that began anew may repeat one.
    /// Members would meet a gap then, so what follows is told as if the room were alone, until it heals.
    fn follow(&mut self, entry: Entry, own: Option<RoomEvent>) {
        if self.told.note(entry.mark) {
            let own = own.or_else(|| self.in_flight_event(entry.mark));
            match own.or_else(|| read_event(&entry.line).map(|(event, _)| event)) {
                Some(event) if self.alone.is_some() => self.tell_in_own_epoch(event),
                Some(event) => {
                    self.tell(Sequenced { epoch: entry.epoch.clone(), offset: entry.place.offset, event });
                }
                None => {
                    warn!("event of another version not understood: mark={}", entry.mark);
                    self.go_alone();
                }
            }
        } else {
            self.go_alone();
        }
        self.known = Some(Known { epoch: entry.epoch, place: entry.place, mark: Some(entry.mark) });
    }

    /// The event of this node that is published before its answer is here: it need not be read.
    fn in_flight_event(&self, mark: Mark) -> Option<RoomEvent> {
        if mark.origin != self.origin {
            return None;
        }
        let at = self.in_flight.binary_search_by_key(&mark.count, |waiting| waiting.count).ok()?;
        Some(self.in_flight[at].event.clone())
    }

    /// Notes the newest place, and the mark there if it is known.
    fn know(&mut self, epoch: Epoch, place: Place, last: Option<Mark>) {
        let before = self.known.take();
        let mark = last.or_else(|| before.filter(|known| known.place == place).and_then(|known| known.mark));
        self.known = Some(Known { epoch, place, mark });
    }

    /// Begins with what the log says when the room opens: its newest events are known and not told.
    /// Returns them as the room's past, oldest first and without a gap up to where it stands.
    pub fn open(&mut self, answer: Answer) -> Vec<(Sequenced, Timestamp)> {
        self.asked = None;
        let mut past: Vec<(Sequenced, Timestamp)> = Vec::new();
        let mut expected = answer.end.offset;
        for entry in answer.missed.iter().rev() {
            self.told.note(entry.mark);
            if entry.epoch == answer.epoch
                && entry.place.offset == expected
                && let Some((event, at)) = read_event(&entry.line)
            {
                past.push((Sequenced { epoch: entry.epoch.clone(), offset: entry.place.offset, event }, at));
                expected -= 1;
            }
        }
        past.reverse();
        let mark = answer.missed.last().filter(|last| last.place == answer.end).map(|last| last.mark);
        self.known = Some(Known { epoch: answer.epoch, place: answer.end, mark });
        self.look_for_heard();
        past
    }
}

#[cfg(test)]
mod tests;
