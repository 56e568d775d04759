//! Bytes to types and back. The only home of wire names, error texts and codes.
//!
//! Pure functions and small state machines: no actor, no socket, no clock. Where a format comes
//! from elsewhere its source is named at the function.
//!
//! A text from a client goes down: [`engineio`] takes packets out of a frame or a POST body,
//! [`socketio`] takes events out of messages, or [`plain_json`] does both for `/ws`; [`command`]
//! reads what the event asks for. What a room says goes up through [`events`], [`news`] and [`codec`],
//! answers through [`reply`], both in the words of [`refusal`]. [`events`] also has the lines in
//! which nodes pass events on to each other.

pub mod codec;
pub mod command;
pub mod engineio;
pub mod events;
pub mod modes;
pub mod news;
pub mod payload;
pub mod plain_json;
pub mod refusal;
pub mod reply;
pub mod socketio;

pub use codec::{Codec, Dialect, fail_text, kicked_text, presence_text, rate_text};
pub use command::{ActionRequest, ClientCommand, ClientRequest, Decoded, TokenField};
pub use engineio::{EnginePacket, EngineVersion};
pub use events::{echo_text, event_fields, event_text, read_event, write_event};
pub use modes::{ChangedModesBody, ModesBody, modes_change};
pub use news::news_text;
pub use payload::FieldFault;
pub use refusal::{Refusal, SHUTDOWN_SPREAD_MS, close_frame, shutdown_reason};
pub use reply::{OutcomeBody, SanctionBody, done_text, outcome_text, reply_text};
pub use socketio::{SocketIoDecoder, SocketIoInput};
