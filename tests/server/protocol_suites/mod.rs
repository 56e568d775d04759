//! The public suites by which servers of Engine.IO and Socket.IO are judged, written anew: those of
//! `socketio/engine.io-protocol` (revisions 3 and 4) and of `socketio/socket.io-protocol` (protocol
//! 5).
//!
//! Their server echoes what it is sent. Here a command with an ack stands in for that wherever its
//! answer proves the same. What needs packets that no room sends is not here: binary in answers,
//! and namespaces beside the root.

mod engineio;
mod engineio_v3;
mod engineio_v4;
mod socketio_v5;
