//! Modes of lives, and those that a streamer's next live begins with.

use std::collections::BTreeMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value, json};

use super::{Conn, follows, lives, standings};
use crate::domain::{
    ChangedModes, Coins, LiveId, LiveModes, LiveStatus, ModeValue, Modes, ModesChange, Principal,
    Reject, RoomMode, Timestamp, UserFacts, UserId,
};
use crate::storage::actions::Changed;
use crate::storage::schema::{gift_records, live_modes, lives as lives_table, streamer_modes};
use crate::storage::{ActionRecord, Change, StoreError};

/// The modes of a live: its own, or else those of its streamer. `None`: the live is unknown.
pub async fn of_live(conn: &mut Conn, live_id: LiveId) -> Result<Option<LiveModes>, StoreError> {
    type Columns = (Option<i64>, Option<String>, Option<i64>, Option<String>);
    let columns: Option<Columns> = lives_table::table
        .left_join(live_modes::table)
        .left_join(streamer_modes::table.on(streamer_modes::streamer_id.eq(lives_table::user_id)))
        .filter(lives_table::id.eq(live_id.get()))
        .select((
            live_modes::version.nullable(),
            live_modes::modes.nullable(),
            live_modes::updated_at.nullable(),
            streamer_modes::modes.nullable(),
        ))
        .get_result(conn)
        .await
        .optional()?;
    let read = |(version, own, changed_at, of_streamer): Columns| LiveModes {
        version: version.unwrap_or_default().unsigned_abs(),
        modes: own.or(of_streamer).as_deref().map(read).unwrap_or_default(),
        since: Timestamp(changed_at.unwrap_or_default()),
    };
    Ok(columns.map(read))
}

/// What modes ask about these users in a live; those of whom there is nothing to say are left out.
pub async fn user_facts(
    conn: &mut Conn,
    live_id: LiveId,
    users: Vec<UserId>,
) -> Result<Vec<(UserId, UserFacts)>, StoreError> {
    let mut found: BTreeMap<UserId, UserFacts> = BTreeMap::new();
    if let Some(streamer) = standings::streamer_of(conn, live_id).await? {
        for (user, since) in follows::since_of(conn, streamer, users.clone()).await? {
            found.entry(user).or_default().follows_since = Some(since);
        }
    }
    let ids: Vec<i64> = users.into_iter().map(UserId::get).collect();
    let given: Vec<(i64, i64)> = gift_records::table
        .filter(gift_records::live_id.eq(live_id.get()))
        .filter(gift_records::user_id.eq_any(ids))
        .group_by(gift_records::user_id)
        .select((
            gift_records::user_id,
            sql::<BigInt>("CAST(SUM(gift_records.total) AS BIGINT)"),
        ))
        .load(conn)
        .await?;
    for (user, coins) in given {
        if let Some(user) = UserId::new(user) {
            found.entry(user).or_default().coins = Coins::new(coins);
        }
    }
    Ok(found.into_iter().collect())
}

/// Begins a change of the modes of a live: no other in the lives of its streamer begins before this
/// transaction ends.
pub async fn lock(conn: &mut Conn, live_id: LiveId) -> Result<(), StoreError> {
    if let Some(streamer) = standings::streamer_of(conn, live_id).await? {
        standings::lock(conn, streamer).await?;
    }
    Ok(())
}

/// Changes the modes of a live that has not ended, and those that its streamer's next live begins
/// with. Runs under [`lock`].
pub async fn change(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    change: &ModesChange,
) -> Result<Result<Changed, Reject>, StoreError> {
    let row = lives::by_id(conn, live_id).await?;
    let (Some(row), Some(before)) = (row, of_live(conn, live_id).await?) else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if row.live.status == LiveStatus::Ended {
        return Ok(Err(Reject::LiveEnded));
    }
    let modes = change.applied_to(before.modes);
    set_of_streamer(conn, row.live.owner, &modes, record.at).await?;
    let version = set_of_live(conn, live_id, &modes, record.at).await?;
    let by = record.actor.principal();
    Ok(Ok(Changed {
        before: Some(versioned(before.version, &before.modes)),
        after: Some(versioned(version, &modes)),
        change: changed(version, modes, by),
    }))
}

