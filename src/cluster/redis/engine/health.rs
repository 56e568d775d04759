//! Whether Redis works: when this node goes on alone, with the cause, and when Redis is back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use redis::RedisError;

use super::{Engine, TICK};

/// Causes that are logged while Redis is away, each once. Beyond, only the first ones are.
const CAUSES_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Health {
    /// Whether Redis has been away for longer than it may.
    pub is_away: bool,
    /// When the first command was sent of those that fail.
    pub failing_since: Option<Instant>,
    /// The latest failure, without user and password.
    cause: String,
    /// Those that were logged since Redis is away.
    logged: Vec<String>,
    judged_at: Option<Instant>,
}

impl Engine {
    /// Notes whether a command that was sent at this time has worked.
    pub(super) fn note_outcome(&mut self, sent_at: Instant, error: Option<&RedisError>) {
        match error {
            None => {
                if self.health.failing_since.take().is_some() {
                    self.devices.refresh_by(Instant::now());
                }
            }
            // It says nothing about rooms of other servers. Whether any is there, the subscription
            // finds out.
            Some(_) if self.address.is_cluster() => {}
            Some(error) => {
                if self.subscription.is_connected() {
                    self.health.cause = error.to_string();
                }
                if self.health.failing_since.is_none() {
                    warn!(
                        "redis does not do what it is asked: address={} error={error}",
                        self.address
                    );
                    self.health.failing_since = Some(sent_at);
                }
            }
        }
    }

    /// Notes why there is no subscription.
    pub(super) fn note_cause(&mut self, cause: String) {
        self.health.cause = cause;
    }

    /// How long Redis may be silent before it counts as away.
    pub(super) fn redis_timeout(&self) -> Duration {
        self.config.cluster.redis_timeout_ms.duration()
    }

    /// How long the events of one room may wait before that room goes on alone. If Redis is silent
    /// to all rooms, the node notices first, at the latest after the next ping, so that the node
    /// and its rooms go on alone in the same moment; a server of a Redis Cluster may be silent to
    /// some rooms only.
    pub(super) fn room_timeout(&self) -> Duration {
        let timeout = self.redis_timeout();
        if self.address.is_cluster() {
            timeout
        } else {
            timeout + self.ping_spacing() + 2 * TICK
        }
    }

    /// Logs it when this node goes on alone, and when Redis is back.
    pub(super) fn judge_link(&mut self, now: Instant) {
        // If this node was suspended, or its machine is overloaded, an answer may be there and not
        // be read yet.
        let judged_at = self.health.judged_at.replace(now).unwrap_or(now);
        let stalled = now
            .saturating_duration_since(judged_at)
            .saturating_sub(TICK);
        if stalled >= TICK {
            self.subscription.extend_ping(stalled);
        }
        let silent_since = [self.subscription.silent_since(), self.health.failing_since]
            .into_iter()
            .flatten()
            .min();
        let timeout = self.redis_timeout();
        self.health.is_away =
            silent_since.is_some_and(|since| now.saturating_duration_since(since) >= timeout);
        let is_alone = self.shared.alone_since.load(Ordering::Relaxed) != 0;
        if self.health.is_away && !is_alone {
            self.shared
                .alone_since
                .store(self.clock.now().0.max(1), Ordering::Relaxed);
            self.log_cause("redis is away, this node goes on alone");
        } else if self.health.is_away {
            if !self.health.logged.contains(&self.health.cause) {
                self.log_cause("redis is still away");
            }
        } else if is_alone
            && !self.is_failing()
            && !self.rooms.values().any(|room| room.log.is_partitioned())
        {
            // And not before all rooms are together again.
            let since = self.shared.alone_since.swap(0, Ordering::Relaxed);
            self.health.logged.clear();
            info!(
                "redis is back: away_ms={}",
                self.clock.now().0.saturating_sub(since)
            );
        }
    }

    fn is_failing(&self) -> bool {
        self.subscription.away_since().is_some() || self.health.failing_since.is_some()
    }

    fn log_cause(&mut self, what: &str) {
        let cause = if self.health.cause.is_empty() {
            "no answer in time"
        } else {
            &self.health.cause
        };
        if self.health.logged.len() < CAUSES_MAX {
            error!("{what}: address={} error={cause}", self.address);
            self.health.logged.push(self.health.cause.clone());
        }
    }
}
