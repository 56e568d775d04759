//! Whether all commands have taken effect and every member has received the events.

use std::collections::HashSet;

use super::{Driver, Member, Reading, Seat};
use crate::online::Online;

/// How often to look, once the script has ended.
pub(super) const LOOK_NS: u64 = 20_000_000;

/// Nothing may come for so long before a run counts as over: duplicates come late.
const QUIET_NS: u64 = 300_000_000;

impl Driver<'_> {
    pub(super) fn is_settled(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_received_ns.max(self.phases.end_ns())) > QUIET_NS
            && !self.members.iter().any(|member| {
                member.is_upgrading()
                    || matches!(
                        member.seat,
                        Seat::Connecting | Seat::Joining | Seat::Leaving
                    )
            })
            && self
                .rooms
                .iter()
                .enumerate()
                .all(|(room, _)| self.lagging(room).next().is_none())
            && !self
                .members
                .iter()
                .any(|member| self.is_catching_up(member))
            && self
                .rooms
                .iter()
                .enumerate()
                .all(|(room, _)| self.misled(room).next().is_none())
            && !self.commands.is_any_pending()
            && self.unjudged_acts == 0
            && !self
                .rooms
                .iter()
                .any(|room| room.holds.is_any_on_its_way(&room.log))
    }

    /// A stopped reader that reads again, and has come neither to the newest event nor to its end.
    fn is_catching_up(&self, member: &Member) -> bool {
        let last = self.rooms[member.room].log.last();
        member.is_stopped_reader
            && member.seat == Seat::In
            && member.offsets.position() != Some(last)
    }

    /// Members that read as fast as they can and have not received the room's newest event.
    pub fn lagging(&self, room: usize) -> impl Iterator<Item = usize> {
        let last = self.rooms[room].log.last();
        self.attentive(room)
            .filter(move |member| self.members[*member].offsets.position() != Some(last))
    }

    /// Members that believe others online than are, and what they believe.
    pub fn misled(&self, room: usize) -> impl Iterator<Item = (usize, Online)> {
        let truth = self.users_online(room);
        let believed = move |member: usize| (member, self.members[member].offsets.online);
        self.attentive(room)
            .map(believed)
            .filter(move |(_, online)| !online.agrees_with(&truth))
    }

    /// Users with at least one member in the room.
    pub fn users_online(&self, room: usize) -> Online {
        let ids: HashSet<_> = self.rooms[room]
            .joined
            .iter()
            .map(|member| self.account(*member).id)
            .collect();
        Online::of(ids.into_iter().map(i64::unsigned_abs))
    }

    fn attentive(&self, room: usize) -> impl Iterator<Item = usize> {
        self.rooms[room].joined.iter().copied().filter(|member| {
            self.members[*member].reading == Reading::Full && !self.members[*member].may_miss_crowd
        })
    }
}
