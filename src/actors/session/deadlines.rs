//! Heartbeats and other deadlines of a session.
//!
//! Timers starve behind a flood of messages, so every check compares instants and none relies on
//! having fired in time.

use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::domain::Disconnect;
use crate::outbox::{Control, Packet};
use crate::protocol::Codec;
use crate::protocol::engineio::PING;

use super::Session;

/// Silence is looked for this often within the time that is allowed, so it is found at most a
/// quarter too late.
const CHECKS: u32 = 4;

impl Session {
    pub(super) fn arm_deadlines(&mut self, ctx: &mut Context<Self>) {
        let settings = *self.settings();
        match self.codec() {
            // The client pings; we only listen.
            Codec::SocketIoV2 => {
                let silence_max = settings.ping_interval + settings.ping_timeout;
                ctx.run_interval(silence_max / CHECKS, move |session, ctx| session.check_silence(silence_max, ctx));
            }
            Codec::SocketIoV4 => {
                ctx.run_interval(settings.ping_interval, move |session, ctx| {
                    let pinged_at = Instant::now();
                    session.say(PING);
                    // Whatever was heard since is an answer. How long ago that was says nothing: a
                    // peer answers at once, and this timer is never early.
                    ctx.run_later(settings.ping_timeout, move |session, ctx| {
                        session.expect_life(session.last_heard >= pinged_at, ctx);
                    });
                });
            }
            Codec::PlainJson => {
                ctx.run_interval(settings.ws_ping_interval, |session, _| {
                    session.port.outlet.outbox.push(Packet::control(Control::Ping, b""));
                });
                let silence_max = settings.ws_idle_timeout;
                ctx.run_interval(silence_max / CHECKS, move |session, ctx| session.check_silence(silence_max, ctx));
            }
        }
        if self.codec() != Codec::PlainJson {
            ctx.run_later(settings.connect_timeout, |session, ctx| {
                if !session.proved {
                    session.end(Disconnect::ConnectTimeout, ctx);
                }
            });
        }
        // Signals tell a session at once when its user may not go on; this is for what no signal
        // tells, such as a token that expires.
        ctx.run_interval(self.recheck_interval(), |session, ctx| session.recheck(ctx));
    }

    fn recheck_interval(&self) -> Duration {
        let settings = self.settings();
        match self.codec() {
            Codec::PlainJson => settings.ws_ping_interval,
            Codec::SocketIoV2 | Codec::SocketIoV4 => settings.ping_interval,
        }
    }

    fn check_silence(&mut self, silence_max: Duration, ctx: &mut Context<Self>) {
        self.expect_life(self.last_heard.elapsed() <= silence_max, ctx);
    }

    fn expect_life(&mut self, heard: bool, ctx: &mut Context<Self>) {
        // Whoever cut the outbox leaves the rest to us, should the transport not notice.
        if let Some(reason) = self.port.outlet.outbox.closed() {
            self.end(reason, ctx);
        } else if !heard {
            self.end(Disconnect::PingTimeout, ctx);
        }
    }
}
