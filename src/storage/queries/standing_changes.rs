//! The changes of actions on a user's standing: sanctions given and lifted, moderators named and
//! dismissed. Runs under the locks of [`lock`].

use serde_json::{Value, json};

use super::super::lock_user_status;
use super::held_comments::WaitingIn;
use super::standings::{self, Given};
use super::{Conn, accounts, comments, held_comments};
use crate::domain::{
    Action, CommentId, LiveId, Outcome, PURGE_RECENT_MS, Principal, Purge, Reject, Role, Sanction,
    SanctionId, SanctionKind, SanctionOrder, SanctionScope, TAKE_DOWN_MAX, Timestamp, UserId,
    holding, may_lift,
};
use crate::storage::actions::Changed;
use crate::storage::{ActionRecord, Change, ChangedStanding, StoreError};

/// Locks what an action on a standing reads and changes: all that holds in the lives of the
/// streamer, and the account for what holds on the site.
pub async fn lock(
    conn: &mut Conn,
    live_id: LiveId,
    action: &Action,
    user: UserId,
) -> Result<(), StoreError> {
    if let Some(streamer) = standings::streamer_of(conn, live_id).await? {
        standings::lock(conn, streamer).await?;
    }
    let is_on_site = match action {
        Action::Sanction(order) => order.scope == SanctionScope::Site,
        Action::Lift { .. } => true,
        _ => false,
    };
    if is_on_site {
        lock_user_status(conn, user).await?;
    }
    Ok(())
}

/// Makes the change of an action on the standing of `user` in a live.
pub async fn apply(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    user: UserId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(streamer) = standings::streamer_of(conn, live_id).await? else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if accounts::by_id(conn, user).await?.is_none() {
        return Ok(Err(Reject::UserNotFound));
    }
    let target = Target {
        streamer,
        live_id,
        user,
    };
    match &record.action {
        Action::Sanction(order) => give(conn, record, target, order).await,
        Action::Lift { kind, .. } => lift(conn, record, target, *kind).await,
        Action::SetModerator { moderator, .. } => {
            set_moderator(conn, record, target, *moderator).await
        }
        other => Err(StoreError::Fault(format!(
            "{} is not about a standing",
            other.name()
        ))),
    }
}

/// Whose standing changes, and where.
#[derive(Clone, Copy)]
struct Target {
    streamer: UserId,
    live_id: LiveId,
    user: UserId,
}

impl Target {
    /// All sanctions that hold in the live, those of the site included.
    async fn held(&self, conn: &mut Conn, now: Timestamp) -> Result<Vec<Sanction>, StoreError> {
        let standing =
            standings::of_user(conn, self.streamer, self.live_id, self.user, now).await?;
        let mut held = standing.sanctions;
        held.extend(standings::of_site(conn, self.user, now).await?);
        Ok(held)
    }

    async fn changed(
        &self,
        conn: &mut Conn,
        outcome: Outcome,
        removed: Vec<CommentId>,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        let version = standings::count_change(conn, self.streamer).await?;
        let standing =
            standings::of_user(conn, self.streamer, self.live_id, self.user, now).await?;
        Ok(Change::Standing(Box::new(ChangedStanding {
            outcome,
            streamer: self.streamer,
            version,
            standing,
            removed,
        })))
    }
}

async fn give(
    conn: &mut Conn,
    record: &ActionRecord,
    target: Target,
    order: &SanctionOrder,
) -> Result<Result<Changed, Reject>, StoreError> {
    let at = record.at;
    let held = target.held(conn, at).await?;
    if order.kind == SanctionKind::Mute && holding(&held, SanctionKind::Ban, at).is_some() {
        return Ok(Err(Reject::AlreadyBanned));
    }
    if !standings::has_room(conn, target.streamer, at).await? {
        return Ok(Err(Reject::ModerationFull));
    }
    let replaced: Vec<SanctionId> = held
        .iter()
        .filter(|sanction| sanction.kind == order.kind && sanction.scope == order.scope)
        .map(|sanction| sanction.id)
        .collect();
    standings::lift(conn, &replaced, record.actor.principal(), at).await?;
    let given = Given {
        actor: record.actor.principal(),
        reason: record.reason.as_deref(),
        request_id: record.request_id.as_ref(),
        at,
    };
    let sanction = standings::add(conn, target.streamer, target.live_id, order, given).await?;
    if order.kind == SanctionKind::Ban {
        standings::remove_moderator(conn, target.streamer, target.user).await?;
    }
    if order.kind == SanctionKind::Ban && order.purge != Purge::Nothing {
        let waiting = match order.scope {
            SanctionScope::Live => WaitingIn::Live(target.live_id),
            SanctionScope::Streamer => WaitingIn::LivesOf(target.streamer),
            SanctionScope::Site => WaitingIn::Site,
        };
        held_comments::deny_all_of(conn, target.user, waiting, at).await?;
    }
    // Afterwards: one that another node showed at this moment is taken down too.
    let removed = purge(conn, target, order.purge, at).await?;
    let after = json!({
        "sanction_id": sanction.id.get(),
        "until": sanction.until.map(|until| until.0),
        "removed": comments::ids_json(&removed),
    });
    let change = target
        .changed(conn, Outcome::Sanctioned(sanction), removed, at)
        .await?;
    Ok(Ok(Changed {
        before: Some(json!({"lifted": ids(&held, &replaced)})),
        after: Some(after),
        change,
    }))
}

