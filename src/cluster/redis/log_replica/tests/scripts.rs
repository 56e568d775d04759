//! Plays the transcripts in `tests/order_scripts` on one replica, that of node 1. `scripts.rs` of
//! the folder above says how they are compared and rewritten.
//!
//! # Notation
//! `e:5` is offset 5 of epoch `e`. Epochs are letters: `e` has generation 1, `f` 2, and so on; `e'`
//! is another epoch with the generation of `e`. `own1`, `own2` are epochs of this node's own.
//!
//! `n2.3` is the third entry of node 2, a notice. Node 1 is this one. `n2.3:r7` is a gift with record
//! 7, `n2.3:later` an event of a later version, `n2.3:garbage` one that is not understood, and
//! `n2.3:old` was appended before the room was opened. `a5` is the event of action 5, `x9` the removal of
//! comment 9, `k6` the kick of action 6 and `k6:later` a control of a later version. `n2.1..4` are
//! four entries. `n2.3@e:5` is at that position; without it, events end at that of the command.
//!
//! # Commands
//! | command | meaning |
//! | --- | --- |
//! | `opened P ENTRY…` | the room asks and is answered, as with `ask` and `answer`, which shows only the state |
//! | `append`, `append 3`, `append comment`, `append r7` | the room appends a notice, three, a comment, a gift |
//! | `act a5`, `act x9`, `act k6` | the room appends the entry of an action |
//! | `ask` | the next question, if one is due |
//! | `published P ENTRY… after=P gap=f controls=2` | a batch that ends at P, where the log has 2 controls. By default it comes after the same epoch's offset before |
//! | `answer P ENTRY… places=5,6 before=P gap=f controls=2 lost` | the log ends at P; missed events and controls; the offsets of the batch's; the position before them, by default that before the first; `lost`: the log is not the one that the node knew |
//! | `answer … to=3`, `fail to=3` | to question 3 rather than to the newest |
//! | `fail` | the newest question failed |
//! | `resync` | messages may have been missed |
//! | `partition` | Redis was away for too long |
//! | `wait 3s`, `show waits` | time goes on; how long the oldest entry of this node waits |
//!
//! # Outputs
//! `deliver e:5 n2.3`: to the members of this node. `history e:4 n2.2`: of the room that opens.
//! `events missed`, `controls missed`, `gift r7 known`. `question 3 …`. Then the state, if it is
//! another than before;
//! `e:5/n2.3+2k` is the cursor with the entry there and the number of controls, unless that is 0.

mod notation;

use super::super::following::{Following, OwnBatch, RequestKind};
use super::super::mode::Mode;
use super::super::partition::{Healing, Partition};
use super::*;
use crate::cluster::redis::entries::Cursor;
use crate::cluster::redis::scripts::{Scripted, Words, duration_ms, number, play_folder};

use notation::{
    action, answer, argument_label, batch, comment, generation_of, gift, label_of, notice,
    origin_of, text,
};

/// Of more events in a row than this, the first and the last are shown.
const SHOWN_MAX: usize = 4;

#[test]
fn a_replica_does_what_the_order_scripts_say() {
    play_folder::<Replica>("order_scripts");
}

/// The replica of node 1, and what a script has seen of it.
struct Replica {
    log: LogReplica,
    checks: Checks,
    now: Instant,
    questions: Vec<Question>,
    state: String,
    names: Names,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            log: LogReplica::new(origin_of(1), Timestamp(0)),
            checks: Checks::default(),
            now: Instant::now(),
            questions: Vec::new(),
            state: String::new(),
            names: Names::default(),
        }
    }
}

