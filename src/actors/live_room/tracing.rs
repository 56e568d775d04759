//! What a room notes while it is traced, or a user is.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::actors::session::SessionPort;
use crate::actors::traces::Traced;
use crate::domain::{Comment, Effect, Reject, Reply, RoomEvent, Sequenced, SessionId, UserId};
use crate::protocol::event_fields;
use crate::protocol::refusal::Refusal;

use super::LiveRoom;

/// The fields of a line.
fn fields(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

impl LiveRoom {
    fn note(
        &self,
        user: Option<UserId>,
        session: Option<SessionId>,
        what: &'static str,
        fields: impl Fn() -> Map<String, Value>,
    ) {
        let about = Traced {
            user,
            live: Some(self.live_id),
            session,
        };
        self.services.traces.note(about, what, fields);
    }

    /// Notes what the domain decided, as far as it has no event of its own.
    pub(super) fn trace_effect(&self, effect: &Effect<Arc<SessionPort>>) {
        if !self.services.traces.is_on() {
            return;
        }
        let of_session = |handle: &SessionPort, what| {
            self.note(None, Some(handle.outlet.session), what, Map::new);
        };
        match effect {
            Effect::Attach { handle, .. } => of_session(handle, "member_joined"),
            Effect::Detach { handle, .. } => of_session(handle, "member_left"),
            Effect::Kick { handle, reason } => {
                let reason = format!("{reason:?}");
                self.note(None, Some(handle.outlet.session), "kicked", || {
                    fields(json!({"reason": reason}))
                });
            }
            Effect::HoldComment(held) => self.note_comment("held", &held.comment),
            Effect::Echo { comment, .. } => self.note_comment("shown_to_its_sender", comment),
            _ => {}
        }
    }

    fn note_comment(&self, what: &'static str, comment: &Comment) {
        self.note(Some(comment.author.id), None, what, || {
            fields(json!({
                "comment_id": comment.id.to_string(),
                "text": comment.text.as_str(),
            }))
        });
    }

    /// Notes the answer to a command.
    pub(super) fn trace_answer(&self, session: SessionId, result: &Result<Reply, Reject>) {
        if !self.services.traces.is_on() {
            return;
        }
        self.note(None, Some(session), "answer", || {
            fields(match result {
                Err(reject) => json!({"ok": false, "code": Refusal::from(*reject).code}),
                Ok(Reply::Commented {
                    comment_id, offset, ..
                }) => {
                    json!({"ok": true, "comment_id": comment_id.to_string(), "offset": offset})
                }
                Ok(Reply::SampledOut { comment_id }) => json!({
                    "ok": true, "comment_id": comment_id.to_string(), "status": "sampled_out",
                }),
                Ok(Reply::Held { comment_id, .. }) => json!({
                    "ok": true, "comment_id": comment_id.to_string(), "status": "held",
                }),
                Ok(Reply::Gifted {
                    record_id, offset, ..
                }) => {
                    json!({"ok": true, "gift_record_id": record_id.get(), "offset": offset})
                }
                Ok(Reply::Joined {
                    recovered, role, ..
                }) => {
                    json!({"ok": true, "recovered": recovered, "role": role.name()})
                }
                Ok(Reply::Left { .. }) => json!({"ok": true}),
            })
        });
    }

    /// Notes an event that members receive.
    pub(super) fn trace_event(&self, sequenced: &Sequenced) {
        if !self.services.traces.is_on() {
            return;
        }
        let user = match &sequenced.event {
            RoomEvent::Comment(comment) => Some(comment.author.id),
            RoomEvent::Gift { order, .. } => Some(order.giver.id),
            _ => None,
        };
        self.note(user, None, "event", || {
            let mut fields = event_fields(sequenced);
            // Names and texts of users: one field has all of them.
            for name in [
                "live_id",
                "user",
                "username",
                "avatar",
                "gift_image",
                "epoch",
            ] {
                fields.remove(name);
            }
            if let Some(text) = fields.remove("content").or_else(|| fields.remove("text")) {
                fields.insert("text".into(), text);
            }
            fields
        });
    }
}
