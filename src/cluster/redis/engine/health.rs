//! Whether Redis works: when this node goes on alone, with the cause, and when Redis is back.
//!
//! | state | connected | connection lost | a command failed | a command worked | tick |
//! |---|---|---|---|---|---|
//! | `Up` | `Up`, next epoch | `Interrupted` | failing since it was sent | no longer failing | `Partitioned` if Redis has been silent, or commands have failed, for the timeout |
//! | `Interrupted` | `Up`, next epoch | - | as above | as above | as above |
//! | `Partitioned` | no longer failing | - | as above | as above | `Up` in the next epoch, if connected, not failing, and all rooms are together |
//!
//! Invariants: no other part decides whether Redis works, and [`RedisHealth`] says it to all
//! threads. Changes of tokens are reported during each epoch of `Up` without a gap. A cause is
//! logged once while this node is alone. A command that fails on a Redis Cluster has no effect: it
//! says nothing about the other servers, and the connection finds out whether any is there. A time in
//! which this node itself was stalled does not count as a failure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use redis::RedisError;
use tokio::sync::watch;

use crate::domain::Timestamp;

use super::super::address::Address;
use super::super::connection::{NO_ANSWER, cause_of};
use super::out::{Reach, Tick};

/// Causes that are logged while Redis is away, each once. Beyond, only the first ones are.
const CAUSES_MAX: usize = 8;

/// The health of Redis, as this node sees it. It is read for each token that is verified, and once
/// for each session in a ping interval, but never for an event: a lock for readers is cheap enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisHealth {
    /// Redis is reached, and reports each token that changes. The epoch is another one after each
    /// time in which it may not have.
    Up { epoch: u64 },
    /// It is not reached, and that for less than `cluster.redis_timeout_ms`.
    Interrupted,
    /// This node is alone since then, until its rooms are together with those of others again.
    Partitioned { since: Timestamp },
}

impl RedisHealth {
    pub fn partitioned_since(self) -> Option<Timestamp> {
        match self {
            Self::Partitioned { since } => Some(since),
            _ => None,
        }
    }
}

pub struct Health {
    address: Arc<Address>,
    /// How long Redis may be silent before it counts as away.
    timeout: Duration,
    state: watch::Sender<RedisHealth>,
    /// The number of the last epoch in which Redis was up.
    epoch: u64,
    is_connected: bool,
    /// Whether Redis has been away for longer than it may.
    is_away: bool,
    /// When the first command was sent of those that fail.
    failing_since: Option<Instant>,
    /// When this node was stalled last, the end of that.
    resumed_at: Option<Instant>,
    causes: Causes,
}

/// Why Redis is away, without user and password.
#[derive(Debug, Default)]
struct Causes {
    latest: String,
    /// Those that were logged since Redis is away.
    logged: Vec<String>,
}

impl Causes {
    /// The latest cause, if it is to be logged now.
    fn next(&mut self) -> Option<&str> {
        if self.latest.is_empty() {
            // Nothing has failed yet, and nothing was answered either.
            self.latest = NO_ANSWER.to_owned();
        }
        if self.logged.len() >= CAUSES_MAX || self.logged.contains(&self.latest) {
            return None;
        }
        self.logged.push(self.latest.clone());
        Some(&self.latest)
    }
}

