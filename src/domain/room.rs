//! One live room: every decision about members, presence and the live itself; those about comments
//! are in `room/comments.rs` and `room/holds.rs`, those about gifts in `room/gifts.rs`, those about
//! what users may do in `room/moderation.rs`, those about the room's modes in `room/modes.rs`, and
//! what is pinned in `room/pins.rs`.

mod comments;
mod gifts;
mod holds;
mod missed;
mod moderation;
mod modes;
mod pins;
mod reports;

use std::collections::HashMap;
use std::sync::Arc;

use super::crowd::CrowdSampler;
use super::dedupe::{CommentDedupe, GiftDedupe};
use super::held::HeldRequests;
use super::mode_state::ModeState;
use super::moderation::Moderation;
use super::rate::RateMeter;
use super::report::ReportNotices;
use super::user_facts::FactReader;
use super::{
    ActionEntry, Admission, Arrival, Bucket, BucketRate, Caller, Claim, Coins, CommandEnv, Comment,
    CommentId, Effect, EntryContent, GiftOrder, GiftRecordId, KickReason, Live, LiveModes,
    LiveStatus, Member, MemberList, OnlineChange, PeerChange, Pin, Position, PresenceChange,
    PresenceLadder, PresenceSettings, Profile, Reject, Reply, ReplyTo, Role, RoomCommand,
    RoomCounts, RoomEvent, RoomLedger, Sequenced, SessionId, Standings, Timestamp, UserId,
};

use comments::PendingComment;
use gifts::AskedGift;
use pins::RecentRemovals;

pub use comments::CommentWriteError;
pub use missed::MissedEntries;

/// The limits a room lives by; each is a configuration key.
#[derive(Debug, Clone, Copy)]
pub struct RoomSettings {
    /// Comments of one viewer.
    pub comment_rate: BucketRate,
    /// Comments of the streamer, and of one moderator.
    pub streamer_comment_rate: BucketRate,
    /// Viewers' comments that are shown per second; 0: all of them.
    pub crowd_events_per_s: u32,
    /// Joins of the whole room.
    pub join_rate: BucketRate,
    pub presence: PresenceSettings,
    /// How long a user whose connection dropped stays online.
    pub leave_grace_ms: i64,
    /// How long a comment's `request_id` is remembered.
    pub dedupe_ms: i64,
    /// How many are remembered at most; beyond, the oldest is forgotten early.
    pub dedupe_max: usize,
    /// Gifts that may wait for their commit at once; beyond, `busy`.
    pub gifts_in_flight_max: usize,
    /// Whether the order of events knows which gifts were announced, on whatever node: then a gift
    /// that was committed before the room opened here may be announced, and is not announced twice.
    pub order_knows_gifts: bool,
}

impl RoomSettings {
    /// How often somebody of this role may comment.
    pub const fn comment_rate_of(&self, role: Role) -> BucketRate {
        match role {
            Role::Viewer => self.comment_rate,
            Role::Moderator | Role::Streamer | Role::RoomOperator | Role::Operator => {
                self.streamer_comment_rate
            }
        }
    }
}

/// Comments that are not shown and whose `request_id` is remembered. Those that wait are the newest
/// of them; to forget one that was sampled out costs nothing, for its retry is shown at most once.
const SAMPLED_MAX: usize = 4_096;

/// The state of one live room on one node. `H` is how to reach a session.
#[derive(Debug)]
pub struct Room<H> {
    live: Live,
    settings: RoomSettings,
    members: MemberList<H>,
    presence: PresenceLadder,
    ledger: RoomLedger,
    position: Position,
    opened_at: Timestamp,
    joins: Admission,
    moderation: Moderation,
    /// The latest of the store, as far as this room knows it.
    pin: Option<Pin>,
    removals: RecentRemovals,
    modes: ModeState,
    report_notices: ReportNotices,
    facts: FactReader<H>,
    limiters: HashMap<UserId, Bucket>,
    /// Comments that were shown, or wait only for their place and their commit.
    posted_comments: CommentDedupe,
    /// Comments that wait in the crowd lane or were sampled out. Apart, so that a crowd never makes
    /// the room forget what it has shown.
    sampled_comments: CommentDedupe,
    /// Comments that are held, or were.
    held_requests: HeldRequests,
    crowd: CrowdSampler,
    pending_comments: HashMap<CommentId, PendingComment<H>>,
    next_ticket: u64,
    /// Gifts on their way to the books, by ticket.
    committing: HashMap<u64, (Arc<GiftOrder>, ReplyTo<H>)>,
    /// Committed gifts that wait for their place in the order.
    announcing: HashMap<GiftRecordId, (Coins, Vec<ReplyTo<H>>)>,
    announced_gifts: GiftDedupe,
    comments_rate: RateMeter,
    gifts_rate: RateMeter,
    counts: RoomCounts,
}

