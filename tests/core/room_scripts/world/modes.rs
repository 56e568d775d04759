//! Modes as the store has them, and the ways in which the room gets them.

use liveroom::domain::{
    ChangedModes, Coins, EntryContent, LiveModes, ModeValue, ModesChange, Principal, RoomEvent,
    RoomMode, UserFacts, UserId,
};

use super::super::words::{self, Words};
use super::World;
use super::outside::Env;

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
        let since = self.now;
        let changed = LiveModes {
            version,
            modes,
            since,
        };
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

    /// The store answers what the room asks of users: `facts` that there is nothing to say of them,
    /// `facts follows=10m coins=5` that they follow for so long and have given so much, `facts fail`
    /// that it is away.
    pub(super) fn read_facts(&mut self, words: &mut Words) -> Result<(), String> {
        let asked = self.room().facts_to_read();
        let Some(asked) = asked else {
            self.trace.push("store <- asks of nobody".into());
            return Ok(());
        };
        let names = asked
            .iter()
            .map(|user| self.users[user.get() as usize - 1].clone());
        let names = names.collect::<Vec<_>>().join(",");
        self.trace.push(format!("store <- asks of {names}"));
        let followed = words.key("follows");
        let followed = followed.map(|word| words::duration_ms(&word)).transpose()?;
        let facts = UserFacts {
            follows_since: followed.map(|ms| self.now.plus_ms(-ms)),
            coins: Coins::new(words.number("coins")?.unwrap_or_default()),
        };
        let read: Vec<_> = asked.iter().map(|user| (*user, facts)).collect();
        let read = (!words.flag("fail")).then_some(&read[..]);
        let mut env = Env {
            history: &self.history,
            comments_count: self.comments_count,
            filter: &self.filter,
        };
        let room = self.room.as_mut().expect("it is open");
        let effects = room.facts_read(&asked, read, &mut env, self.now);
        self.perform(effects);
        Ok(())
    }
}
