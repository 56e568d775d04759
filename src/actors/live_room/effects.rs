//! Performs what the domain decided, in the order it was decided.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actors::hub::Encoded;
use crate::actors::session::SessionPort;
use crate::domain::{Effect, Lane, LaneOf, Reject, Reply, ReplyTo, Sequenced, StoreFailed};
use crate::outbox::Packet;
use crate::protocol::reply_text;
use crate::storage::Write;

use super::{LiveRoom, WriteTicket};

type Effects = Vec<Effect<Arc<SessionPort>>>;

impl LiveRoom {
    /// Performs one decision. If the store refuses a comment, the effects after it are not
    /// performed: nobody hears of a comment that nobody keeps.
    pub(super) fn perform(&mut self, effects: Effects) {
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Attach { handle, .. } => self.fan_out.attach(&handle),
                Effect::Detach { handle, .. } => self.fan_out.detach(&handle),
                Effect::Reply { to, result } => self.reply(&to, &result),
                Effect::Announce(presence) => self.fan_out.all(self.shown.encoded(presence)),
                Effect::Show { handle, presence } => self.fan_out.shared(&handle, self.shown.encoded(presence)),
                Effect::Publish(event) => {
                    // With a broker elsewhere the event comes back as `Delivered`, and is told then.
                    if let Some(sequenced) = self.log.append(event) {
                        prepend(&mut todo, self.tell(sequenced));
                    }
                }
                Effect::StoreComment(comment) => {
                    let id = comment.id;
                    if self.persister.submit(Write::Comment(comment), WriteTicket::Comment(id)).is_err() {
                        todo = VecDeque::from(self.room.comment_stored(id, Err(StoreFailed::Busy)));
                    }
                }
                Effect::CommitGift { ticket, order } => {
                    if let Err(refusal) = self.persister.submit(Write::Gift(order), WriteTicket::Gift(ticket)) {
                        prepend(&mut todo, self.room.gift_settled(ticket, Err(refusal)));
                    }
                }
                Effect::RecordView(user_id) => {
                    let view = Write::View { live_id: self.live_id, user_id };
                    // A full queue costs a count of one view at most: the user's next join makes up for it.
                    let _ = self.persister.submit(view, WriteTicket::View);
                }
            }
        }
    }

    /// Tells all members an event that has its place, and returns what that decides: the answers
    /// that waited for it.
    pub(super) fn tell(&mut self, sequenced: Sequenced) -> Effects {
        let effects = self.room.ordered(&sequenced);
        let lane = sequenced.event.lane(self.room.live().owner);
        self.fan_out.all(Encoded::event(sequenced, lane));
        effects
    }

    fn reply(&mut self, to: &ReplyTo<Arc<SessionPort>>, result: &Result<Reply, Reject>) {
        let outlet = &to.handle.outlet;
        if let Some(text) = reply_text(outlet.codec.dialect(), &outlet.socket_id, &to.ack, result, self.now()) {
            self.fan_out.one(&to.handle, Packet::text(&text, Lane::Money));
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
