//! Performs the effects that the domain decided, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use log::warn;

use crate::actors::hub::Encoded;
use crate::actors::persister::{SubmitError, WriteTicket};
use crate::actors::session::{MembershipLost, SessionPort};
use crate::domain::{
    Comment, CommentWriteError, Effect, GiftRefusal, HoldRefusal, KickReason, News, Priority,
    PriorityOf, Reject, Reply, ReplyTo, RoomEvent, Sequenced,
};
use crate::outbox::Packet;
use crate::protocol::{echo_text, kicked_text, news_text, reply_text};
use crate::storage::Write;

use super::LiveRoom;

pub(super) type Effects = Vec<Effect<Arc<SessionPort>>>;

impl LiveRoom {
    /// Performs one decision, in its order.
    pub(super) fn perform(&mut self, effects: Effects) {
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            self.trace_effect(&effect);
            match effect {
                Effect::Attach { handle, .. } => self.fan_out.attach(&handle),
                Effect::Detach { handle, .. } => self.fan_out.detach(&handle),
                Effect::Kick { handle, reason } => self.kick(&handle, &reason),
                Effect::Notify { handle, news } => self.notify(&handle, &news),
                Effect::Reply { to, result } => self.reply(&to, &result),
                Effect::Replay { handle, after } => self.replay(&handle, after),
                Effect::Announce(presence) => {
                    self.fan_out.all(self.presence_cache.encoded(presence))
                }
                Effect::Show { handle, presence } => self
                    .fan_out
                    .shared(&handle, self.presence_cache.encoded(presence)),
                Effect::AnnounceRate(rate) => self.fan_out.all(Encoded::rate(self.live_id, rate)),
                Effect::Publish(event) => prepend(&mut todo, self.publish(event)),
                Effect::AppendAction(entry) => prepend(&mut todo, self.append_action(entry)),
                Effect::PostComment(comment) => {
                    // A comment that is not stored is not delivered, and one that cannot be
                    // delivered for a while is not stored.
                    let effects = if self.log.can_append() && self.store_comment(&comment).is_ok() {
                        self.publish(RoomEvent::Comment(comment))
                    } else {
                        self.room
                            .comment_stored(comment.id, Err(CommentWriteError::Busy))
                    };
                    prepend(&mut todo, effects);
                }
                Effect::StoreComment(comment) => {
                    if self.store_comment(&comment).is_err() {
                        prepend(
                            &mut todo,
                            self.room
                                .comment_stored(comment.id, Err(CommentWriteError::Busy)),
                        );
                    }
                }
                Effect::HoldComment(held) => {
                    let held = held.by_clock_ahead(self.services.store_clock.ahead_ms());
                    let (id, hold) = (held.comment.id, Write::Hold(held));
                    if let Err(SubmitError) = self.persister.submit(hold, WriteTicket::Hold(id)) {
                        prepend(
                            &mut todo,
                            self.room.comment_held(id, Err(HoldRefusal::Busy)),
                        );
                    }
                }
                Effect::ReportHeld(held) => {
                    let held = held.by_clock_ahead(self.services.store_clock.ahead_ms());
                    self.services.held.report(held);
                }
                Effect::TakeDown(comment_id) => {
                    let at = self.now();
                    let removal = Write::TakeDown { comment_id, at };
                    if self
                        .persister
                        .submit(removal, WriteTicket::TakeDown)
                        .is_err()
                    {
                        warn!("comment stays in the history: comment_id={comment_id}");
                    }
                }
                Effect::Echo { handle, comment } => {
                    let text = echo_text(handle.outlet.codec.dialect(), &comment);
                    self.fan_out
                        .one(&handle, Packet::text(&text, Priority::Normal));
                }
                Effect::CommitGift { ticket, order } => {
                    prepend(&mut todo, self.submit_gift(ticket, Write::Gift(order)));
                }
                Effect::FindGift {
                    ticket,
                    order,
                    otherwise,
                } => {
                    let find = Write::FindGift { order, otherwise };
                    prepend(&mut todo, self.submit_gift(ticket, find));
                }
                Effect::RecordView(user_id) => {
                    let view = Write::View {
                        live_id: self.live_id,
                        user_id,
                    };
                    // A full queue costs a count of one view at most: the user's next join makes up
                    // for it.
                    let _ = self.persister.submit(view, WriteTicket::View);
                }
            }
        }
    }

    fn store_comment(&self, comment: &Arc<Comment>) -> Result<(), SubmitError> {
        self.persister.submit(
            Write::Comment(comment.clone()),
            WriteTicket::Comment(comment.id),
        )
    }

    fn submit_gift(&mut self, ticket: u64, write: Write) -> Effects {
        match self.persister.submit(write, WriteTicket::Gift(ticket)) {
            Ok(()) => Effects::new(),
            Err(SubmitError) => self.room.gift_settled(ticket, Err(GiftRefusal::Busy)),
        }
    }

    fn notify(&mut self, port: &SessionPort, news: &News) {
        let text = news_text(port.outlet.codec.dialect(), self.live_id, news);
        self.fan_out
            .one(port, Packet::text(&text, Priority::Critical));
    }

    fn kick(&mut self, port: &SessionPort, reason: &KickReason) {
        let text = kicked_text(port.outlet.codec.dialect(), self.live_id, reason);
        self.fan_out
            .one(port, Packet::text(&text, Priority::Critical));
        if *reason == KickReason::IdentityChanged {
            // The session knows, and may have sent its next join already.
            return;
        }
        // Every membership that began before is over.
        let lost = MembershipLost {
            live_id: self.live_id,
            stamp: u64::MAX,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "once per kick, and it must arrive"
        )]
        port.session.do_send(lost);
    }

    /// Appends an event to the log. If the broker is elsewhere the event comes back as `Delivered`,
    /// and its members receive it then.
    fn publish(&mut self, event: RoomEvent) -> Effects {
        self.log
            .append(event)
            .map_or_else(Vec::new, |sequenced| self.deliver(sequenced))
    }

    /// Delivers a sequenced event to all members, and returns the effects of that: the answers that
    /// waited for it.
    pub(super) fn deliver(&mut self, sequenced: Sequenced) -> Effects {
        let now = self.now();
        let (sequenced, mut effects) = self.room.judge(sequenced, now);
        effects.extend(self.room.on_event_ordered(&sequenced, now));
        if matches!(sequenced.event, RoomEvent::Live { .. }) {
            self.versioned_live.set(self.room.live());
        }
        self.trace_event(&sequenced);
        let priority = sequenced.event.priority(self.room.live().owner);
        let encoded = Arc::new(Encoded::event(sequenced.clone(), priority));
        self.recovery.record(&sequenced, encoded.clone(), now);
        self.fan_out.all(encoded);
        effects
    }

    fn reply(&mut self, to: &ReplyTo<Arc<SessionPort>>, result: &Result<Reply, Reject>) {
        let outlet = &to.handle.outlet;
        self.trace_answer(outlet.session, result);
        if let Some(text) = reply_text(
            outlet.codec.dialect(),
            &outlet.socket_id,
            &to.ack,
            result,
            self.now(),
        ) {
            self.fan_out
                .one(&to.handle, Packet::text(&text, Priority::Critical));
        }
    }

    pub(super) fn reject(&mut self, to: &ReplyTo<Arc<SessionPort>>, reject: Reject) {
        self.reply(to, &Err(reject));
    }
}

fn prepend(todo: &mut VecDeque<Effect<Arc<SessionPort>>>, effects: Effects) {
    for effect in effects.into_iter().rev() {
        todo.push_front(effect);
    }
}
