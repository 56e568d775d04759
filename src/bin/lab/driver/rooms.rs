//! The members of a script in their rooms, and their coming and going.

use std::collections::{BTreeSet, HashSet};

use super::holds::Holds;
use super::schedule::Action;
use super::{Driver, Member, Reading, Room, Seat};
use crate::client::{Carrier, Kind};
use crate::commands::Fate;
use crate::online::{Online, Recent};
use crate::room_log::RoomLog;
use crate::script::{Gifts, RoomPlan, Streamer};
use crate::standings::Standings;

/// A member whose connection was lost or refused tries again after so long.
pub(super) const RETRY_NS: u64 = 1_000_000_000;

/// How a server ends a connection that does not keep up: by saying so, or by resetting it.
const CUT: [&str; 2] = ["close_3008", "close_1006"];

impl Driver<'_> {
    /// Makes rooms and members and plans what they do.
    pub(super) fn populate(&mut self) {
        for (index, site) in self.setup.rooms.iter().enumerate() {
            let plan = &self.script.rooms[site.plan];
            let first = self.members.len();
            if plan.has_streamer() {
                self.members.push(Member::new(
                    index,
                    None,
                    (Kind::Plain, Carrier::WebSocket),
                    Reading::Full,
                ));
                self.schedule.add(0, Action::Connect { member: first });
            }
            let users = plan.users_count().min(self.setup.users.len());
            let (count, ramp_ns) = (plan.members_count(), plan.ramp.as_nanos());
            for (number, kind) in kinds_of(plan).enumerate() {
                let reading = reading_of(plan, number);
                let at_ns = (ramp_ns * number as u128 / count as u128) as u64;
                self.schedule.add(
                    at_ns,
                    Action::Connect {
                        member: self.members.len(),
                    },
                );
                self.members
                    .push(Member::new(index, Some(number % users), kind, reading));
            }
            self.rooms.push(Room {
                live_id: site.live_id,
                plan: site.plan,
                log: RoomLog::default(),
                members: first..self.members.len(),
                joined: Vec::new(),
                joined_peak: 0,
                attentive: 0,
                flights: BTreeSet::new(),
                deliveries: 0,
                presence: Recent::default(),
                moderators: None,
                standings: Standings::new(
                    plan.moderation()
                        .map_or(0, |moderation| moderation.reach.as_nanos() as u64),
                ),
                givers: HashSet::new(),
                holds: Holds::default(),
                deleted: HashSet::new(),
                replaced: Vec::new(),
                is_ended: false,
            });
            self.plan_room(index, plan);
        }
        for (end_ns, _) in self.phases.iter() {
            self.schedule.add(end_ns, Action::PhaseEnds);
        }
        self.schedule.add(self.phases.end_ns(), Action::Wake);
        self.schedule.add(1_000_000_000, Action::Second);
    }

    fn plan_room(&mut self, room: usize, plan: &RoomPlan) {
        if plan.comments().is_some_and(|it| it.rate.is_some()) {
            self.plan_next(0, Action::Comment { room });
        }
        if plan.comments().is_some_and(|it| it.in_flight.is_some()) {
            for at_ns in self.phases.starts_ns() {
                self.schedule.add(at_ns, Action::TopUp { room });
            }
        }
        if plan.gifts.as_ref().is_some_and(|it| {
            let gifts: &Gifts = it.get_ref();
            gifts.rate > 0.0
        }) {
            self.plan_next(0, Action::Gift { room });
        }
        if plan.churn.is_some() {
            self.plan_next(0, Action::Leave { room });
            self.plan_next(0, Action::Cut { room });
        }
        self.plan_moderation(room, plan);
        if let Some(streamer) = &plan.streamer {
            let Streamer {
                pause_at,
                resume_at,
                end_at,
            } = streamer.get_ref();
            for (at, kind) in [(pause_at, "pause"), (resume_at, "play"), (end_at, "stop")] {
                if let Some(at) = at {
                    self.schedule
                        .add(at.as_nanos() as u64, Action::Streamer { room, kind });
                }
            }
        }
    }

    /// Plans the next of the events of a room that come at random.
    pub(super) fn plan_next(&mut self, now_ns: u64, action: Action) {
        let plan = |room: usize| {
            &self.script.rooms[self
                .rooms
                .get(room)
                .map_or(self.setup.rooms[room].plan, |it| it.plan)]
        };
        let (rate, factor): (f64, fn(&crate::script::Phase) -> f64) = match action {
            Action::Comment { room } => (
                plan(room)
                    .comments()
                    .and_then(|it| it.rate)
                    .unwrap_or_default(),
                |it| it.comments,
            ),
            Action::Gift { room } => (
                plan(room)
                    .gifts
                    .as_ref()
                    .map_or(0.0, |it| it.get_ref().rate),
                |it| it.gifts,
            ),
            Action::Leave { room } => (
                plan(room).churn.as_ref().map_or(0.0, |it| it.leave_per_s),
                |it| it.churn,
            ),
            Action::Cut { room } => (
                plan(room).churn.as_ref().map_or(0.0, |it| it.cut_per_s),
                |it| it.churn,
            ),
            Action::Flood { room } => {
                let rate = Self::moderation_rate(plan(room), None);
                (rate, |it| it.moderation)
            }
            Action::Moderate { room, kind } => {
                let rate = Self::moderation_rate(plan(room), Some(kind));
                (rate, |it| it.moderation)
            }
            _ => return,
        };
        if let Some(at_ns) = self
            .phases
            .next_arrival(now_ns, rate, factor, &mut self.rng)
        {
            self.schedule.add(at_ns, action);
        }
    }

    /// The server let a member in at `offset`.
    pub(super) fn enter(&mut self, index: usize, offset: u64, online: Online, now_ns: u64) {
        let member = &mut self.members[index];
        let room = &mut self.rooms[member.room];
        member.seat = Seat::In;
        member.has_been_in = true;
        member.entered_ns = now_ns;
        member.offsets.join(offset);
        member.offsets.online = online;
        member.slot = room.joined.len();
        room.joined.push(index);
        room.joined_peak = room.joined_peak.max(room.joined.len());
        self.stats.joins += 1;
        if !member.may_miss_crowd {
            self.await_more(index, offset, now_ns);
        }
        if self.members[index].is_streamer() {
            self.name_moderators(self.members[index].room);
        }
        let member = &self.members[index];
        if let Reading::Slow { .. } = member.reading {
            let session = member.session;
            self.schedule.add(
                now_ns + super::actions::SLOW_READ_EVERY_NS,
                Action::SlowRead {
                    member: index,
                    session,
                },
            );
        }
    }

    /// A member is not in its room any more, whyever.
    pub(super) fn exit(&mut self, index: usize) {
        let member = &mut self.members[index];
        let position = member.offsets.position().filter(|_| !member.may_miss_crowd);
        member.offsets.leave();
        let slot = std::mem::replace(&mut member.slot, usize::MAX);
        let room = &mut self.rooms[member.room];
        if slot < room.joined.len() {
            room.joined.swap_remove(slot);
            if let Some(moved) = room.joined.get(slot) {
                self.members[*moved].slot = slot;
            }
            if let Some(position) = position {
                self.await_fewer(index, position);
            }
        }
    }

    /// A connection ended that the lab did not end. The member comes back as clients do.
    pub(super) fn lose(&mut self, index: usize, code: &str) {
        let was_connecting =
            self.members[index].seat == Seat::Connecting || self.members[index].seat == Seat::Away;
        if was_connecting {
            self.stats.connect_failures += 1;
        }
        self.refuse(code);
        if self.members[index].seat == Seat::In {
            self.members[index].was_cut |= CUT.contains(&code);
        }
        self.drop_connection(index);
        let session = self.members[index].session;
        self.plan_return(index, session, RETRY_NS);
    }

    /// Plans that a member comes back, unless the script has ended by then.
    pub(super) fn plan_return(&mut self, member: usize, session: u32, after_ns: u64) {
        let at_ns = self.now_ns() + after_ns;
        if at_ns < self.phases.end_ns() {
            self.schedule.add(at_ns, Action::Return { member, session });
        }
    }

    /// Forgets a member's connection. What it had asked may or may not have been done.
    pub(super) fn drop_connection(&mut self, index: usize) {
        let wants_resume = self.resumes(index);
        let member = &mut self.members[index];
        member.resume_from = if wants_resume {
            member.offsets.position().or(member.resume_from)
        } else {
            None
        };
        member.conn = None;
        member.polling = None;
        member.seat = Seat::Away;
        for number in std::mem::take(&mut member.pending) {
            if let Some(command) = self.commands.get_mut(number) {
                command.fate = Fate::Unknown;
            }
        }
        self.exit(index);
    }

    fn resumes(&self, index: usize) -> bool {
        let plan = &self.script.rooms[self.rooms[self.members[index].room].plan];
        plan.churn.as_ref().is_some_and(|churn| churn.resume)
    }

    pub(super) fn refuse(&mut self, code: &str) {
        match self.refusals.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.refusals.insert(code.to_owned(), 1)),
        }
    }
}

