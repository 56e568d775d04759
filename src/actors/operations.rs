//! The one way of every action, whoever asks for it and by which door: may this actor do it, store
//! it with its row of the audit, then apply it where it matters.
//!
//! Comments and gifts do not come here: they have the hot lane, from the session straight to the
//! room.

use std::net::IpAddr;
use std::sync::Arc;

use log::{error, info, warn};

use crate::clock::Clock;
use crate::comment_ids::CommentIds;
use crate::domain::{
    Action, ActionEntry, ActionId, Actor, Disconnect, LiveId, OWN_TAKE_DOWN_MS, OperatorId,
    Permissions, Principal, Reject, RequestId, Role, SanctionKind, SanctionScope, Scope, UserId,
    may,
};
use crate::protocol::refusal::Refusal;
use crate::storage::{ActionRecord, Change, GiftRow, Performed, Store, StoreError};

use super::{AskError, ClusterControl};

/// A pending action is delivered again after this: whoever did it has applied it by then as a rule.
const PENDING_FOR_MS: i64 = 1_000;
/// Pending actions that are delivered in one go; the next follow in the next.
const PENDING_MAX: u32 = 256;

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("refused: {0:?}")]
    Refused(Reject),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rooms did not answer.
    #[error(transparent)]
    Rooms(#[from] AskError),
}

impl From<OperationError> for Reject {
    /// As a session is answered. The store and the rooms may be back when it tries again.
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(reject) => reject,
            OperationError::Store(_) | OperationError::Rooms(_) => Self::BUSY,
        }
    }
}

/// What an actor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    pub actor: Actor,
    /// What the actor may do as an operator; none of users.
    pub permissions: Permissions,
    /// The client's, if it is known.
    pub address: Option<IpAddr>,
    pub scope: Scope,
    pub action: Action,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// As in [`ActionRecord::request_id`].
    pub request_id: Option<RequestId>,
}

impl Requested {
    /// An action of a user, without a reason or a `request_id`.
    pub fn of_user(user: UserId, address: IpAddr, scope: Scope, action: Action) -> Self {
        Self::new(Actor::User(user), Permissions::NONE, address, scope, action)
    }

    /// An action of an operator, without a reason or a `request_id`.
    pub fn of_operator(
        operator: OperatorId,
        permissions: Permissions,
        address: IpAddr,
        scope: Scope,
        action: Action,
    ) -> Self {
        Self::new(
            Actor::Operator(operator),
            permissions,
            address,
            scope,
            action,
        )
    }

    fn new(
        actor: Actor,
        permissions: Permissions,
        address: IpAddr,
        scope: Scope,
        action: Action,
    ) -> Self {
        Self {
            actor,
            permissions,
            address: Some(address),
            scope,
            action,
            reason: None,
            request_id: None,
        }
    }
}

/// What actions work with.
pub struct Operations {
    store: Arc<dyn Store>,
    cluster_control: Arc<ClusterControl>,
    comment_ids: Arc<CommentIds>,
    clock: Arc<dyn Clock>,
}

