//! One actor per live room: it owns the room's state on this node, performs what
//! [`crate::domain::Room`] decides, and is replaced by the registry if it dies.

mod deferred_joins;
mod effects;
mod fan_out;
mod figures;
mod handlers;
mod members;
mod messages;
mod missed;
mod moderation;
mod peers;
mod presence_cache;
mod recovery;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod tracing;
mod versioned_live;
mod window;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::{error, info, warn};

use crate::actors::held_comments::HeldReports;
use crate::actors::persister::{PersisterPort, RoomPersister};
use crate::actors::registry::{Registry, RoomIdle, RoomStopped};
use crate::actors::session::{MembershipLost, SessionPort};
use crate::actors::start_in_arbiter;
use crate::actors::traces::Traces;
use crate::catalogue::GiftCatalogue;
use crate::clock::{Clock, StoreClock};
use crate::cluster::{Broker, OpenedLog, RoomLog};
use crate::comment_ids::CommentIds;
use crate::config::Config;
use crate::domain::{
    Comment, Disconnect, HeldComment, HistoryLimits, Live, LiveId, LiveModes, Member, Pin, Room,
    RoomSettings, SessionId, Standings, Timestamp,
};
use crate::storage::Store;
use crate::word_filters::{RoomFilter, WordFilters};

use deferred_joins::DeferredJoins;
use fan_out::{FanOut, GATHERED_MAX};
use figures::{FiguresPublisher, RoomGauges};
use missed::MissedReading;
use presence_cache::PresenceCache;
use recovery::Recovery;
use window::FlushWindow;

pub use figures::{HubDrops, NodeTotals, RoomFigures};
pub use messages::{
    Apply, ApplyControl, Delivered, Departure, Explain, FollowChanged, LiveChanged, MemberGone,
    ModesRead, Observe, ObserveDetail, ObserveMembers, SessionCommand, StandingsRead, StopRoom,
    Watch,
};
pub use settings::room_settings;
pub use stats::{MemberView, RoomDetail, RoomStats};
pub use versioned_live::VersionedLive;

/// Commands that may wait for a room: a second's worth of the fastest room. Full: `busy`.
pub const ROOM_MAILBOX: usize = 4_096;

/// Housekeeping: leave grace, members whose transport died unnoticed.
const TICK: Duration = Duration::from_secs(1);

/// How soon a batch that found a hub full is offered again.
const FLUSH_AGAIN: Duration = Duration::from_millis(20);

/// How long a stopped room still sends back commands that were on their way to it.
const LINGER: Duration = Duration::from_secs(5);

/// The services that all rooms of a node share.
#[derive(Clone)]
pub struct RoomServices {
    pub config: Arc<Config>,
    /// The part of `config` that the domain needs, see [`room_settings`].
    pub settings: RoomSettings,
    pub broker: Arc<dyn Broker>,
    pub persister: PersisterPort,
    pub catalogue: Arc<GiftCatalogue>,
    pub word_filters: Arc<WordFilters>,
    pub comment_ids: Arc<CommentIds>,
    pub held: HeldReports,
    pub traces: Arc<Traces>,
    pub store: Arc<dyn Store>,
    /// Of all rooms of the node.
    pub totals: Arc<NodeTotals>,
    pub clock: Arc<dyn Clock>,
    pub store_clock: Arc<StoreClock>,
}

/// A live room on this node.
pub struct LiveRoom {
    live_id: LiveId,
    /// Distinguishes this opening of the room from earlier ones.
    generation: u64,
    room: Room<Arc<SessionPort>>,
    filter: RoomFilter,
    versioned_live: Arc<VersionedLive>,
    log: Box<dyn RoomLog>,
    recovery: Recovery,
    fan_out: FanOut,
    figures: FiguresPublisher,
    presence_cache: PresenceCache,
    window: FlushWindow,
    persister: RoomPersister,
    services: RoomServices,
    registry: Addr<Registry>,
    opened_at: Timestamp,
    deadline_timer: Option<(Timestamp, SpawnHandle)>,
    idle_timer: Option<SpawnHandle>,
    /// The users online changed since they were published for other services.
    users_changed: bool,
    deferred_joins: DeferredJoins,
    flush_pending: bool,
    missed_reading: MissedReading,
    /// Stopped by the registry: what still arrives is sent back.
    retired: bool,
}

