//! The schedule: one queue in time order, and the arrivals of random events through phases.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::rng::Rng;
use crate::script::Phase;
use crate::standings::ActKind;

/// Something that the driver does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Connect {
        member: usize,
    },
    Comment {
        room: usize,
    },
    /// A closed loop sends what it has room for.
    TopUp {
        room: usize,
    },
    Gift {
        room: usize,
    },
    Leave {
        room: usize,
    },
    Cut {
        room: usize,
    },
    /// A member comes back. `session` shows whether it is still the one that left.
    Return {
        member: usize,
        session: u32,
    },
    /// Engine.IO 3 clients send the heartbeat.
    Ping {
        member: usize,
        session: u32,
    },
    /// A slow reader reads a little.
    SlowRead {
        member: usize,
        session: u32,
    },
    Streamer {
        room: usize,
        kind: &'static str,
    },
    /// One of those who flood a room comments.
    Flood {
        room: usize,
    },
    /// The streamer or a moderator acts on somebody.
    Moderate {
        room: usize,
        kind: ActKind,
    },
    /// A moderator decides about the held comment with this number.
    Review {
        room: usize,
        held: usize,
    },
    /// The mute with this number is lifted.
    Unmute {
        act: usize,
    },
    /// The act with this number must have reached each node.
    Reached {
        act: usize,
    },
    PhaseEnds,
    /// Stopped readers look what became of them.
    Wake,
    Second,
}

/// Actions to come. Those of the same time come in the order they were added.
#[derive(Debug, Default)]
pub struct Schedule {
    queue: BinaryHeap<Reverse<(u64, u64, Action)>>,
    added: u64,
}

impl Schedule {
    pub fn add(&mut self, at_ns: u64, action: Action) {
        self.added += 1;
        self.queue.push(Reverse((at_ns, self.added, action)));
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((at_ns, ..))| *at_ns)
    }

    /// The next action, if its time has come, and when that was.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<(u64, Action)> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.queue
            .pop()
            .map(|Reverse((at_ns, _, action))| (at_ns, action))
    }
}

/// The phases of a run on its clock.
#[derive(Debug)]
pub struct Phases {
    /// Each phase and when it ends.
    ends: Vec<(u64, Phase)>,
}

impl Phases {
    pub fn new(phases: &[Phase]) -> Self {
        let mut end = Duration::ZERO;
        let until = |phase: &Phase| {
            end += phase.duration;
            (end.as_nanos() as u64, phase.clone())
        };
        Self {
            ends: phases.iter().map(until).collect(),
        }
    }

    pub fn end_ns(&self) -> u64 {
        self.ends.last().map_or(0, |(end, _)| *end)
    }

    pub fn name_at(&self, at_ns: u64) -> &str {
        self.ends
            .iter()
            .find(|(end, _)| at_ns < *end)
            .map_or("settle", |(_, phase)| &phase.name)
    }

    /// When each phase begins.
    pub fn starts_ns(&self) -> impl Iterator<Item = u64> {
        std::iter::once(0)
            .chain(self.ends.iter().map(|(end, _)| *end))
            .take(self.ends.len())
    }

    /// The phases in order, each with its end.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.ends
            .iter()
            .map(|(end, phase)| (*end, phase.name.as_str()))
    }

    /// By how much `factor` multiplies at a time; nothing happens after the end.
    pub fn factor_at(&self, at_ns: u64, factor: fn(&Phase) -> f64) -> f64 {
        self.ends
            .iter()
            .find(|(end, _)| at_ns < *end)
            .map_or(0.0, |(_, phase)| factor(phase))
    }

    /// When the next event comes that has `rate` a second times the phase's `factor`; `None` if
    /// that is after the end. Arrivals have no memory, so a phase's end just starts the wait anew.
    pub fn next_arrival(
        &self,
        now_ns: u64,
        rate: f64,
        factor: fn(&Phase) -> f64,
        rng: &mut Rng,
    ) -> Option<u64> {
        let mut at_ns = now_ns;
        for (end, phase) in &self.ends {
            let rate = rate * factor(phase);
            if at_ns >= *end {
                continue;
            }
            if rate > 0.0 {
                let arrival = at_ns.saturating_add(rng.gap_ns(rate));
                if arrival < *end {
                    return Some(arrival);
                }
            }
            at_ns = *end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, seconds: u64, comments: f64) -> Phase {
        Phase {
            name: name.into(),
            duration: Duration::from_secs(seconds),
            comments,
            gifts: 1.0,
            churn: 1.0,
            moderation: 1.0,
        }
    }

    #[test]
    fn actions_come_in_time_order_and_then_as_added() {
        let mut schedule = Schedule::default();
        for (at, room) in [(5, 1), (3, 2), (5, 0)] {
            schedule.add(at, Action::Comment { room });
        }
        assert_eq!(schedule.pop_due(2), None);
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop_due(9)).collect();
        assert_eq!(
            order,
            [(3, 2), (5, 1), (5, 0)].map(|(at, room)| (at, Action::Comment { room }))
        );
    }

    #[test]
    fn arrivals_follow_the_phases() {
        let phases = Phases::new(&[
            phase("calm", 10, 1.0),
            phase("silent", 10, 0.0),
            phase("busy", 10, 10.0),
        ]);
        let mut rng = Rng::new(7);
        let (mut at, mut counts) = (0, [0; 3]);
        while let Some(next) = phases.next_arrival(at, 10.0, |phase| phase.comments, &mut rng) {
            at = next;
            counts[(at / 10_000_000_000) as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(
            (70..130).contains(&counts[0]) && (850..1150).contains(&counts[2]),
            "{counts:?}"
        );
        assert_eq!(phases.name_at(15_000_000_000), "silent");
        assert_eq!(
            phases.starts_ns().collect::<Vec<_>>(),
            [0, 10_000_000_000, 20_000_000_000]
        );
        let factors = [0, 10_000_000_000, 29_999_999_999, 30_000_000_000];
        assert_eq!(
            factors.map(|at| phases.factor_at(at, |phase| phase.comments)),
            [1.0, 0.0, 10.0, 0.0]
        );
    }
}
