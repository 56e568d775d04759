//! Heartbeats and other deadlines of a session, all kept by one timer: a timer of its own for each
//! would be a third of what an idle session weighs.
//!
//! Timers starve behind a flood of messages, so every check compares instants and none relies on
//! having fired in time.

use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::config::Config;
use crate::domain::Disconnect;
use crate::outbox::{ControlFrame, Packet};
use crate::protocol::Codec;
use crate::protocol::engineio::PING;

use super::Session;

/// Where nodes are notified of changes of tokens, a token is verified again only after so many
/// intervals: for changes without a notification, such as an account that was disabled in the
/// database by hand.
const NOTIFIED_INTERVALS: u32 = 10;

/// When a session has to do what next.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// We ping. Engine.IO 3: the client does.
    ping: Option<Instant>,
    /// Engine.IO 4: the first ping since which nothing was received. Where answers may take longer
    /// than the next ping, a lost peer is noticed at most one interval late.
    unanswered: Option<Instant>,
    /// The others: when the peer will have been silent for too long, if nothing was received since
    /// this was last checked.
    silence: Option<Instant>,
    /// Engine.IO 4: a session that did not connect to the root namespace by then is closed.
    connect: Option<Instant>,
    /// Signals end a session at once when its user is revoked; this is for changes without a
    /// signal, such as a token that expires.
    recheck: Instant,
}

impl Deadlines {
    pub(super) fn new(codec: Codec, config: &Config, now: Instant) -> Self {
        let interval = ping_interval(codec, config);
        Self {
            ping: (codec != Codec::Eio3).then_some(now + interval),
            unanswered: None,
            silence: silence_max(codec, config).map(|max| now + max),
            connect: (codec == Codec::Eio4)
                .then_some(now + config.engineio.connect_timeout_ms.duration()),
            recheck: now + interval,
        }
    }

    /// The session is connected to the root namespace, and need not be again.
    pub(super) fn met_connect(&mut self) {
        self.connect = None;
    }

    /// Whether a peer whose last message came at `last_received` has been silent for longer than
    /// `max`. Otherwise the next check is exactly when it will have been.
    fn is_silent(&mut self, last_received: Instant, max: Duration, now: Instant) -> bool {
        let until = last_received + max;
        self.silence = Some(until);
        until <= now
    }

    fn next(&self, config: &Config) -> Instant {
        let answer = self
            .unanswered
            .map(|pinged_at| pinged_at + config.engineio.ping_timeout_ms.duration());
        [self.ping, answer, self.silence, self.connect]
            .into_iter()
            .flatten()
            .fold(self.recheck, Instant::min)
    }
}

fn ping_interval(codec: Codec, config: &Config) -> Duration {
    match codec {
        Codec::PlainJson => config.websocket.ping_interval_ms.duration(),
        Codec::Eio3 | Codec::Eio4 => config.engineio.ping_interval_ms.duration(),
    }
}

/// How long a peer may be silent, where silence alone ends a session.
fn silence_max(codec: Codec, config: &Config) -> Option<Duration> {
    match codec {
        Codec::Eio3 => Some(
            config.engineio.ping_interval_ms.duration()
                + config.engineio.ping_timeout_ms.duration(),
        ),
        Codec::Eio4 => None,
        Codec::PlainJson => Some(config.websocket.idle_timeout_ms.duration()),
    }
}

/// Whether `deadline` has come.
fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|at| at <= now)
}