impl Scripted for Replica {
    fn run(&mut self, mut words: Words<'_>) -> Result<Vec<String>, String> {
        let mut shown = match words.next("a command")? {
            "opened" => {
                self.ask();
                self.answer(&mut words)?;
                Vec::new()
            }
            "append" => self.append(&mut words)?,
            "act" => {
                let entry = action(words.next("an entry")?)?;
                self.log.append_action(entry, Timestamp(1), self.now);
                Vec::new()
            }
            "ask" => self.ask(),
            "published" => {
                self.log.published(batch(&mut words)?);
                Vec::new()
            }
            "answer" => self.answer(&mut words)?,
            "fail" => {
                let number = self.question_number(&mut words)?;
                self.log.failed(number);
                Vec::new()
            }
            "resync" => {
                self.log.resync();
                Vec::new()
            }
            "partition" => {
                self.log.enter_partitioned();
                Vec::new()
            }
            "wait" => {
                let ms = duration_ms(words.next("a duration")?)?;
                self.now += Duration::from_millis(ms);
                Vec::new()
            }
            "show" if words.next("waits")? == "waits" => {
                let (count, time) = (self.log.waiting_count(), self.log.waits_for(self.now));
                vec![format!(
                    "{count} wait, the oldest for {} ms",
                    time.as_millis()
                )]
            }
            other => return Err(format!("{other} is not a command")),
        };
        words.end()?;
        shown.extend(self.take_out());
        self.checks.inspect(&self.log);
        shown.extend(self.changed_state());
        Ok(shown)
    }
}

impl Replica {
    fn append(&mut self, words: &mut Words<'_>) -> Result<Vec<String>, String> {
        let what = words.next("what").unwrap_or("1");
        let count = if what.chars().all(|c| c.is_ascii_digit()) {
            number(what)?
        } else {
            1
        };
        for _ in 0..count {
            let label = format!("n1.{}", self.log.sequence + 1);
            let event = match what {
                "comment" => comment(&label),
                what if what.starts_with('r') => gift(number(&what[1..])?),
                _ => notice(&label),
            };
            self.log.append(event, Timestamp(1), self.now);
        }
        Ok(Vec::new())
    }

    fn ask(&mut self) -> Vec<String> {
        let Some(question) = self.log.ask() else {
            return vec!["no question".into()];
        };
        let shown = self.names.question(&question);
        self.questions.push(question);
        vec![shown]
    }

    /// The number of the question that a command is about.
    fn question_number(&self, words: &mut Words<'_>) -> Result<u64, String> {
        match words.key("to") {
            Some(to) => number(to),
            None => Ok(self.questions.last().ok_or("nothing was asked")?.number),
        }
    }

    fn answer(&mut self, words: &mut Words<'_>) -> Result<Vec<String>, String> {
        let number = self.question_number(words)?;
        let history = self.log.answered(number, answer(words)?);
        Ok(self
            .names
            .events("history", history.iter().flatten().map(|(event, _)| event)))
    }

    fn take_out(&mut self) -> Vec<String> {
        let out = self.log.take_out();
        self.checks.receive(&self.log, &out);
        let mut shown = Vec::new();
        for item in &out {
            match item {
                FromLog::Ordered(events) => shown.extend(self.names.events("deliver", events)),
                FromLog::Control(Control::Kick { user, .. }) => {
                    shown.push(format!("deliver k{user}"));
                }
                FromLog::ControlsMissed => shown.push("controls missed".into()),
                FromLog::EventsMissed => shown.push("events missed".into()),
                FromLog::GiftKnown(record_id, _) => shown.push(format!("gift r{record_id} known")),
                other => panic!("a log delivers no {other:?}"),
            }
        }
        shown
    }

    fn changed_state(&mut self) -> Option<String> {
        let state = self.names.state(&self.log.mode);
        (state != self.state).then(|| {
            self.state.clone_from(&state);
            format!("= {state}")
        })
    }
}

/// Names for what is random: epochs of this node's own.
#[derive(Default)]
struct Names {
    own: Vec<Epoch>,
}

impl Names {
    fn epoch(&mut self, epoch: &Epoch) -> String {
        if generation_of(epoch).is_ok() {
            return epoch.to_string();
        }
        let known = self.own.iter().position(|own| own == epoch);
        let index = known.unwrap_or_else(|| {
            self.own.push(epoch.clone());
            self.own.len() - 1
        });
        format!("own{}", index + 1)
    }

