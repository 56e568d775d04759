//! What a session notes while its user is traced, or the room that it speaks to.

use serde_json::{Map, Value, json};

use crate::actors::traces::Traced;
use crate::domain::{Disconnect, LiveId, Reject, RequestId, RoomCommand};
use crate::protocol::refusal::Refusal;
use crate::protocol::{ActionRequest, ClientRequest};

use super::Session;

impl Session {
    fn note(
        &self,
        live: Option<LiveId>,
        what: &'static str,
        fields: impl Fn() -> Map<String, Value>,
    ) {
        let verified = self.verified.as_ref();
        let about = Traced {
            user: verified.map(|verified| verified.identity.profile.id),
            live,
            session: Some(self.port.outlet.session),
        };
        self.services.traces.note(about, what, fields);
    }

    fn note_one(&self, what: &'static str, name: &str, value: &str) {
        self.note(None, what, || {
            Map::from_iter([(name.to_owned(), Value::from(value))])
        });
    }

    /// Notes a command that the limits let through.
    pub(super) fn trace_command(&self, live_id: Option<LiveId>, request: &ClientRequest) {
        if self.services.traces.is_on() {
            self.note(live_id, "command", || command_fields(request));
        }
    }

    /// Notes a refusal that no room has a part in.
    pub(super) fn trace_refusal(&self, reject: Reject) {
        if self.services.traces.is_on() {
            self.note_one("refused", "code", Refusal::from(reject).code);
        }
    }

    /// Notes which user the session acts for from now on.
    pub(super) fn trace_identity(&self) {
        if self.services.traces.is_on() {
            let address = self.port.address.to_string();
            self.note_one("session_identified", "address", &address);
        }
    }

    pub(super) fn trace_end(&self, reason: Disconnect) {
        if self.services.traces.is_on() {
            self.note_one("session_ended", "reason", &format!("{reason:?}"));
        }
    }
}

fn command_fields(request: &ClientRequest) -> Map<String, Value> {
    let name_of = |request_id: &Result<Option<RequestId>, Reject>| {
        let request_id = request_id.as_ref().ok().and_then(Option::as_ref);
        request_id.map(|request_id| request_id.as_str().to_owned())
    };
    let fields = match request {
        ClientRequest::Room(RoomCommand::Join { since }) => json!({
            "command": "joinLive",
            "recovers": since.as_ref().is_ok_and(Option::is_some),
        }),
        ClientRequest::Room(RoomCommand::Leave) => json!({"command": "leaveLive"}),
        ClientRequest::Room(RoomCommand::Comment { text, request_id }) => json!({
            "command": "comment",
            "text": text.as_ref().ok().map(|text| text.as_str()),
            "request_id": name_of(request_id),
        }),
        ClientRequest::Room(RoomCommand::Gift {
            gift_id,
            count,
            shown_price,
            request_id,
        }) => json!({
            "command": "gift",
            "gift_id": gift_id.map(|gift| gift.get()),
            "num": count.as_ref().ok().map(|count| count.get()),
            "coin": shown_price.as_ref().ok().and_then(|coin| coin.map(|coin| coin.get())),
            "request_id": name_of(request_id),
        }),
        ClientRequest::Act(ActionRequest {
            action, request_id, ..
        }) => json!({
            "command": action.as_ref().map_or("an action with a fault", |action| action.name()),
            "target": action.as_ref().ok().and_then(|action| action.target()).map(|user| user.get()),
            "request_id": name_of(request_id),
        }),
        ClientRequest::Auth => json!({"command": "auth"}),
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
