//! What users are and may not do, as the store has it, and the ways in which the room gets it.

use liveroom::domain::{
    Control, MissedEntries, Principal, Sanction, SanctionId, SanctionKind, SanctionScope,
    Standings, UserId,
};

use super::super::words::{self, Words};
use super::{Unplaced, World};

impl World {
    /// `mute WHO 10s`, `ban`, `shadow`; `unmute WHO`, `unban`, `unshadow`; `name WHO` a moderator,
    /// `dismiss WHO`. The control is in the log at once, or waits with `order later`; with `quiet`
    /// there is none. False: it is no such command.
    pub(super) fn moderate(&mut self, verb: &str, words: &mut Words) -> Result<bool, String> {
        let (kind, lifts) = match verb.strip_prefix("un") {
            Some(kind) => (SanctionKind::from_name(kind), true),
            None => (SanctionKind::from_name(verb), false),
        };
        if kind.is_none() && !["name", "dismiss"].contains(&verb) {
            return Ok(false);
        }
        let user = self.profile(&words.next("a user")?).id;
        let sanction = match kind {
            Some(kind) if !lifts => Some(self.sanction(kind, words)?),
            _ => None,
        };
        self.standings.version += 1;
        self.standings.named.retain(|(known, _)| *known != user);
        if verb == "name" {
            self.standings.named.push((user, self.now));
        }
        let standing = self.standing(user);
        match (kind, sanction) {
            (Some(kind), sanction) => {
                standing.sanctions.retain(|known| known.kind != kind);
                standing.sanctions.extend(sanction);
            }
            (None, _) => standing.is_moderator = verb == "name",
        }
        let standing = standing.clone();
        if words.optional().as_deref() != Some("quiet") {
            let version = self.standings.version;
            self.control(Control::Standing {
                version,
                user,
                standing,
            });
        }
        Ok(true)
    }

    pub(super) fn control(&mut self, control: Control) {
        if self.order_later {
            self.trace.push("order <- a control".into());
            self.unplaced.push_back(Unplaced::Control(control));
        } else {
            self.step(|room, now| room.apply_control(control, now));
        }
    }

    /// The room reads all standings again.
    pub(super) fn read_standings(&mut self) {
        let standings: Standings = self.standings.clone();
        self.step(|room, now| room.standings_read(standings, now));
    }

    /// `missed kick=WHO ago=5s reports=N`: the room reads again what its log had and has no more.
    pub(super) fn read_missed(&mut self, words: &mut Words) -> Result<(), String> {
        let mut missed = MissedEntries {
            open_reports: words.number("reports")?.unwrap_or(0),
            held: self.held.values().map(|held| (**held).clone()).collect(),
            ..MissedEntries::default()
        };
        if let Some(name) = words.key("kick") {
            let ago_ms = words::duration_ms(&words.key("ago").ok_or("a kick needs ago=")?)?;
            let user = self.profile(&name).id;
            missed.kicks.push((user, self.now.plus_ms(-ago_ms)));
        }
        self.step(|room, now| room.missed_read(missed, now));
        Ok(())
    }

    fn standing(&mut self, user: UserId) -> &mut liveroom::domain::Standing {
        let users = &mut self.standings.users;
        let place = users.iter().position(|(known, _)| *known == user);
        let place = place.unwrap_or_else(|| {
            users.push((user, Default::default()));
            users.len() - 1
        });
        &mut users[place].1
    }

    fn sanction(&mut self, kind: SanctionKind, words: &mut Words) -> Result<Sanction, String> {
        let term = words.next("how long, or ever")?;
        let until = match term.as_str() {
            "ever" => None,
            term => Some(self.now.plus_ms(words::duration_ms(term)?)),
        };
        self.sanctions_count += 1;
        Ok(Sanction {
            id: SanctionId::new(self.sanctions_count).ok_or("sanctions count from 1")?,
            kind,
            scope: SanctionScope::Streamer,
            until,
            gifts: words.key("gifts").as_deref() != Some("no"),
            reason: words.key("reason").map(|reason| reason.as_str().into()),
            by: Principal::User(UserId::FIRST),
            since: self.now,
        })
    }
}
