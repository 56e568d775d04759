//! A live room on socketioxide and axum: join, comment to everybody in the room, an answer to the
//! sender. Nothing is checked and nothing is kept. PORT says where to listen, on loopback.

use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use socketioxide::extract::{AckSender, Data, Extension, SocketRef};
use socketioxide::{BroadcastError, SocketIo};
use tokio::net::TcpListener;

/// Packets that may wait for one member; further ones are lost without a word. The default of 128
/// loses comments at once in a saturated room, so it is given as much as a fast network would need.
const PACKETS_MAX: usize = 16_384;

const EPOCH: &str = "benchbenchbenchbench";
const FIRST_ID: u64 = 1_000_000_000_000_000_000;

static OFFSET: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize)]
struct Join {
    live_id: i64,
    member: i64,
}

#[derive(Deserialize)]
struct Say {
    live_id: i64,
    text: String,
}

/// Who joined.
#[derive(Clone, Copy)]
struct Member(i64);

/// The fields of liveroom's event, so that every server builds the same JSON.
#[derive(Serialize)]
struct Comment {
    user: User,
    content: String,
    id: String,
    at: u64,
    live_id: i64,
    epoch: &'static str,
    offset: u64,
}

#[derive(Serialize)]
struct User {
    id: i64,
    name: String,
    avatar: &'static str,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    comment_id: String,
    offset: u64,
}

fn room(live_id: i64) -> String {
    format!("live/{live_id}")
}

async fn on_join(socket: SocketRef, Data(join): Data<Join>) {
    socket.extensions.insert(Member(join.member));
    socket.join(room(join.live_id));
}

async fn on_comment(
    socket: SocketRef,
    Extension(Member(member)): Extension<Member>,
    Data(say): Data<Say>,
    answer: AckSender,
) {
    let offset = OFFSET.fetch_add(1, Ordering::Relaxed) + 1;
    let comment = Comment {
        user: User { id: member, name: format!("lab-user-{member:05}"), avatar: "" },
        content: say.text,
        id: (FIRST_ID + offset).to_string(),
        at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        live_id: say.live_id,
        epoch: EPOCH,
        offset,
    };
    // Members whose buffer is full are no fault of ours; the lab counts what they lose.
    if let Err(BroadcastError::Serialize(fault)) = socket.within(room(say.live_id)).emit("comment", &comment).await {
        eprintln!("a comment cannot be encoded: {fault}");
    }
    // The sender may be gone by now.
    let _ = answer.send(&Answer { ok: true, comment_id: FIRST_ID.to_string(), offset });
}

async fn on_connect(socket: SocketRef) {
    socket.on("joinLive", on_join);
    socket.on("comment", on_comment);
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let (layer, io) = SocketIo::builder().max_buffer_size(PACKETS_MAX).build_layer();
    io.ns("/", on_connect);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let listener = listener.tap_io(|stream| {
        // Without it a small write waits for the answer to the one before. A socket that refuses is
        // already closed.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
