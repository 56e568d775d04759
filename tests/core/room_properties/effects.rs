//! What the room decided is done, and compared with the model.

use liveroom::domain::{
    AckId, CROWD_ROUND_MS, Comment, CommentWriteError, Effect, Reject, Reply, ReplyTo, RoomEvent,
    Sequenced,
};

use super::{HISTORY, SETTINGS, World};

impl World {
    pub(super) fn perform(&mut self, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::Kick { .. } | Effect::Notify { .. } | Effect::TakeDown(_) => {
                    panic!("there is no operator here")
                }
                // Its commit failed before it had its place, and now it is told: a retry stores it.
                Effect::StoreComment(comment) => {
                    assert!(
                        self.told_comments.contains_key(&comment.id),
                        "stored again, and told to nobody"
                    );
                    if self.store_full {
                        let effects = self
                            .room
                            .comment_stored(comment.id, Err(CommentWriteError::Busy));
                        self.perform(effects);
                    } else {
                        self.submitted.remove(&comment.id);
                        self.submit(&comment);
                    }
                }
                Effect::Replay { handle, after } => {
                    self.history
                        .after(after)
                        .for_each(|again| self.clients.hear(handle, again));
                }
                Effect::Attach { session, .. } => {
                    assert!(self.attached.insert(session.0), "attached twice");
                    self.views.open(session.0);
                }
                Effect::Detach { session, .. } => {
                    assert!(self.attached.remove(&session.0), "detached a stranger");
                    self.views.close(session.0);
                }
                Effect::Announce(presence) => self.views.hear_all(&presence),
                Effect::Show { handle, presence } => self.views.hear(handle, &presence),
                Effect::Reply { to, result } => self.hear_answer(&to, &result),
                Effect::Publish(event) => self.publish(event),
                Effect::AppendAction(entry) => panic!("no action is applied here: {entry:?}"),
                Effect::HoldComment(held) | Effect::ReportHeld(held) => {
                    panic!("nothing is held here: {held:?}")
                }
                Effect::PostComment(comment) => {
                    assert!(
                        !self.sampled_out.contains(&comment.id),
                        "shown after all: c{}",
                        comment.id
                    );
                    if self.store_full {
                        let effects = self
                            .room
                            .comment_stored(comment.id, Err(CommentWriteError::Busy));
                        self.perform(effects);
                    } else {
                        self.submit(&comment);
                        self.publish(RoomEvent::Comment(comment));
                    }
                }
                Effect::Echo { handle, comment } => {
                    assert!(
                        !self.submitted.contains(&comment.id),
                        "an echo of what all hear: c{}",
                        comment.id
                    );
                    assert!(
                        self.echoed.insert(comment.id),
                        "echoed twice: c{}",
                        comment.id
                    );
                    assert_eq!(
                        self.sessions.get(&handle),
                        Some(&comment.author.id),
                        "a stranger hears c{}",
                        comment.id
                    );
                }
                Effect::AnnounceRate(rate) => {
                    assert!(rate.shown <= rate.total, "{rate:?}");
                    self.rate = Some(rate);
                }
                Effect::CommitGift { ticket, order } | Effect::FindGift { ticket, order, .. } => {
                    assert!(
                        self.settling.insert(ticket, order).is_none(),
                        "a ticket was used twice"
                    );
                    assert!(self.settling.len() <= SETTINGS.gifts_in_flight_max);
                }
                Effect::RecordView(user) => {
                    assert!(self.sessions.values().any(|online| *online == user))
                }
            }
        }
    }

    fn submit(&mut self, comment: &Comment) {
        assert!(
            self.submitted.insert(comment.id),
            "stored twice: c{}",
            comment.id
        );
        self.storing.push(comment.id);
        let Some(request_id) = comment.request_id.clone() else {
            return;
        };
        let key = (comment.author.id, request_id);
        let is_forgotten = |at| comment.at.since(at) >= SETTINGS.dedupe_ms;
        let left_out = self.left_out.get(&key).copied();
        assert!(
            left_out.is_none_or(is_forgotten),
            "a retry was shown, the first was not"
        );
        let twin = self.kept.insert(key, (comment.id, comment.at));
        let forgotten = twin.is_none_or(|(id, at)| self.stored.contains(&id) && is_forgotten(at));
        assert!(forgotten, "one command had two effects");
    }

    pub(super) fn publish(&mut self, event: RoomEvent) {
        if self.broker_elsewhere {
            self.unplaced.push_back(event);
        } else {
            self.place(event);
        }
    }

    pub(super) fn place(&mut self, event: RoomEvent) {
        self.last_offset += 1;
        let sequenced = Sequenced {
            epoch: "e".into(),
            offset: self.last_offset,
            event,
        };
        let effects = self.room.on_event_ordered(&sequenced, self.now);
        if let RoomEvent::Removed { comment_id, .. } = sequenced.event {
            self.history.take_down(comment_id, |offset| Sequenced {
                offset,
                ..sequenced.clone()
            });
        }
        self.history.push(&sequenced, sequenced.clone(), self.now);
        self.clients.tell(&self.attached, &sequenced, self.now);
        match &sequenced.event {
            RoomEvent::Comment(comment) => {
                assert!(
                    self.submitted.contains(&comment.id),
                    "told before it was submitted"
                );
                let earlier = self.told_comments.insert(comment.id, self.last_offset);
                assert_eq!(earlier, None, "a comment was told twice");
            }
            RoomEvent::Gift { receipt, .. } => {
                let earlier = self.told_gifts.insert(receipt.record_id, self.last_offset);
                assert_eq!(earlier, None, "a gift was told twice");
                self.told_coins += receipt.total.get();
            }
            _ => {}
        }
        self.perform(effects);
    }

    /// What has been told is in the told maps by now: an event goes out before its answer.
    pub(super) fn hear_answer(&mut self, to: &ReplyTo<u64>, result: &Result<Reply, Reject>) {
        let AckId::Number(ack) = to.ack else {
            panic!("every command here has an ack")
        };
        assert!(self.answered.insert(ack), "a command was answered twice");
        match result {
            Ok(Reply::Commented {
                comment_id, offset, ..
            }) => {
                assert!(
                    self.stored.contains(comment_id),
                    "accepted before the commit"
                );
                assert!(offset.is_some(), "accepted before it had its place");
                assert_eq!(self.told_comments.get(comment_id), offset.as_ref());
            }
            Ok(Reply::SampledOut { comment_id }) => {
                assert!(
                    !self.submitted.contains(comment_id),
                    "shown, but its sender heard otherwise"
                );
                self.sampled_out.insert(*comment_id);
                if let Some((user, request_id, at)) = self.posted.get(comment_id).cloned() {
                    assert!(self.now.since(at) < SETTINGS.dedupe_ms + CROWD_ROUND_MS);
                    self.left_out.insert((user, request_id), at);
                }
            }
            Ok(Reply::Gifted {
                record_id, offset, ..
            }) => {
                assert!(offset.is_some(), "accepted before it had its place");
                assert_eq!(self.told_gifts.get(record_id), offset.as_ref());
            }
            Ok(Reply::Joined {
                position,
                count,
                recovered,
                ..
            }) => {
                self.clients
                    .joined(to.handle, position, *recovered, HISTORY, self.now);
                assert_eq!(
                    (position.offset, *count),
                    (self.last_offset, self.online().len())
                );
            }
            Ok(Reply::Held { .. }) => panic!("nothing is held here"),
            Ok(Reply::Left { .. }) | Err(_) => {}
        }
    }
}
