//! One hub per worker thread: it holds the outlets of the sockets that thread serves, so that a
//! broadcast crosses threads once per worker and not once per member.
//!
//! All packets of a room for a member travel through the member's hub in the order the room
//! decided: events, presence, answers, joining and leaving itself. That one order is why an answer
//! can never overtake its event.

mod encoded;
mod messages;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::info;

use crate::actors::consoles::BatchProbe;
use crate::actors::live_room::HubDrops;
use crate::domain::{Disconnect, KickReason, LiveId, Priority, SessionId, SocketId};
use crate::outbox::{Outbox, Packet, Pushed};
use crate::protocol::{Codec, Dialect, kicked_text};

pub use encoded::{Encoded, Gathered};
pub use messages::{HubBatch, HubItem};

/// Batches that may wait for a hub. A room that meets a full hub keeps its batch and tries again
/// with its next one (see `live_room::fan_out`).
pub const HUB_MAILBOX: usize = 4_096;

/// How often full outboxes are checked.
const SLOW_CHECK: Duration = Duration::from_millis(500);

/// The time that the socket of a slow member has to take the close frame before it is shut down.
const CLOSE_TIMEOUT_SLOW: Duration = Duration::from_secs(2);

/// The receiving end of one session: its codec and its outbox.
#[derive(Debug)]
pub struct Outlet {
    pub session: SessionId,
    pub socket_id: SocketId,
    pub codec: Codec,
    pub outbox: Arc<Outbox>,
}

/// Outlets that are at their bound, until they are below it again or are gone.
type SlowOutlets = HashMap<SessionId, Arc<Outlet>>;

/// The outlets of one worker thread, by room.
pub struct Hub {
    rooms: HashMap<LiveId, Outlets>,
    slow: SlowOutlets,
    slow_after: Duration,
}

impl Hub {
    /// Starts a hub on the calling thread. `slow_after`: how long an outbox may stay full.
    pub fn start_here(slow_after: Duration) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(HUB_MAILBOX);
            Self {
                rooms: HashMap::new(),
                slow: HashMap::new(),
                slow_after,
            }
        })
    }

    /// The room ended without detaching its members: they may join again, which opens it anew.
    fn room_gone(&mut self, live_id: LiveId, drops: &HubDrops) {
        for outlet in self
            .rooms
            .remove(&live_id)
            .into_iter()
            .flat_map(BTreeMap::into_values)
        {
            let text = kicked_text(outlet.codec.dialect(), live_id, &KickReason::RoomRestarted);
            let mut slow = SlowPass {
                outlets: &mut self.slow,
                drops,
            };
            slow.push(&outlet, Packet::text(&text, Priority::Critical));
        }
    }

    fn check_slow(&mut self) {
        let slow_after = self.slow_after;
        self.slow.retain(|session, outlet| {
            let outbox = &outlet.outbox;
            if outbox.closed().is_some() {
                // The close frame had its time: a transport still blocked on its peer is freed. One
                // that was not full when it ended is not blocked.
                let blocked_for = outbox.full_for();
                let is_over = blocked_for.is_some_and(|full| full > slow_after + CLOSE_TIMEOUT_SLOW);
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

/// Where slow outlets are recorded while one room's batch is delivered.
struct SlowPass<'a> {
    outlets: &'a mut SlowOutlets,
    /// Of the room. A session that is in several rooms may lose events of another one: they count
    /// for the room whose packet did not fit.
    drops: &'a HubDrops,
}

impl SlowPass<'_> {
    fn push(&mut self, outlet: &Arc<Outlet>, packet: Packet) {
        let pushed = outlet.outbox.push(packet);
        self.track_if_full(outlet, pushed);
    }

    /// Records an outlet that is at its bound, and what it dropped.
    fn track_if_full(&mut self, outlet: &Arc<Outlet>, pushed: Pushed) {
        if pushed == Pushed::Full {
            self.drops.count(outlet.outbox.take_dropped());
            self.outlets
                .entry(outlet.session)
                .or_insert_with(|| outlet.clone());
        }
    }
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
        self.take(batch);
    }
}

impl Hub {
    fn take(&mut self, batch: HubBatch) {
        let HubBatch {
            live_id,
            gathered,
            items,
            drops,
        } = batch;
        let mut pass = Pass {
            gathered: &gathered,
            late: HashMap::new(),
            answers: Vec::new(),
            slow: SlowPass {
                outlets: &mut self.slow,
                drops: &drops,
            },
        };
        let mut gone = false;
        if !items.is_empty() {
            let outlets = self.rooms.entry(live_id).or_default();
            for (delivered, item) in items {
                match item {
                    HubItem::Attach(outlet) => pass.attach(outlets, delivered, outlet),
                    HubItem::Detach(session) => pass.detach(outlets, delivered, session),
                    HubItem::One(outlet, packet) => pass.answer(outlets, delivered, outlet, packet),
                    HubItem::Shared(outlet, encoded) => {
                        let packet = encoded.packet(outlet.codec.dialect());
                        pass.answer(outlets, delivered, outlet, packet);
                    }
                    // Nothing is delivered between it and the answer before it, which was pushed at
                    // once.
                    HubItem::Replay(outlet, run) => {
                        let pushed = outlet.outbox.push_run(&run);
                        pass.slow.track_if_full(&outlet, pushed);
                    }
                    HubItem::RoomGone => gone = true,
                }
            }
        }
        if let Some(outlets) = self.rooms.get_mut(&live_id) {
            match gathered.probe() {
                None => pass.deliver(outlets),
                Some(probe) => pass.deliver_measured(outlets, probe),
            }
            if outlets.is_empty() {
                self.rooms.remove(&live_id);
            }
        }
        if gone {
            self.room_gone(live_id, &drops);
        }
    }
}

/// In the order in which they came, which is about how memory holds their sockets: writing to a
/// thousand of them at random costs some per cent more.
type Outlets = BTreeMap<SessionId, Arc<Outlet>>;

/// One batch on its way through a room's outlets: each outlet gets the gathered events in one
/// piece, and yet no member gets an event from before it joined, an answer before its event, or
/// anything after it left.
struct Pass<'a> {
    gathered: &'a Gathered,
    /// Outlets that attached within the batch, with the number of events delivered before.
    late: HashMap<SessionId, usize>,
    /// Packets for single members that follow the events for all.
    answers: Vec<(Arc<Outlet>, Packet)>,
    slow: SlowPass<'a>,
}

