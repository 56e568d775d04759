//! Closed loops: rooms in which so many comments are on their way at any time, and the next is sent
//! when every member has received one of them. With one on its way the server's cost per delivery
//! shows without any coalescing; with many it shows at saturation, whatever the server's speed.

use std::ops::Range;

use super::Driver;
use super::schedule::Action;

/// A comment that not every member has received after so long gives up its place: it was lost, or
/// its sender was before it was sent.
const FLIGHT_NS_MAX: u64 = 10_000_000_000;

impl Driver<'_> {
    /// Sends comments until as many are on their way as the script and its phase want.
    pub(super) fn top_up(&mut self, room: usize, at_ns: u64) {
        let wanted = self.flights_wanted(room, at_ns);
        while self.rooms[room].flights.len() < wanted {
            // Nobody there who could send: the next second sees to it.
            let Some(number) = self.comment(room, at_ns) else {
                return;
            };
            self.rooms[room].flights.insert(number);
        }
    }

    fn flights_wanted(&self, room: usize, at_ns: u64) -> usize {
        let in_flight = self.script.rooms[self.rooms[room].plan]
            .comments()
            .and_then(|it| it.in_flight);
        in_flight.map_or(0, |count| {
            (count as f64 * self.phases.factor_at(at_ns, |phase| phase.comments)).ceil() as usize
        })
    }

    /// Once a second: what takes too long is given up, and what was refused is made up for.
    pub(super) fn tend_closed_loops(&mut self, now_ns: u64) {
        for room in 0..self.rooms.len() {
            let commands = &self.commands;
            self.rooms[room].flights.retain(|number| {
                commands.get(*number).is_some_and(|command| {
                    now_ns < command.intended_ns.saturating_add(FLIGHT_NS_MAX)
                })
            });
            self.top_up(room, now_ns);
        }
    }

    /// Every member has received the event at `offset`.
    fn land(&mut self, index: usize, offset: u64, now_ns: u64) {
        let room = self.members[index].room;
        if let Some(number) = self.rooms[room]
            .log
            .get(offset)
            .and_then(|event| event.content.command())
        {
            self.top_up_without(index, number, now_ns);
        }
    }

    /// The place of a comment is free. The next is sent from the loop and not from here, in the
    /// middle of what a member receives.
    pub(super) fn top_up_without(&mut self, index: usize, number: usize, now_ns: u64) {
        let room = self.members[index].room;
        if self.rooms[room].flights.remove(&number) {
            self.schedule.add(now_ns, Action::TopUp { room });
        }
    }

    /// A member that was promised every comment came in at `offset`: it is to receive all after
    /// that.
    pub(super) fn await_more(&mut self, index: usize, offset: u64, now_ns: u64) {
        let room = self.members[index].room;
        self.rooms[room].attentive += 1;
        for offset in self.announced_after(room, offset) {
            if let Some(event) = self.rooms[room].log.get_mut(offset) {
                event.awaited += 1;
            }
        }
        if self.rooms[room].flights.is_empty() && self.flights_wanted(room, now_ns) > 0 {
            self.schedule.add(now_ns, Action::TopUp { room });
        }
    }

    /// Such a member, which had received all up to `offset`, is gone.
    pub(super) fn await_fewer(&mut self, index: usize, offset: u64) {
        let room = self.members[index].room;
        self.rooms[room].attentive = self.rooms[room].attentive.saturating_sub(1);
        let now_ns = self.now_ns();
        for offset in self.announced_after(room, offset) {
            self.await_one_less(index, offset, now_ns);
        }
    }

    /// A member did not receive these.
    #[cold]
    pub(super) fn pass_over(&mut self, index: usize, offsets: Range<u64>, now_ns: u64) {
        let member = &self.members[index];
        let last_announced = self.rooms[member.room].log.last();
        if member.may_miss_crowd || self.rooms[member.room].flights.is_empty() {
            return;
        }
        for offset in offsets.start..offsets.end.min(last_announced + 1) {
            self.await_one_less(index, offset, now_ns);
        }
    }

    pub(super) fn await_one_less(&mut self, index: usize, offset: u64, now_ns: u64) {
        let Some(event) = self.rooms[self.members[index].room].log.get_mut(offset) else {
            return;
        };
        if event.awaited > 0 {
            event.awaited -= 1;
            if event.awaited == 0 {
                self.land(index, offset, now_ns);
            }
        }
    }

    /// The offsets of comments on their way that were announced behind `offset`.
    fn announced_after(&self, room: usize, offset: u64) -> Vec<u64> {
        let announced = |number: &usize| {
            self.commands
                .get(*number)
                .and_then(|command| command.announced)
        };
        self.rooms[room]
            .flights
            .iter()
            .filter_map(announced)
            .filter(|at| *at > offset)
            .collect()
    }
}