/// The state that a room starts with.
pub struct LoadedRoom {
    pub live: Live,
    /// As in [`Room::open`].
    pub recent: Vec<Comment>,
    /// As in [`Room::open_held`].
    pub held: Vec<HeldComment>,
    pub standings: Standings,
    pub pin: Option<Pin>,
    pub modes: LiveModes,
    pub filter: RoomFilter,
    pub log: OpenedLog,
}

impl LiveRoom {
    /// Starts a room in `arbiter`. Also returns what it holds of the live.
    pub fn start_in(
        arbiter: &ArbiterHandle,
        loaded: LoadedRoom,
        generation: u64,
        services: RoomServices,
        registry: Addr<Registry>,
    ) -> (Addr<Self>, Arc<VersionedLive>) {
        let LoadedRoom {
            live,
            recent,
            held,
            standings,
            pin,
            modes,
            filter,
            log: opened,
        } = loaded;
        let versioned_live = Arc::new(VersionedLive::new(&live, services.clock.now()));
        let shared_live = versioned_live.clone();
        let room = start_in_arbiter(arbiter, ROOM_MAILBOX, move |ctx| {
            let live_id = live.id;
            let now = services.clock.now();
            let own = ctx.address();
            let OpenedLog {
                mut log,
                position,
                recent: events,
                peers,
            } = opened;
            #[expect(
                clippy::disallowed_methods,
                reason = "the log bounds what the room has not taken"
            )]
            log.listen(Box::new(move |from_log| own.do_send(Delivered(from_log))));
            let kept = &services.config.rooms;
            let kept = HistoryLimits {
                events_max: kept.history_events_max,
                age_ms: i64::from(kept.history_ms.get()),
            };
            let recovery = Recovery::open(kept, &position, &events, live.owner);
            let mut room = Room::open(live, position, recent, services.settings, now);
            room.open_standings(standings);
            room.open_pin(pin);
            room.open_held(&held);
            room.open_modes(modes);
            room.restore_dedupe(events.iter().map(|(sequenced, _)| sequenced));
            room.seed_remote_presence(peers);
            let figures = FiguresPublisher::new(services.totals.clone(), now);
            Self {
                live_id,
                generation,
                recovery,
                room,
                filter,
                versioned_live: shared_live,
                log,
                fan_out: FanOut::new(live_id, figures.hub_drops().clone()),
                figures,
                presence_cache: PresenceCache::default(),
                window: FlushWindow::new(services.config.fanout.clone(), now),
                persister: services.persister.for_room(ctx.address()),
                services,
                registry,
                opened_at: now,
                deadline_timer: None,
                idle_timer: None,
                users_changed: false,
                deferred_joins: DeferredJoins::new(),
                flush_pending: false,
                missed_reading: MissedReading::default(),
                retired: false,
            }
        });
        (room, versioned_live)
    }

    fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    /// The end of every handler: hands over what gathered, and arms the timers.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.versioned_live
            .set_versions(self.room.moderation_version(), self.room.modes_version());
        self.read_facts(ctx);
        self.publish_local_presence();
        self.flush(ctx);
        self.arm_deadline_timer(ctx);
        self.arm_idle_timer(ctx);
    }

    /// Hands over what gathered, or sees to it that this happens when the window ends.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        let overfull = self.fan_out.gathered_count() >= GATHERED_MAX;
        if self.fan_out.is_empty() || (self.flush_pending && !overfull) {
            return;
        }
        let wait = self
            .window
            .wait(self.room.members().members_count(), self.now());
        if wait.is_zero() || overfull {
            self.flush_now(ctx)
        } else {
            self.flush_later(wait, ctx)
        }
    }

    fn flush_later(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        if self.flush_pending {
            return;
        }
        self.flush_pending = true;
        ctx.run_later(wait, |room, ctx| {
            room.flush_pending = false;
            room.flush_now(ctx);
        });
    }

    fn flush_now(&mut self, ctx: &mut Context<Self>) {
        let members_count = self.room.members().members_count();
        self.log
            .set_batch_window(self.window.length(members_count, self.now()) / 2);
        self.window
            .flushed(self.fan_out.gathered_count(), members_count, self.now());
        let flushed = self.fan_out.flush(self.now());
        if !flushed.overrun.is_empty() {
            self.cut_overrun(&flushed.overrun);
        }
        if flushed.again {
            self.flush_later(FLUSH_AGAIN, ctx);
        }
    }

    /// A worker that does not take our batches any more: its members of this room must reconnect.
    fn cut_overrun(&mut self, hub_ids: &[usize]) {
        let cut = self
            .room
            .members()
            .iter()
            .filter(|(_, member)| hub_ids.contains(&member.handle.hub.id));
        let cut_count = cut
            .inspect(|(_, member)| member.handle.outlet.outbox.cut(Disconnect::Slow))
            .count();
        error!(
            "worker overrun: live_id={} hubs={hub_ids:?} cut_members={cut_count}",
            self.live_id
        );
        self.figures.count_overrun(cut_count);
    }

    fn arm_deadline_timer(&mut self, ctx: &mut Context<Self>) {
        let deadline = self.room.next_deadline();
        if self.deadline_timer.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, timer)) = self.deadline_timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some(at) = deadline {
            // One millisecond more, so that the clock has certainly reached the deadline.
            let wait = Duration::from_millis(at.since(self.now()).unsigned_abs() + 1);
            let timer = ctx.run_later(wait, |room, ctx| {
                room.deadline_timer = None;
                room.step();
                room.settle(ctx);
            });
            self.deadline_timer = Some((at, timer));
        }
    }

    /// The effects of time that passed.
    fn step(&mut self) {
        let effects = self.room.tick(self.now());
        self.perform(effects);
    }

    /// Housekeeping. Looks at every member, so it has a period of its own: deadlines may follow
    /// each other closely.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        // A session sends `MemberGone` when it ends. Should that get lost, its closed outbox shows
        // it.
        let mut slow_count = 0;
        let closed = |(session, member): (SessionId, &Member<Arc<SessionPort>>)| {
            let state = member.handle.outlet.outbox.state();
            slow_count += usize::from(state.is_full);
            (state.closed.is_some() && !member.handle.session.connected()).then_some(session)
        };
        let dead: Vec<SessionId> = self.room.members().iter().filter_map(closed).collect();
        for session in dead {
            let effects = self.room.connection_lost(session, now);
            self.perform(effects);
        }
        self.recovery.trim(now);
        self.fan_out.drop_tap_unless_watched();
        self.publish_users();
        self.step();
        self.settle(ctx);
        self.publish_figures(slow_count, now);
    }

    fn publish_figures(&mut self, slow_count: usize, now: Timestamp) {
        let members = self.room.members();
        let gauges = RoomGauges {
            members_count: members.members_count(),
            users_count: members.users_count(),
            coin: self.room.live().coin.get(),
            slow_count,
            hub_batches_count: self.fan_out.backlog_count(),
        };
        let published = &self.versioned_live.figures;
        self.figures
            .publish(self.room.counts(), gauges, now, published);
    }

    fn arm_idle_timer(&mut self, ctx: &mut Context<Self>) {
        let idle = self.is_idle() && !self.retired;
        match (idle, self.idle_timer) {
            (true, None) => {
                let timer = ctx.run_later(
                    self.services.config.rooms.idle_retire_ms.duration(),
                    |room, _| {
                        room.idle_timer = None;
                        let idle = RoomIdle {
                            live_id: room.live_id,
                            generation: room.generation,
                        };
                        if room.is_idle() && room.registry.try_send(idle).is_err() {
                            warn!("registry full, room stays: live_id={}", room.live_id);
                        }
                    },
                );
                self.idle_timer = Some(timer);
            }
            (false, Some(timer)) => {
                ctx.cancel_future(timer);
                self.idle_timer = None;
            }
            _ => {}
        }
    }

    /// Whether the room may stop: nobody is here, and no console looks at it.
    fn is_idle(&self) -> bool {
        self.room.is_idle() && self.fan_out.tap().is_none()
    }

    fn retire(&mut self, ctx: &mut Context<Self>) {
        self.retired = true;
        info!(
            "room retired: live_id={} generation={}",
            self.live_id, self.generation
        );
        ctx.run_later(LINGER, |_, ctx| ctx.stop());
    }

    fn stats(&self) -> RoomStats {
        let now = self.now();
        RoomStats {
            live: self.room.live().clone(),
            members_count: self.room.members().members_count(),
            users_count: self.room.members().users_count(),
            comments_per_s: self.room.comments_per_s(now),
            gifts_per_s: self.room.gifts_per_s(now),
            coins_posted: self.room.ledger().posted(),
            history_count: self.recovery.history().iter().len(),
            position: self.room.position().clone(),
            sampled_out_count: self.room.sampled_out_count(),
            in_flight_count: self.room.in_flight_count(),
            opened_at: self.opened_at,
        }
    }

    fn detail(&self) -> RoomDetail {
        let mut members: Vec<MemberView> = self
            .room
            .members()
            .iter()
            .filter_map(|entry| self.member_view(entry))
            .collect();
        members.sort_unstable_by_key(|member| (member.joined_at, member.session_id));
        members.truncate(RoomDetail::MEMBERS_MAX);
        let skipped = self
            .recovery
            .history()
            .iter()
            .len()
            .saturating_sub(RoomDetail::EVENTS_MAX);
        let events = self
            .recovery
            .history()
            .iter()
            .skip(skipped)
            .filter_map(|encoded| encoded.sequenced().cloned())
            .collect();
        RoomDetail {
            stats: self.stats(),
            members,
            events,
            ledger: self.room.ledger().recent().copied().collect(),
        }
    }

    fn member_view(
        &self,
        (session_id, member): (SessionId, &Member<Arc<SessionPort>>),
    ) -> Option<MemberView> {
        let (queued_packets, queued_bytes) = member.handle.outlet.outbox.queued();
        Some(MemberView {
            session_id,
            socket_id: member.socket_id.clone(),
            user: self.room.members().profile(member.user)?.clone(),
            joined_at: member.joined_at,
            queued_packets,
            queued_bytes,
        })
    }
}

impl Actor for LiveRoom {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        info!(
            "room opened: live_id={} generation={}",
            self.live_id, self.generation
        );
        ctx.run_interval(TICK, Self::tick);
        self.arm_idle_timer(ctx);
    }

    /// Also runs while a panic unwinds: then there are members left, which are notified.
    fn stopped(&mut self, _: &mut Context<Self>) {
        // Before the members: they ask the registry for the room again, which must not name this
        // one again, for what is sent to us now is never answered. Our successor starts on this
        // thread, so after this function.
        let stopped = RoomStopped {
            live_id: self.live_id,
            generation: self.generation,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "once per room, and it must arrive"
        )]
        self.registry.do_send(stopped);
        if self.retired {
            return;
        }
        error!(
            "room died: live_id={} generation={}",
            self.live_id, self.generation
        );
        for (_, member) in self.room.members().iter() {
            let lost = MembershipLost {
                live_id: self.live_id,
                stamp: u64::MAX,
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "once per membership, and it must arrive"
            )]
            member.handle.session.do_send(lost);
        }
        self.fan_out.room_gone();
        self.fan_out.flush(self.now());
    }
}
