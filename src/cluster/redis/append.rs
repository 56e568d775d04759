//! The calls of `append.lua`: the questions of one or more rooms, and each room's own answer.

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value};

use super::entries::{Answer, EventId, LogPosition, StreamEntries};
use super::keys;
use super::link::Link;
use super::log_replica::{AppendArgument, Question, RESYNC_EVENTS_MAX};
use super::opening::RoomKey;
use crate::cluster::memory::new_epoch;
use crate::domain::{ActionEntry, LiveId, Timestamp};

/// Events that the log of a room keeps: for rooms that missed some, and for members that come back.
const KEPT_MAX: usize = RESYNC_EVENTS_MAX;
/// How long a log outlives its last event, at least.
const KEPT_MS: u64 = 3_600_000;
/// Keys of one room in a call.
const ROOM_KEYS: usize = 6;
/// The origin of a question of no room, whose entries have keys.
const NO_ORIGIN: u64 = 0;

/// A question to the log of one room.
#[derive(Debug)]
pub struct RoomQuestion {
    pub live_id: LiveId,
    pub origin: u64,
    /// Whether the room's question before failed.
    pub is_repeated: bool,
    pub question: Question,
}

impl RoomQuestion {
    pub fn key(&self) -> RoomKey {
        RoomKey {
            live_id: self.live_id,
            origin: self.origin,
        }
    }

    /// Whether it may go in one call with others: it appends a batch in the epoch that there is, and
    /// no earlier call of the room failed.
    pub fn may_share(&self) -> bool {
        !self.is_repeated && !self.question.renew && !self.question.batch.is_empty()
    }
}

/// Puts questions to the logs of their rooms in one call of the script, and returns an answer for
/// each. In a Redis Cluster (`sharded`) that must be one room. A room that Redis refuses, or whose
/// answer is not understood, has an error of its own; if the call fails, all have its error.
pub async fn ask(
    link: &Link,
    sharded: bool,
    questions: Vec<RoomQuestion>,
) -> Vec<RedisResult<Answer>> {
    let count = questions.len();
    let (keys, args) = call(sharded, questions);
    match link.append::<Vec<Value>>(&keys, &args).await {
        Ok(replies) if replies.len() == count => replies.into_iter().map(answer).collect(),
        Ok(_) => failed(count, &not_understood()),
        Err(error) => failed(count, &error),
    }
}

/// Appends the entry of an action to the log of a room that this node need not have.
pub async fn append_action(
    link: Link,
    sharded: bool,
    live_id: LiveId,
    entry: ActionEntry,
    at: Timestamp,
) -> RedisResult<()> {
    let question = Question {
        number: 0,
        cursor: None,
        renew: false,
        fill: 0,
        is_incomplete: false,
        batch: vec![AppendArgument::of_action(&entry, at)],
    };
    let room = RoomQuestion {
        live_id,
        origin: NO_ORIGIN,
        is_repeated: false,
        question,
    };
    let (keys, args) = call(sharded, vec![room]);
    let _: Value = link.append(&keys, &args).await?;
    Ok(())
}

/// The keys and arguments of a call.
fn call(sharded: bool, questions: Vec<RoomQuestion>) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut keys = Vec::with_capacity(questions.len() * ROOM_KEYS);
    let mut args = vec![
        keys::publish_command(sharded).into(),
        KEPT_MAX.to_string().into(),
        KEPT_MS.to_string().into(),
    ];
    for room in questions {
        keys.extend(keys_of(room.live_id));
        push_arguments(&mut args, room);
    }
    (keys, args)
}

fn keys_of(live_id: LiveId) -> [String; ROOM_KEYS] {
    [
        keys::order(live_id),
        keys::events(live_id),
        keys::gifts(live_id),
        keys::actions(live_id),
        keys::controls(live_id),
        keys::held(live_id),
    ]
}

fn push_arguments(args: &mut Vec<Vec<u8>>, room: RoomQuestion) {
    let question = room.question;
    let known = question.cursor.as_ref();
    let position = known.map_or(LogPosition::default(), |known| known.position);
    let id = known
        .and_then(|known| known.id)
        .map_or_else(String::new, |id: EventId| id.to_string());
    let origin = match room.origin {
        NO_ORIGIN => String::new(),
        origin => format!("{origin:016x}"),
    };
    let flag = |is_set: bool| if is_set { "1" } else { "0" };
    args.extend([
        new_epoch().as_bytes().to_vec(),
        known.map_or("", |known| &known.epoch).into(),
        format!("{}-{} {id}", position.generation, position.offset).into(),
        known
            .map_or(0, |known| known.controls_count)
            .to_string()
            .into(),
        flag(question.renew).into(),
        question.fill.to_string().into(),
        keys::room_channel(room.live_id).into(),
        origin.into(),
        flag(question.is_incomplete).into(),
        question.batch.len().to_string().into(),
    ]);
    for AppendArgument {
        sequence,
        key,
        line,
    } in question.batch
    {
        args.extend([sequence.to_string().into(), key.into(), line.into()]);
    }
}

/// One room's part of the reply.
fn answer(reply: Value) -> RedisResult<Answer> {
    if let Value::BulkString(error) = &reply {
        return Err(refused(&String::from_utf8_lossy(error)));
    }
    let mut parts = Vec::<Value>::from_redis_value(reply)?.into_iter();
    let head: String = part(&mut parts)?;
    let same: i64 = part(&mut parts)?;
    let (missed, controls): (StreamEntries, StreamEntries) = match parts.len() {
        0 => Default::default(),
        _ => (part(&mut parts)?, part(&mut parts)?),
    };
    Answer::parse(&head, missed, same == 1, controls).ok_or_else(not_understood)
}

fn part<T: FromRedisValue>(parts: &mut impl Iterator<Item = Value>) -> RedisResult<T> {
    Ok(T::from_redis_value(
        parts.next().ok_or_else(not_understood)?,
    )?)
}

fn failed(count: usize, error: &RedisError) -> Vec<RedisResult<Answer>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

/// The error of one room, from its text.
fn refused(error: &str) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "append.lua refused a room",
        error.to_owned(),
    ))
}

fn not_understood() -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "answer of append.lua not understood",
    ))
}
