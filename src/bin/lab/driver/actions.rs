//! Performs scheduled actions.

use serde::Serialize;

use super::schedule::Action;
use super::{Driver, Errand, Reading, Seat, io_code};
use crate::client::frames;
use crate::commands::{CommandKind, Fate};
use crate::online::Online;
use crate::room_log::MARK;
use crate::script::{Senders, Templates, TextSource};
use crate::texts;

/// How often a slow reader reads.
pub(super) const SLOW_READ_EVERY_NS: u64 = 100_000_000;

/// Tries to find a member that can speak, before a comment or gift is dropped from the schedule.
const CHOICES_MAX: usize = 8;

/// Engine.IO 3 clients ping this often by default.
const PING_EVERY_NS: u64 = 25_000_000_000;

#[derive(Serialize)]
struct JoinFields<'a> {
    live_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since<'a>>,
}

#[derive(Serialize)]
struct Since<'a> {
    epoch: &'a str,
    offset: u64,
}

#[derive(Serialize)]
struct CommentFields<'a> {
    live_id: i64,
    data: &'a str,
    request_id: &'a str,
}

#[derive(Serialize)]
struct GiftFields<'a> {
    live_id: i64,
    gift_id: i64,
    num: i64,
    request_id: &'a str,
}

impl Driver<'_> {
    pub(super) fn act(&mut self, at_ns: u64, action: Action) {
        match action {
            Action::Connect { member } => self.connect(member),
            Action::Comment { room } => {
                self.comment(room, at_ns);
                self.plan_next(at_ns, action);
            }
            Action::TopUp { room } => self.top_up(room, at_ns),
            Action::Gift { room } => {
                self.give(room, at_ns);
                self.plan_next(at_ns, action);
            }
            Action::Leave { room } => {
                self.send_one_away(room, at_ns);
                self.plan_next(at_ns, action);
            }
            Action::Cut { room } => {
                self.cut_one(room);
                self.plan_next(at_ns, action);
            }
            Action::Return { member, session } => self.come_back(member, session, at_ns),
            Action::Ping { member, session } => self.ping(member, session, at_ns),
            Action::SlowRead { member, session } => self.slow_read(member, session, at_ns),
            Action::Streamer { room, kind } => {
                self.rooms[room].is_ended |= kind == "stop";
                self.send_errand(Errand::Status { room, kind });
            }
            Action::Flood { room } => {
                self.flood(room, at_ns);
                self.plan_next(at_ns, action);
            }
            Action::Moderate { room, kind } => {
                self.moderate(room, kind, at_ns);
                self.plan_next(at_ns, action);
            }
            Action::Review { room, held } => self.review(room, held, at_ns),
            Action::Unmute { act } => self.unmute(act),
            Action::Reached { act } => self.judge_reach(act),
            Action::Wake => {
                self.wake_stopped_readers();
                self.end_moderation();
            }
            Action::PhaseEnds => self.end_phases(at_ns),
            Action::Second => {
                self.tick();
                self.tend_closed_loops(at_ns);
                self.schedule.add(at_ns + 1_000_000_000, Action::Second);
            }
        }
    }

    pub(super) fn tick(&mut self) {
        let now_ns = self.now_ns();
        let joined = self.rooms.iter().map(|room| room.joined.len()).sum();
        let phase = self.phases.name_at(now_ns);
        let point = self.stats.tick(now_ns as f64 / 1e9, phase, joined);
        self.progress.show(point, self.phases.end_ns() as f64 / 1e9);
    }

    /// The script is over: stopped readers read on, and so find out whether they were cut. A close
    /// frame waits behind what they did not read; and a server whose kernel gave them up sent none,
    /// but resets what it is sent.
    fn wake_stopped_readers(&mut self) {
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.reading != Reading::Stopped {
                continue;
            }
            member.reading = Reading::Full;
            if let Some(Err(error)) = member
                .conn
                .as_mut()
                .map(|conn| conn.send(frames::PING, b""))
            {
                self.lose(index, &io_code(&error));
            }
            self.pump(index);
        }
    }

    /// Counts the phases that have ended by now.
    pub(super) fn end_phases(&mut self, now_ns: u64) {
        let ended = self
            .phases
            .iter()
            .take_while(|(end_ns, _)| *end_ns <= now_ns)
            .skip(self.stats.phases.len());
        for (end_ns, name) in ended {
            self.stats.end_phase(name, end_ns as f64 / 1e9);
        }
    }

    /// Sends a command of a member, or loses the member.
    pub(super) fn send(&mut self, index: usize, text: &str) {
        if let Err(error) = self.say(index, text) {
            self.lose(index, &io_code(&error));
        }
    }

    /// Numbers a command and remembers that its member waits for the answer.
    pub(super) fn number(&mut self, kind: CommandKind, member: usize, intended_ns: u64) -> usize {
        let (room, now_ns) = (self.members[member].room, self.now_ns());
        let number = self.commands.add(kind, member, room, intended_ns, now_ns);
        let must_refuse = self.must_refuse(member, kind, now_ns);
        let seen = self.members[member].offsets.position();
        if let Some(command) = self.commands.get_mut(number) {
            (command.must_refuse, command.seen) = (must_refuse, seen);
        }
        self.members[member].pending.push(number);
        number
    }

    pub(super) fn join(&mut self, index: usize, now_ns: u64) {
        if let Some(templates) = &self.script.target.templates {
            return self.join_by_template(index, templates, now_ns);
        }
        let number = self.number(CommandKind::Join, index, now_ns);
        let member = &mut self.members[index];
        member.seat = Seat::Joining;
        let room = &self.rooms[member.room];
        let since = member
            .resume_from
            .zip(room.log.epoch())
            .map(|(offset, epoch)| Since { epoch, offset });
        let fields = JoinFields {
            live_id: room.live_id,
            since,
        };
        let kind = member.kind;
        let text = kind.command(
            number as u64,
            "joinLive",
            &self.account(index).token,
            &fields,
        );
        self.send(index, &text);
    }

    /// Nobody answers: whoever asked to join is in.
    fn join_by_template(&mut self, index: usize, templates: &Templates, now_ns: u64) {
        let text = self.fill(&templates.join, index, 0, "", "");
        self.members[index].seat = Seat::Joining;
        self.send(index, &text);
        if self.members[index].seat == Seat::Joining {
            let log = &mut self.rooms[self.members[index].room].log;
            log.joined_at("", 0);
            let last = log.last();
            self.enter(index, last, Online::default(), now_ns);
        }
    }

    pub(super) fn fill(
        &self,
        template: &str,
        index: usize,
        number: usize,
        request_id: &str,
        text: &str,
    ) -> String {
        let escaped = serde_json::to_string(text).unwrap_or_default();
        let live_id = self.rooms[self.members[index].room].live_id;
        template
            .replace("{live_id}", &live_id.to_string())
            .replace("{member}", &index.to_string())
            .replace("{ack}", &number.to_string())
            .replace("{request_id}", request_id)
            .replace("{token}", &self.account(index).token)
            .replace("{text}", escaped.trim_matches('"'))
    }

    /// One member comments, if there is one who can. Returns the command's number.
    pub(super) fn comment(&mut self, room: usize, at_ns: u64) -> Option<usize> {
        let plan = self.script.rooms[self.rooms[room].plan].comments()?;
        if self.rooms[room].is_ended {
            return None;
        }
        let sender = match plan.senders {
            Senders::Anyone => self.choose(room),
            Senders::Streamer => {
                Some(self.rooms[room].members.start).filter(|it| self.members[*it].seat == Seat::In)
            }
        };
        Some(self.speak(sender?, at_ns, plan.bytes, plan.text, plan.retry))
    }

    /// A member comments; with the chance `retry`, twice under the same `request_id`. Returns the
    /// command's number.
    pub(super) fn speak(
        &mut self,
        sender: usize,
        at_ns: u64,
        bytes: usize,
        source: TextSource,
        retry: f64,
    ) -> usize {
        let number = self.number(CommandKind::Comment, sender, at_ns);
        let mut text = format!("{MARK}{number} ");
        self.add_term(sender, number, &mut text);
        texts::pad(&mut text, bytes, source, &mut self.rng);
        self.send_comment(sender, number, number, &text);
        if self.rng.share() < retry && self.members[sender].seat == Seat::In {
            let again = self.number(CommandKind::Comment, sender, at_ns);
            let original = self.commands.get(number);
            let has_term = original.is_some_and(|it| it.has_term);
            if let Some(command) = self.commands.get_mut(again) {
                (command.retry_of, command.has_term) = (Some(number), has_term);
            }
            self.send_comment(sender, again, number, &text);
        }
        number
    }

    fn send_comment(&mut self, sender: usize, number: usize, original: usize, text: &str) {
        let request_id = format!("{}-{original}", self.setup.run_id);
        self.stats.comments_sent += 1;
        let packet = match &self.script.target.templates {
            Some(templates) => {
                // Nobody answers.
                self.members[sender].pending.retain(|it| *it != number);
                if let Some(command) = self.commands.get_mut(number) {
                    command.fate = Fate::Unknown;
                }
                self.fill(&templates.comment, sender, number, &request_id, text)
            }
            None => {
                let live_id = self.rooms[self.members[sender].room].live_id;
                let fields = CommentFields {
                    live_id,
                    data: text,
                    request_id: &request_id,
                };
                self.members[sender].kind.command(
                    number as u64,
                    "comment",
                    &self.account(sender).token,
                    &fields,
                )
            }
        };
        self.send(sender, &packet);
    }

    fn give(&mut self, room: usize, at_ns: u64) {
        let Some(plan) = &self.script.rooms[self.rooms[room].plan].gifts else {
            return;
        };
        let plan = plan.get_ref();
        if self.rooms[room].is_ended {
            return;
        }
        let Some(sender) = self.choose(room) else {
            return;
        };
        let price = plan.catalogue[self.rng.below(plan.catalogue.len())];
        let num = 1 + self.rng.below(plan.num_max as usize) as i64;
        let Some(gift) = self.setup.gifts.iter().position(|gift| gift.price == price) else {
            return;
        };
        if let Some(user) = self.members[sender].user {
            self.rooms[room].givers.insert(user);
        }
        let kind = CommandKind::Gift { gift, num };
        let number = self.number(kind, sender, at_ns);
        self.send_gift(sender, number, number, gift, num);
        if self.rng.share() < plan.retry && self.members[sender].seat == Seat::In {
            let again = self.number(kind, sender, at_ns);
            if let Some(command) = self.commands.get_mut(again) {
                command.retry_of = Some(number);
            }
            self.send_gift(sender, again, number, gift, num);
        }
    }

    fn send_gift(&mut self, sender: usize, number: usize, original: usize, gift: usize, num: i64) {
        self.stats.gifts_sent += 1;
        let request_id = format!("{}-{original}", self.setup.run_id);
        let live_id = self.rooms[self.members[sender].room].live_id;
        let fields = GiftFields {
            live_id,
            gift_id: self.setup.gifts[gift].id,
            num,
            request_id: &request_id,
        };
        let packet = self.members[sender].kind.command(
            number as u64,
            "gift",
            &self.account(sender).token,
            &fields,
        );
        self.send(sender, &packet);
    }

    /// A member that is in and listens, by chance; never the streamer.
    fn choose(&mut self, room: usize) -> Option<usize> {
        for _ in 0..CHOICES_MAX {
            let joined = &self.rooms[room].joined;
            if joined.is_empty() {
                return None;
            }
            let chosen = joined[self.rng.below(joined.len())];
            let member = &self.members[chosen];
            if member.reading == Reading::Full && member.seat == Seat::In && !member.is_streamer() {
                return Some(chosen);
            }
        }
        None
    }

    fn send_one_away(&mut self, room: usize, at_ns: u64) {
        if self.script.target.templates.is_some() {
            return;
        }
        let Some(index) = self.choose(room) else {
            return;
        };
        let number = self.number(CommandKind::Leave, index, at_ns);
        self.members[index].seat = Seat::Leaving;
        let fields = JoinFields {
            live_id: self.rooms[room].live_id,
            since: None,
        };
        let packet = self.members[index].kind.command(
            number as u64,
            "leaveLive",
            &self.account(index).token,
            &fields,
        );
        self.send(index, &packet);
    }

    /// Drops a connection without a word, as a phone in a tunnel does.
    fn cut_one(&mut self, room: usize) {
        let Some(index) = self.choose(room) else {
            return;
        };
        self.drop_connection(index);
        let after_ns = self.rejoin_after_ns(room);
        let session = self.members[index].session;
        self.plan_return(index, session, after_ns);
    }

    pub(super) fn rejoin_after_ns(&self, room: usize) -> u64 {
        let churn = self.script.rooms[self.rooms[room].plan].churn.as_ref();
        churn.map_or(0, |churn| churn.rejoin_after.as_nanos() as u64)
    }

    fn come_back(&mut self, index: usize, session: u32, at_ns: u64) {
        if self.members[index].session != session {
            return;
        }
        match self.members[index].seat {
            Seat::Away => self.connect(index),
            Seat::Out => self.join(index, at_ns),
            Seat::Connecting | Seat::Joining | Seat::In | Seat::Leaving => {}
        }
    }

    pub(super) fn ping(&mut self, index: usize, session: u32, at_ns: u64) {
        if self.members[index].session == session && self.members[index].is_connected() {
            self.schedule.add(
                at_ns + PING_EVERY_NS,
                Action::Ping {
                    member: index,
                    session,
                },
            );
            self.send(index, "2");
        }
    }

    fn slow_read(&mut self, index: usize, session: u32, at_ns: u64) {
        let member = &self.members[index];
        let Reading::Slow { bytes_per_s } = member.reading else {
            return;
        };
        if member.session != session || !member.is_connected() {
            return;
        }
        let bytes_max = (bytes_per_s * SLOW_READ_EVERY_NS / 1_000_000_000).max(1) as usize;
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.pump_carrier_into(index, &mut buffer, bytes_max, 1);
        self.buffer = buffer;
        match outcome {
            Ok(()) => self.schedule.add(
                at_ns + SLOW_READ_EVERY_NS,
                Action::SlowRead {
                    member: index,
                    session,
                },
            ),
            Err(code) => self.lose(index, &code),
        }
    }
}
