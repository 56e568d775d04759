//! What a script shows of the effects of a decision, performed as the actor does.

use std::sync::Arc;

use liveroom::domain::{
    AckId, CommentWriteError, Control, CrowdRate, Effect, EntryContent, GiftOrder, HeldComment,
    News, Reject, Reply, ReplyTo, ReportedComment, RoomEvent, Sequenced,
};

use super::{Effects, Unplaced, World};
use crate::room_scripts::words;

impl World {
    /// Performs effects in their order, as the actor does: what an effect leads to comes before the
    /// next one, and a comment that the store does not take is not published.
    pub(super) fn perform(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Attach { handle, .. } => self.trace.push(format!("attach {handle}")),
                Effect::Detach { handle, .. } => self.trace.push(format!("detach {handle}")),
                Effect::Kick { handle, reason } => {
                    self.trace.push(format!(
                        "{handle} <- kicked {}",
                        words::kick_reason(&reason, self.now)
                    ));
                }
                Effect::StoreComment(comment) => {
                    let full = if self.store_full { " (full)" } else { "" };
                    self.trace
                        .push(format!("store <- comment c{} again{full}", comment.id));
                    if self.store_full {
                        let effects = self
                            .room()
                            .comment_stored(comment.id, Err(CommentWriteError::Busy));
                        self.perform(effects);
                    }
                }
                Effect::Replay { handle, after } => {
                    let again = self.history.after(after);
                    let line = |one: &Sequenced| {
                        format!(
                            "{handle} <- again {} {}",
                            one.offset,
                            words::event(&one.event)
                        )
                    };
                    self.trace.extend(again.map(line));
                }
                Effect::Announce(presence) => self
                    .trace
                    .push(format!("all <- {}", words::presence(&presence))),
                Effect::Show { handle, presence } => {
                    self.trace
                        .push(format!("{handle} <- online {}", words::presence(&presence)));
                }
                Effect::Reply { to, result } => self.reply(&to, result),
                Effect::Publish(event) => self.publish(event),
                Effect::AppendAction(entry) => match entry.content {
                    EntryContent::Event(event) => self.publish(event),
                    EntryContent::Control(control) => {
                        self.step(|room, now| room.apply_control(control, now));
                    }
                },
                Effect::AnnounceRate(CrowdRate { shown, total }) => {
                    self.trace.push(format!("all <- rate {shown} of {total}"));
                }
                Effect::PostComment(comment) => {
                    let id = comment.id;
                    let full = if self.store_full { " (full)" } else { "" };
                    self.trace.push(format!("store <- comment c{id}{full}"));
                    if self.store_full {
                        let effects = self.room().comment_stored(id, Err(CommentWriteError::Busy));
                        self.perform(effects);
                    } else {
                        self.publish(RoomEvent::Comment(comment));
                    }
                }
                Effect::HoldComment(held) => self.hold(held),
                Effect::ReportHeld(held) => self.control(Control::Held(held)),
                Effect::TakeDown(id) => self.trace.push(format!("store <- takes down c{id}")),
                Effect::Notify { handle, news } => {
                    self.trace.push(format!("{handle} <- {}", self.news(&news)));
                }
                Effect::Echo { handle, comment } => {
                    let text = comment.text.as_str();
                    self.trace
                        .push(format!("{handle} <- echo c{} {text:?}", comment.id));
                }
                Effect::CommitGift { ticket, order } => self.ask_books("gift", ticket, order),
                Effect::FindGift {
                    ticket,
                    order,
                    otherwise,
                } => {
                    self.ask_books("find", ticket, order);
                    self.barred.insert(ticket, otherwise);
                }
                Effect::RecordView(user) => {
                    let name = &self.users[user.get() as usize - 1];
                    self.trace.push(format!("store <- view {name}"));
                }
            }
        }
    }

    fn ask_books(&mut self, what: &str, ticket: u64, order: Arc<GiftOrder>) {
        let (giver, gift, count) = (&order.giver.name, &order.gift.name, order.count.get());
        let id = &order.request_id;
        let price = words::other_price(&order.gift);
        self.trace.push(format!(
            "books <- {what} t{ticket} {giver} {count} {gift}{price} id={id}"
        ));
        self.orders.insert(ticket, order);
    }

    fn news(&self, news: &News) -> String {
        match news {
            News::Muted { until, reason } => {
                let reason = reason.as_deref().unwrap_or("-");
                format!("muted {} reason={reason}", words::until(*until, self.now))
            }
            News::Unmuted => "unmuted".into(),
            News::Role { user, role } => {
                let name = &self.users[user.get() as usize - 1];
                format!("role {name} {}", role.name())
            }
            News::Held(held) => {
                let HeldComment { comment, rule, due } = &**held;
                let (author, text) = (&comment.author.name, comment.text.as_str());
                let (rule, left) = (rule.name(), words::until(Some(*due), self.now));
                format!("held c{} {author} {text:?} rule={rule} {left}", comment.id)
            }
            News::CommentDenied(denial) => {
                let expired = if denial.is_expired { " expired" } else { "" };
                let reason = denial.reason.as_deref().unwrap_or("-");
                format!("denied c{} reason={reason}{expired}", denial.comment_id)
            }
            News::Reported { open, comments } => {
                let reported = |comment: &ReportedComment| {
                    format!("c{}:{}", comment.comment_id, comment.reports)
                };
                let comments: Vec<String> = comments.iter().map(reported).collect();
                format!("reported open={open} {}", comments.join(" "))
                    .trim_end()
                    .into()
            }
        }
    }

    pub(super) fn publish(&mut self, event: RoomEvent) {
        if self.order_later {
            self.trace
                .push(format!("order <- {}", words::event(&event)));
            self.unplaced.push_back(Unplaced::Event(event));
        } else {
            self.place(event);
        }
    }

    /// Gives an event the next place and tells it to all, as the actor does.
    pub(super) fn place(&mut self, event: RoomEvent) {
        self.offset += 1;
        let sequenced = Sequenced {
            epoch: "e".into(),
            offset: self.offset,
            event,
        };
        let now = self.now;
        let (sequenced, mut effects) = self.room().judge(sequenced, now);
        effects.extend(self.room().on_event_ordered(&sequenced, now));
        if let RoomEvent::Removed { comment_id, .. } = sequenced.event {
            self.history.take_down(comment_id, |offset| Sequenced {
                offset,
                ..sequenced.clone()
            });
        }
        self.history.push(&sequenced, sequenced.clone(), self.now);
        self.trace.push(format!(
            "all <- {} {}",
            sequenced.offset,
            words::event(&sequenced.event)
        ));
        self.perform(effects);
    }

    pub(super) fn reply(&mut self, to: &ReplyTo<String>, result: Result<Reply, Reject>) {
        let mut line = match result {
            Ok(reply) => format!("{} <- {}", to.handle, words::reply(&reply)),
            Err(reject) => format!("{} ! {}", to.handle, words::reject(reject, self.now)),
        };
        if let AckId::Number(ack) = to.ack {
            line.push_str(&format!(" ack={ack}"));
        }
        self.trace.push(line);
    }
}