impl Health {
    pub fn new(address: Arc<Address>, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            state: watch::Sender::new(RedisHealth::Interrupted),
            epoch: 0,
            is_connected: false,
            is_away: false,
            failing_since: None,
            resumed_at: None,
            causes: Causes::default(),
        }
    }

    /// For readers on any thread.
    pub fn subscribe(&self) -> watch::Receiver<RedisHealth> {
        self.state.subscribe()
    }

    pub fn reach(&self) -> Reach {
        Reach {
            is_connected: self.is_connected,
            is_reached: self.is_connected && self.failing_since.is_none(),
            is_away: self.is_away,
        }
    }

    pub fn is_partitioned(&self) -> bool {
        matches!(*self.state.borrow(), RedisHealth::Partitioned { .. })
    }

    /// There is a new connection. The next commands show whether they work.
    pub fn connected(&mut self) {
        self.is_connected = true;
        self.failing_since = None;
        if !self.is_partitioned() {
            self.up();
        }
    }

    pub fn connect_failed(&mut self, cause: String) {
        self.causes.latest = cause;
    }

    pub fn connection_lost(&mut self, cause: String) {
        self.is_connected = false;
        self.causes.latest = cause;
        if !self.is_partitioned() {
            self.state.send_replace(RedisHealth::Interrupted);
        }
    }

    /// A command that was sent at this time has worked or failed. If commands work again, returns
    /// since when they did not.
    pub fn command_done(
        &mut self,
        sent_at: Instant,
        error: Option<&RedisError>,
    ) -> Option<Instant> {
        let Some(error) = error else {
            return self.failing_since.take();
        };
        if self.address.is_cluster() {
            return None;
        }
        if self.is_connected {
            self.causes.latest = cause_of(error);
        }
        if self.failing_since.is_none() {
            warn!(
                "redis does not do what it is asked: address={} error={error}",
                self.address
            );
            // Its answer may have been there, unread, while this node was stalled.
            self.failing_since = self.resumed_at.max(Some(sent_at));
        }
        None
    }

    /// Decides whether Redis is away. `silent_since` is when the connection was lost, or when the
    /// ping was sent that is not answered; `is_any_room_apart`, whether a room still goes on alone.
    pub fn tick(&mut self, silent_since: Option<Instant>, is_any_room_apart: bool, tick: Tick) {
        let Tick { now, at, stalled } = tick;
        if !stalled.is_zero() {
            self.resumed_at = Some(now);
            self.failing_since = self.failing_since.map(|since| since + stalled);
        }
        let silent_since = [silent_since, self.failing_since]
            .into_iter()
            .flatten()
            .min();
        let silent_for = silent_since.map(|since| now.saturating_duration_since(since));
        self.is_away = silent_for.is_some_and(|silent_for| silent_for >= self.timeout);
        let since = self.state.borrow().partitioned_since();
        match since {
            None if self.is_away => {
                self.state
                    .send_replace(RedisHealth::Partitioned { since: at });
                self.log_cause("redis is away, this node goes on alone");
            }
            Some(_) if self.is_away => self.log_cause("redis is still away"),
            Some(since) if self.reach().is_reached && !is_any_room_apart => {
                self.causes.logged.clear();
                self.up();
                info!("redis is back: away_ms={}", at.0.saturating_sub(since.0));
            }
            _ => {}
        }
    }

    fn up(&mut self) {
        self.epoch += 1;
        self.state
            .send_replace(RedisHealth::Up { epoch: self.epoch });
    }

    fn log_cause(&mut self, what: &str) {
        if let Some(cause) = self.causes.next() {
            error!("{what}: address={} error={cause}", self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::ErrorKind;

    use super::RedisHealth::*;
    use super::*;
    use crate::tls::Authorities;

    const TIMEOUT: Duration = Duration::from_secs(2);
    const MOMENT: Duration = Duration::from_millis(1);

    /// The part, and the time when it begins.
    struct Play {
        health: Health,
        start: Instant,
    }

    impl Play {
        fn at(url: &str) -> Self {
            let address = Address::parse(url, &Authorities::default()).unwrap();
            Self {
                health: Health::new(Arc::new(address), TIMEOUT),
                start: Instant::now(),
            }
        }

        fn connected() -> Self {
            let mut play = Self::at("redis://localhost");
            play.health.connected();
            play
        }

        /// One tick, so long after the start. At that time Redis is silent since `silent_since`.
        fn tick(&mut self, after: Duration, silent_since: Option<Instant>, apart: bool) {
            self.stalled_tick(after, silent_since, apart, Duration::ZERO);
        }

        fn stalled_tick(
            &mut self,
            after: Duration,
            silent_since: Option<Instant>,
            apart: bool,
            stalled: Duration,
        ) {
            let tick = Tick {
                now: self.start + after,
                at: Timestamp(i64::try_from(after.as_millis()).unwrap()),
                stalled,
            };
            self.health.tick(silent_since, apart, tick);
        }

        fn state(&self) -> RedisHealth {
            *self.health.state.borrow()
        }
    }

    fn refused() -> RedisError {
        (ErrorKind::Io, "refused").into()
    }

    #[test]
    fn redis_is_away_once_it_was_silent_for_the_timeout_and_not_before() {
        let mut play = Play::connected();
        let silent = Some(play.start);
        play.tick(TIMEOUT - MOMENT, silent, false);
        assert_eq!(
            (play.state(), play.health.reach().is_away),
            (Up { epoch: 1 }, false)
        );
        play.tick(TIMEOUT, silent, false);
        let since = Timestamp(2_000);
        assert_eq!(
            (play.state(), play.health.reach().is_away),
            (Partitioned { since }, true)
        );
        play.tick(TIMEOUT * 5, silent, false);
        assert_eq!(
            play.state(),
            Partitioned { since },
            "it is alone since then"
        );
    }

    #[test]
    fn a_node_that_starts_without_redis_is_interrupted_and_then_alone() {
        let mut play = Play::at("redis://localhost");
        assert_eq!(play.state(), Interrupted);
        let start = Some(play.start);
        play.health.connect_failed("refused".into());
        play.tick(TIMEOUT - MOMENT, start, false);
        assert_eq!(play.state(), Interrupted);
        play.tick(TIMEOUT, start, false);
        assert!(play.health.is_partitioned());
    }

    #[test]
    fn each_connection_begins_an_epoch_also_one_that_replaces_another() {
        let mut play = Play::connected();
        play.health.connection_lost("closed".into());
        assert_eq!(play.state(), Interrupted);
        play.health.connected();
        assert_eq!(play.state(), Up { epoch: 2 });
        play.health.connected();
        assert_eq!(play.state(), Up { epoch: 3 });
    }

    #[test]
    fn a_node_is_alone_until_redis_works_and_its_rooms_are_together() {
        let mut play = Play::connected();
        play.health.connection_lost("closed".into());
        let lost = Some(play.start);
        play.tick(TIMEOUT, lost, true);
        play.tick(TIMEOUT * 2, lost, false);
        assert!(play.health.is_partitioned(), "there is no connection");
        play.health.connected();
        assert!(play.health.is_partitioned(), "only a tick ends it");
        play.health
            .command_done(play.start + TIMEOUT * 2, Some(&refused()));
        play.tick(TIMEOUT * 2, None, false);
        assert!(play.health.is_partitioned(), "commands fail");
        assert!(play.health.command_done(play.start, None).is_some());
        play.tick(TIMEOUT * 3, None, true);
        assert!(
            play.health.is_partitioned() && !play.health.reach().is_away,
            "a room is apart"
        );
        play.tick(TIMEOUT * 3, None, false);
        assert_eq!(play.state(), Up { epoch: 2 });
    }

    #[test]
    fn commands_fail_from_when_the_first_was_sent_until_one_works() {
        let mut play = Play::connected();
        play.health.command_done(play.start, Some(&refused()));
        play.health
            .command_done(play.start + TIMEOUT / 2, Some(&refused()));
        assert!(!play.health.reach().is_reached);
        play.tick(TIMEOUT - MOMENT, None, false);
        assert!(!play.health.reach().is_away);
        assert_eq!(
            play.health.command_done(play.start, None),
            Some(play.start),
            "commands work again, since they failed from the start"
        );
        assert_eq!(
            play.health.command_done(play.start, None),
            None,
            "they did before"
        );
        play.tick(TIMEOUT * 2, None, false);
        assert_eq!(
            play.state(),
            Up { epoch: 1 },
            "messages arrived all the time"
        );
    }

    #[test]
    fn commands_that_fail_for_the_timeout_leave_the_node_alone_though_messages_arrive() {
        let mut play = Play::connected();
        play.health.command_done(play.start, Some(&refused()));
        play.tick(TIMEOUT, None, false);
        assert!(play.health.is_partitioned());
        play.health.command_done(play.start, None);
        play.tick(TIMEOUT + MOMENT, None, false);
        assert_eq!(play.state(), Up { epoch: 2 });
    }

    #[test]
    fn a_time_in_which_answers_could_not_be_read_is_no_failure_of_redis() {
        let stalled = TIMEOUT * 3;
        let mut before = Play::connected();
        before.health.command_done(before.start, Some(&refused()));
        before.stalled_tick(stalled, None, false, stalled);
        // It was under way, and its failure is read after the tick.
        let mut after = Play::connected();
        after.stalled_tick(stalled, None, false, stalled);
        after.health.command_done(after.start, Some(&refused()));
        for mut play in [before, after] {
            play.tick(stalled + TIMEOUT - MOMENT, None, false);
            assert!(!play.health.reach().is_away);
            play.tick(stalled + TIMEOUT, None, false);
            assert!(play.health.reach().is_away);
        }
    }

    #[test]
    fn one_server_of_a_redis_cluster_that_fails_is_not_redis_away() {
        let mut play = Play::at("redis-cluster://localhost:7000");
        play.health.connected();
        play.health.command_done(play.start, Some(&refused()));
        play.tick(TIMEOUT * 2, None, false);
        assert!(play.health.reach().is_reached && !play.health.reach().is_away);
    }

    #[test]
    fn a_cause_is_logged_once_and_only_the_first_ones_are() {
        let mut causes = Causes::default();
        assert_eq!(causes.next(), Some(NO_ANSWER));
        assert_eq!(causes.next(), None);
        // The library's own timeout is the same cause.
        causes.latest = cause_of(&io::Error::from(io::ErrorKind::TimedOut).into());
        assert_eq!(causes.next(), None);
        let mut logged = 0;
        for number in 0..CAUSES_MAX * 2 {
            causes.latest = format!("cause {number}");
            logged += usize::from(causes.next().is_some());
            assert_eq!(causes.next(), None);
        }
        assert_eq!(logged, CAUSES_MAX - 1);
    }
}
