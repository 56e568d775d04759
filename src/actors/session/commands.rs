//! From a decoded command to the room it is meant for: limiter, token, room, in the order in which
//! the wire contract reports their faults.
//!
//! A command whose token or room is known goes through in one step. Otherwise the session waits for
//! the answer without blocking, and later commands queue behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use log::warn;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::actors::ask::{ASK_TIMEOUT, answer};
use crate::actors::live_room::{Departure, SessionCommand};
use crate::actors::operations::{OperationError, Requested};
use crate::actors::registry::{Located, RoomAddr};
use crate::auth::{AuthError, Identity};
use crate::cluster::Signal;
use crate::config::LimitsConfig;
use crate::domain::{
    AckId, Action, BucketRate, Disconnect, LiveId, Outcome, Reject, RoomCommand, Scope, UserId,
};
use crate::protocol::refusal::{
    OTHER_DEVICE, TOKEN_EXPIRED, TOKEN_INVALID, USER_DISABLED, USER_UNKNOWN,
};
use crate::protocol::socketio::connect_packet;
use crate::protocol::{
    ActionRequest, ClientCommand, ClientRequest, Codec, Decoded, EngineVersion, TokenField,
    done_text, outcome_text,
};
use crate::storage::Change;

use super::{RoomLink, Session, Step, Verified};

