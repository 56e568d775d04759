//! The one way of every action, whoever asks for it and by which door: may this actor do it, store
//! it with its row of the audit, then apply it where it matters.
//!
//! Comments and gifts do not come here: they have the hot lane, from the session straight to the
//! room.

use std::net::IpAddr;
use std::sync::Arc;

use log::{error, info, warn};

use crate::clock::Clock;
use crate::domain::{
    Action, ActionEntry, ActionId, Disconnect, LiveId, Principal, Reject, RequestId, Role, Scope,
    UserId, may,
};
use crate::protocol::refusal::Refusal;
use crate::storage::{ActionRecord, Change, PendingAction, Performed, Store, StoreError};

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
    pub actor: Principal,
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
    /// An action without a reason or a `request_id`.
    pub fn new(actor: Principal, address: Option<IpAddr>, scope: Scope, action: Action) -> Self {
        Self {
            actor,
            address,
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
    clock: Arc<dyn Clock>,
}

impl Operations {
    pub fn new(
        store: Arc<dyn Store>,
        cluster_control: Arc<ClusterControl>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            cluster_control,
            clock,
        }
    }

    /// Does what is asked for, or says why not. When this returns the change is durable, and
    /// applied on this node or on its way to the room; an action that was done before under its
    /// `request_id` is answered as then and done no more.
    pub async fn perform(&self, requested: Requested) -> Result<Change, OperationError> {
        let Requested {
            actor,
            address,
            scope,
            action,
            reason,
            request_id,
        } = requested;
        let streamer = self.streamer_of(actor, scope, &action).await?;
        let role = Role::of(actor, streamer);
        let record = ActionRecord {
            actor,
            role,
            address,
            scope,
            action,
            reason,
            request_id,
            at: self.clock.now(),
        };
        let target = record
            .action
            .target()
            .map(|user| Role::of(Principal::User(user), streamer));
        if let Err(reject) = may(role, target, scope, &record.action) {
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
                    && let Some(entry) = pending
                {
                    self.apply(live_id, entry).await?;
                } else if let (Action::DisableUser(user), false) = (action, is_repeated) {
                    self.cluster_control.revoke(*user, Disconnect::Disabled);
                }
                Ok(change)
            }
            Performed::Refused(reject) => self.refuse(record, reject).await,
        }
    }

    /// The user whose lives the scope is about, where it makes a difference: operators outrank
    /// every user.
    async fn streamer_of(
        &self,
        actor: Principal,
        scope: Scope,
        action: &Action,
    ) -> Result<Option<UserId>, OperationError> {
        match (actor, scope) {
            (Principal::Operator, _) | (_, Scope::Site) => Ok(None),
            (_, Scope::Streamer(user)) => Ok(Some(user)),
            (Principal::User(_), Scope::Live(live_id)) => match self.store.live(live_id).await? {
                Some(row) => Ok(Some(row.live.owner)),
                None => {
                    info!(
                        "action refused: action={} live_id={live_id} code=live_not_found",
                        action.name()
                    );
                    Err(OperationError::Refused(Reject::LiveNotFound))
                }
            },
        }
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
                .apply_here(live_id, ActionEntry { id, content })
                .await?;
        }
        Ok(())
    }

    /// Applies what an action adds to the log of a room, which was stored as pending.
    async fn apply(&self, live_id: LiveId, entry: ActionEntry) -> Result<(), OperationError> {
        let id = entry.id;
        if self.cluster_control.apply(live_id, entry).await?
            && let Err(fault) = self.store.actions_logged(vec![id]).await
        {
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
        for PendingAction { live_id, entry } in
            self.store.pending_actions(until, PENDING_MAX).await?
        {
            let id = entry.id;
            match self.cluster_control.rooms.deliver(live_id, entry).await {
                Ok(true) => logged.push(id),
                // The room of this node has it, and the log later.
                Ok(false) => {}
                // Nor will the registry answer for the others now.
                Err(_) => break,
            }
        }
        if logged.is_empty() {
            Ok(())
        } else {
            self.store.actions_logged(logged).await
        }
    }
}