async fn lift(
    conn: &mut Conn,
    record: &ActionRecord,
    target: Target,
    kind: SanctionKind,
) -> Result<Result<Changed, Reject>, StoreError> {
    let at = record.at;
    let mut held = target.held(conn, at).await?;
    held.retain(|sanction| sanction.kind == kind);
    let (lifted, remaining): (Vec<Sanction>, Vec<Sanction>) = held
        .into_iter()
        .partition(|sanction| may_lift(record.role, sanction.scope, sanction.by));
    let lifted: Vec<SanctionId> = lifted.iter().map(|sanction| sanction.id).collect();
    standings::lift(conn, &lifted, record.actor.principal(), at).await?;
    let left: Vec<i64> = remaining.iter().map(|sanction| sanction.id.get()).collect();
    let before = json!({"lifted": lifted.iter().map(|id| id.get()).collect::<Vec<_>>()});
    let change = target
        .changed(conn, Outcome::Lifted { remaining }, Vec::new(), at)
        .await?;
    Ok(Ok(Changed {
        before: Some(before),
        after: Some(json!({"remaining": left})),
        change,
    }))
}

async fn set_moderator(
    conn: &mut Conn,
    record: &ActionRecord,
    target: Target,
    moderator: bool,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Target { streamer, user, .. } = target;
    let at = record.at;
    if user == streamer {
        return Ok(Err(Reject::NotAllowed));
    }
    let was_moderator = standings::moderators(conn, streamer).await?.contains(&user);
    if moderator {
        let held = target.held(conn, at).await?;
        if holding(&held, SanctionKind::Ban, at).is_some() {
            return Ok(Err(Reject::AlreadyBanned));
        }
        if !standings::add_moderator(conn, streamer, user, at).await? {
            return Ok(Err(Reject::ModerationFull));
        }
    } else {
        standings::remove_moderator(conn, streamer, user).await?;
    }
    let change = target
        .changed(conn, Outcome::Moderator(moderator), Vec::new(), at)
        .await?;
    Ok(Ok(Changed {
        before: Some(json!({"moderator": was_moderator})),
        after: Some(json!({"moderator": moderator})),
        change,
    }))
}

/// Takes earlier comments of a banned user down.
async fn purge(
    conn: &mut Conn,
    target: Target,
    purge: Purge,
    at: Timestamp,
) -> Result<Vec<CommentId>, StoreError> {
    let since = match purge {
        Purge::Nothing => return Ok(Vec::new()),
        Purge::Recent => at.plus_ms(-PURGE_RECENT_MS),
        Purge::Live => Timestamp(i64::MIN),
    };
    let Target { live_id, user, .. } = target;
    comments::remove_last(conn, live_id, user, since, TAKE_DOWN_MAX, at).await
}

fn ids(held: &[Sanction], among: &[SanctionId]) -> Vec<i64> {
    held.iter()
        .map(|sanction| sanction.id)
        .filter(|id| among.contains(id))
        .map(SanctionId::get)
        .collect()
}

/// The change that an earlier action made, with the standing as it is now. `after`: what the audit
/// says that it left behind. `None`: what it is about is gone.
pub async fn earlier(
    conn: &mut Conn,
    action: &Action,
    live_id: LiveId,
    user: UserId,
    after: Option<&str>,
    now: Timestamp,
) -> Result<Option<Change>, StoreError> {
    let Some(streamer) = standings::streamer_of(conn, live_id).await? else {
        return Ok(None);
    };
    let after: Value = after
        .and_then(|after| serde_json::from_str(after).ok())
        .unwrap_or_default();
    let outcome = match action {
        Action::Sanction(_) => {
            let id = after["sanction_id"].as_i64().unwrap_or_default();
            match standings::by_id(conn, id).await? {
                Some(sanction) => Outcome::Sanctioned(sanction),
                None => return Ok(None),
            }
        }
        Action::SetModerator { moderator, .. } => Outcome::Moderator(*moderator),
        _ => {
            let mut remaining = Vec::new();
            let ids = after["remaining"].as_array();
            for id in ids.into_iter().flatten().filter_map(Value::as_i64) {
                remaining.extend(standings::by_id(conn, id).await?);
            }
            Outcome::Lifted { remaining }
        }
    };
    // The number first: a standing that is newer than its number is brought again by its own.
    let version = standings::version(conn, streamer).await?;
    let standing = standings::of_user(conn, streamer, live_id, user, now).await?;
    Ok(Some(Change::Standing(Box::new(ChangedStanding {
        outcome,
        streamer,
        version,
        standing,
        removed: comments::ids_of_json(&after["removed"]),
    }))))
}

/// What two users are in a live, for deciding whether one may act on the other: its streamer, and
/// the role of each. `None`: the live is unknown.
pub async fn roles(
    conn: &mut Conn,
    live_id: LiveId,
    users: Vec<UserId>,
) -> Result<Option<(UserId, Vec<Role>)>, StoreError> {
    let Some(streamer) = standings::streamer_of(conn, live_id).await? else {
        return Ok(None);
    };
    let moderators = standings::moderators(conn, streamer).await?;
    let role = |user: UserId| {
        Role::of(
            Principal::User(user),
            Some(streamer),
            moderators.contains(&user),
        )
    };
    Ok(Some((streamer, users.into_iter().map(role).collect())))
}