/// The kind of each member, kinds evenly mixed so that a ramp brings all of them from the start.
fn kinds_of(plan: &RoomPlan) -> impl Iterator<Item = (Kind, Carrier)> + use<> {
    let members = plan.members.get_ref();
    let kinds = [
        ((Kind::Plain, Carrier::WebSocket), members.plain),
        ((Kind::Eio4, Carrier::WebSocket), members.socketio_v4),
        ((Kind::Eio3, Carrier::WebSocket), members.socketio_v3),
        ((Kind::Eio4, Carrier::Polling), members.socketio_v4_polling),
        ((Kind::Eio3, Carrier::Polling), members.socketio_v3_polling),
        ((Kind::Eio4, Carrier::Upgrade), members.socketio_v4_upgrade),
        ((Kind::Eio3, Carrier::Upgrade), members.socketio_v3_upgrade),
    ];
    let total = plan.members_count();
    let mut given = [0_usize; 7];
    (1..=total).map(move |so_far| {
        // The kind that is furthest behind its share of those so far.
        let behind = |at: &usize| (kinds[*at].1 * so_far) as i64 - (given[*at] * total) as i64;
        let at = (0..kinds.len()).max_by_key(behind).unwrap_or_default();
        given[at] += 1;
        kinds[at].0
    })
}