impl Session {
    /// Waits for the next deadline.
    pub(super) fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        let wait = self
            .deadlines
            .next(&self.services.config)
            .saturating_duration_since(Instant::now());
        ctx.run_later(wait, |session, ctx| {
            session.meet_deadlines(Instant::now(), ctx);
            if !session.ended {
                session.arm_timer(ctx);
            }
        });
    }

    fn meet_deadlines(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let config = &self.services.config;
        let (interval, silence_max) = (
            ping_interval(self.codec(), config),
            silence_max(self.codec(), config),
        );
        let ping_timeout = config.engineio.ping_timeout_ms.duration();
        // The hub that closed the outbox leaves the rest to the session, should the transport not
        // notice.
        if let Some(reason) = self.port.outlet.outbox.closed() {
            return self.end(reason, ctx);
        }
        // Answers are checked before the next ping is sent.
        if let Some(pinged_at) = self.deadlines.unanswered
            && pinged_at + ping_timeout <= now
        {
            // Anything received since is an answer. Its age does not matter: a peer answers at
            // once, and this timer is never early.
            self.deadlines.unanswered = None;
            if self.last_received < pinged_at {
                return self.end(Disconnect::PingTimeout, ctx);
            }
        }
        if let Some(max) = silence_max
            && is_due(self.deadlines.silence, now)
            && self.deadlines.is_silent(self.last_received, max, now)
        {
            return self.end(Disconnect::PingTimeout, ctx);
        }
        if is_due(self.deadlines.connect, now) {
            return self.end(Disconnect::ConnectTimeout, ctx);
        }
        if let Some(at) = self.deadlines.ping
            && at <= now
        {
            self.ping(now);
            // Not from when this timer fired, which is a little late each time.
            self.deadlines.ping = Some((at + interval).max(now));
        }
        if self.deadlines.recheck <= now {
            self.deadlines.recheck = now + interval;
            if !self.is_notified_of_changes(interval) {
                self.recheck(ctx);
            }
        }
    }

    /// Whether the node would have been notified if the user's token or account had changed since
    /// the last verdict. Even then the token is checked again after some intervals, and when it
    /// expires.
    fn is_notified_of_changes(&self, interval: Duration) -> bool {
        let invalidation_epoch = self.services.auth.invalidation_epoch();
        self.verified.as_ref().is_some_and(|verified| {
            let is_expired = verified
                .identity
                .expires_at
                .is_some_and(|at| at <= self.services.clock.now());
            invalidation_epoch.is_some()
                && invalidation_epoch == verified.invalidation_epoch
                && verified.checked.elapsed() < interval * NOTIFIED_INTERVALS
                && !is_expired
        })
    }

    fn ping(&mut self, now: Instant) {
        if self.codec() == Codec::PlainJson {
            self.port
                .outlet
                .outbox
                .push(Packet::control(ControlFrame::Ping, b""));
        } else {
            self.send_text(PING);
            let first = self
                .deadlines
                .unanswered
                .filter(|pinged_at| self.last_received < *pinged_at);
            self.deadlines.unanswered = Some(first.unwrap_or(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn silence_is_noticed_when_its_time_is_over_and_not_a_quarter_later() {
        let config = Config::default();
        for (codec, silent_s) in [(Codec::Eio3, 45), (Codec::PlainJson, 60)] {
            let (began, max) = (Instant::now(), Duration::from_secs(silent_s));
            let mut deadlines = Deadlines::new(codec, &config, began);
            assert_eq!(
                (silence_max(codec, &config), deadlines.silence),
                (Some(max), Some(began + max))
            );
            // The last sign of life came a moment before the look.
            let received = began + max - MS;
            assert!(!deadlines.is_silent(received, max, began + max));
            assert_eq!(deadlines.silence, Some(received + max));
            assert!(!deadlines.is_silent(received, max, received + max - MS));
            assert!(deadlines.is_silent(received, max, received + max));
        }
    }

    #[test]
    fn only_sessions_that_must_ask_for_the_namespace_have_a_deadline_for_it() {
        let config = Config::default();
        let began = Instant::now();
        for (codec, expected) in [
            (Codec::Eio3, None),
            (
                Codec::Eio4,
                Some(began + config.engineio.connect_timeout_ms.duration()),
            ),
            (Codec::PlainJson, None),
        ] {
            let mut deadlines = Deadlines::new(codec, &config, began);
            assert_eq!(deadlines.connect, expected, "{codec:?}");
            deadlines.met_connect();
            assert_eq!(deadlines.connect, None, "{codec:?}");
        }
    }
}