/// How long commands wait for a new verdict on a token whose last one was good. Then the last one
/// stands: the store is away, and the node reports that it is not ready.
const AGAIN_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Begins the session: Engine.IO 3 is greeted without asking, `/ws` is authenticated by its
    /// token.
    pub(super) fn open(&mut self, ctx: &mut Context<Self>) {
        match self.codec() {
            Codec::Eio3 => self.send_text(&connect_packet(
                EngineVersion::V3,
                &self.port.outlet.socket_id,
            )),
            Codec::Eio4 => {}
            Codec::PlainJson => {
                let token = self.token.clone().unwrap_or_else(|| Arc::from(""));
                self.verify(token, ctx, Self::connected);
            }
        }
    }

    fn connected(&mut self, verdict: Result<(), AuthError>, ctx: &mut Context<Self>) {
        match verdict {
            Ok(()) => {
                let Some(user) = self
                    .verified
                    .as_ref()
                    .map(|verified| verified.identity.profile.id)
                else {
                    return;
                };
                self.announce_device(Some(user));
                if self.services.config.auth.single_device {
                    let (own, now) = (self.port.outlet.session, self.services.clock.now());
                    let ticket = self.services.directory.claim_device(user, own, now);
                    self.services
                        .nodes
                        .signal(Signal::OtherDevice(user, Some(ticket)));
                }
            }
            Err(error) => self.refuse_identity(error, ctx),
        }
    }

    /// Announces the user of this `/ws` connection to the other nodes, or that it has none any
    /// more.
    pub(super) fn announce_device(&mut self, user: Option<UserId>) {
        let before = std::mem::replace(&mut self.device_of, user);
        if before == user {
            return;
        }
        if let Some(before) = before {
            self.services
                .directory
                .release_device(before, self.port.outlet.session);
            self.services.nodes.device_closed(before);
        }
        if let Some(user) = user {
            self.services.nodes.device_opened(user);
        }
    }

    /// Ends the session because its token is refused.
    pub(super) fn refuse_identity(&mut self, error: AuthError, ctx: &mut Context<Self>) {
        let (reason, fail) = match error {
            AuthError::Invalid => (Disconnect::Unauthorized, TOKEN_INVALID),
            AuthError::Expired => (Disconnect::Unauthorized, TOKEN_EXPIRED),
            AuthError::UserGone => (Disconnect::Unauthorized, USER_UNKNOWN),
            AuthError::Disabled => (Disconnect::Disabled, USER_DISABLED),
            AuthError::Unavailable => return self.end(Disconnect::Overloaded, ctx),
        };
        self.refuse_user(reason, error.into(), fail, ctx);
    }

    /// Ends the session because its user was revoked elsewhere.
    pub(super) fn revoked(&mut self, reason: Disconnect, ctx: &mut Context<Self>) {
        match reason {
            Disconnect::Unauthorized => self.refuse_identity(AuthError::Invalid, ctx),
            Disconnect::Disabled => self.refuse_identity(AuthError::Disabled, ctx),
            // One device is about `/ws` connections, as in the replaced system.
            Disconnect::OtherDevice if self.codec() != Codec::PlainJson => {}
            Disconnect::OtherDevice => {
                self.refuse_user(reason, Reject::Unauthorized, OTHER_DEVICE, ctx)
            }
            other => self.end(other, ctx),
        }
    }

    /// Handles a decoded text.
    pub(super) fn decoded(&mut self, decoded: Decoded, ctx: &mut Context<Self>) {
        match decoded {
            Decoded::Command(command) => {
                if self.check_rate_limit(&command.ack, ctx) {
                    self.waiting.push_back(Step::Command(command));
                    self.pump(ctx);
                }
            }
            Decoded::UnknownEvent { ack } => {
                // Socket.IO ignores events that it does not know, unless the client waits for an
                // answer.
                let silent = self.decoder.is_some() && ack == AckId::None;
                if self.check_rate_limit(&ack, ctx) && !silent {
                    self.reject(
                        &ack,
                        Reject::BadRequest {
                            what: "event: not a known one",
                        },
                    );
                }
            }
            Decoded::Malformed { ack, what } => {
                if self.check_rate_limit(&ack, ctx) {
                    self.reject(&ack, Reject::BadRequest { what });
                }
            }
        }
    }

    /// Whether the rate limit allows a command. One that is refused is answered.
    fn check_rate_limit(&mut self, ack: &AckId, ctx: &mut Context<Self>) -> bool {
        let taken = self.take_from_limiter(ctx);
        if let Err(retry_after_ms) = taken
            && !self.ended
        {
            self.reject(ack, Reject::RateLimited { retry_after_ms });
        }
        taken.is_ok()
    }

    /// The limiter of all messages of a client: heartbeats cost a wake-up and an answer too. A
    /// client that goes on although it is refused is disconnected.
    pub(super) fn take_from_limiter(&mut self, ctx: &mut Context<Self>) -> Result<(), u64> {
        let rate = command_rate(self.limits());
        let taken = self.limiter.take(rate, self.services.clock.now());
        if self.excess.note(taken.is_ok(), rate.burst) {
            self.end(Disconnect::Policy, ctx);
        }
        taken
    }

    /// The limiter of the commands of all sessions of the user. A session that goes on although
    /// refused is disconnected, and those that wait are not.
    fn take_from_user_limiter(&mut self, ctx: &mut Context<Self>) -> Result<(), u64> {
        let Some(verified) = &self.verified else {
            return Ok(());
        };
        let taken = verified
            .limiter
            .take(user_command_rate(self.limits()), self.services.clock.now());
        let refusals_max = command_rate(self.limits()).burst;
        if self.user_excess.note(taken.is_ok(), refusals_max) {
            self.end(Disconnect::Policy, ctx);
        }
        taken
    }

    /// Executes queued commands until one has to wait for an answer.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        while self.pending_answers == 0 && !self.ended {
            match self.waiting.pop_front() {
                Some(Step::Command(command)) => self.execute(command, ctx),
                Some(Step::LeaveRooms) => self.leave_rooms(Departure::Lost),
                None => {
                    // An idle session holds no memory for what it might have to do.
                    self.waiting = VecDeque::new();
                    return;
                }
            }
        }
    }

    fn execute(&mut self, command: ClientCommand, ctx: &mut Context<Self>) {
        let token = match (&command.token, &self.token, &command.request) {
            (TokenField::Present(token), ..) => token.as_str(),
            (TokenField::Malformed, ..) => return self.reject(&command.ack, Reject::TokenInvalid),
            (TokenField::Missing, Some(own), ClientRequest::Room(_) | ClientRequest::Act(_)) => {
                own.as_ref()
            }
            (TokenField::Missing, ..) => return self.reject(&command.ack, Reject::Unauthorized),
        };
        if self.has_fresh_verdict(token) {
            return self.authorized(command, ctx);
        }
        self.verify(
            Arc::from(token),
            ctx,
            move |session, verdict, ctx| match verdict {
                Ok(()) => session.authorized(command, ctx),
                Err(error) => session.reject(&command.ack, error.into()),
            },
        );
    }

    /// Whether the last verdict on `token` is good and recent.
    fn has_fresh_verdict(&self, token: &str) -> bool {
        let recheck = self.services.config.auth.recheck_ms.duration();
        self.last_good_verdict(token)
            .is_some_and(|verified| verified.checked.elapsed() < recheck)
    }

    /// The last verdict on `token`, if that was good and the token has not expired since.
    fn last_good_verdict(&self, token: &str) -> Option<&Verified> {
        self.verified.as_ref().filter(|verified| {
            let expired = verified
                .identity
                .expires_at
                .is_some_and(|at| at <= self.services.clock.now());
            *verified.token == *token && !expired
        })
    }

    /// Has `token` verified; commands wait meanwhile.
    fn verify(
        &mut self,
        token: Arc<str>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, Result<(), AuthError>, &mut Context<Self>) + 'static,
    ) {
        self.pending_answers += 1;
        let auth = self.services.auth.clone();
        self.set_pending_user(auth.decode(&token).ok().map(|(user, _)| user));
        let wait = if self.last_good_verdict(&token).is_some() {
            AGAIN_TIMEOUT
        } else {
            ASK_TIMEOUT
        };
        let verdict = async move {
            // A store that hangs must not block the session, and the commands after this one, for
            // ever.
            let verdict = timeout(wait, auth.verify(&token))
                .await
                .unwrap_or(Err(AuthError::Unavailable));
            (token, verdict)
        };
        // Read before the check begins: a notification may be missed while it is under way.
        let invalidation_epoch = self.services.auth.invalidation_epoch();
        ctx.spawn(
            verdict
                .into_actor(self)
                .map(move |(token, verdict), session, ctx| {
                    session.pending_answers -= 1;
                    if session.ended {
                        return;
                    }
                    let verdict = match verdict {
                        // While the store is away the last good verdict stands, and the rooms go
                        // on, until the store or a change on this node says otherwise.
                        Err(AuthError::Unavailable) if session.renew_verdict(&token) => Ok(()),
                        verdict => verdict
                            .map(|identity| session.identify(token, identity, invalidation_epoch)),
                    };
                    session.set_pending_user(None);
                    then(session, verdict, ctx);
                    session.answer_arrived(ctx);
                }),
        );
    }

    /// An answer arrived: continues with the commands that waited for it.
    fn answer_arrived(&mut self, ctx: &mut Context<Self>) {
        if self.pending_answers == 0 && std::mem::take(&mut self.must_recheck) {
            self.recheck(ctx);
        }
        self.pump(ctx);
    }

    /// Extends the last verdict on `token` by one more period, if it was good.
    fn renew_verdict(&mut self, token: &str) -> bool {
        if self.last_good_verdict(token).is_none() {
            return false;
        }
        if let Some(verified) = &mut self.verified {
            verified.checked = Instant::now();
        }
        true
    }

    /// Lists the session under the user whose token is being verified, and no longer under the one
    /// before.
    fn set_pending_user(&mut self, user: Option<UserId>) {
        let (own, directory) = (self.port.outlet.session, &self.services.directory);
        if let Some(user) = user {
            directory.identify(user, own);
        }
        let verified = self
            .verified
            .as_ref()
            .map(|verified| verified.identity.profile.id);
        if let Some(before) = std::mem::replace(&mut self.pending_user, user)
            && Some(before) != user
            && Some(before) != verified
        {
            directory.forget(before, own);
        }
    }

    /// Makes the session that of a verified user. If that is another user than before, it leaves
    /// the rooms of the one before, since decisions about that user would not reach it any more;
    /// each answers with `kicked`.
    fn identify(&mut self, token: Arc<str>, identity: Identity, invalidation_epoch: Option<u64>) {
        let (user, own) = (identity.profile.id, self.port.outlet.session);
        let known = self
            .verified
            .as_ref()
            .map(|verified| verified.identity.profile.id);
        if known != Some(user) {
            if let Some(before) = known {
                self.services.directory.forget(before, own);
                self.leave_rooms(Departure::IdentityChanged);
            }
            self.services.directory.identify(user, own);
        }
        let limiter = match self.verified.take() {
            Some(verified) if known == Some(user) => verified.limiter,
            _ => self
                .services
                .directory
                .limiter(user, self.services.clock.now()),
        };
        self.verified = Some(Verified {
            token,
            identity,
            checked: Instant::now(),
            invalidation_epoch,
            limiter,
        });
        if known != Some(user) {
            self.trace_identity();
        }
        if self.device_of.is_some() {
            self.announce_device(Some(user));
        }
    }

    /// Verifies the session's token again.
    pub(super) fn recheck(&mut self, ctx: &mut Context<Self>) {
        if self.pending_answers > 0 {
            self.must_recheck = true;
            return;
        }
        if let Some(verified) = &self.verified {
            let token = verified.token.clone();
            self.verify(token, ctx, |session, verdict, ctx| match verdict {
                // The store is away: that ends no session.
                Ok(()) | Err(AuthError::Unavailable) => {}
                Err(error) => session.refuse_identity(error, ctx),
            });
        }
    }

    fn authorized(&mut self, command: ClientCommand, ctx: &mut Context<Self>) {
        self.become_known();
        if let Err(retry_after_ms) = self.take_from_user_limiter(ctx) {
            if !self.ended {
                self.reject(&command.ack, Reject::RateLimited { retry_after_ms });
            }
            return;
        }
        let ClientCommand {
            ack,
            live_id,
            request,
            ..
        } = command;
        self.trace_command(live_id, &request);
        match request {
            ClientRequest::Room(command) => self.forward(live_id, command, ack, ctx),
            ClientRequest::Act(request) => self.act(live_id, request, ack, ctx),
            ClientRequest::Auth => self.replace_token(&ack),
        }
    }

    /// From here on the token that has just been verified serves the commands that carry none.
    fn replace_token(&mut self, ack: &AckId) {
        self.token = self
            .verified
            .as_ref()
            .map(|verified| verified.token.clone());
        self.accept(ack);
    }

    fn accept(&self, ack: &AckId) {
        if let Some(text) = done_text(self.codec().dialect(), ack) {
            self.send_text(&text);
        }
    }

    fn accept_outcome(&self, ack: &AckId, outcome: &Outcome) {
        if let Some(text) = outcome_text(self.codec().dialect(), ack, outcome) {
            self.send_text(&text);
        }
    }

    /// Has an action done; commands wait meanwhile.
    fn act(
        &mut self,
        live_id: Option<LiveId>,
        request: ActionRequest,
        ack: AckId,
        ctx: &mut Context<Self>,
    ) {
        let requested = match self.requested(live_id, request) {
            Ok(requested) => requested,
            Err(reject) => return self.reject(&ack, reject),
        };
        let is_review = matches!(requested.action, Action::Review { .. });
        self.pending_answers += 1;
        let (operations, (reply, performed)) =
            (self.services.operations.clone(), oneshot::channel());
        // Not a future of this actor: the action runs to its end though the session ends before.
        actix_rt::spawn(async move {
            let result = operations.perform(requested).await;
            if let Err(error @ (OperationError::Store(_) | OperationError::Rooms(_))) = &result {
                warn!("action of a session not done or not applied yet: error={error}");
            }
            // The session may have ended.
            let _ = reply.send(result);
        });
        ctx.spawn(
            answer(performed)
                .into_actor(self)
                .map(move |result, session, ctx| {
                    session.pending_answers -= 1;
                    if session.ended {
                        return;
                    }
                    match result {
                        Ok(Ok(Change::Standing(changed))) => {
                            session.accept_outcome(&ack, &changed.outcome);
                        }
                        Ok(Ok(Change::Modes(changed))) => {
                            session.accept_outcome(&ack, &Outcome::Modes(changed));
                        }
                        // Who takes a comment down is answered so, whether it was held or not.
                        Ok(Ok(
                            Change::Comments { outcome, .. } | Change::Decided { outcome, .. },
                        )) if is_review || !matches!(outcome, Outcome::Reviewed { .. }) => {
                            session.accept_outcome(&ack, &outcome);
                        }
                        Ok(Ok(_)) => session.accept(&ack),
                        Ok(Err(error)) => session.reject(&ack, error.into()),
                        Err(_) => session.reject(&ack, Reject::BUSY),
                    }
                    session.answer_arrived(ctx);
                }),
        );
    }

    /// Whether a member may report a comment now.
    fn admit_report(&self, live_id: LiveId) -> Result<(), Reject> {
        if !self.rooms.contains_key(&live_id) {
            return Err(Reject::NotInRoom);
        }
        let verified = self.verified.as_ref().ok_or(Reject::Unauthorized)?;
        verified
            .limiter
            .take_report(self.services.clock.now())
            .map_err(|retry_after_ms| Reject::RateLimited { retry_after_ms })
    }

    fn requested(
        &self,
        live_id: Option<LiveId>,
        request: ActionRequest,
    ) -> Result<Requested, Reject> {
        let user = self
            .verified
            .as_ref()
            .ok_or(Reject::Unauthorized)?
            .identity
            .profile
            .id;
        let live_id = live_id.ok_or(Reject::LiveNotFound)?;
        let mut requested = Requested::of_user(
            user,
            self.port.address,
            Scope::Live(live_id),
            request.action?,
        );
        requested.reason = request.reason?;
        requested.request_id = request.request_id?;
        if matches!(requested.action, Action::Report(_)) {
            self.admit_report(live_id)?;
        }
        Ok(requested)
    }

    /// Sends a command to the room it is meant for.
    fn forward(
        &mut self,
        live_id: Option<LiveId>,
        command: RoomCommand,
        ack: AckId,
        ctx: &mut Context<Self>,
    ) {
        let Some(verified) = &self.verified else {
            return self.reject(&ack, Reject::Unauthorized);
        };
        let Some(live_id) = live_id else {
            return self.reject(&ack, Reject::LiveNotFound);
        };
        let account_since = verified.identity.account_since;
        let (profile, site_sanctions) = (
            verified.identity.profile.clone(),
            verified.identity.site_sanctions.clone(),
        );
        let joining = matches!(command, RoomCommand::Join { .. });
        if joining
            && !self.rooms.contains_key(&live_id)
            && self.rooms.len() >= self.limits().rooms_per_session
        {
            return self.reject(
                &ack,
                Reject::BadRequest {
                    what: "live_id: too many rooms joined",
                },
            );
        }
        self.commands_count += 1;
        let command = SessionCommand {
            port: self.port.clone(),
            profile,
            site_sanctions,
            account_since,
            ack,
            stamp: self.commands_count,
            command,
        };
        match self.rooms.get(&live_id).map(|link| link.room.clone()) {
            Some(room) => self.send(live_id, room, command, ctx),
            None => self.locate(live_id, command, ctx),
        }
    }

    /// Asks the registry for the room, then sends it the command; commands wait meanwhile.
    pub(super) fn locate(
        &mut self,
        live_id: LiveId,
        command: SessionCommand,
        ctx: &mut Context<Self>,
    ) {
        self.pending_answers += 1;
        // Not a clone of the address of the registry: its mailbox would not be bounded for that.
        let services = self.services.clone();
        let located = async move { services.rooms.locate(live_id).await };
        ctx.spawn(
            located
                .into_actor(self)
                .map(move |located: Located, session, ctx| {
                    session.pending_answers -= 1;
                    if session.ended {
                        return;
                    }
                    match located {
                        Ok(room) => session.deliver(live_id, room, command),
                        Err(reject) => session.reject(&command.ack, reject),
                    }
                    session.answer_arrived(ctx);
                }),
        );
    }

    /// Sends a command to a room that was alive; if it is not, locates the room again.
    fn send(
        &mut self,
        live_id: LiveId,
        room: RoomAddr,
        command: SessionCommand,
        ctx: &mut Context<Self>,
    ) {
        if room.connected() {
            self.deliver(live_id, room, command);
        } else {
            self.rooms.remove(&live_id);
            self.locate(live_id, command, ctx);
        }
    }

    fn deliver(&mut self, live_id: LiveId, room: RoomAddr, command: SessionCommand) {
        let joining = matches!(command.command, RoomCommand::Join { .. }).then_some(command.stamp);
        if let Err(refused) = room.try_send(command) {
            let command = refused.into_inner();
            self.reject(&command.ack, Reject::BUSY);
        } else if let Some(joined_by) = joining {
            self.rooms.insert(live_id, RoomLink { room, joined_by });
        }
    }
}

/// The rate limit of one session.
fn command_rate(limits: &LimitsConfig) -> BucketRate {
    BucketRate {
        burst: limits.command_burst,
        refill: limits.commands_per_s,
        per_ms: 1_000,
    }
}

/// The rate limit of all sessions of one user on this node together: no less than that of one
/// session.
fn user_command_rate(limits: &LimitsConfig) -> BucketRate {
    BucketRate {
        burst: limits.user_command_burst.max(limits.command_burst),
        refill: limits.user_commands_per_s.max(limits.commands_per_s),
        per_ms: 1_000,
    }
}