impl Pass<'_> {
    fn attach(&mut self, outlets: &mut Outlets, delivered: usize, outlet: Arc<Outlet>) {
        if delivered > 0 {
            self.late.insert(outlet.session, delivered);
        }
        outlets.insert(outlet.session, outlet);
    }

    fn detach(&mut self, outlets: &mut Outlets, delivered: usize, session: SessionId) {
        if let Some(outlet) = outlets.remove(&session) {
            let since = self.late.remove(&session).unwrap_or(0);
            self.deliver_part(&outlet, since..delivered);
        }
    }

    /// At once if that is its place in the member's order, else after the events for all. An answer
    /// may be overtaken by later events, but not overtake earlier ones.
    fn answer(&mut self, outlets: &Outlets, delivered: usize, outlet: Arc<Outlet>, packet: Packet) {
        let since = self.late.get(&outlet.session).copied().unwrap_or(0);
        if since == delivered || !outlets.contains_key(&outlet.session) {
            self.slow.push(&outlet, packet);
        } else {
            self.answers.push((outlet, packet));
        }
    }

    /// Ends the pass: delivers the gathered events to all, and then the remaining answers.
    fn deliver(mut self, outlets: &mut Outlets) {
        if !self.gathered.is_empty() {
            // Sessions that are over are dropped here too: a room that gave up a batch, or died
            // while this hub was full, does not detach them.
            outlets.retain(|session, outlet| {
                let Some(run) = self.gathered.run(outlet.codec.dialect()) else {
                    return true;
                };
                let since = self.late.get(session).copied().unwrap_or(0);
                let pushed = if since == 0 {
                    outlet.outbox.push_run(run)
                } else if since < run.len() {
                    outlet.outbox.push_run(&run.slice(since..run.len()))
                } else {
                    Pushed::Queued
                };
                self.slow.track_if_full(outlet, pushed);
                pushed != Pushed::Closed
            });
        }
        for (outlet, packet) in self.answers {
            self.slow.push(&outlet, packet);
        }
    }

    /// The same for a room that a console looks at.
    fn deliver_measured(self, outlets: &mut Outlets, probe: &BatchProbe) {
        let mut members = [0; Dialect::COUNT];
        for outlet in outlets.values() {
            members[outlet.codec.dialect().index()] += 1;
        }
        for dialect in Dialect::ALL {
            let members_count = members[dialect.index()];
            if members_count > 0 {
                probe.count_deliveries(dialect, members_count);
                // Now, so that its time does not count as that of the delivery.
                let _ = self.gathered.run(dialect);
            }
        }
        probe.fanning_out(|| self.deliver(outlets));
    }

    fn deliver_part(&mut self, outlet: &Arc<Outlet>, part: Range<usize>) {
        if let Some(run) = self
            .gathered
            .run(outlet.codec.dialect())
            .filter(|_| !part.is_empty())
        {
            let pushed = outlet.outbox.push_run(&run.slice(part));
            self.slow.track_if_full(outlet, pushed);
        }
    }
}

#[cfg(test)]
mod tests;
