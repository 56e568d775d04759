//! How the keys of a script go together, which single keys cannot know.

use std::time::Duration;

use super::{Comments, Gifts, RoomPlan, Script, ScriptFault, Streamer};
use crate::standings::Rule;

/// Members of one script at most: what one machine has ports and memory for.
const MEMBERS_MAX: usize = 500_000;

/// Longest comment a script may ask for, in bytes. Above what servers accept, so that refusals can
/// be driven too.
const COMMENT_BYTES_MAX: usize = 16_384;

/// Most comments on their way in one room: what saturates a server is far below.
const IN_FLIGHT_MAX: usize = 100_000;

/// Connections from one address at most: Linux gives an address some 28,000 ephemeral ports.
const PER_ADDRESS_MAX: usize = 28_000;

impl Script {
    pub(super) fn check(&self, text: &str) -> Result<(), ScriptFault> {
        let header = || ScriptFault::find(text, "[script]");
        match (self.script.duration, self.phases.is_empty()) {
            (None, true) => {
                return Err(
                    header().because("expected script.duration, or [[phase]] tables with theirs")
                );
            }
            (Some(_), false) => {
                return Err(header()
                    .because("expected either script.duration or [[phase]] tables: the phases' sum is the duration"));
            }
            _ => {}
        }
        let per_address = &self.script.per_address;
        if !(1..=PER_ADDRESS_MAX).contains(per_address.get_ref()) {
            return Err(ScriptFault::at(text, per_address.span()).because(format!(
                "script.per_address: expected 1 to {PER_ADDRESS_MAX}"
            )));
        }
        if self.rooms.is_empty() {
            return Err(header().because("expected at least one [[room]]"));
        }
        let total = self
            .rooms
            .iter()
            .map(|room| room.members_count().saturating_mul(room.count))
            .fold(0, usize::saturating_add);
        if total > MEMBERS_MAX {
            return Err(header().because(format!(
                "expected at most {MEMBERS_MAX} members in all rooms, found {total}"
            )));
        }
        if self.target.templates.is_some()
            && let Some(moderation) = self.rooms.iter().find_map(|room| room.moderation.as_ref())
        {
            return Err(ScriptFault::at(text, moderation.span()).because(
                "moderation: expected no [target.templates], which do not say how to act",
            ));
        }
        self.check_terms(text)?;
        self.rooms
            .iter()
            .try_for_each(|room| room.check(text, self.script.duration))
    }
    /// The terms of a streamer hold in all of its rooms, and the lab has one streamer.
    fn check_terms(&self, text: &str) -> Result<(), ScriptFault> {
        let plans = self
            .rooms
            .iter()
            .filter_map(|room| room.moderation.as_ref());
        let mut with_term = plans.filter(|it| it.get_ref().asks_for(Rule::Term));
        match (with_term.next(), with_term.next()) {
            (Some(_), Some(second)) => Err(ScriptFault::at(text, second.span())
                .because("moderation: expected the rule term in one [[room]] alone")),
            _ => Ok(()),
        }
    }
}

impl RoomPlan {
    fn check(&self, text: &str, duration: Option<Duration>) -> Result<(), ScriptFault> {
        let members = self.members_count();
        let at = |span: std::ops::Range<usize>, what: String| {
            Err(ScriptFault::at(text, span).because(what))
        };
        let room = &self.name;
        if members == 0 || self.count == 0 {
            return at(
                self.members.span(),
                format!("room {room}: expected at least one member and a count from 1"),
            );
        }
        if let Some(users) = &self.users
            && !(1..=members).contains(users.get_ref())
        {
            return at(
                users.span(),
                format!("room {room}: users: expected 1 to {members}, the number of its members"),
            );
        }
        let slow = self
            .slow_readers
            .as_ref()
            .map_or(0, |slow| slow.get_ref().members);
        if slow.saturating_add(self.stopped_readers) > members {
            return at(
                self.members.span(),
                format!(
                    "room {room}: expected at least as many members as slow and stopped readers"
                ),
            );
        }
        if let Some(comments) = &self.comments {
            let Comments {
                bytes,
                rate,
                in_flight,
                ..
            } = comments.get_ref();
            if !(1..=COMMENT_BYTES_MAX).contains(bytes) {
                return at(
                    comments.span(),
                    format!("room {room}: comments.bytes: expected 1 to {COMMENT_BYTES_MAX}"),
                );
            }
            if rate.is_some() == in_flight.is_some() {
                return at(
                    comments.span(),
                    format!("room {room}: comments: expected either rate or in_flight"),
                );
            }
            if in_flight.is_some_and(|count| !(1..=IN_FLIGHT_MAX).contains(&count)) {
                return at(
                    comments.span(),
                    format!("room {room}: comments.in_flight: expected 1 to {IN_FLIGHT_MAX}"),
                );
            }
        }
        if let Some(gifts) = &self.gifts {
            let Gifts {
                catalogue,
                balance,
                num_max,
                ..
            } = gifts.get_ref();
            let prices_good = !catalogue.is_empty()
                && catalogue
                    .iter()
                    .all(|price| (1..=1_000_000_000).contains(price));
            if !prices_good || *balance < 0 || !(1..=999).contains(num_max) {
                return at(
                    gifts.span(),
                    format!(
                        "room {room}: gifts: expected a catalogue of prices from 1, a balance from 0, num_max from 1 to 999"
                    ),
                );
            }
        }
        if let Some(moderation) = &self.moderation
            && let Some(fault) = moderation.get_ref().fault(self)
        {
            return at(
                moderation.span(),
                format!("room {room}: moderation: {fault}"),
            );
        }
        if let Some(streamer) = &self.streamer {
            let Streamer {
                pause_at,
                resume_at,
                end_at,
            } = streamer.get_ref();
            let times: Vec<Duration> = [pause_at, resume_at, end_at]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            let late = duration.is_some_and(|duration| times.iter().any(|at| *at > duration));
            if !times.is_sorted() || late || (resume_at.is_some() && pause_at.is_none()) {
                return at(
                    streamer.span(),
                    format!(
                        "room {room}: streamer: expected pause_at before resume_at before end_at, within the duration"
                    ),
                );
            }
        }
        Ok(())
    }
}
