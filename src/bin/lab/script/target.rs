//! The target of a script: a liveroom server, or any other room server by message templates.

use serde::Deserialize;

/// The kind of server, and how to speak to it if it is not ours.
///
/// With templates nothing is set up over HTTP: rooms exist already or come to be by joining, and
/// are named by `live_id`, their number in the script. Placeholders in `{braces}` are filled in:
/// `live_id`, `member`, `ack`, `request_id`, `token`, and `text`, escaped for JSON.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub templates: Option<Templates>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// Where plain WebSocket clients connect.
    #[serde(default = "default_path")]
    pub path: String,
    /// Where Socket.IO clients connect.
    #[serde(default = "default_socketio_path")]
    pub socketio_path: String,
    /// The text that a member sends to join. For Socket.IO the whole packet, such as
    /// `42["join","{live_id}"]`.
    pub join: String,
    /// The text that a member sends to comment.
    pub comment: String,
}

fn default_path() -> String {
    "/ws".to_owned()
}

fn default_socketio_path() -> String {
    "/socket.io/".to_owned()
}
