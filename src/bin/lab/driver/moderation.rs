//! Rooms that are flooded, their moderators, and what must follow from it.

use std::ops::Range;

use serde_json::{Value, json};

use super::holds::TERM_LIST;
use super::schedule::Action;
use super::{Driver, Errand, Reading, Seat};
use crate::commands::CommandKind;
use crate::judge;
use crate::room_log::Content;
use crate::script::{Moderation, RoomPlan, TextSource};
use crate::setup;
use crate::standings::{Act, ActKind, Asks, Refusal, Rule, Traits};

/// The rooms act after the ramp and so long, when the moderators are named.
const BEGIN_AFTER_NS: u64 = 1_000_000_000;

/// Length of what those who flood a room say, in bytes.
const FLOOD_BYTES: usize = 40;

/// Tries to find a member or a comment by chance.
const CHOICES_MAX: usize = 32;

/// How many events before the newest one a member reads again at the end: what a server keeps for
/// members that come back.
const REREAD_EVENTS: u64 = 200;

/// What a member received of its own sanctions.
#[derive(Debug, Default, Clone, Copy)]
pub struct News {
    /// When it was notified last that it is muted.
    pub muted_ns: Option<u64>,
    /// When it was removed last because it is banned.
    pub banned_ns: Option<u64>,
}

/// The users that flood a room.
fn flooders(room: &RoomPlan, moderation: &Moderation) -> Range<usize> {
    let users = room.users_count();
    users - moderation.flooders..users
}

