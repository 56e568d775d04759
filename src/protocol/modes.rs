//! Modes of a room as clients, nodes and operators read and write them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::payload::integer;
use crate::domain::{ChangedModes, LiveModes, ModeValue, Modes, ModesChange, Reject, RoomMode};

/// All modes of a room, in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModesBody {
    pub slow_s: i64,
    /// -1: off.
    pub followers_min: i64,
    pub gifters_coins: i64,
    pub frozen: bool,
    pub gifts_paused: bool,
    pub unique_s: i64,
    pub mod_delay_s: i64,
    pub shield: bool,
}

impl Default for ModesBody {
    fn default() -> Self {
        Self::from(&Modes::default())
    }
}

impl From<&Modes> for ModesBody {
    fn from(modes: &Modes) -> Self {
        Self {
            slow_s: modes.slow_s.into(),
            followers_min: modes.followers_min.map_or(-1, i64::from),
            gifters_coins: modes.gifters_coins.get(),
            frozen: modes.frozen,
            gifts_paused: modes.gifts_paused,
            unique_s: modes.unique_s.into(),
            mod_delay_s: modes.mod_delay_s.into(),
            shield: modes.shield,
        }
    }
}

impl ModesBody {
    /// A value that this version does not know counts as off.
    pub(super) fn read(&self) -> Modes {
        let mut modes = Modes::default();
        for (mode, value) in [
            (RoomMode::SlowS, ModeValue::Number(self.slow_s)),
            (
                RoomMode::FollowersMin,
                ModeValue::Number(self.followers_min),
            ),
            (
                RoomMode::GiftersCoins,
                ModeValue::Number(self.gifters_coins),
            ),
            (RoomMode::Frozen, ModeValue::Flag(self.frozen)),
            (RoomMode::GiftsPaused, ModeValue::Flag(self.gifts_paused)),
            (RoomMode::UniqueS, ModeValue::Number(self.unique_s)),
            (RoomMode::ModDelayS, ModeValue::Number(self.mod_delay_s)),
            (RoomMode::Shield, ModeValue::Flag(self.shield)),
        ] {
            let _ = modes.set(mode, value);
        }
        modes
    }
}

/// The modes of a live and the number of the last change, as an actor is answered.
#[derive(Serialize)]
pub struct ChangedModesBody {
    modes: ModesBody,
    version: u64,
}

impl From<&ChangedModes> for ChangedModesBody {
    fn from(changed: &ChangedModes) -> Self {
        Self {
            modes: ModesBody::from(&changed.modes),
            version: changed.version,
        }
    }
}

impl From<LiveModes> for ChangedModesBody {
    fn from(live: LiveModes) -> Self {
        Self {
            modes: ModesBody::from(&live.modes.in_force()),
            version: live.version,
        }
    }
}

/// The fields of a command that say nothing about modes.
const OTHER_FIELDS: [&str; 4] = ["live_id", "token", "request_id", "reason"];

/// Reads the modes that a client or an operator names. Errors: `BadRequest` for a field that is no
/// mode, since one that was misspelt must not be answered as done; for a value that a mode does not
/// have; and for none at all.
pub fn modes_change(fields: &Map<String, Value>) -> Result<ModesChange, Reject> {
    const KNOWN: Reject = Reject::BadRequest {
        what: "modes: one or more of slow_s, followers_min, gifters_coins, frozen, gifts_paused, \
               unique_s, mod_delay_s, shield, and nothing else",
    };
    let mut change = ModesChange::default();
    let fields = fields.iter();
    for (name, value) in fields.filter(|(name, _)| !OTHER_FIELDS.contains(&name.as_str())) {
        let mode = RoomMode::from_name(name).ok_or(KNOWN)?;
        let what = mode.permitted();
        let value = match value {
            Value::Bool(on) => Some(ModeValue::Flag(*on)),
            value => integer(value).map(ModeValue::Number),
        };
        change.set(mode, value.ok_or(Reject::BadRequest { what })?)?;
    }
    if change.is_empty() {
        return Err(KNOWN);
    }
    Ok(change)
}
