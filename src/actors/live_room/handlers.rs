//! The handlers of a room, one for each message: ask the domain, perform the effects.

use std::sync::Arc;

use actix::prelude::*;
use log::{debug, warn};

use crate::actors::consoles::AttachedTap;
use crate::actors::persister::{WriteTicket, WritesDone};
use crate::actors::registry::{RoomResumed, RoomRetired};
use crate::actors::session::{CommandBounced, MembershipLost, SessionPort};
use crate::domain::word_filter::FilterVerdict;
use crate::domain::{
    Caller, CommandEnv, CommentId, Disconnect, Gift, GiftId, KickReason, Offset, Position, ReplyTo,
    RequestId, Timestamp,
};
use crate::storage::WriteOutcome;
use crate::word_filters::RoomFilter;

use super::{
    Departure, LiveChanged, LiveRoom, MemberGone, Observe, ObserveDetail, Recovery, RoomServices,
    SessionCommand, StopRoom, Watch,
};

/// The environment in which a room decides about a command.
struct Env<'a> {
    recovery: &'a mut Recovery,
    services: &'a RoomServices,
    filter: &'a RoomFilter,
}

impl CommandEnv<Arc<SessionPort>> for Env<'_> {
    fn recover_after(
        &mut self,
        since: &Position,
        to: &Arc<SessionPort>,
        now: Timestamp,
    ) -> Option<Offset> {
        self.recovery.recover_after(since, to, now)
    }

    fn next_comment_id(&mut self, now: Timestamp) -> CommentId {
        self.services.comment_ids.next(now)
    }

    /// 128 random bits.
    fn new_request_id(&mut self) -> RequestId {
        let name = format!("auto-{:032x}", rand::random::<u128>());
        RequestId::parse(&name).expect("a prefix and hexadecimal digits are a request id")
    }

    fn check_text(&self, text: &str) -> FilterVerdict {
        self.filter.current().check(text)
    }

    fn gift(&self, id: GiftId) -> Option<Arc<Gift>> {
        self.services.catalogue.get(id)
    }
}

impl Handler<SessionCommand> for LiveRoom {
    type Result = ();

    fn handle(&mut self, command: SessionCommand, ctx: &mut Context<Self>) {
        if let Some(command) = self.defer_if_ahead(command, ctx) {
            self.serve(command, ctx);
        }
    }
}

impl LiveRoom {
    /// Carries out a command.
    pub(super) fn serve(&mut self, command: SessionCommand, ctx: &mut Context<Self>) {
        if self.retired {
            let session = command.port.session.clone();
            #[expect(
                clippy::disallowed_methods,
                reason = "one per command, and the command must not get lost"
            )]
            session.do_send(CommandBounced {
                live_id: self.live_id,
                command,
            });
            return;
        }
        let SessionCommand {
            port,
            profile,
            site_sanctions,
            account_since,
            ack,
            stamp,
            command,
        } = command;
        let session = port.outlet.session;
        let to = ReplyTo {
            handle: port.clone(),
            ack: ack.clone(),
        };
        let caller = Caller {
            session,
            profile,
            socket_id: port.outlet.socket_id.clone(),
            site_sanctions,
            account_since,
            address: port.address,
            to: ReplyTo { handle: port, ack },
        };
        let now = self.now();
        let mut env = Env {
            recovery: &mut self.recovery,
            services: &self.services,
            filter: &self.filter,
        };
        match self.room.handle(caller, command, &mut env, now) {
            Ok(effects) => self.perform(effects),
            Err(reject) => self.reject(&to, reject),
        }
        if self.room.members().get(session).is_none() {
            let lost = MembershipLost {
                live_id: self.live_id,
                stamp,
            };
            if to.handle.session.try_send(lost).is_err() {
                // It keeps the room in its list and sends it `MemberGone` in the end, which does no
                // harm.
                debug!(
                    "mailbox of the session is full, its membership ends later: session_id={session}"
                );
            }
        }
        self.settle(ctx);
    }
}