impl<H: Clone> Room<H> {
    /// Opens a room for `live`. `recent` are stored comments that carry a `request_id` and are
    /// younger than the dedupe window, oldest first: a retry is recognised across a restart.
    pub fn open(
        live: Live,
        position: Position,
        recent: Vec<Comment>,
        settings: RoomSettings,
        now: Timestamp,
    ) -> Self {
        let crowd = CrowdSampler::new(settings.crowd_events_per_s);
        let sampled_max = SAMPLED_MAX.max(2 * crowd.waiting_max());
        let mut room = Self {
            ledger: RoomLedger::open(live.coin),
            presence: PresenceLadder::new(live.id, live.owner, settings.presence),
            live,
            settings,
            members: MemberList::default(),
            position,
            opened_at: now,
            joins: Admission::default(),
            moderation: Moderation::open(Standings::default()),
            pin: None,
            removals: RecentRemovals::default(),
            modes: ModeState::open(LiveModes::default()),
            report_notices: ReportNotices::default(),
            facts: FactReader::new(),
            limiters: HashMap::new(),
            posted_comments: CommentDedupe::new(settings.dedupe_ms, settings.dedupe_max),
            sampled_comments: CommentDedupe::new(settings.dedupe_ms, sampled_max),
            held_requests: HeldRequests::new(settings.dedupe_ms, settings.dedupe_max),
            crowd,
            pending_comments: HashMap::new(),
            next_ticket: 0,
            committing: HashMap::new(),
            announcing: HashMap::new(),
            announced_gifts: GiftDedupe::default(),
            comments_rate: RateMeter::default(),
            gifts_rate: RateMeter::default(),
            counts: RoomCounts::default(),
        };
        for comment in recent {
            if let Some(request_id) = comment.request_id {
                room.posted_comments.record(
                    (comment.author.id, request_id),
                    comment.id,
                    comment.text,
                    comment.at,
                );
            }
        }
        room
    }

