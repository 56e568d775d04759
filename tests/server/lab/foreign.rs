//! A room server of another kind: whoever connects to `/rooms/N` hears what is said in room N.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Keeps every seventh comment from the first member of a room.
    Forgetful,
    /// Tells nobody anything.
    Silent,
}

/// The writing ends of each room's members.
type Rooms = Arc<Mutex<HashMap<String, Room>>>;

#[derive(Default)]
struct Room {
    members: Vec<WebSocket<TcpStream>>,
    said: usize,
}

/// Starts the server, which lives as long as the test's process, and returns its port.
pub fn start(manner: Manner) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener
        .local_addr()
        .expect("a bound socket has an address")
        .port();
    let rooms = Rooms::default();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let rooms = Arc::clone(&rooms);
            thread::spawn(move || serve(stream, &rooms, manner));
        }
    });
    port
}

/// Carries one member until it hangs up.
fn serve(stream: TcpStream, rooms: &Rooms, manner: Manner) -> Option<()> {
    let mut name = String::new();
    stream.set_nodelay(true).ok()?;
    stream
        .set_write_timeout(Some(Duration::from_secs(5)))
        .ok()?;
    let writer = stream.try_clone().ok()?;
    #[allow(clippy::result_large_err, reason = "the type is the library's")]
    let note_path = |request: &Request, response: Response| {
        name = request.uri().path().to_owned();
        Ok(response)
    };
    let mut reader = accept_hdr(stream, note_path).ok()?;
    let writer = WebSocket::from_raw_socket(writer, Role::Server, None);
    rooms
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name.clone())
        .or_default()
        .members
        .push(writer);
    loop {
        let Message::Text(text) = reader.read().ok()? else {
            continue;
        };
        if text.starts_with("hello") {
            continue;
        }
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry(name.clone()).or_default();
        room.said += 1;
        if manner == Manner::Silent {
            continue;
        }
        for (index, member) in room.members.iter_mut().enumerate() {
            let forgets = manner == Manner::Forgetful && index == 0 && room.said.is_multiple_of(7);
            if !forgets {
                // Members that are gone are found by their readers.
                let _ = member.send(Message::Text(text.clone()));
            }
        }
    }
}
