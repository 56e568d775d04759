//! One actor per session, whatever its transport: it holds the identity of the session, keeps its
//! deadlines and limits, and forwards its commands to rooms.
//!
//! It lives on the worker thread that accepted it. Events of rooms do not pass through it: they go
//! from the room's hub straight into the outbox. So a session whose peer stopped reading still
//! receives messages, checks its deadlines and ends.

mod commands;
mod deadlines;
mod directory;
mod handlers;
mod messages;
mod single_devices;
mod strangers;
mod tracing;
mod user_limiters;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use log::debug;

use crate::actors::hub::{Hub, Outlet};
use crate::actors::live_room::{Departure, MemberGone};
use crate::actors::operations::Operations;
use crate::actors::registry::{RoomAddr, Rooms};
use crate::actors::traces::Traces;
use crate::auth::{Auth, Identity};
use crate::clock::Clock;
use crate::cluster::Nodes;
use crate::config::{Config, LimitsConfig};
use crate::domain::{
    AckId, Bucket, Disconnect, LiveId, Priority, Reject, SocketId, Timestamp, UserId,
};
use crate::outbox::{Outbox, Packet};
use crate::protocol::socketio::DISCONNECT;
use crate::protocol::{
    ClientCommand, Codec, EngineVersion, SocketIoDecoder, fail_text, reply_text,
};

use deadlines::Deadlines;
use strangers::StrangerPlace;
use user_limiters::UserLimiter;

pub use directory::SessionDirectory;
pub use messages::{
    CommandBounced, Describe, FreeSeat, Inbound, MembershipLost, Reauthenticate, Received, Revoked,
    TransportGone,
};

/// Messages from rooms and the directory that may wait. What a client sends does not wait here: its
/// transport reads on when the session is done with what it read.
pub const SESSION_MAILBOX: usize = 64;

/// The services that all sessions of a node share.
pub struct SessionServices {
    pub auth: Arc<Auth>,
    pub rooms: Rooms,
    pub directory: Arc<SessionDirectory>,
    pub nodes: Arc<dyn Nodes>,
    pub operations: Arc<Operations>,
    pub traces: Arc<Traces>,
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
}

/// The hub of a worker thread.
#[derive(Debug)]
pub struct WorkerHub {
    pub id: usize,
    pub hub: Addr<Hub>,
}

/// How rooms reach a session: its outlet through the hub of its thread, and the actor itself for
/// the few things that are not packets.
#[derive(Debug)]
pub struct SessionPort {
    pub hub: Arc<WorkerHub>,
    pub session: Addr<Session>,
    pub outlet: Arc<Outlet>,
    /// Where it came from, as limits count it.
    pub address: IpAddr,
}

/// The parts that a transport begins a session with.
pub struct SessionStart {
    pub codec: Codec,
    /// The name that others see. For Engine.IO 3 it is the sid.
    pub socket_id: SocketId,
    pub outbox: Arc<Outbox>,
    pub hub: Arc<WorkerHub>,
    pub services: Arc<SessionServices>,
    /// `/ws` only: the token the connection came with.
    pub token: Option<Arc<str>>,
    /// Where it comes from, as limits count it: what one client is likely to own.
    pub address: IpAddr,
    /// Dropped when the session ends: seats in the limits, the entry in a table.
    pub seat: Box<dyn Any + Send>,
}

/// The identity that one token gave the session.
struct Verified {
    token: Arc<str>,
    identity: Identity,
    checked: Instant,
    /// That of the node when the check began, see [`Auth::invalidation_epoch`].
    invalidation_epoch: Option<u64>,
    /// Of all sessions of the user.
    limiter: Arc<UserLimiter>,
}

/// Commands that a limiter refused, less those it allowed since: one refusal is forgiven for each
/// command that passes, so that a flood cannot go on in the gaps of a limit.
#[derive(Debug, Clone, Copy, Default)]
struct Excess(u32);