impl Operations {
    pub fn new(
        store: Arc<dyn Store>,
        cluster_control: Arc<ClusterControl>,
        comment_ids: Arc<CommentIds>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            cluster_control,
            comment_ids,
            clock,
        }
    }

    /// Does what is asked for, or says why not. When this returns the change is durable, and
    /// applied on this node or on its way to the room; an action that was done before under its
    /// `request_id` is answered as then and done no more.
    pub async fn perform(&self, requested: Requested) -> Result<Change, OperationError> {
        let Requested {
            actor,
            permissions,
            address,
            scope,
            action,
            reason,
            request_id,
        } = requested;
        let (role, target) = self.roles(actor, permissions, scope, &action).await?;
        let at = self.clock.now();
        let shows = matches!(action, Action::Review { approve: true, .. });
        let record = ActionRecord {
            actor,
            role,
            address,
            scope,
            action,
            reason,
            request_id,
            key: shows.then(|| self.comment_ids.next(at)),
            at,
        };
        let is_own = self.is_own_comment(&record).await?;
        if !is_own && let Err(reject) = may(role, target, scope, &record.action) {
            return self.refuse(record, reject).await;
        }
        if let Scope::Live(live_id) = scope
            && record.action.needs_open_room()
            && !self.cluster_control.rooms.may_be_open(live_id).await?
        {
            return self.refuse(record, Reject::RoomNotOpen).await;
        }
        match self.store.perform(record.clone()).await? {
            Performed::Done {
                id,
                change,
                is_repeated,
                pending,
            } => {
                let ActionRecord { action, role, .. } = &record;
                let (name, role) = (action.name(), role.name());
                info!(
                    "action done: id={id} action={name} scope={scope:?} role={role} repeated={is_repeated}"
                );
                if let Scope::Live(live_id) = scope
                    && !pending.is_empty()
                {
                    self.apply(live_id, id, pending).await?;
                }
                self.spread(action, &change, is_repeated);
                Ok(change)
            }
            Performed::Refused(reject) => self.refuse(record, reject).await,
        }
    }

    /// Has the rest of this node, and the others, take note of a change: what is not in the log of
    /// the action's own room.
    fn spread(&self, action: &Action, change: &Change, is_repeated: bool) {
        // Other lives of the same streamer. Other nodes find them in the change feed.
        if let Change::Standing(changed) = change {
            self.cluster_control
                .rooms
                .compare_of(vec![changed.streamer]);
        }
        if is_repeated {
            return;
        }
        // A live that starts is given modes, which its room learns in no other way.
        if let (Action::SetStatus(_), Change::Live(row)) = (action, change) {
            self.cluster_control.rooms.compare(vec![row.live.id]);
        }
        if let Change::Gift(row) = change {
            self.cluster_control.gift_changed(GiftRow::clone(row));
        }
        match action {
            Action::DisableUser(user) => self.cluster_control.revoke(*user, Disconnect::Disabled),
            Action::Sanction(order) if order.scope == SanctionScope::Site => {
                if order.kind == SanctionKind::Ban {
                    self.cluster_control
                        .revoke(order.user, Disconnect::Disabled);
                } else {
                    self.cluster_control.recheck(order.user);
                }
            }
            Action::Lift { user, .. } => self.cluster_control.recheck(*user),
            _ => {}
        }
    }

    /// Whether the actor takes a comment of its own down that it may take down: an author has a
    /// moment for that, and moderators have no limit.
    async fn is_own_comment(&self, record: &ActionRecord) -> Result<bool, OperationError> {
        let (Actor::User(actor), Action::TakeDown(id), Scope::Live(live_id)) =
            (record.actor, &record.action, record.scope)
        else {
            return Ok(false);
        };
        let found = self.store.comment_author(live_id, *id).await?;
        Ok(found.is_some_and(|(author, at)| {
            let is_fresh = record.at.since(at) <= OWN_TAKE_DOWN_MS;
            author == actor && (is_fresh || record.role > Role::Viewer)
        }))
    }

    /// What the actor is where it acts, and what the user is to whom it is done. Operators outrank
    /// every user.
    async fn roles(
        &self,
        actor: Actor,
        permissions: Permissions,
        scope: Scope,
        action: &Action,
    ) -> Result<(Role, Option<Role>), OperationError> {
        let target = match (action, scope) {
            // It is done to the author.
            (
                Action::TakeDown(id) | Action::Review { comment_id: id, .. },
                Scope::Live(live_id),
            ) if matches!(actor, Actor::User(_)) => {
                let found = self.store.comment_author(live_id, *id).await?;
                found.map(|(author, _)| author)
            }
            _ => action.target(),
        };
        let role = |user| match scope {
            Scope::Streamer(streamer) => Role::of(Principal::User(user), Some(streamer), false),
            Scope::Live(_) | Scope::Site => Role::of(Principal::User(user), None, false),
        };
        let (user, live_id) = match (actor, scope) {
            (Actor::User(user), Scope::Live(live_id)) => (user, live_id),
            (Actor::User(user), _) => return Ok((role(user), target.map(role))),
            (Actor::Operator(_), _) => {
                return Ok((Role::of_operator(permissions), target.map(role)));
            }
        };
        let users = [user].into_iter().chain(target).collect();
        let Some((_, roles)) = self.store.roles(live_id, users).await? else {
            info!(
                "action refused: action={} live_id={live_id} code=live_not_found",
                action.name()
            );
            return Err(OperationError::Refused(Reject::LiveNotFound));
        };
        let mut roles = roles.into_iter();
        Ok((roles.next().unwrap_or(Role::Viewer), roles.next()))
    }

    /// Refuses, and has the audit say so: of those who have a say here. Viewers could fill it.
    async fn refuse(&self, record: ActionRecord, reject: Reject) -> Result<Change, OperationError> {
        let code = Refusal::from(reject).code;
        let (name, scope, role) = (record.action.name(), record.scope, record.role);
        info!(
            "action refused: action={name} scope={scope:?} role={} code={code}",
            role.name()
        );
        if role > Role::Viewer {
            match self.store.record_refusal(record, code).await {
                Ok(id) => self.remind_of_end(id, scope, reject).await?,
                // Refused it is all the same.
                Err(fault) => {
                    error!("refusal not in the audit: action={name} code={code} error={fault}")
                }
            }
        }
        Err(OperationError::Refused(reject))
    }

    /// Informs the room of this node, if it is open, that its live has ended: it may have missed
    /// that.
    async fn remind_of_end(
        &self,
        id: ActionId,
        scope: Scope,
        reject: Reject,
    ) -> Result<(), OperationError> {
        if let (Reject::LiveEnded, Scope::Live(live_id)) = (reject, scope)
            && let Some(row) = self.store.live(live_id).await?
        {
            let content = row.live.status_entry();
            self.cluster_control
                .rooms
                .apply_here(live_id, ActionEntry::of_action(id, 0, content))
                .await?;
        }
        Ok(())
    }

    /// Applies what an action adds to the log of a room, which was stored as pending.
    async fn apply(
        &self,
        live_id: LiveId,
        id: ActionId,
        entries: Vec<ActionEntry>,
    ) -> Result<(), OperationError> {
        let mut is_settled = true;
        for entry in entries {
            is_settled &= self.cluster_control.apply(live_id, entry).await?;
        }
        if is_settled && let Err(fault) = self.store.actions_logged(vec![id]).await {
            warn!("action stays pending though its room has it: id={id} error={fault}");
        }
        Ok(())
    }

    /// Delivers the actions that are pending for a while: the logs of their rooms were out of
    /// reach, or a node died. Those that are in the logs already add nothing. While Redis is away
    /// each node applies them in its own rooms.
    pub async fn deliver_pending(&self) -> Result<(), StoreError> {
        let until = self.clock.now().plus_ms(-PENDING_FOR_MS);
        let mut logged = Vec::new();
        'actions: for action in self.store.pending_actions(until, PENDING_MAX).await? {
            let mut is_settled = true;
            for entry in action.entries {
                let delivered = self
                    .cluster_control
                    .rooms
                    .deliver(action.live_id, entry)
                    .await;
                match delivered {
                    // Otherwise the room of this node has it, and the log later.
                    Ok(in_log) => is_settled &= in_log,
                    // Nor will the registry answer for the others now.
                    Err(_) => break 'actions,
                }
            }
            logged.extend(is_settled.then_some(action.id));
        }
        if logged.is_empty() {
            Ok(())
        } else {
            self.store.actions_logged(logged).await
        }
    }
}