/// The last members of a room are its slow readers, and those before them the stopped ones.
fn reading_of(plan: &RoomPlan, number: usize) -> Reading {
    let from_end = plan.members_count() - 1 - number;
    let (slow, bytes_per_s) = plan.slow_readers.as_ref().map_or((0, 0), |it| {
        (it.get_ref().members, it.get_ref().bytes_per_s)
    });
    match from_end {
        at if at < slow => Reading::Slow { bytes_per_s },
        at if at < slow + plan.stopped_readers => Reading::Stopped,
        _ => Reading::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn kinds_are_mixed_and_complete() {
        let script = Script::parse(
            "[script]\nname = \"x\"\nduration = \"1s\"\n[[room]]\nname = \"a\"\nstopped_readers = 1\n\
             members = { plain = 3, socketio_v4 = 1, socketio_v4_polling = 1, socketio_v3_upgrade = 1 }\nslow_readers = { members = 2, bytes_per_s = 9 }\n",
        )
        .unwrap();
        let kinds: Vec<_> = kinds_of(&script.rooms[0]).collect();
        let count = |kind, carrier| kinds.iter().filter(|it| **it == (kind, carrier)).count();
        assert_eq!(
            (kinds.len(), count(Kind::Plain, Carrier::WebSocket)),
            (6, 3)
        );
        assert_eq!(count(Kind::Eio4, Carrier::WebSocket), 1);
        assert_eq!(count(Kind::Eio4, Carrier::Polling), 1);
        assert_eq!(count(Kind::Eio3, Carrier::Upgrade), 1);
        let readings: Vec<Reading> = (0..6)
            .map(|number| reading_of(&script.rooms[0], number))
            .collect();
        assert_eq!(
            readings[2..],
            [
                Reading::Full,
                Reading::Stopped,
                Reading::Slow { bytes_per_s: 9 },
                Reading::Slow { bytes_per_s: 9 }
            ]
        );
    }
}