impl Excess {
    /// Notes one command. Returns whether the sender goes on although it is refused.
    fn note(&mut self, is_allowed: bool, refusals_max: u32) -> bool {
        self.0 = if is_allowed {
            self.0.saturating_sub(1)
        } else {
            self.0.saturating_add(1)
        };
        self.0 > refusals_max
    }
}

/// A room this session may be a member of.
struct RoomLink {
    room: RoomAddr,
    /// The number of the latest join: a [`MembershipLost`] with an older stamp is ignored.
    joined_by: u64,
}

/// A step that waits for the one before.
enum Step {
    Command(ClientCommand),
    /// The client left the root namespace.
    LeaveRooms,
}

/// A session.
pub struct Session {
    port: Arc<SessionPort>,
    services: Arc<SessionServices>,
    decoder: Option<SocketIoDecoder>,
    /// `/ws`: the token that serves all commands. Socket.IO commands bring their own.
    token: Option<Arc<str>>,
    verified: Option<Verified>,
    /// The user whose token is being verified: a change of that user must reach the session even if
    /// it comes before the verdict.
    pending_user: Option<UserId>,
    /// Commands that wait for the one before: a sender's commands keep their order. Each passed the
    /// limiter, and the one before waits [`ASK_TIMEOUT`](crate::actors::ask::ASK_TIMEOUT)
    /// at most, which bounds how many there are.
    waiting: VecDeque<Step>,
    /// The user changed while a verdict was on its way, which may be older than the change.
    must_recheck: bool,
    /// The user whose `/ws` connection this was announced as.
    device_of: Option<UserId>,
    /// Answers that have not come: a verdict on a token, or the room of a command. While there are
    /// any, commands wait.
    pending_answers: u32,
    rooms: HashMap<LiveId, RoomLink>,
    commands_count: u64,
    limiter: Bucket,
    /// Refusals by the limit of the session, and by that of its user.
    excess: Excess,
    user_excess: Excess,
    /// The session's place among the strangers, until its first valid command.
    stranger: Option<StrangerPlace>,
    /// Whether the root namespace is connected: Engine.IO 3 is connected unasked, `/ws` has none.
    connected: bool,
    last_received: Instant,
    began_at: Timestamp,
    deadlines: Deadlines,
    ended: bool,
    _seat: Box<dyn Any + Send>,
}

impl Session {
    /// Begins a session on the calling thread.
    pub fn begin(start: SessionStart) -> Addr<Self> {
        let SessionStart {
            codec,
            socket_id,
            outbox,
            hub,
            services,
            token,
            address,
            seat,
        } = start;
        let outlet = Arc::new(Outlet {
            session: services.directory.next_id(),
            socket_id,
            codec,
            outbox,
        });
        Self::create(move |ctx| {
            ctx.set_mailbox_capacity(SESSION_MAILBOX);
            let began_at = services.clock.now();
            let deadlines = Deadlines::new(codec, &services.config, Instant::now());
            let decoder = match codec {
                Codec::Eio3 => Some(SocketIoDecoder::new(
                    EngineVersion::V3,
                    services.config.clone(),
                )),
                Codec::Eio4 => Some(SocketIoDecoder::new(
                    EngineVersion::V4,
                    services.config.clone(),
                )),
                Codec::PlainJson => None,
            };
            Self {
                port: Arc::new(SessionPort {
                    hub,
                    session: ctx.address(),
                    outlet,
                    address,
                }),
                services,
                decoder,
                token,
                verified: None,
                pending_user: None,
                waiting: VecDeque::new(),
                must_recheck: false,
                device_of: None,
                pending_answers: 0,
                rooms: HashMap::new(),
                commands_count: 0,
                limiter: Bucket::default(),
                excess: Excess::default(),
                user_excess: Excess::default(),
                stranger: None,
                connected: codec != Codec::Eio4,
                last_received: Instant::now(),
                began_at,
                deadlines,
                ended: false,
                _seat: seat,
            }
        })
    }

