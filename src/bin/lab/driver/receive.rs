//! Handles received frames and checks them against the promises.

use std::io;

use memchr::memmem;
use serde_json::Value;

use super::schedule::Action;
use super::{Driver, Seat, io_code};
use crate::client::{Incoming, connection, dialect, frames};
use crate::commands::{CommandKind, Fate};
use crate::judge;
use crate::lane::Lane;
use crate::offset_tracker::Arrival;
use crate::online::Online;
use crate::room_log::{Content, MARK, Sight, read_mark};
use crate::standings::Refusal;

/// A refused join is tried again after so long, if the server gives no hint.
const JOIN_AGAIN_MS: u64 = 1_000;

impl Driver<'_> {
    /// The WebSocket is open: greet, or speak at once.
    pub(super) fn on_upgraded(&mut self, index: usize, now_ns: u64) -> io::Result<()> {
        let member = &mut self.members[index];
        if let (Some(_), Some(conn)) = (&member.polling, &mut member.conn) {
            return conn.send_text("2probe");
        }
        self.stats.connections += 1;
        let kind = self.members[index].kind;
        if kind.is_plain() {
            self.join(index, now_ns);
        } else if let (Some(greeting), Some(conn)) = (
            connection::greeting(kind),
            self.members[index].conn.as_mut(),
        ) {
            conn.send_text(greeting)?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn on_frame(
        &mut self,
        index: usize,
        opcode: u8,
        payload: &[u8],
        now_ns: u64,
    ) -> Result<(), String> {
        match opcode {
            frames::TEXT => self.on_text(index, payload, now_ns),
            frames::PING => match self.members[index].conn.as_mut() {
                Some(conn) => conn
                    .send(frames::PONG, payload)
                    .map_err(|error| io_code(&error)),
                None => Ok(()),
            },
            frames::PONG | frames::BINARY => Ok(()),
            frames::CLOSE => {
                let code = payload
                    .first_chunk::<2>()
                    .map_or(1005, |code| u16::from_be_bytes(*code));
                Err(format!("close_{code}"))
            }
            _ => {
                self.offences.add(judge::WIRE, || {
                    format!("member {index} got a frame of opcode {opcode}")
                });
                Ok(())
            }
        }
    }

    #[inline]
    pub(super) fn on_text(&mut self, index: usize, text: &[u8], now_ns: u64) -> Result<(), String> {
        let kind = self.members[index].kind;
        let incoming = kind.parse(text);
        if self.script.target.templates.is_some()
            && matches!(incoming, Incoming::Event { .. } | Incoming::Unknown)
        {
            self.on_marked(index, text, now_ns);
            return Ok(());
        }
        match incoming {
            // No need to look for an offset in the longest of all.
            Incoming::Event {
                name: name @ b"online",
                body,
            } => self.on_state(index, name, body, now_ns),
            Incoming::Event { name, body } => match dialect::offset_of(body) {
                Some(offset) => self.on_numbered(index, name, offset, body, now_ns),
                None => self.on_state(index, name, body, now_ns),
            },
            // Templates do not say what an answer looks like, so nobody waits for one.
            Incoming::Answer { .. } if self.script.target.templates.is_some() => {}
            Incoming::Answer { ack, body } => self.on_answer(index, ack, body, now_ns),
            Incoming::Connected => {
                if self.members[index].seat == Seat::Connecting {
                    self.join(index, now_ns);
                }
            }
            Incoming::Opened(handshake) => {
                self.on_polling_open(index, handshake)
                    .map_err(|error| io_code(&error))?;
                if kind == crate::client::Kind::Eio3 {
                    let session = self.members[index].session;
                    self.schedule.add(
                        now_ns,
                        Action::Ping {
                            member: index,
                            session,
                        },
                    );
                }
            }
            Incoming::Ping => {
                self.say(index, "3").map_err(|error| io_code(&error))?;
            }
            Incoming::Pong if text == b"3probe" => {
                self.on_probe_answered(index)
                    .map_err(|error| io_code(&error))?;
            }
            Incoming::Pong => {}
            Incoming::Fail(_) => self.refuse("connect_refused_by_server"),
            Incoming::Unknown => self.offences.add(judge::WIRE, || {
                let start = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
                format!("member {index} got a text that is no event and no answer: {start}")
            }),
        }
        Ok(())
    }

    /// An event with a place in the room's order.
    #[inline]
    fn on_numbered(&mut self, index: usize, name: &[u8], offset: u64, body: &[u8], now_ns: u64) {
        let member = &mut self.members[index];
        let room = &mut self.rooms[member.room];
        self.stats.deliveries += 1;
        room.deliveries += 1;
        if !member.may_miss_crowd {
            self.last_received_ns = now_ns;
        }
        let mut sight = room.log.receive(room.live_id, name, offset, body);
        if offset <= member.replay_until {
            sight = self.judge_replay(index, offset, sight);
        }
        if !matches!(sight, Sight::Known | Sight::First) {
            self.on_wrong_event(index, offset, &sight);
            return;
        }
        let member = &mut self.members[index];
        match member.offsets.arrive(offset) {
            Arrival::InOrder => {}
            // Whether it is a loss shows at the end: it may be late.
            Arrival::Skipped { from } => self.pass_over(index, from..offset, now_ns),
            Arrival::Late => self.offences.add(judge::ORDER, || {
                format!("member {index} got offset {offset} after later ones")
            }),
            Arrival::Again => {
                self.offences.add(judge::DUPLICATED, || {
                    format!("member {index} got offset {offset} twice")
                });
                return;
            }
            Arrival::Outside => {
                self.offences.add(judge::ISOLATED, || {
                    format!("member {index} got offset {offset} while outside the room")
                });
                return;
            }
        }
        if sight == Sight::First {
            self.on_first_sight(index, offset, now_ns);
        }
        self.on_receipt(index, offset, now_ns);
    }

    /// A member received an event of its room for the first time.
    #[inline]
    fn on_receipt(&mut self, index: usize, offset: u64, now_ns: u64) {
        let member = &self.members[index];
        if member.rereads && offset <= member.replay_until {
            return;
        }
        let Some(event) = self.rooms[member.room].log.get_mut(offset) else {
            return;
        };
        if !member.may_miss_crowd || event.lane != Lane::Crowd {
            self.stats.promised[event.lane as usize] += 1;
        }
        // A slow reader waits by its own choice, and the run does not wait for it.
        if member.may_miss_crowd {
            return;
        }
        if event.intended_ns != u64::MAX && event.sender != index as u32 {
            self.stats
                .second
                .record_ns(now_ns.saturating_sub(event.intended_ns));
        }
        if event.awaited > 0 {
            self.await_one_less(index, offset, now_ns);
        }
    }

    /// An event from before a member joined: what was taken down by then must not come
    /// again, and its removal stands in its place.
    #[cold]
    fn judge_replay(&mut self, index: usize, offset: u64, sight: Sight) -> Sight {
        let until = self.members[index].replay_until;
        let room = &mut self.rooms[self.members[index].room];
        self.stats.replayed += 1;
        match sight {
            Sight::Known if room.log.is_removed_by(offset, until) => {
                self.offences.add(judge::REMOVED, || {
                    format!(
                        "member {index} got again the comment at {offset}, which was taken down"
                    )
                });
                Sight::Known
            }
            // Its removal may be on its way to the members that follow the room.
            Sight::TakenDown => {
                room.replaced.push((offset, until));
                Sight::Known
            }
            sight => sight,
        }
    }

    #[cold]
    fn on_wrong_event(&mut self, index: usize, offset: u64, sight: &Sight) {
        match sight {
            Sight::Foreign { live_id } => self.offences.add(judge::ISOLATED, || {
                format!("member {index} got offset {offset} of room {live_id}, where it is not")
            }),
            Sight::Different | Sight::TakenDown => self.offences.add(judge::ORDER, || {
                format!("member {index} got at offset {offset} another event than others")
            }),
            Sight::Impossible(what) => {
                self.offences.add(judge::GAPS, || {
                    format!("member {index} got offset {offset}: {what}")
                });
            }
            Sight::Unreadable | Sight::First | Sight::Known => {
                self.offences.add(judge::WIRE, || {
                    format!("member {index} got an event at {offset} without its fields")
                });
            }
        }
    }

    /// The first member received an event: its command is now announced.
    #[cold]
    fn on_first_sight(&mut self, index: usize, offset: u64, now_ns: u64) {
        let room_index = self.members[index].room;
        let room = &mut self.rooms[room_index];
        let Some(event) = room.log.get_mut(offset) else {
            return;
        };
        event.first_ns = now_ns;
        if let Content::Comment { id, .. } = &event.content {
            room.holds.settle(id);
        }
        let Some(number) = event.content.command() else {
            return;
        };
        let Some(command) = self.commands.get_mut(number) else {
            return;
        };
        // How long a comment was held is no latency.
        if !room.holds.has(number) {
            event.intended_ns = command.intended_ns;
        }
        event.sender = command.member;
        if self.members[command.member as usize].is_streamer() {
            event.lane = Lane::Voice;
        }
        if room.flights.contains(&number) {
            event.awaited = room.attentive;
        }
        if command.room as usize != room_index {
            self.offences.add(judge::ISOLATED, || {
                format!("comment {number} was announced in another room")
            });
        }
        if let Some(sanction) = command.must_refuse {
            self.offences.add(judge::of_refusal(sanction), || {
                format!("comment {number} was announced at {offset}: {sanction:?}")
            });
        }
        if let Some(before) = command.announced.replace(offset) {
            self.offences.add(judge::DUPLICATED, || {
                format!("comment {number} was announced at {before} and {offset}")
            });
        }
    }

    /// An event that has no place: the latest replaces the one before.
    fn on_state(&mut self, index: usize, name: &[u8], body: &[u8], now_ns: u64) {
        match name {
            b"online" => {
                let member = &mut self.members[index];
                let room = &mut self.rooms[member.room];
                match room.presence.read(body) {
                    Some(announced) if announced.live_id == room.live_id => {
                        member.offsets.online.receive(announced)
                    }
                    Some(announced) => self.offences.add(judge::ISOLATED, || {
                        format!("member {index} got presence of room {}", announced.live_id)
                    }),
                    None => self.offences.add(judge::WIRE, || {
                        format!("member {index} got presence without count or live_id")
                    }),
                }
            }
            b"rate" => {}
            b"comment" => self.on_echo(index, body),
            b"muted" | b"unmuted" | b"kicked" => self.on_news(index, name, body, now_ns),
            b"held" | b"preview" => self.on_held(index, name, body, now_ns),
            b"comment_denied" => self.on_denied(index, body),
            b"role" => {}
            // Refusals without a command: `error`, and the one named by the socket id.
            _ => {
                let code = serde_json::from_slice::<Value>(body).ok();
                let code = code
                    .as_ref()
                    .and_then(|body| body["code"].as_str().or(body["data"]["payload"].as_str()));
                self.refuse(code.unwrap_or("unknown_event"));
            }
        }
    }

    /// A comment without a place: one that was sampled out, shown to its sender.
    fn on_echo(&mut self, index: usize, body: &[u8]) {
        let number = read_mark(body);
        let command = number.and_then(|number| self.commands.get_mut(number));
        match command.filter(|command| command.member as usize == index) {
            Some(command) => {
                if std::mem::replace(&mut command.is_echoed, true) {
                    self.offences.add(judge::DUPLICATED, || {
                        format!("member {index} got its comment {number:?} back twice")
                    });
                }
            }
            None => self.offences.add(judge::SAMPLED, || {
                format!(
                    "member {index} got comment {number:?} without a place, which it did not send"
                )
            }),
        }
    }

    fn on_answer(&mut self, index: usize, ack: u64, body: &[u8], now_ns: u64) {
        let number = usize::try_from(ack).unwrap_or(usize::MAX);
        let Some(place) = self.members[index]
            .pending
            .iter()
            .position(|it| *it == number)
        else {
            self.offences.add(judge::ANSWERED, || {
                format!("member {index} got an answer to {ack}, which it did not wait for")
            });
            return;
        };
        self.members[index].pending.swap_remove(place);
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(command) = self.commands.get_mut(number) else {
            return;
        };
        let kind = command.kind;
        command.answered_ns = Some(now_ns);
        if matches!(kind, CommandKind::Comment | CommandKind::Gift { .. }) {
            self.stats
                .ack_latency
                .record_ns(now_ns.saturating_sub(command.intended_ns));
        }
        if answer["ok"] == true {
            command.fate = fate_of(&answer);
            if matches!(command.fate, Fate::SampledOut | Fate::Held { .. }) {
                self.top_up_without(index, number, now_ns);
            }
            self.judge_answer(index, number, None);
            self.on_accepted(index, kind, &answer, now_ns);
        } else {
            let refusal = Refusal::from_code(answer["code"].as_str().unwrap_or_default());
            command.fate = Fate::Refused(refusal);
            self.judge_answer(index, number, Some(refusal));
            // Its place is free again at the next second: a server that says no is not asked in a
            // loop.
            self.rooms[self.members[index].room].flights.remove(&number);
            self.on_refused(index, kind, &answer);
        }
    }

    fn on_accepted(&mut self, index: usize, kind: CommandKind, answer: &Value, now_ns: u64) {
        match kind {
            CommandKind::Join => {
                let offset = answer["offset"].as_u64().unwrap_or_default();
                let room_index = self.members[index].room;
                if !self.rooms[room_index]
                    .log
                    .joined_at(answer["epoch"].as_str().unwrap_or_default(), offset)
                {
                    self.offences.add(judge::GAPS, || {
                        format!("member {index} joined in another epoch than others")
                    });
                }
                let resumed = self.members[index]
                    .resume_from
                    .take()
                    .filter(|_| answer["recovered"] == true);
                self.members[index].replay_until = resumed.map_or(0, |_| offset);
                self.enter(
                    index,
                    resumed.unwrap_or(offset),
                    Online::counted(answer["count"].as_u64()),
                    now_ns,
                );
            }
            CommandKind::Leave => {
                self.exit(index);
                self.members[index].seat = Seat::Out;
                let (session, after_ns) = (
                    self.members[index].session,
                    self.rejoin_after_ns(self.members[index].room),
                );
                self.plan_return(index, session, after_ns);
            }
            CommandKind::Act { act } => self.on_act_done(act, now_ns),
            CommandKind::Comment | CommandKind::Gift { .. } => {}
        }
    }

    fn on_refused(&mut self, index: usize, kind: CommandKind, answer: &Value) {
        self.refuse(answer["code"].as_str().unwrap_or("refused_without_code"));
        let session = self.members[index].session;
        match kind {
            CommandKind::Join => {
                self.members[index].seat = Seat::Out;
                let after_ms = answer["retry_after_ms"].as_u64().unwrap_or(JOIN_AGAIN_MS);
                self.plan_return(index, session, after_ms.saturating_mul(1_000_000));
            }
            // Still in: as before it asked.
            CommandKind::Leave if self.members[index].seat == Seat::Leaving => {
                self.members[index].seat = Seat::In;
            }
            CommandKind::Leave
            | CommandKind::Comment
            | CommandKind::Gift { .. }
            | CommandKind::Act { .. } => {}
        }
    }

    /// Any text of a server that is driven by templates: what carries a mark is a comment. Its
    /// place is the order in which the room first received it.
    fn on_marked(&mut self, index: usize, text: &[u8], now_ns: u64) {
        if memmem::find(text, MARK.as_bytes()).is_none() {
            return;
        }
        let Some(number) = read_mark(text) else {
            return;
        };
        let Some(command) = self.commands.get(number) else {
            return;
        };
        let room_index = self.members[index].room;
        if command.room as usize != room_index {
            self.offences.add(judge::ISOLATED, || {
                format!("member {index} got comment {number} of another room")
            });
            return;
        }
        let offset = match command.announced {
            Some(offset) => offset,
            None => self.rooms[room_index].log.append_marked(number),
        };
        self.stats.deliveries += 1;
        self.rooms[room_index].deliveries += 1;
        self.last_received_ns = now_ns;
        match self.members[index].offsets.arrive(offset) {
            Arrival::InOrder => {}
            Arrival::Skipped { from } => self.pass_over(index, from..offset, now_ns),
            Arrival::Late => self.offences.add(judge::ORDER, || {
                format!("member {index} got comment {number} after later ones")
            }),
            Arrival::Again => {
                self.offences.add(judge::DUPLICATED, || {
                    format!("member {index} got comment {number} twice")
                });
                return;
            }
            Arrival::Outside => return,
        }
        if self
            .commands
            .get(number)
            .is_some_and(|command| command.announced.is_none())
        {
            self.on_first_sight(index, offset, now_ns);
        }
        self.on_receipt(index, offset, now_ns);
    }
}

fn fate_of(answer: &Value) -> Fate {
    if answer["status"] == "sampled_out" {
        return Fate::SampledOut;
    }
    let id = match (&answer["comment_id"], &answer["gift_record_id"]) {
        (Value::String(id), _) => id.clone(),
        (_, Value::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    if answer["status"] == "held" {
        let delay_ms = answer["delay_ms"].as_u64();
        return Fate::Held { id, delay_ms };
    }
    Fate::Accepted {
        id,
        offset: answer["offset"].as_u64(),
    }
}
