//! Modes as the store has them, and the ways in which the room gets them.

use liveroom::domain::{
    ChangedModes, EntryContent, LiveModes, ModeValue, ModesChange, Principal, RoomEvent, RoomMode,
    UserId,
};

use super::super::words::{self, Words};
use super::World;

impl World {
    /// `modes slow_s=30 frozen=true` sets those and leaves the others; `version=` for a change that
    /// another one overtook, which the store does not keep. The event is in the log at
    /// once, or waits with `order later`; with `quiet` there is none, and with `reading` the room
    /// reads what the store has.
    pub(super) fn set_modes(&mut self, words: &mut Words) -> Result<(), String> {
        let (is_quiet, is_reading) = (words.flag("quiet"), words.flag("reading"));
        let mut change = ModesChange::default();
        for mode in RoomMode::ALL {
            if let Some(word) = words.key(mode.name()) {
                let value = match word.as_str() {
                    "true" => ModeValue::Flag(true),
                    "false" => ModeValue::Flag(false),
                    number => ModeValue::Number(words::number(number)?),
                };
                change
                    .set(mode, value)
                    .map_err(|reject| words::reject(reject, self.now))?;
            }
        }
        let overtaken = words.number("version")?;
        let version = overtaken.unwrap_or(self.modes.version + u64::from(!change.is_empty()));
        let modes = change.applied_to(self.modes.modes);
        let changed = LiveModes { version, modes };
        if version > self.modes.version {
            self.modes = changed;
        }
        if is_reading {
            let modes = self.modes;
            self.room().modes_read(modes);
        } else if !is_quiet {
            let changed = ChangedModes {
                version,
                modes: modes.in_force(),
                by: Principal::User(UserId::FIRST),
            };
            let live_id = self.live.id;
            self.act(EntryContent::Event(RoomEvent::Modes { live_id, changed }));
        }
        Ok(())
    }
}