    fn codec(&self) -> Codec {
        self.port.outlet.codec
    }

    fn limits(&self) -> &LimitsConfig {
        &self.services.config.limits
    }

    /// Sends a text to this session alone, in no order with events of rooms.
    fn send_text(&self, text: &str) {
        self.port
            .outlet
            .outbox
            .push(Packet::text(text, Priority::Critical));
    }

    fn reject(&self, ack: &AckId, reject: Reject) {
        self.trace_refusal(reject);
        let outlet = &self.port.outlet;
        let now = self.services.clock.now();
        if let Some(text) = reply_text(
            outlet.codec.dialect(),
            &outlet.socket_id,
            ack,
            &Err(reject),
            now,
        ) {
            self.send_text(&text);
        }
    }

    /// Ends the session because its user was refused, in the words of its dialect.
    fn refuse_user(
        &mut self,
        reason: Disconnect,
        reject: Reject,
        fail: &str,
        ctx: &mut Context<Self>,
    ) {
        match self.codec() {
            Codec::PlainJson => self.send_text(&fail_text(fail)),
            Codec::Eio3 | Codec::Eio4 => self.reject(&AckId::None, reject),
        }
        self.end(reason, ctx);
    }

    /// Ends the session: it leaves its rooms, and the transport follows the closed outbox.
    fn end(&mut self, reason: Disconnect, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.trace_end(reason);
        debug!(
            "session ended: session_id={} reason={reason:?}",
            self.port.outlet.session
        );
        if self.decoder.is_some() && reason.is_final() {
            self.send_text(DISCONNECT);
        }
        self.port.outlet.outbox.close(reason);
        self.leave_rooms(match reason {
            Disconnect::Disabled | Disconnect::Kicked | Disconnect::Unauthorized => {
                Departure::Ended
            }
            _ => Departure::Lost,
        });
        ctx.stop();
    }

    /// The session has sent a valid command: it is not a stranger any more.
    fn become_known(&mut self) {
        if let Some(place) = self.stranger.take() {
            self.services.directory.leave_stranger(place);
        }
    }

    fn leave_rooms(&mut self, departure: Departure) {
        let session = self.port.outlet.session;
        for link in self.rooms.drain().map(|(_, link)| link) {
            #[expect(
                clippy::disallowed_methods,
                reason = "one per membership, and it must arrive"
            )]
            link.room.do_send(MemberGone { session, departure });
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(reason) = self
            .services
            .directory
            .begin(self.port.outlet.session, ctx.address())
        {
            return self.end(reason, ctx);
        }
        self.stranger = Some(
            self.services
                .directory
                .enter_stranger(self.port.outlet.session),
        );
        self.open(ctx);
        self.arm_timer(ctx);
    }

    /// Also runs while a panic unwinds: however the session ended, its rooms and its transport are
    /// notified.
    fn stopped(&mut self, _: &mut Context<Self>) {
        self.port.outlet.outbox.close(Disconnect::Fault);
        self.leave_rooms(Departure::Lost);
        self.announce_device(None);
        self.become_known();
        let verified = self
            .verified
            .take()
            .map(|verified| verified.identity.profile.id);
        for user in [verified, self.pending_user.take()].into_iter().flatten() {
            self.services
                .directory
                .forget(user, self.port.outlet.session);
        }
        self.services.directory.end(self.port.outlet.session);
    }
}

#[cfg(test)]
mod tests {
    use super::Excess;

    #[test]
    fn a_flood_exceeds_although_some_of_it_passes_and_a_client_that_waits_does_not() {
        let mut flood = Excess::default();
        assert!((0..100).any(|n| flood.note(n % 10 == 0, 50)));
        let mut client = Excess::default();
        assert!(!(0..1_000).any(|n| client.note(n % 2 == 0, 50)));
    }
}
