//! The decisions of a room about what its users are and may not do.

use super::Room;
use crate::domain::checks::{Account, CommentContext, ExplainedCheck, may_give, may_join};
use crate::domain::moderation::{Moderation, StandingChange};
use crate::domain::{
    Comment, Control, Effect, KICK_REACH_MS, KickReason, News, Principal, Reject, Role, RoomEvent,
    Sanction, SanctionKind, Sequenced, Standings, Timestamp, UserFacts, UserId, barring_comments,
};

impl<H: Clone> Room<H> {
    /// Takes in the standings that the store had when the room opened on this node.
    pub fn open_standings(&mut self, standings: Standings) {
        self.moderation = Moderation::open(standings);
    }

    /// The streamer's change of a standing up to which all are known.
    pub fn moderation_version(&self) -> u64 {
        self.moderation.version()
    }

    /// The standings as the store has them now: this room may have missed some.
    pub fn standings_read(&mut self, standings: Standings, now: Timestamp) -> Vec<Effect<H>> {
        let changes = self.moderation.take_reading(standings);
        changes
            .into_iter()
            .flat_map(|change| self.standing_changed(&change, now))
            .collect()
    }

    /// Does what an entry without an offset says, which the room's members do not see.
    pub fn apply_control(&mut self, control: Control, now: Timestamp) -> Vec<Effect<H>> {
        match control {
            Control::Kick { user, at } => self.kick(user, at, now),
            Control::Reports(change) => self.reports_changed(change, now),
            Control::Standing {
                version,
                user,
                standing,
            } => {
                let change = self.moderation.take_control(version, user, standing, now);
                change.map_or_else(Vec::new, |change| self.standing_changed(&change, now))
            }
            Control::Held(held) => self.notify_held(&held, now),
            Control::Denied(denial) => self.notify_denied(&denial),
        }
    }

    /// Removes a user's sessions, and keeps it out for a while: clients join again by themselves.
    pub(super) fn kick(&mut self, user: UserId, at: Timestamp, now: Timestamp) -> Vec<Effect<H>> {
        if self.moderation.is_kick_known(user, at) {
            return Vec::new();
        }
        let joined_before = at.plus_ms(KICK_REACH_MS);
        let mut sessions = self.members.sessions_of(user);
        sessions.retain(|session| {
            self.members
                .get(*session)
                .is_some_and(|member| member.joined_at <= joined_before)
        });
        let until = self.moderation.kicked(user, at, now);
        sessions
            .into_iter()
            .flat_map(|session| self.expel(session, KickReason::Operator { until }, now))
            .collect()
    }

    /// Notifies a user's sessions of what changed for it, and ends their memberships if it is
    /// banned now.
    fn standing_changed(&mut self, change: &StandingChange, now: Timestamp) -> Vec<Effect<H>> {
        let user = change.user;
        let mut effects = Vec::new();
        if let Some(mute) = change.of(SanctionKind::Mute, now) {
            let news = mute.map_or(News::Unmuted, |mute| News::Muted {
                until: mute.until,
                reason: mute.reason.clone(),
            });
            effects.extend(self.notify([user], &news));
        }
        if change.before.is_moderator != change.after.is_moderator {
            let role = self.role_of(user);
            let concerned = self.moderating_users().chain([user]);
            effects.extend(self.notify(concerned, &News::Role { user, role }));
        }
        if let Some(Some(ban)) = change.of(SanctionKind::Ban, now) {
            let reason = KickReason::Banned {
                until: ban.until,
                reason: ban.reason.clone(),
            };
            for session in self.members.sessions_of(user) {
                effects.extend(self.expel(session, reason.clone(), now));
            }
        }
        effects
    }

    /// The moderators and the streamer.
    pub(super) fn moderating_users(&self) -> impl Iterator<Item = UserId> {
        let moderators = self.moderation.moderators().iter().copied();
        moderators.chain([self.live.owner])
    }

    /// Notifies all sessions of these users on this node, each once.
    pub(super) fn notify(
        &self,
        users: impl IntoIterator<Item = UserId>,
        news: &News,
    ) -> impl Iterator<Item = Effect<H>> {
        let mut sessions: Vec<_> = users
            .into_iter()
            .flat_map(|user| self.members.sessions_of(user))
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        let member = |session| self.members.get(session);
        let handles: Vec<H> = sessions
            .into_iter()
            .filter_map(member)
            .map(|member| member.handle.clone())
            .collect();
        let news = news.clone();
        handles.into_iter().map(move |handle| Effect::Notify {
            handle,
            news: news.clone(),
        })
    }

    /// Whether a user may join, as far as it is up to the moderators here.
    pub(super) fn admit_user(
        &self,
        user: UserId,
        site_sanctions: &[Sanction],
        now: Timestamp,
    ) -> Result<(), Reject> {
        may_join(site_sanctions, self.moderation.sanctions(user), now)?;
        match self.moderation.kicked_for_ms(user, now) {
            Some(retry_after_ms) => Err(Reject::Kicked { retry_after_ms }),
            None => Ok(()),
        }
    }