/// Gives a live that starts the modes of its streamer, unless it was given some of its own.
pub async fn start(
    conn: &mut Conn,
    live_id: LiveId,
    streamer: UserId,
    at: Timestamp,
) -> Result<(), StoreError> {
    let of_streamer: Option<String> = streamer_modes::table
        .find(streamer.get())
        .select(streamer_modes::modes)
        .get_result(conn)
        .await
        .optional()?;
    let copied = of_streamer.as_deref().map(read).unwrap_or_default();
    diesel::insert_into(live_modes::table)
        .values((
            live_modes::live_id.eq(live_id.get()),
            live_modes::version.eq(1),
            live_modes::modes.eq(write(&copied)),
            live_modes::updated_at.eq(at.0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

async fn set_of_streamer(
    conn: &mut Conn,
    streamer: UserId,
    modes: &Modes,
    at: Timestamp,
) -> Result<(), StoreError> {
    let text = write(modes);
    diesel::insert_into(streamer_modes::table)
        .values((
            streamer_modes::streamer_id.eq(streamer.get()),
            streamer_modes::modes.eq(&text),
            streamer_modes::updated_at.eq(at.0),
        ))
        .on_conflict(streamer_modes::streamer_id)
        .do_update()
        .set((
            streamer_modes::modes.eq(&text),
            streamer_modes::updated_at.eq(at.0),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Returns the number of the change.
async fn set_of_live(
    conn: &mut Conn,
    live_id: LiveId,
    modes: &Modes,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let text = write(modes);
    let version: i64 = diesel::insert_into(live_modes::table)
        .values((
            live_modes::live_id.eq(live_id.get()),
            live_modes::version.eq(1),
            live_modes::modes.eq(&text),
            live_modes::updated_at.eq(at.0),
        ))
        .on_conflict(live_modes::live_id)
        .do_update()
        .set((
            live_modes::version.eq(live_modes::version + 1),
            live_modes::modes.eq(&text),
            live_modes::updated_at.eq(at.0),
        ))
        .returning(live_modes::version)
        .get_result(conn)
        .await?;
    Ok(version.unsigned_abs())
}

/// The change that an earlier action made. `after`: what the audit says that it left behind; `None`
/// if that is not what this version writes there.
pub fn earlier(after: Option<&str>, by: Principal) -> Option<Change> {
    let after: Value = serde_json::from_str(after?).ok()?;
    let version = after["version"].as_u64()?;
    let modes = change_of(&after["modes"]).applied_to(Modes::default());
    Some(changed(version, modes, by))
}

fn changed(version: u64, modes: Modes, by: Principal) -> Change {
    let modes = modes.in_force();
    Change::Modes(ChangedModes { version, modes, by })
}

fn versioned(version: u64, modes: &Modes) -> Value {
    json!({"version": version, "modes": json_of(all(modes))})
}

fn all(modes: &Modes) -> impl Iterator<Item = (RoomMode, ModeValue)> {
    RoomMode::ALL
        .into_iter()
        .map(|mode| (mode, modes.get(mode)))
}

/// Modes by their names, as they are stored.
pub fn json_of(modes: impl Iterator<Item = (RoomMode, ModeValue)>) -> Value {
    let field = |(mode, value): (RoomMode, ModeValue)| {
        let value = match value {
            ModeValue::Number(number) => Value::from(number),
            ModeValue::Flag(on) => Value::from(on),
        };
        (mode.name().to_owned(), value)
    };
    Value::Object(modes.map(field).collect::<Map<_, _>>())
}

/// Reads what [`json_of`] wrote. Modes of later versions, and values that this one does not know,
/// are left out.
pub fn change_of(fields: &Value) -> ModesChange {
    let mut change = ModesChange::default();
    for mode in RoomMode::ALL {
        let value = match &fields[mode.name()] {
            Value::Bool(on) => Some(ModeValue::Flag(*on)),
            value => value.as_i64().map(ModeValue::Number),
        };
        if let Some(value) = value {
            let _ = change.set(mode, value);
        }
    }
    change
}

fn write(modes: &Modes) -> String {
    json_of(all(modes)).to_string()
}

fn read(text: &str) -> Modes {
    let fields: Value = serde_json::from_str(text).unwrap_or_default();
    change_of(&fields).applied_to(Modes::default())
}