    /// Takes in the events of this room from before it opened on this node, oldest first: a retry
    /// of one is recognised.
    ///
    /// After [`Room::open_modes`].
    pub fn restore_dedupe<'a>(&mut self, recent: impl Iterator<Item = &'a Sequenced>) {
        for Sequenced { offset, event, .. } in recent {
            match event {
                RoomEvent::Comment(comment) => {
                    self.posted_comments.record_remote(comment, *offset);
                    let opened_at = self.opened_at;
                    self.note_comment(comment, opened_at);
                }
                RoomEvent::Gift { receipt, .. } => {
                    self.announced_gifts.record(receipt.record_id, *offset)
                }
                _ => {}
            }
        }
    }

    /// Decides about a command. Its faults are reported in the order of the wire contract: the
    /// status of the live, the membership, then the fields.
    pub fn handle(
        &mut self,
        caller: Caller<H>,
        command: RoomCommand,
        env: &mut impl CommandEnv<H>,
        now: Timestamp,
    ) -> Result<Vec<Effect<H>>, Reject> {
        match command {
            RoomCommand::Join { since } => self.join(caller, since, env, now),
            RoomCommand::Leave => self.leave(caller, now),
            RoomCommand::Comment { text, request_id } => {
                self.post_comment(caller, text, request_id, env, now)
            }
            RoomCommand::Gift {
                gift_id,
                count,
                shown_price,
                request_id,
            } => {
                let asked = AskedGift {
                    gift_id,
                    count,
                    shown_price,
                    request_id,
                };
                self.send_gift(caller, asked, env, now)
            }
        }
    }

    /// Makes a session a member. Joining again renews it, which is always possible, and is
    /// announced again without duplicates, within a budget of its user.
    fn join(
        &mut self,
        caller: Caller<H>,
        since: Result<Option<Position>, Reject>,
        env: &mut impl CommandEnv<H>,
        now: Timestamp,
    ) -> Result<Vec<Effect<H>>, Reject> {
        self.live.status.require_open()?;
        let Caller {
            session,
            profile,
            socket_id,
            site_sanctions,
            account_since: _,
            address,
            to: ReplyTo { handle, ack },
        } = caller;
        self.admit_user(profile.id, &site_sanctions, now)?;
        let since = since?;
        // A new session of a user that is still online is quiet if it says where it left off.
        let is_return = since.is_some();
        let recover_after = since.and_then(|since| env.recover_after(&since, &handle, now));
        let user = profile.id;
        // A user who is online already is admitted at once: that makes no list longer.
        if self.members.profile(user).is_none() {
            let admitted = self
                .joins
                .admit(Claim { user, address }, self.settings.join_rate, now);
            admitted.map_err(|retry_after_ms| Reject::Busy { retry_after_ms })?;
        }
        let member = Member {
            user,
            socket_id,
            handle: handle.clone(),
            joined_at: now,
        };
        let mut effects = Vec::with_capacity(7);
        // Every attach has its detach, so that whoever counts them does not count a member twice.
        match self.members.get(session) {
            Some(before) if before.user == user => {
                effects.push(Effect::Detach {
                    session,
                    handle: before.handle.clone(),
                });
            }
            // The session changed hands, and stops counting for the user before.
            Some(_) => effects = self.remove(session, now),
            None => {}
        }
        self.counts.joins += u64::from(self.members.get(session).is_none());
        let arrival = self
            .members
            .join(session, profile.clone(), member, is_return);
        self.presence.arrived(&profile, arrival);
        effects.extend([
            Effect::Attach {
                session,
                handle: handle.clone(),
            },
            Effect::Reply {
                to: ReplyTo {
                    handle: handle.clone(),
                    ack,
                },
                result: Ok(Reply::Joined {
                    position: self.position.clone(),
                    recovered: recover_after.is_some(),
                    count: self.members.users_count(),
                    live: Box::new(self.live.clone()),
                    role: self.role_of(user),
                    moderators: self.moderation.moderators().clone(),
                    pinned: self.pinned().cloned(),
                    modes: self.modes.in_force(),
                }),
            },
        ]);
        // Between the answer, which says that it comes, and anything new, which comes after it.
        effects.extend(recover_after.map(|after| Effect::Replay {
            handle: handle.clone(),
            after,
        }));
        // It receives the announcement of now; if there is none, it is sent what the others have.
        let shown = |presence| Effect::Show { handle, presence };
        effects.extend(
            self.announce(now)
                .or_else(|| self.presence.snapshot_for_newcomer().map(shown)),
        );
        // It was counted when it came, and a row for every renewal would crowd out those of others.
        effects.extend((arrival != Arrival::QUIET).then_some(Effect::RecordView(user)));
        Ok(effects)
    }

    /// A member leaves, in any status. For a session that is not a member there is nothing to do,
    /// unless the live has not started: then it is answered with that.
    fn leave(&mut self, caller: Caller<H>, now: Timestamp) -> Result<Vec<Effect<H>>, Reject> {
        if self.live.status == LiveStatus::Scheduled && self.members.get(caller.session).is_none() {
            return Err(Reject::LiveNotStarted);
        }
        let mut effects = self.remove(caller.session, now);
        effects.push(Effect::Reply {
            to: caller.to,
            result: Ok(Reply::Left {
                live_id: self.live.id,
            }),
        });
        Ok(effects)
    }

    /// A member is removed at once, without an answer: its account was disabled, say.
    pub fn remove(&mut self, session: SessionId, now: Timestamp) -> Vec<Effect<H>> {
        let Some((member, gone)) = self.members.leave(session) else {
            return Vec::new();
        };
        let mut effects = vec![Effect::Detach {
            session,
            handle: member.handle,
        }];
        if let Some(departed) = gone {
            self.presence.departed(departed);
            effects.extend(self.announce(now));
        }
        effects
    }

    /// An action on this live. A status that the room has already adds nothing to its log.
    pub fn apply(&mut self, entry: ActionEntry, now: Timestamp) -> Vec<Effect<H>> {
        let EntryContent::Event(RoomEvent::Live { status, title, .. }) = &entry.content else {
            return vec![Effect::AppendAction(entry)];
        };
        let Some((mut effects, event)) = self.change_live(*status, title, now) else {
            return Vec::new();
        };
        let entry = entry.with(EntryContent::Event(event));
        effects.push(Effect::AppendAction(entry));
        effects
    }

    /// Removes a member at once and notifies it. After its detach, so that nothing of this
    /// membership follows, and before anything of the next one.
    pub fn expel(
        &mut self,
        session: SessionId,
        reason: KickReason,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        let Some(member) = self.members.get(session) else {
            return Vec::new();
        };
        let kick = Effect::Kick {
            handle: member.handle.clone(),
            reason,
        };
        let mut effects = self.remove(session, now);
        effects.insert(1, kick);
        effects
    }

    /// Adds the users of other nodes when the room opens here: their arrival is not announced.
    pub fn seed_remote_presence(&mut self, peers: Vec<PeerChange>) {
        for change in peers {
            self.members.apply_remote(change);
        }
    }

    /// Applies presence changes of other nodes.
    pub fn apply_remote_presence(
        &mut self,
        changes: Vec<PeerChange>,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        let mut effects = Vec::new();
        for change in changes {
            for change in self.members.apply_remote(change) {
                match change {
                    OnlineChange::Arrived(profile, arrival) => {
                        self.presence.arrived(&profile, arrival)
                    }
                    OnlineChange::Departed(departed) => self.presence.departed(departed),
                }
            }
            effects.extend(self.announce(now));
        }
        self.share_crowd();
        effects
    }

    /// Presence changes of this node since the last call, to be published to other nodes.
    pub fn take_local_changes(&mut self) -> Vec<PresenceChange> {
        self.members.take_local_changes()
    }

    /// The cap of the crowd is the whole room's: each node shows its part of it, by its part of the
    /// users.
    fn share_crowd(&mut self) {
        let cap = u64::from(self.settings.crowd_events_per_s);
        let (own, all) = (
            self.members.local_users_count() as u64,
            self.members.users_count() as u64,
        );
        if cap > 0 && own > 0 {
            self.crowd
                .narrow(u32::try_from((cap * own).div_ceil(all)).unwrap_or(u32::MAX));
        }
    }

    /// A member's connection is lost without a leave: that is announced when the grace has passed
    /// and the user did not come back ([`Room::tick`]).
    pub fn connection_lost(&mut self, session: SessionId, now: Timestamp) -> Vec<Effect<H>> {
        match self
            .members
            .connection_lost(session, now.plus_ms(self.settings.leave_grace_ms))
        {
            Some(member) => vec![Effect::Detach {
                session,
                handle: member.handle,
            }],
            None => Vec::new(),
        }
    }

    /// Events are missing that no node can deliver here: every member has to join again, and is
    /// answered then that it cannot recover. Its user stays online for the grace.
    pub fn events_missed(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        self.log_broken();
        let mut effects = Vec::new();
        for session in self.members.sessions() {
            let Some(handle) = self
                .members
                .get(session)
                .map(|member| member.handle.clone())
            else {
                continue;
            };
            effects.extend(self.connection_lost(session, now));
            effects.push(Effect::Kick {
                handle,
                reason: KickReason::RoomRestarted,
            });
        }
        effects
    }

    /// Ends the presence of those whose grace has passed, announces what was merged, and decides
    /// about the comments that wait.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        let mut effects = Vec::new();
        for departed in self.members.expire(now, self.settings.leave_grace_ms) {
            self.presence.departed(departed);
            if self.presence.announces_each_change() {
                effects.extend(self.announce(now));
            }
        }
        effects.extend(self.announce(now));
        self.share_crowd();
        effects.extend(self.tick_crowd(now));
        effects.extend(self.notify_of_reports(now));
        effects
    }

    /// When [`Room::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [
            self.members.next_expiry(),
            self.presence.due(),
            self.crowd.next_deadline(),
            self.report_notices.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// An event got its place. Called for every event in order, before it is handed to the members.
    /// The answers that waited for the place follow the event.
    pub fn on_event_ordered(&mut self, sequenced: &Sequenced, now: Timestamp) -> Vec<Effect<H>> {
        self.position = Position {
            epoch: sequenced.epoch.clone(),
            offset: sequenced.offset,
        };
        match &sequenced.event {
            RoomEvent::Comment(comment) => self.comment_ordered(comment, sequenced.offset, now),
            RoomEvent::Gift { order, receipt } => {
                // What it has given is read again, if that matters.
                self.facts.forget(order.giver.id);
                self.announced_gifts
                    .record(receipt.record_id, sequenced.offset);
                self.ledger.apply_total(receipt.live_coin);
                self.live.coin = self.ledger.total();
                self.gift_announced(receipt.record_id, Some(sequenced.offset))
            }
            RoomEvent::Live { status, title, .. } => self.live_ordered(*status, title),
            RoomEvent::Removed { comment_id, .. } => {
                self.unpin(&[*comment_id], now);
                Vec::new()
            }
            RoomEvent::Purged { comment_ids, .. } => {
                self.unpin(comment_ids, now);
                Vec::new()
            }
            // Modes and pins were taken in when the place was judged.
            RoomEvent::Modes { .. }
            | RoomEvent::Pinned { .. }
            | RoomEvent::Notice { .. }
            | RoomEvent::Other(_) => Vec::new(),
        }
    }

    /// The live changed, perhaps on another node. Comments that wait in the crowd's turn when
    /// another node ends the live are delivered after the end: this node does not choose their
    /// place.
    fn live_ordered(&mut self, status: LiveStatus, title: &str) -> Vec<Effect<H>> {
        if self.live.status != LiveStatus::Ended {
            self.live.status = status;
            title.clone_into(&mut self.live.title);
        }
        Vec::new()
    }

    /// The live's row changed: its streamer started, paused, ended or renamed it. Changes made at
    /// the same time may be reported in any order, so an end is never taken back.
    pub fn live_changed(
        &mut self,
        status: LiveStatus,
        title: &str,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        let Some((mut effects, event)) = self.change_live(status, title, now) else {
            return Vec::new();
        };
        effects.push(Effect::Publish(event));
        effects
    }

    /// Changes the live, unless it is as it should be. Returns what that decides, and the event to
    /// publish after it.
    fn change_live(
        &mut self,
        status: LiveStatus,
        title: &str,
        now: Timestamp,
    ) -> Option<(Vec<Effect<H>>, RoomEvent)> {
        let status = if self.live.status == LiveStatus::Ended {
            LiveStatus::Ended
        } else {
            status
        };
        if self.live.status == status && self.live.title == title {
            return None;
        }
        // What was posted before the end is decided before it.
        let effects = if status == LiveStatus::Ended {
            self.end_crowd_turn(now)
        } else {
            Vec::new()
        };
        self.live.status = status;
        title.clone_into(&mut self.live.title);
        Some((
            effects,
            RoomEvent::Live {
                live_id: self.live.id,
                status,
                title: title.into(),
            },
        ))
    }

    /// The count of views went up by commits of this room.
    pub fn views_recorded(&mut self, look_count: i64) {
        self.live.look_count = self.live.look_count.max(look_count);
    }

    /// Whether nobody is here and nothing is on its way, so that forgetting the room loses nothing.
    pub fn is_idle(&self) -> bool {
        self.members.local_users_count() == 0
            && self.pending_comments.is_empty()
            && self.facts.is_idle()
            && self.committing.is_empty()
            && self.announcing.is_empty()
    }

    pub fn live(&self) -> &Live {
        &self.live
    }

    pub fn members(&self) -> &MemberList<H> {
        &self.members
    }

    pub fn ledger(&self) -> &RoomLedger {
        &self.ledger
    }

    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Comments that members posted, those refused by a limit included: mean over the last ten
    /// seconds.
    pub fn comments_per_s(&self, now: Timestamp) -> f64 {
        self.comments_rate.per_s(now)
    }

    /// Gifts that members asked for, those refused included: mean over the last ten seconds.
    pub fn gifts_per_s(&self, now: Timestamp) -> f64 {
        self.gifts_rate.per_s(now)
    }

    /// Comments sampled out since the room opened.
    pub fn sampled_out_count(&self) -> u64 {
        self.crowd.sampled_out_count()
    }

    /// What this room counted on this node.
    pub fn counts(&self) -> RoomCounts {
        RoomCounts {
            comments_sampled: self.crowd.sampled_out_count(),
            coins: self.ledger.posted().get().unsigned_abs(),
            ..self.counts
        }
    }

    /// Commands accepted and not yet answered: they wait for the store, or in the crowd lane.
    pub fn in_flight_count(&self) -> usize {
        self.pending_comments.len() + self.committing.len()
    }

    /// The member that posts or gives. Its name is the one that its session knows, which may be newer
    /// than that of its last join.
    fn author(&self, caller: &Caller<H>) -> Result<Arc<Profile>, Reject> {
        self.members
            .get(caller.session)
            .filter(|member| member.user == caller.profile.id)
            .map(|_| caller.profile.clone())
            .ok_or(Reject::NotInRoom)
    }

    fn announce(&mut self, now: Timestamp) -> Option<Effect<H>> {
        self.presence
            .announce(&self.members, now)
            .map(Effect::Announce)
    }
}
