//! The life of the connection over which Redis pushes messages. It is separate from the pool of
//! those for commands. After a loss it is replaced, and each room is subscribed again before its log
//! is read.
//!
//! | state | tick | opened | not opened | pinged | ping failed, closed, a room not subscribed | servers changed |
//! |---|---|---|---|---|---|---|
//! | not connected | attempt, when that is due | - | - | - | - | - |
//! | connecting | - | connected | not connected, next attempt later | - | - | - |
//! | connected | ping, when that is due | - | - | connected | not connected, attempt at once | renewing |
//! | renewing | ping, when that is due | connected, over the new one | connected | renewing | connecting | - |
//!
//! In a Redis Cluster a connection that is closed to one server, or a room that cannot be
//! subscribed, is no loss: the other servers go on pushing. *Servers changed* exists there alone.
//!
//! Invariants: inputs of a connection that is not the current one have no effect. At most one
//! attempt and one ping are under way. Redis counts as silent from when a ping was sent until any
//! server has answered it, without the time in which this node itself was stalled. The ping is over
//! when each server of a Redis Cluster has answered, or has had the time for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::{debug, info};

use super::super::connection::Server;
use super::out::{Out, Tick};
use super::request::RedisRequest;

/// Time between two attempts to connect.
const CONNECT_EVERY: Duration = Duration::from_millis(250);
/// Longest time between two pings.
const PING_SPACING_MAX: Duration = Duration::from_millis(500);
/// How far back a node that has just started looks at tokens: another may have died without Redis.
const LOOK_BACK_AT_START: Duration = Duration::from_secs(600);

/// Time between two pings: a fraction of the time that Redis may be silent, for it adds to that.
pub fn ping_spacing(redis_timeout: Duration) -> Duration {
    PING_SPACING_MAX.min(redis_timeout / 4)
}

/// The connection that is current.
struct Current {
    number: u64,
    /// The servers that it reached when it was opened.
    servers: BTreeSet<Server>,
    next_ping: Instant,
    /// Whether a ping is under way.
    is_pinging: bool,
    /// When that was sent, until any server has answered it.
    pinged_at: Option<Instant>,
}

pub struct PushConnection {
    is_cluster: bool,
    ping_spacing: Duration,
    current: Option<Current>,
    /// Attempts so far: the number of the last one.
    attempts_count: u64,
    is_connecting: bool,
    next_attempt: Instant,
    /// Since when there has been no connection, if there is none; otherwise how long there had been
    /// none when it was made.
    away_since: Instant,
    unreached_for: Duration,
    was_connected: bool,
}

impl PushConnection {
    pub fn new(is_cluster: bool, redis_timeout: Duration, now: Instant) -> Self {
        Self {
            is_cluster,
            ping_spacing: ping_spacing(redis_timeout),
            current: None,
            attempts_count: 0,
            is_connecting: false,
            next_attempt: now,
            away_since: now,
            unreached_for: Duration::ZERO,
            was_connected: false,
        }
    }