    fn cursor(&mut self, cursor: &Cursor) -> String {
        let entry = cursor
            .id
            .map_or_else(String::new, |id| format!("/{}", label_of(id)));
        let controls = match cursor.controls_count {
            0 => String::new(),
            count => format!("+{count}k"),
        };
        format!(
            "{}:{}{entry}{controls}",
            self.epoch(&cursor.epoch),
            cursor.position.offset
        )
    }

    fn events<'a>(
        &mut self,
        verb: &str,
        events: impl IntoIterator<Item = &'a Sequenced>,
    ) -> Vec<String> {
        let mut line = |Sequenced {
                            epoch,
                            offset,
                            event,
                        }: &Sequenced| {
            format!("{verb} {}:{offset} {}", self.epoch(epoch), text(event))
        };
        let shown = events.into_iter().map(&mut line).collect();
        shorten(shown, |count| format!("{verb} {count} more"))
    }

    fn question(&mut self, question: &Question) -> String {
        let Question { number, cursor, .. } = question;
        let labels = question.batch.iter().map(argument_label).collect();
        let batch = shorten(labels, |_| "…".into()).join(" ");
        let after = match cursor {
            Some(cursor) => format!("after {}", self.cursor(cursor)),
            None => "of an unknown log".into(),
        };
        let what = match (question.renew, question.fill) {
            (true, RESYNC_EVENTS_MAX) if batch.is_empty() => "heals".into(),
            (true, RESYNC_EVENTS_MAX) => format!("heals with {batch}"),
            (false, RESYNC_EVENTS_MAX) => "resyncs".into(),
            (false, OPENING_EVENTS_MAX) => "reads the newest events".into(),
            (false, APPEND_MISSED_MAX) => format!("appends {batch}"),
            other => panic!("a question that no mode asks: {other:?}"),
        };
        let is_incomplete = if question.is_incomplete {
            ", incomplete"
        } else {
            ""
        };
        format!("question {number} {what} {after}{is_incomplete}")
    }

    fn state(&mut self, mode: &Mode) -> String {
        match mode {
            Mode::Opening(opening) => {
                let asked = if opening.request.is_some() {
                    ", asked"
                } else {
                    ""
                };
                format!(
                    "opening{asked}{}",
                    counted(opening.waiting.len(), "waiting")
                )
            }
            Mode::Following(following) => self.following(following),
            Mode::Partitioned(partition) => format!("partitioned {}", self.partition(partition)),
            Mode::Healing(Healing {
                partition, waiting, ..
            }) => {
                let waiting = counted(waiting.len(), "waiting");
                format!("healing {}{waiting}", self.partition(partition))
            }
        }
    }

    fn following(&mut self, following: &Following) -> String {
        let request = match following.request {
            None => "",
            Some(RequestKind::Append) => ", appending",
            Some(RequestKind::Resync) => ", resyncing",
        };
        let due = if following.resync_due {
            ", resync due"
        } else {
            ""
        };
        let own = match &following.own {
            OwnBatch::Delivered => String::new(),
            OwnBatch::Unanswered(entries) => counted(entries.len(), "unanswered"),
            OwnBatch::Unordered(entries) => counted(entries.len(), "unordered"),
        };
        let waiting = counted(following.waiting.len(), "waiting");
        let cursor = self.cursor(&following.cursor);
        format!("following {cursor}{request}{due}{own}{waiting}")
    }

    fn partition(&mut self, partition: &Partition) -> String {
        let Position { epoch, offset } = partition.position();
        let unreplicated = counted(partition.unreplicated.len(), "unreplicated");
        let is_incomplete = if partition.is_incomplete {
            ", incomplete"
        } else {
            ""
        };
        let read = match &partition.cursor {
            Some(cursor) => format!(", read up to {}", self.cursor(cursor)),
            None => ", nothing read".into(),
        };
        format!(
            "{}:{offset}{unreplicated}{is_incomplete}{read}",
            self.epoch(&epoch)
        )
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(", {count} {what}")
    }
}

/// Shows the first and the last of many.
fn shorten(mut shown: Vec<String>, between: impl FnOnce(usize) -> String) -> Vec<String> {
    if shown.len() > SHOWN_MAX {
        let count = shown.len() - 2;
        shown.splice(1..=count, [between(count)]);
    }
    shown
}