impl Driver<'_> {
    pub(super) fn moderation(&self, room: usize) -> Option<&Moderation> {
        self.plan_of(room).moderation()
    }

    fn plan_of(&self, room: usize) -> &RoomPlan {
        &self.script.rooms[self.rooms[room].plan]
    }

    fn is_flooder(&self, room: usize, user: usize) -> bool {
        let plan = self.plan_of(room);
        plan.moderation()
            .is_some_and(|moderation| flooders(plan, moderation).contains(&user))
    }

    /// Plans floods and acts, from when all members have come.
    pub(super) fn plan_moderation(&mut self, room: usize, plan: &RoomPlan) {
        let Some(moderation) = plan.moderation() else {
            return;
        };
        for window in &moderation.rules {
            let rule = window.rule;
            for (at, kind) in [
                (window.from, ActKind::Impose(rule)),
                (window.until, ActKind::Lift(rule)),
            ] {
                self.schedule
                    .add(at.as_nanos() as u64, Action::Moderate { room, kind });
            }
        }
        let begin_ns = plan.ramp.as_nanos() as u64 + BEGIN_AFTER_NS;
        self.plan_next(begin_ns, Action::Flood { room });
        for kind in [ActKind::Mute, ActKind::Ban, ActKind::Delete] {
            self.plan_next(begin_ns, Action::Moderate { room, kind });
        }
    }

    /// The rate of floods or of acts of a kind.
    pub(super) fn moderation_rate(plan: &RoomPlan, kind: Option<ActKind>) -> f64 {
        plan.moderation().map_or(0.0, |it| match kind {
            None => it.flood_per_s,
            Some(ActKind::Mute) => it.mute_per_s,
            Some(ActKind::Ban) => it.ban_per_s,
            Some(ActKind::Delete) => it.delete_per_s,
            Some(_) => 0.0,
        })
    }

    /// The streamer is in: it names its moderators, once.
    pub(super) fn name_moderators(&mut self, room: usize) {
        let count = self.moderation(room).map_or(0, |it| it.moderators);
        if self.rooms[room].moderators.is_some() {
            return;
        }
        self.rooms[room].moderators = Some(Vec::new());
        let streamer = self.rooms[room].members.start;
        for user in 0..count {
            self.perform(streamer, ActKind::NameModerator, user, String::new());
        }
    }

    pub(super) fn flood(&mut self, room: usize, at_ns: u64) {
        let sender = self.pick(room, |driver, member| {
            let user = driver.members[member].user;
            user.is_some_and(|user| driver.is_flooder(room, user))
        });
        if let Some(sender) = sender {
            self.speak(sender, at_ns, FLOOD_BYTES, TextSource::Words, 0.0);
        }
    }

    /// The streamer or a moderator acts on somebody, if there is somebody to act on. What would not
    /// have reached all before the end of the script is left.
    pub(super) fn moderate(&mut self, room: usize, kind: ActKind, at_ns: u64) {
        let Some(moderation) = self.moderation(room) else {
            return;
        };
        let reach_ns = moderation.reach.as_nanos() as u64;
        if at_ns + reach_ns > self.phases.end_ns() {
            return;
        }
        let Some(actor) = self.pick(room, Self::keeps_order) else {
            return;
        };
        match kind {
            ActKind::Mute | ActKind::Ban => {
                let plan = self.plan_of(room);
                let candidates: Vec<usize> = plan
                    .moderation()
                    .map_or(0..0, |moderation| flooders(plan, moderation))
                    .filter(|user| !self.rooms[room].standings.is_under_sanction(*user))
                    .collect();
                if !candidates.is_empty() {
                    let user = candidates[self.rng.below(candidates.len())];
                    self.perform(actor, kind, user, String::new());
                }
            }
            ActKind::Delete => {
                if let Some((user, comment)) = self.choose_comment(room) {
                    self.perform(actor, kind, user, comment);
                }
            }
            ActKind::Impose(_) | ActKind::Lift(_) => {
                let streamer = self.rooms[room].members.start;
                if self.members[streamer].seat == Seat::In {
                    self.perform(streamer, kind, 0, String::new());
                }
            }
            ActKind::Unmute
            | ActKind::NameModerator
            | ActKind::DismissModerator
            | ActKind::Approve
            | ActKind::Deny => {}
        }
    }

    pub(super) fn unmute(&mut self, act: usize) {
        let (room, user) = (self.acts[act].room, self.acts[act].user);
        if let Some(actor) = self.pick(room, Self::keeps_order) {
            self.perform(actor, ActKind::Unmute, user, String::new());
        }
    }

    /// A member of the streamer or of a moderator that was named.
    pub(super) fn keeps_order(&self, member: usize) -> bool {
        let member = &self.members[member];
        let named = self.rooms[member.room].moderators.as_deref();
        member
            .user
            .is_none_or(|user| named.is_some_and(|named| named.contains(&user)))
    }

    /// A member that is in, reads at once and is `wanted`, by chance.
    pub(super) fn pick(
        &mut self,
        room: usize,
        wanted: impl Fn(&Self, usize) -> bool,
    ) -> Option<usize> {
        let joined = self.rooms[room].joined.len();
        let start = self.rng.below(joined.max(1));
        (0..joined)
            .map(|step| self.rooms[room].joined[(start + step) % joined])
            .find(|member| {
                let it = &self.members[*member];
                it.reading == Reading::Full && it.seat == Seat::In && wanted(self, *member)
            })
    }

    /// A comment that is shown, of somebody who is neither a flooder nor above a moderator.
    fn choose_comment(&mut self, room: usize) -> Option<(usize, String)> {
        let (base, last) = (self.rooms[room].log.base(), self.rooms[room].log.last());
        let span = usize::try_from(last - base).ok().filter(|span| *span > 0)?;
        let named = self.moderation(room)?.moderators;
        for _ in 0..CHOICES_MAX {
            let offset = base + 1 + self.rng.below(span) as u64;
            let log = &self.rooms[room].log;
            let Some(Content::Comment {
                id,
                command: Some(number),
            }) = log.get(offset).map(|event| &event.content)
            else {
                continue;
            };
            let Some(sender) = self.commands.get(*number).map(|it| it.member as usize) else {
                continue;
            };
            let Some(user) = self.members[sender].user else {
                continue;
            };
            let is_asked_for = self.rooms[room].deleted.contains(id);
            if user >= named && !self.is_flooder(room, user) && !is_asked_for {
                return Some((user, id.clone()));
            }
        }
        None
    }

    /// Asks for an act: by a command, or over HTTP where there is none.
    pub(super) fn perform(&mut self, actor: usize, kind: ActKind, user: usize, comment: String) {
        let (room, now_ns) = (self.members[actor].room, self.now_ns());
        let act = self.acts.len();
        if kind == ActKind::Delete {
            self.rooms[room].deleted.insert(comment.clone());
        }
        self.rooms[room].standings.asked(kind, user, now_ns);
        let command = self.command_of(room, act, kind, user, &comment);
        self.acts.push(Act {
            kind,
            room,
            user,
            comment,
            asked_ns: now_ns,
            done_ns: None,
        });
        let Some((event, fields)) = command else {
            let is_imposed = matches!(kind, ActKind::Impose(_));
            let lines = if is_imposed { TERM_LIST } else { "" };
            self.send_errand(Errand::Terms { act, lines });
            return;
        };
        let number = self.number(CommandKind::Act { act }, actor, now_ns);
        let token = &self.account(actor).token;
        let text = self.members[actor]
            .kind
            .command(number as u64, event, token, &fields);
        self.send(actor, &text);
    }

    /// The command that asks for an act; `None` for the streamer's terms.
    fn command_of(
        &self,
        room: usize,
        act: usize,
        kind: ActKind,
        user: usize,
        comment: &str,
    ) -> Option<(&'static str, Value)> {
        let (event, mut fields) = match kind {
            ActKind::NameModerator => ("setModerator", json!({"moderator": true})),
            ActKind::DismissModerator => ("setModerator", json!({"moderator": false})),
            ActKind::Mute => ("mute", json!({"seconds": 0, "reason": "flood"})),
            ActKind::Unmute => ("unmute", json!({})),
            ActKind::Ban => ("ban", json!({"seconds": 0, "purge": "recent"})),
            ActKind::Delete => ("deleteComment", json!({"comment_id": comment})),
            ActKind::Approve => ("review", json!({"comment_id": comment, "approve": true})),
            ActKind::Deny => ("review", json!({"comment_id": comment, "approve": false})),
            ActKind::Impose(rule) | ActKind::Lift(rule) => {
                let is_imposed = matches!(kind, ActKind::Impose(_));
                ("setModes", self.mode_fields(room, rule, is_imposed)?)
            }
        };
        fields["live_id"] = json!(self.rooms[room].live_id);
        fields["request_id"] = json!(format!("{}-act{act}", self.setup.run_id));
        let is_of_user = matches!(
            kind,
            ActKind::NameModerator
                | ActKind::DismissModerator
                | ActKind::Mute
                | ActKind::Unmute
                | ActKind::Ban
        );
        if is_of_user {
            fields["user_id"] = json!(self.setup.users[user].id);
        }
        Some((event, fields))
    }

    /// The mode of a rule and what it is set to; `None` if it is none.
    fn mode_fields(&self, room: usize, rule: Rule, is_imposed: bool) -> Option<Value> {
        let window = self.moderation(room)?.window(rule)?;
        let off = if rule == Rule::Followers { -1 } else { 0 };
        let value = match (rule, is_imposed) {
            (Rule::Frozen, _) => json!(is_imposed),
            (_, true) => json!(window.value()),
            (_, false) => json!(off),
        };
        Some(json!({rule.mode()?: value}))
    }

    /// An act was answered as done: from now on it has so long to reach all.
    pub(super) fn on_act_done(&mut self, act: usize, now_ns: u64) {
        let (kind, room, user) = {
            let act = &mut self.acts[act];
            act.done_ns = Some(now_ns);
            (act.kind, act.room, act.user)
        };
        self.rooms[room].standings.done(kind, user, now_ns);
        let Some(moderation) = self.moderation(room) else {
            return;
        };
        let reach_ns = moderation.reach.as_nanos() as u64;
        let unmute_after_ns = moderation.unmute_after.map(|after| after.as_nanos() as u64);
        match kind {
            ActKind::NameModerator => {
                if let Some(named) = &mut self.rooms[room].moderators {
                    named.push(user);
                }
            }
            ActKind::Mute | ActKind::Ban => {
                self.unjudged_acts += 1;
                self.schedule
                    .add(now_ns + reach_ns, Action::Reached { act });
                if let (ActKind::Mute, Some(after_ns)) = (kind, unmute_after_ns)
                    && now_ns + after_ns < self.phases.end_ns()
                {
                    self.schedule.add(now_ns + after_ns, Action::Unmute { act });
                }
            }
            ActKind::Approve => {
                let room = &mut self.rooms[room];
                room.holds.approved(&self.acts[act].comment);
            }
            _ => {}
        }
    }

    /// The time an act had to reach each node is over. What is on the way to its user's members is
    /// read first, so that a lab that is behind blames nobody for it.
    pub(super) fn judge_reach(&mut self, act: usize) {
        self.unjudged_acts -= 1;
        let (kind, room, user) = (
            self.acts[act].kind,
            self.acts[act].room,
            self.acts[act].user,
        );
        let members: Vec<usize> = self.rooms[room]
            .members
            .clone()
            .filter(|member| self.members[*member].user == Some(user))
            .collect();
        for index in members {
            if self.members[index].reads_at_once() {
                self.pump(index);
            }
            let member = &self.members[index];
            if member.seat != Seat::In || member.reading != Reading::Full {
                continue;
            }
            let asked_ns = self.acts[act].asked_ns;
            let was_there = member.entered_ns < asked_ns;
            let was_notified = member.news.muted_ns.is_some_and(|at| at >= asked_ns);
            match kind {
                ActKind::Ban => self.offences.add(judge::BANNED, || {
                    format!(
                        "member {index} is still in the room from which its user {user} was banned"
                    )
                }),
                ActKind::Mute if was_there && !was_notified => {
                    self.offences.add(judge::MUTED, || {
                        format!("member {index} was not notified that its user {user} was muted")
                    });
                }
                _ => {}
            }
        }
    }

    /// Notices to a member about itself: `muted`, `unmuted` or `kicked`.
    pub(super) fn on_news(&mut self, index: usize, name: &[u8], body: &[u8], now_ns: u64) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = &self.members[index];
        let room = &self.rooms[member.room];
        if body["live_id"].is_i64() && body["live_id"] != json!(room.live_id) {
            self.offences.add(judge::ISOLATED, || {
                format!("member {index} got news of room {}", body["live_id"])
            });
            return;
        }
        let refusal = match (name, body["code"].as_str()) {
            (b"muted", _) => Refusal::Muted,
            (b"kicked", Some("banned")) => Refusal::Banned,
            (b"unmuted", _) => return,
            (_, code) => {
                let code = code.unwrap_or("kicked").to_owned();
                self.refuse(&code);
                self.leave_room(index);
                return;
            }
        };
        let is_explained = member.user.is_some_and(|user| {
            let standings = &room.standings;
            standings.may_refuse(user, refusal, now_ns.saturating_sub(standings.reach_ns()))
        });
        if !is_explained {
            self.offences.add(judge::ACTS, || {
                format!("member {index} was notified: {refusal:?}, which nobody asked for")
            });
        }
        match refusal {
            Refusal::Muted => self.members[index].news.muted_ns = Some(now_ns),
            _ => {
                self.members[index].news.banned_ns = Some(now_ns);
                self.leave_room(index);
                // It tries to speak and to come back, as such people do.
                self.speak(index, now_ns, FLOOD_BYTES, TextSource::Words, 0.0);
            }
        }
    }

    /// The server removed a member from its room. It tries to come back.
    fn leave_room(&mut self, index: usize) {
        if matches!(self.members[index].seat, Seat::In | Seat::Leaving) {
            self.exit(index);
            self.members[index].seat = Seat::Out;
            let session = self.members[index].session;
            self.plan_return(index, session, super::rooms::RETRY_NS);
        }
    }

    /// The sanction because of which a command that is sent now must be refused: it has reached all,
    /// or this member, which its node notified itself.
    pub(super) fn must_refuse(
        &self,
        index: usize,
        kind: CommandKind,
        now_ns: u64,
    ) -> Option<Refusal> {
        let member = &self.members[index];
        let asks = match kind {
            CommandKind::Comment => Asks::ToSpeak,
            CommandKind::Join | CommandKind::Gift { .. } => Asks::ToTakePart,
            CommandKind::Leave | CommandKind::Act { .. } => return None,
        };
        if member.news.banned_ns.is_some() {
            return Some(Refusal::Banned);
        }
        let user = member.user?;
        let room = &self.rooms[member.room];
        let notified = member.news.muted_ns;
        let is_muted = notified.is_some_and(|at| room.standings.is_muted_since(user, at));
        if asks == Asks::ToSpeak && is_muted {
            return Some(Refusal::Muted);
        }
        let traits = Traits {
            keeps_order: self.keeps_order(index),
            follows: setup::follows(user),
            gave: room.givers.contains(&user),
        };
        room.standings.must_refuse(user, asks, traits, now_ns)
    }

    /// A command was answered: whether that is in keeping with the sanctions.
    pub(super) fn judge_answer(&mut self, index: usize, number: usize, refusal: Option<Refusal>) {
        let member = &self.members[index];
        let Some(command) = self.commands.get(number) else {
            return;
        };
        if matches!(command.kind, CommandKind::Act { .. }) {
            return;
        }
        match (refusal, command.must_refuse) {
            (None, Some(sanction)) => {
                let (check, kind) = (judge::of_refusal(sanction), command.kind);
                self.offences.add(check, || {
                    format!("{number} of member {index} was accepted: {kind:?}, {sanction:?}")
                });
            }
            (Some(refusal), _) => {
                let sent_ns = command.sent_ns;
                let is_explained = member.user.is_some_and(|user| {
                    let standings = &self.rooms[member.room].standings;
                    let is_admitted = refusal == Refusal::Followers && setup::follows(user);
                    standings.may_refuse(user, refusal, sent_ns) && !is_admitted
                });
                if refusal != Refusal::Other && !is_explained {
                    self.offences.add(judge::ACTS, || {
                        format!("{number} of member {index} was refused: {refusal:?}, which nobody asked for")
                    });
                }
            }
            (None, None) => {}
        }
    }

    /// The script is over: moderators are dismissed and rules are lifted, so that later runs begin as
    /// this one, and a member of each room reads its events again.
    pub(super) fn end_moderation(&mut self) {
        for room in 0..self.rooms.len() {
            if self.moderation(room).is_none() {
                continue;
            }
            let streamer = self.rooms[room].members.start;
            if self.members[streamer].seat == Seat::In {
                let rules: Vec<Rule> = self.rooms[room].standings.rules().collect();
                for rule in rules {
                    self.perform(streamer, ActKind::Lift(rule), 0, String::new());
                }
                for user in self.rooms[room].moderators.clone().unwrap_or_default() {
                    self.perform(streamer, ActKind::DismissModerator, user, String::new());
                }
            }
            if let Some(reader) = self.pick(room, |driver, it| !driver.members[it].is_streamer()) {
                let log = &self.rooms[room].log;
                let since = log.last().saturating_sub(REREAD_EVENTS).max(log.base());
                self.drop_connection(reader);
                self.members[reader].resume_from = Some(since);
                self.members[reader].rereads = true;
                self.connect(reader);
            }
        }
    }
}
