//! One hub per worker thread: it holds the outlets of the sockets that thread serves, so that a
//! broadcast crosses threads once per worker and not once per member.
//!
//! All that a room tells a member travels through the member's hub in the order the room decided:
//! events, presence, answers, joining and leaving itself. That one order is why an answer can never
//! overtake the event it speaks of.

mod encoded;
mod messages;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::info;

use crate::domain::{Disconnect, Lane, LiveId, SessionId, SocketId};
use crate::outbox::{Outbox, Packet, Pushed};
use crate::protocol::{Codec, kicked_text};

pub use encoded::Encoded;
pub use messages::{HubBatch, HubItem};

/// Batches that may wait for a hub. A room that meets a full hub keeps its batch and tries again
/// with its next one (see `live_room::fan_out`).
pub const HUB_MAILBOX: usize = 4_096;

/// How often full outboxes are looked at.
const SLOW_CHECK: Duration = Duration::from_millis(500);

/// After a slow member was told to go, the time its socket has to take that before it is shut down.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where to put what one session should receive.
#[derive(Debug)]
pub struct Outlet {
    pub session: SessionId,
    pub socket_id: SocketId,
    pub codec: Codec,
    pub outbox: Arc<Outbox>,
}

/// Outlets seen at their bound, until they have room again or are gone.
type SlowOutlets = HashMap<SessionId, Arc<Outlet>>;

/// The outlets of one worker thread, by room.
pub struct Hub {
    rooms: HashMap<LiveId, HashMap<SessionId, Arc<Outlet>>>,
    slow: SlowOutlets,
    slow_after: Duration,
}

impl Hub {
    /// Starts a hub on the calling thread. `slow_after`: how long an outbox may stay full.
    pub fn start_here(slow_after: Duration) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(HUB_MAILBOX);
            Self { rooms: HashMap::new(), slow: HashMap::new(), slow_after }
        })
    }

    fn tell_all(&mut self, live_id: LiveId, encoded: &Encoded) {
        let Some(outlets) = self.rooms.get_mut(&live_id) else { return };
        // Sessions that are over are dropped here too: a room that gave up a batch, or died while
        // this hub was full, never says so.
        outlets.retain(|_, outlet| {
            let packet = encoded.packet(outlet.codec.dialect());
            push(&mut self.slow, outlet, packet) != Pushed::Closed
        });
    }

    /// The room ended without saying good-bye to its members: they may join again, which opens it
    /// anew.
    fn room_gone(&mut self, live_id: LiveId) {
        for outlet in self.rooms.remove(&live_id).into_iter().flat_map(HashMap::into_values) {
            let text = kicked_text(outlet.codec.dialect(), live_id, "room_restarted", None);
            push(&mut self.slow, &outlet, Packet::text(&text, Lane::Money));
        }
    }

    fn check_slow(&mut self) {
        let slow_after = self.slow_after;
        self.slow.retain(|session, outlet| {
            let outbox = &outlet.outbox;
            if outbox.closed().is_some() {
                // Its last words had their time: a transport still blocked on its peer is freed. One
                // that was not full when it ended is not blocked.
                let blocked_for = outbox.full_for();
                let is_over = blocked_for.is_some_and(|full| full > slow_after + LAST_WORDS);
                if is_over {
                    outbox.kill_socket();
                }
                return blocked_for.is_some() && !is_over;
            }
            match outbox.full_for() {
                None => false,
                Some(full) if full < slow_after => true,
                Some(full) => {
                    let (packets, bytes) = outbox.queued();
                    info!(
                        "cut slow member: session_id={session} full_ms={} queued_packets={packets} queued_bytes={bytes}",
                        full.as_millis()
                    );
                    outbox.cut(Disconnect::Slow);
                    true
                }
            }
        });
    }
}

/// Queues a packet, and remembers who is at the bound.
fn push(slow: &mut SlowOutlets, outlet: &Arc<Outlet>, packet: Packet) -> Pushed {
    let pushed = outlet.outbox.push(packet);
    if pushed == Pushed::Full {
        slow.entry(outlet.session).or_insert_with(|| outlet.clone());
    }
    pushed
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SLOW_CHECK, |hub, _| hub.check_slow());
    }
}

impl Handler<HubBatch> for Hub {
    type Result = ();

    fn handle(&mut self, batch: HubBatch, _: &mut Context<Self>) {
        let live_id = batch.live_id;
        for item in batch.items {
            match item {
                HubItem::Attach(outlet) => {
                    self.rooms.entry(live_id).or_default().insert(outlet.session, outlet);
                }
                HubItem::Detach(session) => {
                    if let Some(outlets) = self.rooms.get_mut(&live_id) {
                        outlets.remove(&session);
                        if outlets.is_empty() {
                            self.rooms.remove(&live_id);
                        }
                    }
                }
                HubItem::All(encoded) => self.tell_all(live_id, &encoded),
                HubItem::One(outlet, packet) => {
                    push(&mut self.slow, &outlet, packet);
                }
                HubItem::Shared(outlet, encoded) => {
                    push(&mut self.slow, &outlet, encoded.packet(outlet.codec.dialect()));
                }
                HubItem::RoomGone => self.room_gone(live_id),
            }
        }
    }
}
