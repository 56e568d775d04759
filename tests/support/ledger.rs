//! What members heard, written down and held against each other and against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

/// An event with a place in its room's order.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about, the same wherever it is heard: `comment 17`, `gift 4`, `notice <text>`.
    pub id: String,
    pub epoch: String,
    pub offset: u64,
}

impl Event {
    /// Reads a frame of `/ws`; `None` for answers and for events without a place.
    pub fn of(frame: &Value) -> Option<Self> {
        let (name, data) = (frame["event"].as_str()?, &frame["data"]);
        let about = match name {
            "notice" => &data["text"],
            "live" => &data["status"],
            _ => &data["id"],
        };
        let about = about
            .as_str()
            .map_or_else(|| about.to_string(), str::to_owned);
        let (epoch, offset) = (data["epoch"].as_str()?.to_owned(), data["offset"].as_u64()?);
        Some(Self {
            id: format!("{name} {about}"),
            epoch,
            offset,
        })
    }
}

/// One line, however it is shown: ledgers are long.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} {}: {}", self.epoch, self.offset, self.id)
    }
}

/// What one member heard, in the order it heard it.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    who: String,
    events: Vec<Event>,
    ids: HashMap<String, usize>,
    /// How much was heard when the member was told that what it missed is not told again.
    breaks: Vec<usize>,
}

impl Heard {
    pub fn by(who: &str) -> Self {
        Self {
            who: who.to_owned(),
            ..Self::default()
        }
    }

    pub fn push(&mut self, event: Event) {
        *self.ids.entry(event.id.clone()).or_default() += 1;
        self.events.push(event);
    }

    /// Something may be missing here.
    pub fn push_break(&mut self) {
        self.breaks.push(self.events.len());
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn last(&self) -> Option<&Event> {
        self.events.last()
    }

    pub fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    pub fn count(&self, kind: &str) -> usize {
        self.events
            .iter()
            .filter(|event| event.id.starts_with(kind))
            .count()
    }

    /// The epochs it heard of, each once, in order.
    pub fn epochs(&self) -> Vec<&str> {
        let mut epochs: Vec<&str> = self
            .events
            .iter()
            .map(|event| event.epoch.as_str())
            .collect();
        epochs.dedup();
        epochs
    }

    pub fn missing(&self, ids: &BTreeSet<String>) -> Vec<String> {
        ids.iter().filter(|id| !self.has(id)).cloned().collect()
    }

    /// Whether it was never told that something is missing.
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty()
    }

    /// Fails if it heard something twice, or something that was never acknowledged.
    pub fn assert_once_each(&self, acked: &BTreeSet<String>) {
        let never_acked: Vec<_> = self
            .events
            .iter()
            .filter(|event| !acked.contains(&event.id))
            .collect();
        assert!(
            never_acked.is_empty(),
            "{} heard what was never acked: {never_acked:?}",
            self.who
        );
        let twice: Vec<_> = self.ids.iter().filter(|(_, count)| **count > 1).collect();
        assert!(
            twice.is_empty(),
            "{} heard twice or more: {twice:?} in {:#?}",
            self.who,
            self.events
        );
    }

    /// What was heard in one go: events between two breaks, of one epoch.
    fn runs(&self) -> Vec<&[Event]> {
        let mut runs = Vec::new();
        let mut start = 0;
        for end in 1..=self.events.len() {
            let is_run_over = end == self.events.len()
                || self.breaks.contains(&end)
                || self.events[end].epoch != self.events[start].epoch;
            if is_run_over {
                runs.push(&self.events[start..end]);
                start = end;
            }
        }
        runs
    }
}

/// Fails unless every member heard everything that was acknowledged, once, and nothing that was
/// not: a command that was sent again until it was answered has one effect.
pub fn assert_all_heard_once(members: &[&Heard], acked: &BTreeSet<String>) {
    for heard in members {
        let missing = heard.missing(acked);
        assert!(
            missing.is_empty(),
            "{} never heard {missing:?} but {:#?}",
            heard.who,
            heard.events
        );
        heard.assert_once_each(acked);
    }
}

/// Fails unless what the members heard is parts of one order: a place belongs to one event and an
/// event has one place in each epoch; members hear an epoch from its beginning to its end, and
/// never again of one that is over; and what a member did not hear at its place it had heard
/// before, as members of a node that was alone have when their events get a place in the common
/// order.
pub fn assert_one_order(members: &[&Heard]) {
    let mut ids: BTreeMap<(&str, u64), &str> = BTreeMap::new();
    let mut offsets: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (heard, event) in members
        .iter()
        .flat_map(|heard| heard.events.iter().map(move |event| (heard, event)))
    {
        let id = *ids.entry((&event.epoch, event.offset)).or_insert(&event.id);
        assert_eq!(
            id, event.id,
            "{}: two events at {} {}",
            heard.who, event.epoch, event.offset
        );
        let offset = *offsets
            .entry((&event.epoch, &event.id))
            .or_insert(event.offset);
        assert_eq!(
            offset, event.offset,
            "{}: {} has two places in {}",
            heard.who, event.id, event.epoch
        );
    }
    for heard in members {
        let mut before: BTreeSet<&str> = BTreeSet::new();
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut heard_count = 0;
        for run in heard.runs() {
            let epoch = run[0].epoch.as_str();
            let is_new = known.insert(epoch);
            let is_after_break = heard.breaks.contains(&heard_count);
            assert!(
                is_new || is_after_break,
                "{} hears again of {epoch}: {:#?}",
                heard.who,
                heard.events
            );
            // Where it came in, it cannot know what was before; from there on it hears everything.
            let comes_in = is_after_break || heard_count == 0;
            let mut next = if comes_in { run[0].offset } else { 1 };
            for event in run {
                assert!(
                    event.offset >= next,
                    "{} hears {event:?} after {epoch} {}",
                    heard.who,
                    next - 1
                );
                for offset in next..event.offset {
                    let missed = ids
                        .get(&(epoch, offset))
                        .filter(|id| !before.contains(**id));
                    assert_eq!(
                        missed, None,
                        "{} missed {epoch} {offset}: {:#?}",
                        heard.who, heard.events
                    );
                }
                before.insert(&event.id);
                next = event.offset + 1;
            }
            heard_count += run.len();
        }
    }
}

/// Fails unless all members heard the same events at the same places, in one epoch and without a
/// gap.
pub fn assert_same(members: &[&Heard]) {
    assert_one_order(members);
    for heard in members {
        assert_eq!(
            heard.events, members[0].events,
            "{} and {} differ",
            heard.who, members[0].who
        );
        assert_eq!(
            heard.epochs().len(),
            1,
            "{}: {:?}",
            heard.who,
            heard.epochs()
        );
        let offsets: Vec<u64> = heard.events.iter().map(|event| event.offset).collect();
        let first = offsets[0];
        assert_eq!(
            offsets,
            (first..first + offsets.len() as u64).collect::<Vec<_>>(),
            "{}",
            heard.who
        );
    }
}