    /// Whether a user may give, as far as sanctions go.
    pub(super) fn admit_giver(
        &self,
        user: UserId,
        site_sanctions: &[Sanction],
        now: Timestamp,
    ) -> Result<(), Reject> {
        may_give(site_sanctions, self.moderation.sanctions(user), now)
    }

    /// What a user is in this room.
    pub fn role_of(&self, user: UserId) -> Role {
        Role::of(
            Principal::User(user),
            Some(self.live.owner),
            self.moderation.is_moderator(user),
        )
    }

    /// What a comment of this user would be checked for now, and with which results. `facts`: as the
    /// store has them; those that the room decides by may be some seconds older.
    pub fn explain(
        &self,
        user: UserId,
        account: Account<'_>,
        facts: UserFacts,
        now: Timestamp,
    ) -> Vec<ExplainedCheck> {
        let is_member = self.members.profile(user).is_some();
        let mut context = self.comment_context(user, account, is_member, now);
        context.facts = Some(facts);
        context.explain()
    }

    /// What the checks of this user's next comment read: for the decision and for its explanation.
    pub(super) fn comment_context<'a>(
        &'a self,
        user: UserId,
        account: Account<'a>,
        is_member: bool,
        now: Timestamp,
    ) -> CommentContext<'a> {
        let role = self.role_of(user);
        let modes = self.modes.in_force();
        let facts = if modes.asks_for_facts() {
            self.facts.get(user, &modes, now)
        } else {
            None
        };
        CommentContext {
            status: self.live.status,
            account,
            room_sanctions: self.moderation.sanctions(user),
            is_member,
            role,
            modes,
            facts,
            is_repeated: false,
            last_comment_at: self.modes.last_comment_at(user),
            limiter: self.limiters.get(&user).copied().unwrap_or_default(),
            rate: self.settings.comment_rate_of(role),
            filtered: None,
            has_link: false,
            now,
        }
    }

    /// Why a comment that waited is not shown any more, if its sender was barred meanwhile.
    pub(super) fn barred_meanwhile(&self, comment: &Comment, now: Timestamp) -> Option<Reject> {
        let author = comment.author.id;
        let sanctions = self.moderation.sanctions(author);
        let barring = barring_comments(sanctions, now).map(|sanction| sanction.refusal(now));
        let is_frozen = || self.modes.in_force().frozen && self.role_of(author) == Role::Viewer;
        barring.or_else(|| is_frozen().then_some(Reject::Frozen))
    }

    /// Why a comment is removed at its place, by the log alone: its sender was barred, or the room
    /// was frozen, by an earlier entry.
    fn barred_by_log(&self, comment: &Comment, now: Timestamp) -> Option<Reject> {
        let author = comment.author.id;
        let barring = self.moderation.removes_comment(author, comment.at);
        let may_pass =
            || author == self.live.owner || self.moderation.is_moderator_in_log(author, comment.at);
        match barring {
            Some(sanction) => Some(sanction.refusal(now)),
            None => {
                let is_frozen = self.modes.is_frozen_in_log(comment.at) && !may_pass();
                is_frozen.then_some(Reject::Frozen)
            }
        }
    }

    /// Controls are missing that no node can deliver here. Standings and modes are read from the
    /// store again, for the numbers of their changes show that they are missing; everything else by
    /// [`Room::missed_read`].
    pub fn controls_missed(&mut self) {
        self.log_broken();
    }

    /// Entries of the log may be missing here, or everywhere: by the log alone, a freeze or a mute
    /// that was lifted would hold for ever. What the store has stands in for it.
    pub(super) fn log_broken(&mut self) {
        self.modes.log_broken();
        self.moderation.log_broken();
    }

    /// An event that is about to get its place. A comment whose sender was barred by an earlier
    /// entry of the log, or that a freeze came before, is removed there: members receive its
    /// removal in its place, its row is taken down and its sender is answered why. Every node
    /// decides the same, for all of it follows from the log and the comment. A change of the modes
    /// or a pin that comes after a later one says what that left.
    pub fn judge(
        &mut self,
        mut sequenced: Sequenced,
        now: Timestamp,
    ) -> (Sequenced, Vec<Effect<H>>) {
        if sequenced.epoch != self.position.epoch {
            // The log was lost, or this node was partitioned from it.
            self.log_broken();
        }
        if let RoomEvent::Modes { changed, .. } = &mut sequenced.event {
            *changed = self.modes.take_change(*changed, now);
        }
        if let RoomEvent::Pinned { pin, .. } = &mut sequenced.event {
            self.judge_pin(pin, now);
        }
        let RoomEvent::Comment(comment) = &sequenced.event else {
            return (sequenced, Vec::new());
        };
        let Some(reject) = self.barred_by_log(comment, now) else {
            return (sequenced, Vec::new());
        };
        let comment = comment.clone();
        let mut effects = vec![Effect::TakeDown(comment.id)];
        effects.extend(self.refuse_pending(comment.id, reject));
        let removed = RoomEvent::Removed {
            live_id: comment.live_id,
            comment_id: comment.id,
        };
        let sequenced = Sequenced {
            event: removed,
            ..sequenced
        };
        (sequenced, effects)
    }
}