    pub fn is_current(&self, number: u64) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.number == number)
    }

    /// How long there had been no connection when the current one was made.
    pub fn unreached_for(&self) -> Option<Duration> {
        self.current.as_ref().map(|_| self.unreached_for)
    }

    /// Since when Redis has said nothing: there is no connection, or a ping is under way.
    pub fn silent_since(&self) -> Option<Instant> {
        match &self.current {
            Some(current) => current.pinged_at,
            None => Some(self.away_since),
        }
    }

    pub fn tick(&mut self, tick: Tick) -> Vec<Out> {
        let now = tick.now;
        let Some(current) = &mut self.current else {
            if !self.is_connecting && now >= self.next_attempt {
                return self.connect();
            }
            return Vec::new();
        };
        if let Some(at) = &mut current.pinged_at {
            *at += tick.stalled;
        }
        if current.is_pinging || now < current.next_ping {
            return Vec::new();
        }
        current.is_pinging = true;
        current.pinged_at = Some(now);
        current.next_ping = now + self.ping_spacing;
        vec![RedisRequest::Ping(current.number, current.servers.clone()).into()]
    }

    fn connect(&mut self) -> Vec<Out> {
        self.attempts_count += 1;
        self.is_connecting = true;
        vec![RedisRequest::Connect(self.attempts_count).into()]
    }

    /// The attempt of this number has ended: with a connection to these servers, or with a cause.
    pub fn opened(
        &mut self,
        number: u64,
        result: Result<BTreeSet<Server>, String>,
        now: Instant,
    ) -> Vec<Out> {
        if number != self.attempts_count {
            return Vec::new();
        }
        self.is_connecting = false;
        let servers = match result {
            Ok(servers) => servers,
            Err(cause) => {
                self.next_attempt = now + CONNECT_EVERY;
                return vec![Out::ConnectFailed(cause)];
            }
        };
        self.unreached_for = match &self.current {
            Some(_) => Duration::ZERO,
            None => now.saturating_duration_since(self.away_since),
        };
        if !std::mem::replace(&mut self.was_connected, true) {
            self.unreached_for += LOOK_BACK_AT_START;
        }
        let settings = RedisRequest::ReadSettings(servers.clone());
        self.current = Some(Current {
            number,
            servers,
            next_ping: now + self.ping_spacing,
            is_pinging: false,
            pinged_at: None,
        });
        let unreached_for = self.unreached_for;
        vec![Out::Connected { unreached_for }, settings.into()]
    }

    /// Any server of a Redis Cluster has answered the ping: Redis is there, whichever of the others
    /// are.
    pub fn ping_answered(&mut self, number: u64) -> Vec<Out> {
        if let Some(current) = &mut self.current
            && current.number == number
        {
            current.pinged_at = None;
        }
        Vec::new()
    }

    /// The ping over a connection was answered by these servers, or by none.
    pub fn pinged(
        &mut self,
        number: u64,
        result: Result<BTreeSet<Server>, String>,
        now: Instant,
    ) -> Vec<Out> {
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| current.number == number)
        else {
            return Vec::new();
        };
        match result {
            Err(cause) => self.lost(cause, now),
            Ok(servers) => {
                current.is_pinging = false;
                current.pinged_at = None;
                if servers == current.servers {
                    Vec::new()
                } else {
                    self.renew()
                }
            }
        }
    }

    /// The connection to a server was closed.
    pub fn closed(&mut self, number: u64, now: Instant) -> Vec<Out> {
        match self.is_current(number) {
            true if self.is_cluster => self.renew(),
            true => self.lost("connection closed".to_owned(), now),
            false => Vec::new(),
        }
    }

    /// A room could not be subscribed over a connection. In a Redis Cluster its server is away, and
    /// those of other rooms may be reachable.
    pub fn not_subscribed(&mut self, number: u64, cause: String, now: Instant) -> Vec<Out> {
        if self.is_current(number) && !self.is_cluster {
            return self.lost(cause, now);
        }
        debug!("room not subscribed: error={cause}");
        Vec::new()
    }

    fn lost(&mut self, cause: String, now: Instant) -> Vec<Out> {
        let pinged_at = self.current.take().and_then(|current| current.pinged_at);
        // A ping that was not answered was the first sign.
        self.away_since = pinged_at.unwrap_or(now);
        self.next_attempt = now;
        vec![Out::ConnectionLost(cause)]
    }

    /// A server of the Redis Cluster was lost or came back. A new connection subscribes to all
    /// rooms whose servers are reachable; the old one delivers until it is ready.
    fn renew(&mut self) -> Vec<Out> {
        if self.is_connecting {
            return Vec::new();
        }
        info!("servers of the redis cluster come and go, subscribing anew");
        self.connect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::TICK;
    use super::*;
    use crate::domain::Timestamp;

    const TIMEOUT: Duration = Duration::from_secs(2);
    const SPACING: Duration = PING_SPACING_MAX;

    /// A tick in time.
    fn at(now: Instant) -> Tick {
        Tick {
            now,
            at: Timestamp(0),
            stalled: Duration::ZERO,
        }
    }

    fn server() -> BTreeSet<Server> {
        BTreeSet::from([None])
    }

    fn refused<T>() -> Result<T, String> {
        Err("refused".into())
    }

    /// A connection, its number, and the time when it was opened.
    fn connected(is_cluster: bool) -> (PushConnection, u64, Instant) {
        let now = Instant::now();
        let mut connection = PushConnection::new(is_cluster, TIMEOUT, now);
        let number = attempt(&connection.tick(at(now))).expect("the first attempt is immediate");
        assert!(matches!(
            connection.opened(number, Ok(server()), now)[0],
            Out::Connected { .. }
        ));
        (connection, number, now)
    }

    fn attempt(outs: &[Out]) -> Option<u64> {
        match outs {
            [Out::Request(RedisRequest::Connect(number))] => Some(*number),
            _ => None,
        }
    }

    fn is_ping(outs: &[Out]) -> bool {
        matches!(outs, [Out::Request(RedisRequest::Ping(..))])
    }

    fn is_loss(outs: &[Out]) -> bool {
        matches!(outs, [Out::ConnectionLost(_)])
    }

    #[test]
    fn an_attempt_that_failed_is_repeated_a_little_later() {
        let start = Instant::now();
        let mut connection = PushConnection::new(false, TIMEOUT, start);
        assert_eq!(attempt(&connection.tick(at(start))), Some(1));
        assert!(
            connection.tick(at(start + CONNECT_EVERY)).is_empty(),
            "one at a time"
        );
        let failed = connection.opened(1, refused(), start + CONNECT_EVERY);
        assert!(matches!(&failed[..], [Out::ConnectFailed(cause)] if cause == "refused"));
        assert!(connection.tick(at(start + CONNECT_EVERY)).is_empty());
        assert_eq!(
            attempt(&connection.tick(at(start + CONNECT_EVERY * 2))),
            Some(2)
        );
        assert_eq!(connection.silent_since(), Some(start));
    }

    #[test]
    fn tokens_are_looked_at_from_before_the_connection_was_lost_and_at_the_start_from_earlier() {
        let (mut connection, number, start) = connected(false);
        assert_eq!(connection.unreached_for(), Some(LOOK_BACK_AT_START));
        assert!(is_loss(&connection.closed(number, start)));
        assert_eq!(connection.unreached_for(), None);
        let number = attempt(&connection.tick(at(start))).expect("at once");
        connection.opened(number, Ok(server()), start + TIMEOUT);
        assert_eq!(connection.unreached_for(), Some(TIMEOUT));
    }

    #[test]
    fn redis_is_silent_from_when_a_ping_was_sent_until_it_is_answered() {
        let (mut connection, number, start) = connected(false);
        assert!(connection.tick(at(start + SPACING - TICK)).is_empty());
        let sent_at = start + SPACING;
        assert!(is_ping(&connection.tick(at(sent_at))));
        assert!(
            connection.tick(at(sent_at + TICK)).is_empty(),
            "one at a time"
        );
        assert_eq!(connection.silent_since(), Some(sent_at));
        assert!(
            connection
                .pinged(number, Ok(server()), sent_at + TICK)
                .is_empty()
        );
        assert_eq!(connection.silent_since(), None);
        assert!(is_ping(&connection.tick(at(sent_at + SPACING))));
        assert!(is_loss(&connection.pinged(
            number,
            refused(),
            sent_at + TIMEOUT
        )));
        assert_eq!(
            connection.silent_since(),
            Some(sent_at + SPACING),
            "the ping was the first sign"
        );
    }

    #[test]
    fn a_redis_cluster_is_not_silent_while_one_of_its_servers_is() {
        let (mut connection, number, start) = connected(true);
        let sent_at = start + SPACING;
        assert!(is_ping(&connection.tick(at(sent_at))));
        assert_eq!(connection.silent_since(), Some(sent_at));
        connection.ping_answered(number + 1);
        assert_eq!(
            connection.silent_since(),
            Some(sent_at),
            "another connection"
        );
        connection.ping_answered(number);
        assert_eq!(connection.silent_since(), None);
        let frozen_until = sent_at + TIMEOUT;
        assert!(
            connection.tick(at(frozen_until)).is_empty(),
            "the ping still waits for one server"
        );
        assert_eq!(connection.silent_since(), None);
        connection.pinged(number, Ok(server()), frozen_until);
        assert!(is_ping(&connection.tick(at(frozen_until))));
    }

    #[test]
    fn a_time_in_which_this_node_was_stalled_is_no_silence_of_redis() {
        let (mut connection, _, start) = connected(false);
        let sent_at = start + SPACING;
        connection.tick(at(sent_at));
        let stalled = TIMEOUT * 3;
        connection.tick(Tick {
            stalled,
            ..at(sent_at + stalled)
        });
        assert_eq!(connection.silent_since(), Some(sent_at + stalled));
    }

    #[test]
    fn inputs_of_a_connection_that_is_not_the_current_one_have_no_effect() {
        let (mut connection, before, now) = connected(false);
        connection.closed(before, now);
        let number = attempt(&connection.tick(at(now))).expect("at once");
        assert!(
            connection.opened(before, refused(), now).is_empty(),
            "that attempt has ended"
        );
        connection.opened(number, Ok(server()), now);
        assert!(connection.pinged(before, refused(), now).is_empty());
        assert!(connection.closed(before, now).is_empty());
        assert!(
            connection
                .not_subscribed(before, "refused".into(), now)
                .is_empty()
        );
        assert!(connection.is_current(number) && !connection.is_current(before));
        assert!(is_loss(&connection.not_subscribed(
            number,
            "refused".into(),
            now
        )));
    }

    #[test]
    fn a_redis_cluster_that_loses_a_server_is_connected_anew_beside_the_connection_there_is() {
        let (mut connection, number, now) = connected(true);
        assert!(
            connection
                .not_subscribed(number, "refused".into(), now)
                .is_empty()
        );
        let servers = BTreeSet::from([Some(("other".into(), 1))]);
        let renewed = attempt(&connection.pinged(number, Ok(servers.clone()), now));
        let renewed = renewed.expect("the servers changed");
        assert!(
            connection.closed(number, now).is_empty(),
            "one attempt at a time"
        );
        assert!(connection.is_current(number), "it delivers until then");
        assert!(matches!(
            connection.opened(renewed, Ok(servers), now)[0],
            Out::Connected { .. }
        ));
        assert!(connection.is_current(renewed) && connection.silent_since().is_none());
        assert_eq!(connection.unreached_for(), Some(Duration::ZERO));
    }
}
