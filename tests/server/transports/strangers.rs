//! Clients that are connected and do nothing.

use serde_json::json;

use super::client::{Eio, EngineSocket, Poller, RawSocket, SID_UNKNOWN};
use crate::support::{TestServer, Ws, eventually};

/// An event that every connected session may send, and the beginning of its answer.
const ASK: (&str, &str) = ("420[\"leaveLive\",{}]", "430[{\"ok\":false");

fn open(server: &TestServer, eio: u8) -> EngineSocket {
    let path = format!("/socket.io/?EIO={eio}&transport=websocket");
    let mut socket = EngineSocket::connect(server.port(), &path).expect("a handshake");
    socket.read().expect("the open packet");
    socket
}

fn assert_answered(socket: &mut EngineSocket, who: &str) {
    socket.send(ASK.0);
    loop {
        let packet = socket.read().unwrap_or_else(|| panic!("{who} was closed"));
        if packet.starts_with(ASK.1) {
            return;
        }
    }
}

#[test]
fn only_clients_that_never_connect_are_closed_for_it() {
    let server = TestServer::start(&[("LIVEROOM__ENGINEIO__CONNECT_TIMEOUT_MS", "400")]);
    let alice = server.user("alice");
    // Older than the one that never connects, so they would have to go before it.
    let mut v3 = open(&server, 3);
    let mut v4 = open(&server, 4);
    v4.send("40");
    let mut left = open(&server, 4);
    left.send("40");
    left.send("41");
    let mut plain = Ws::connect(&server, &alice);
    let polling = Poller::open(&server, Eio::V3);

    let mut silent = RawSocket::connect(server.port(), "/socket.io/?EIO=4&transport=websocket");
    assert_eq!(silent.close_code(), Some(3408));
    let mut elsewhere = open(&server, 4);
    elsewhere.send("40/elsewhere,");
    assert!(
        elsewhere
            .read()
            .is_some_and(|refused| refused.starts_with("44/elsewhere,"))
    );
    assert_eq!(
        elsewhere.read(),
        None,
        "it asked for another namespace than the root"
    );

    assert_answered(&mut v3, "Engine.IO 3");
    assert_answered(&mut v4, "Engine.IO 4");
    assert_eq!(plain.ask("leaveLive", json!({}))["ok"], json!(false));
    assert_eq!(polling.post(&["2"]).text(), "ok");
    left.send("40");
    loop {
        if left
            .read()
            .expect("a client that left may connect again")
            .starts_with("40{")
        {
            break;
        }
    }
}

#[test]
fn strangers_make_room_when_seats_are_scarce_the_longest_silent_first() {
    const SEATS: usize = 32;
    /// A sixteenth of them is to be free.
    const SPARE: usize = 2;
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONNECTIONS", &SEATS.to_string())]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    // The oldest of all, but known.
    let mut member = Ws::connect(&server, &alice);
    member.join(live_id);
    let mut first = RawSocket::connect(server.port(), "/socket.io/?EIO=3&transport=websocket");
    let polling = Poller::connect(&server, Eio::V4);
    let mut plain = Ws::connect(&server, &alice);
    let _others: Vec<EngineSocket> = (0..SEATS - SPARE - 4).map(|_| open(&server, 3)).collect();
    // All seats but the spare are taken, and nobody has to go; now the node fills up, mostly with
    // clients that come back for the seat of somebody who has been silent for long enough.
    let mut newcomers = Vec::new();
    eventually(
        "newcomers have the seats of the three longest silent strangers",
        || {
            if let Some(mut newcomer) = Ws::try_connect(server.port(), &alice.token) {
                newcomer.join(live_id);
                newcomers.push(newcomer);
            }
            (newcomers.len() == SPARE + 3).then_some(())
        },
    );
    assert_eq!(first.close_code(), Some(3503));
    eventually("the one that polls is over, and may come back", || {
        (polling.get().text() == SID_UNKNOWN).then_some(())
    });
    assert_eq!(
        plain.wait_for_close(),
        (3503, "overloaded retry_after_ms=5000".to_owned())
    );
    // Members have nothing to fear.
    member.join(live_id);
    newcomers
        .iter_mut()
        .for_each(|newcomer| drop(newcomer.join(live_id)));
}
