//! The slots of a Redis Cluster whose server does not answer. Commands for their keys fail at once.
//!
//! Otherwise one lost server would stop commands to all: a connection that was made without it asks
//! another server for its keys, is sent back, and then connects to the lost one again, while all
//! other commands of that connection wait.

use std::sync::{PoisonError, RwLock};

use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisResult};

use super::keys;

/// First and last slot.
pub type SlotRange = (u16, u16);

/// Shared by all connections to one Redis Cluster.
#[derive(Debug, Default)]
pub struct LostSlots(RwLock<Vec<SlotRange>>);

impl LostSlots {
    /// Replaces all ranges.
    pub fn set(&self, ranges: Vec<SlotRange>) {
        // A replacement is one assignment: nothing is half done after a panic.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ranges;
    }

    pub fn contains(&self, slot: u16) -> bool {
        let ranges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// `Err` if the server of this key or sharded channel is lost.
    pub fn check(&self, key: &[u8]) -> RedisResult<()> {
        if self.contains(keys::slot(key)) {
            return Err(RedisError::from((
                ErrorKind::ClusterConnectionNotFound,
                "the server of the key does not answer",
            )));
        }
        Ok(())
    }

    /// `Err` if the server of the command's key is lost.
    pub fn check_command(&self, cmd: &Cmd) -> RedisResult<()> {
        key_of(cmd).map_or(Ok(()), |key| self.check(key))
    }

    /// `Err` if the server of the pipeline's key is lost. All its keys are in one slot.
    pub fn check_pipeline(&self, pipeline: &Pipeline) -> RedisResult<()> {
        let key = pipeline.cmd_iter().find_map(key_of);
        key.map_or(Ok(()), |key| self.check(key))
    }
}

/// The first key of a command, or its sharded channel. `None` for commands that any server executes.
fn key_of(cmd: &Cmd) -> Option<&[u8]> {
    let mut words = cmd.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        // A cursor is no key.
        _ => b"0",
    });
    match words.next()? {
        b"EVAL" | b"EVALSHA" => {
            let mut words = words.skip(1);
            let keys_count = words.next()?;
            words.next().filter(|_| keys_count != b"0")
        }
        b"PUBLISH" | b"PING" | b"INFO" | b"CLIENT" | b"CLUSTER" | b"MULTI" | b"EXEC" => None,
        _ => words.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmd(words: &str) -> Cmd {
        let mut words = words.split(' ');
        let mut cmd = redis::cmd(words.next().expect("a name"));
        words.for_each(|word| _ = cmd.arg(word));
        cmd
    }

    #[test]
    fn the_key_of_each_kind_of_command_is_known() {
        for (words, key) in [
            ("GET user_1", Some("user_1")),
            ("MSET user_1 a b c", Some("user_1")),
            ("EVALSHA digest 2 {7}:a {7}:b x", Some("{7}:a")),
            ("EVAL source 0 x", None),
            ("SPUBLISH {7}:channel text", Some("{7}:channel")),
            ("PUBLISH channel text", None),
            ("CLIENT TRACKING ON", None),
            ("PING", None),
        ] {
            let found = cmd(words);
            assert_eq!(key_of(&found), key.map(str::as_bytes), "{words}");
        }
    }

    #[test]
    fn only_commands_for_lost_slots_fail() {
        let lost = LostSlots::default();
        let get = cmd("GET user_1");
        let mut writes = redis::pipe();
        writes.atomic().set("{user_1}:stamp", "1").ignore();
        assert!(lost.check_command(&get).is_ok() && lost.check_pipeline(&writes).is_ok());
        let slot = keys::slot(b"user_1");
        lost.set(vec![(0, 0), (slot, slot)]);
        assert!(lost.check_command(&get).is_err() && lost.check_pipeline(&writes).is_err());
        assert!(lost.check_command(&cmd("GET user_2")).is_ok());
        assert!(lost.check_command(&cmd("PUBLISH user_1 text")).is_ok());
        lost.set(Vec::new());
        assert!(lost.check_command(&get).is_ok());
    }
}