impl LiveRoom {
    /// Reads what modes ask about users whose comments wait for that, if any do.
    pub(super) fn read_facts(&mut self, ctx: &mut Context<Self>) {
        let Some(users) = self.room.facts_to_read() else {
            return;
        };
        let (store, live_id) = (self.services.store.clone(), self.live_id);
        let read = async move {
            let read = store.user_facts(live_id, users.clone()).await;
            (users, read)
        };
        ctx.spawn(read.into_actor(self).map(|(users, read), room, ctx| {
            if let Err(error) = &read {
                warn!(
                    "facts of users not read: live_id={} error={error}",
                    room.live_id
                );
            }
            let now = room.now();
            let mut env = Env {
                recovery: &mut room.recovery,
                services: &room.services,
                filter: &room.filter,
            };
            let read = read.as_deref().ok();
            let effects = room.room.facts_read(&users, read, &mut env, now);
            room.perform(effects);
            room.settle(ctx);
        }));
    }
}

impl Handler<MemberGone> for LiveRoom {
    type Result = ();

    fn handle(&mut self, gone: MemberGone, ctx: &mut Context<Self>) {
        let now = self.now();
        let member = self.room.members().get(gone.session);
        if member.is_some_and(|it| it.handle.outlet.outbox.closed() == Some(Disconnect::Slow)) {
            self.figures.count_slow();
        }
        let effects = match gone.departure {
            Departure::Lost => self.room.connection_lost(gone.session, now),
            Departure::Ended => self.room.remove(gone.session, now),
            Departure::IdentityChanged => {
                self.room
                    .expel(gone.session, KickReason::IdentityChanged, now)
            }
        };
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<LiveChanged> for LiveRoom {
    type Result = ();

    fn handle(&mut self, changed: LiveChanged, ctx: &mut Context<Self>) {
        if self.versioned_live.version() != Some(changed.live_version) {
            return;
        }
        let effects = self
            .room
            .live_changed(changed.status, &changed.title, self.now());
        self.versioned_live.set(self.room.live());
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<WritesDone> for LiveRoom {
    type Result = ();

    fn handle(&mut self, done: WritesDone, ctx: &mut Context<Self>) {
        for (ticket, outcome) in done.0 {
            let effects = match (ticket, outcome) {
                (WriteTicket::Comment(id), WriteOutcome::Comment(result)) => {
                    self.room.comment_stored(id, result)
                }
                (WriteTicket::Hold(id), WriteOutcome::Held(result)) => {
                    self.room.comment_held(id, result)
                }
                (WriteTicket::Gift(ticket), WriteOutcome::Gift(result)) => {
                    self.room.gift_settled(ticket, result)
                }
                (WriteTicket::View, WriteOutcome::View(look_count)) => {
                    if let Some(look_count) = look_count {
                        self.room.views_recorded(look_count);
                    }
                    Vec::new()
                }
                (WriteTicket::TakeDown, WriteOutcome::TakenDown) => Vec::new(),
                (ticket, outcome) => {
                    log::error!(
                        "store answered another write: ticket={ticket:?} outcome={outcome:?}"
                    );
                    Vec::new()
                }
            };
            self.perform(effects);
        }
        self.settle(ctx);
    }
}

impl Handler<StopRoom> for LiveRoom {
    type Result = ();

    fn handle(&mut self, _: StopRoom, ctx: &mut Context<Self>) {
        let (live_id, generation) = (self.live_id, self.generation);
        #[expect(
            clippy::disallowed_methods,
            reason = "the registry waits for exactly one answer"
        )]
        if self.is_idle() {
            self.registry.do_send(RoomRetired {
                live_id,
                generation,
            });
            self.retire(ctx);
        } else {
            self.registry.do_send(RoomResumed {
                live_id,
                generation,
            });
        }
    }
}

impl Handler<Watch> for LiveRoom {
    type Result = ();

    fn handle(&mut self, Watch(tap): Watch, ctx: &mut Context<Self>) {
        if !self.retired {
            self.fan_out.watch(AttachedTap::new(tap));
            self.settle(ctx);
        }
    }
}

impl Handler<Observe> for LiveRoom {
    type Result = ();

    fn handle(&mut self, observe: Observe, _: &mut Context<Self>) {
        // The receiver may have stopped waiting.
        let _ = observe.0.send(self.stats());
    }
}

impl Handler<ObserveDetail> for LiveRoom {
    type Result = ();

    fn handle(&mut self, observe: ObserveDetail, _: &mut Context<Self>) {
        // The receiver may have stopped waiting.
        let _ = observe.0.send(self.detail());
    }
}
