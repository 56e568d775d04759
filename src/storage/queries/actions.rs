//! Actions: the change, and its row of the audit.

use diesel::dsl::{exists, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use super::super::{lock_gift, lock_live_status, lock_user_status};
use super::action_columns::{action_of, arguments, scope_columns, target_id};
use super::left_behind::{
    denied_ids, earlier_comments, earlier_decision, earlier_reports_change, pinned_earlier,
    reviewed, was_unpinned, with_denied, with_unpinned,
};
use super::{
    Conn, accounts, audit_rows, catalogue, comments, held_comments, lives, modes, pins, reports,
    standing_changes, take_downs, term_lists,
};
use crate::domain::word_filter::TermLines;
use crate::domain::{
    Action, ActionEntry, ActionId, Actor, Aftermath, CommentId, Denial, GiftId, HeldDecision,
    LiveId, LiveStatus, Pin, Principal, Reject, SanctionOrder, Scope, Subject, Timestamp, UserId,
};
use crate::storage::actions::Changed;
use crate::storage::rows::{USER_ENABLED, actor_of};
use crate::storage::schema::{audit, pending_actions};
use crate::storage::{ActionRecord, AuditRow, Change, PendingAction, Performed, StoreError, User};

pub async fn perform(conn: &mut Conn, record: ActionRecord) -> Result<Performed, StoreError> {
    // Locked first: of two retries at once the second then sees what the first wrote.
    let before = lock(conn, &record).await?;
    if let Some(earlier) = earlier(conn, &record).await? {
        return earlier.answer(conn, &record).await;
    }
    let Changed {
        before,
        after,
        change,
    } = match apply(conn, &record, before).await? {
        Ok(changed) => changed,
        Err(reject) => return Ok(Performed::Refused(reject)),
    };
    let unpinned = unpins(conn, &record).await?;
    let after = if unpinned {
        with_unpinned(after)
    } else {
        after
    };
    let denials = overtaken(conn, &record, &change).await?;
    let after = with_denied(after, &denials);
    if let Some(id) = insert(conn, &record, before, after, AuditRow::OK).await? {
        let pin = pin_of(id, record.actor.principal(), &change, unpinned);
        if let (Some(_), Scope::Live(live_id)) = (&pin, record.scope) {
            pins::set_action(conn, live_id, id).await?;
        }
        let added = Added {
            change: &change,
            pin,
            denials,
        };
        let pending = entries(id, &record.action, record.scope, record.at, added);
        if !pending.is_empty() && !has_row_of_its_own(&record.action, &change) {
            let row = pending_actions::action_id.eq(id.get());
            diesel::insert_into(pending_actions::table)
                .values(row)
                .execute(conn)
                .await?;
        }
        return Ok(Performed::Done {
            id,
            change,
            is_repeated: false,
            pending,
        });
    }
    // A retry that locked nothing and came at the same time as the first, which has just been
    // committed.
    let earlier = earlier(conn, &record)
        .await?
        .filter(|earlier| earlier.is_same(&record));
    match earlier {
        Some(earlier) => earlier.answer(conn, &record).await,
        // The error takes the change back. Tried again, the answer is that of a conflict.
        None => Err(StoreError::Unavailable(
            "the request_id is being used for something else".into(),
        )),
    }
}

pub async fn record_refusal(
    conn: &mut Conn,
    record: ActionRecord,
    code: &'static str,
) -> Result<ActionId, StoreError> {
    let id = insert(conn, &record, None, None, code).await?;
    id.ok_or_else(|| StoreError::Fault("a refusal has no name that could be taken".into()))
}

/// What an action changed that its room's log says.
struct Added<'a> {
    change: &'a Change,
    pin: Option<Pin>,
    /// Of comments that it took down before they were in the log.
    denials: Vec<Denial>,
}

/// What an action adds to the log of its room.
fn entries(
    id: ActionId,
    action: &Action,
    scope: Scope,
    at: Timestamp,
    added: Added<'_>,
) -> Vec<ActionEntry> {
    let Scope::Live(live_id) = scope else {
        return Vec::new();
    };
    let aftermath = Aftermath {
        pin: added.pin.as_ref(),
        ..added.change.aftermath()
    };
    // Before the removals: a comment that comes to the log after them finds its denial there.
    let denials = added.denials.into_iter().map(HeldDecision::Denied);
    let denials = denials.map(|denial| ActionEntry::of_decision(&denial));
    let contents = action.entries(live_id, at, &aftermath);
    let entry = |(part, content)| ActionEntry::of_action(id, part, content);
    denials.chain((0..).zip(contents).map(entry)).collect()
}

/// Whether the row of a held comment says what the log of its room lacks. A node of a version
/// without held comments would add the removal of a comment that was never shown.
const fn has_row_of_its_own(action: &Action, change: &Change) -> bool {
    matches!(
        (action, change),
        (Action::TakeDown(_), Change::Decided { .. })
    )
}

/// Denies the comments that an action took down and that are about to be shown.
async fn overtaken(
    conn: &mut Conn,
    record: &ActionRecord,
    change: &Change,
) -> Result<Vec<Denial>, StoreError> {
    let taken_down = match (&record.action, change) {
        (Action::TakeDown(id), Change::CommentRemoved(_)) => std::slice::from_ref(id),
        (_, change) => change.aftermath().removed,
    };
    match record.scope {
        Scope::Live(live_id) => held_comments::overtake(conn, live_id, taken_down, record.at).await,
        _ => Ok(Vec::new()),
    }
}

/// An action whose entries are not known to be in the log of its room.
#[derive(Queryable)]
struct PendingRecord {
    id: i64,
    at: i64,
    scope_id: Option<i64>,
    action: String,
    target_id: Option<i64>,
    arguments: String,
    after: Option<String>,
    actor_kind: String,
    actor_id: i64,
}

pub async fn pending(
    conn: &mut Conn,
    until: Timestamp,
    max: u32,
) -> Result<Vec<PendingAction>, StoreError> {
    let rows: Vec<PendingRecord> = pending_actions::table
        .inner_join(audit::table.on(audit::id.eq(pending_actions::action_id)))
        .filter(audit::at.le(until.0))
        .order(pending_actions::action_id)
        .limit(max.into())
        .select((
            audit::id,
            audit::at,
            audit::scope_id,
            audit::action,
            audit::target_id,
            audit::arguments,
            audit::after,
            audit::actor_kind,
            audit::actor_id,
        ))
        .load(conn)
        .await?;
    let mut pending = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(live_id) = row.scope_id.and_then(LiveId::new) else {
            continue;
        };
        // Nodes of a later version see to the actions that only they know.
        let Some(action) = action_of(&row.action, row.target_id, &row.arguments) else {
            continue;
        };
        let change = match (action.subject(), action.target()) {
            (Subject::Live, _) => match lives::by_id(conn, live_id).await? {
                Some(row) => Change::Live(Box::new(row)),
                None => continue,
            },
            (Subject::CommentsOfUser, _) => earlier_comments(&action, row.after.as_deref()),
            (Subject::Reports, _) => earlier_reports_change(row.target_id, row.after.as_deref()),
            (Subject::Pin, _) => pinned_earlier(conn, live_id, row.target_id).await?,
            (Subject::Comment | Subject::HeldComment, _) => {
                match earlier_decision(conn, live_id, row.target_id, &row.after).await? {
                    Some(change) => change,
                    None if action.subject() == Subject::Comment => Change::Nothing,
                    None => continue,
                }
            }
            (Subject::Modes, _) => {
                let by = actor_of(&row.actor_kind, row.actor_id).map(Actor::principal);
                match by.and_then(|by| modes::earlier(row.after.as_deref(), by)) {
                    Some(change) => change,
                    None => continue,
                }
            }
            (Subject::Standing, Some(user)) => {
                let after = row.after.as_deref();
                let change =
                    standing_changes::earlier(conn, &action, live_id, user, after, until).await?;
                match change {
                    Some(change) => change,
                    None => continue,
                }
            }
            _ => Change::Nothing,
        };
        let (scope, at) = (Scope::Live(live_id), Timestamp(row.at));
        if let (Some(id), Some(by)) = (
            ActionId::new(row.id),
            actor_of(&row.actor_kind, row.actor_id).map(Actor::principal),
        ) {
            let after = row.after.as_deref();
            let added = Added {
                pin: pin_of(id, by, &change, was_unpinned(after)),
                denials: held_comments::denials(conn, &denied_ids(after)).await?,
                change: &change,
            };
            let entries = entries(id, &action, scope, at, added);
            pending.push(PendingAction {
                id,
                live_id,
                entries,
            });
        }
    }
    Ok(pending)
}

pub async fn logged(conn: &mut Conn, ids: Vec<ActionId>) -> Result<(), StoreError> {
    let ids: Vec<i64> = ids.into_iter().map(ActionId::get).collect();
    diesel::delete(pending_actions::table.filter(pending_actions::action_id.eq_any(ids)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks the row that the action changes, if it changes one whose present state matters, and says
/// what its status is.
async fn lock(conn: &mut Conn, record: &ActionRecord) -> Result<Option<i16>, StoreError> {
    match (
        record.action.subject(),
        record.scope,
        record.action.target(),
    ) {
        (Subject::Live, Scope::Live(live_id), _) => lock_live_status(conn, live_id).await,
        (Subject::User, Scope::Site, Some(user)) => lock_user_status(conn, user).await,
        (Subject::Standing, Scope::Live(live_id), Some(user)) => {
            standing_changes::lock(conn, live_id, &record.action, user).await?;
            Ok(None)
        }
        (Subject::HeldComment, ..) => {
            if let Action::Review { comment_id, .. } = &record.action {
                held_comments::lock(conn, *comment_id).await?;
            }
            Ok(None)
        }
        (Subject::Modes, Scope::Live(live_id), _) => {
            modes::lock(conn, live_id).await?;
            Ok(None)
        }
        (Subject::Gift, ..) => {
            if let Action::ChangeGift(change) = &record.action {
                lock_gift(conn, change.gift).await?;
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Makes the change. `status`: of the row that [`lock`] locked; `None` if there is none.
async fn apply(
    conn: &mut Conn,
    record: &ActionRecord,
    status: Option<i16>,
) -> Result<Result<Changed, Reject>, StoreError> {
    match (&record.action, record.scope) {
        (Action::TakeDown(comment_id), Scope::Live(live_id)) => {
            take_downs::one(conn, record, live_id, *comment_id).await
        }
        (Action::Report(comment_id), Scope::Live(live_id)) => {
            reports::report(conn, record, live_id, *comment_id).await
        }
        (Action::DismissReports(comment_id), Scope::Live(live_id)) => {
            reports::dismiss(conn, record, live_id, *comment_id).await
        }
        (Action::Pin(comment_id), Scope::Live(live_id)) => {
            let pinned = pins::set(conn, record, live_id, *comment_id).await?;
            Ok(pinned.map(|comment| Changed {
                before: None,
                after: None,
                change: Change::Pinned(comment),
            }))
        }
        (Action::SetStatus(to), Scope::Live(live_id)) => {
            set_status(conn, live_id, status, *to, record.at).await
        }
        (Action::SetTitle(to), Scope::Live(live_id)) => {
            set_title(conn, live_id, to, record.at).await
        }
        (Action::SetTerms(lines), Scope::Site) => set_terms(conn, None, lines, record.at).await,
        (Action::SetTerms(lines), Scope::Streamer(streamer)) => {
            set_terms(conn, Some(streamer), lines, record.at).await
        }
        (Action::DisableUser(user), Scope::Site) => {
            set_enabled(conn, *user, status, false, record.at).await
        }
        (Action::EnableUser(user), Scope::Site) => {
            set_enabled(conn, *user, status, true, record.at).await
        }
        (
            Action::Sanction(SanctionOrder { user, .. })
            | Action::Lift { user, .. }
            | Action::SetModerator { user, .. },
            Scope::Live(live_id),
        ) => standing_changes::apply(conn, record, live_id, *user).await,
        (Action::TakeDownLast { user, count }, Scope::Live(live_id)) => {
            take_downs::last_of_user(conn, live_id, *user, *count, record.at).await
        }
        (Action::SetModes(change), Scope::Live(live_id)) => {
            modes::change(conn, record, live_id, change).await
        }
        (Action::ChangeGift(change), Scope::Site) => {
            catalogue::change(conn, *change, record.at).await
        }
        (Action::Restore(user), Scope::Live(live_id)) => {
            take_downs::restore(conn, live_id, *user, record.at).await
        }
        (
            Action::Review {
                comment_id,
                approve,
            },
            Scope::Live(live_id),
        ) => held_comments::review(conn, record, live_id, *comment_id, *approve).await,
        (
            Action::Trace {
                user: Some(user), ..
            },
            _,
        ) if accounts::by_id(conn, *user).await?.is_none() => Ok(Err(Reject::UserNotFound)),
        (Action::Trace { .. }, Scope::Live(live_id))
            if lives::by_id(conn, live_id).await?.is_none() =>
        {
            Ok(Err(Reject::LiveNotFound))
        }
        (Action::Kick(user), _) if accounts::by_id(conn, *user).await?.is_none() => {
            Ok(Err(Reject::UserNotFound))
        }
        (Action::Notice(_) | Action::Kick(_) | Action::Trace { .. }, _) => Ok(Ok(Changed {
            before: None,
            after: None,
            change: Change::Nothing,
        })),
        (action, scope) => Err(StoreError::Fault(format!(
            "{} does not exist in scope {scope:?}",
            action.name()
        ))),
    }
}

/// Whether the action took the pinned comment of its live down, so that nothing is pinned.
async fn unpins(conn: &mut Conn, record: &ActionRecord) -> Result<bool, StoreError> {
    match (record.action.subject(), record.scope) {
        (Subject::Comment | Subject::CommentsOfUser | Subject::Standing, Scope::Live(live_id)) => {
            pins::take_down(conn, live_id, record.actor.principal(), record.at).await
        }
        _ => Ok(false),
    }
}

/// What is pinned since an action, if it changed that.
fn pin_of(id: ActionId, by: Principal, change: &Change, unpinned: bool) -> Option<Pin> {
    let comment = match change {
        Change::Pinned(comment) => comment.clone(),
        _ if unpinned => None,
        _ => return None,
    };
    Some(Pin {
        comment,
        by,
        action: id,
    })
}

async fn set_status(
    conn: &mut Conn,
    live_id: LiveId,
    before: Option<i16>,
    to: LiveStatus,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(before) = before else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if before == LiveStatus::Ended.code() {
        return Ok(Err(Reject::LiveEnded));
    }
    let row = lives::set_status(conn, live_id, to, at).await?;
    if before == LiveStatus::Scheduled.code() {
        modes::start(conn, live_id, row.live.owner, at).await?;
    }
    let (before, after) = (json!({"status": before}), json!({"status": to.code()}));
    Ok(Ok(Changed {
        before: Some(before),
        after: Some(after),
        change: Change::Live(Box::new(row)),
    }))
}

async fn set_title(
    conn: &mut Conn,
    live_id: LiveId,
    to: &str,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(row) = lives::by_id(conn, live_id).await? else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if row.live.status == LiveStatus::Ended {
        return Ok(Err(Reject::LiveEnded));
    }
    let before = json!({"title": row.live.title});
    let row = lives::set_title(conn, live_id, to, at).await?;
    Ok(Ok(Changed {
        before: Some(before),
        after: Some(json!({"title": to})),
        change: Change::Live(Box::new(row)),
    }))
}

async fn set_terms(
    conn: &mut Conn,
    streamer: Option<UserId>,
    to: &TermLines,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    if let Some(streamer) = streamer
        && accounts::by_id(conn, streamer).await?.is_none()
    {
        return Ok(Err(Reject::UserNotFound));
    }
    let version = term_lists::set(conn, streamer, to.as_str(), at).await?;
    Ok(Ok(Changed {
        before: Some(json!({"version": version - 1})),
        after: Some(json!({"version": version})),
        change: Change::Nothing,
    }))
}

async fn set_enabled(
    conn: &mut Conn,
    user: UserId,
    before: Option<i16>,
    enabled: bool,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(before) = before else {
        return Ok(Err(Reject::UserNotFound));
    };
    let user = accounts::set_enabled(conn, user, enabled, at).await?;
    let (before, after) = (
        json!({"enabled": before == USER_ENABLED}),
        json!({"enabled": enabled}),
    );
    Ok(Ok(Changed {
        before: Some(before),
        after: Some(after),
        change: Change::User(Box::new(user)),
    }))
}

/// Adds a row; `None` if its `request_id` names another that is there.
async fn insert(
    conn: &mut Conn,
    record: &ActionRecord,
    before: Option<Value>,
    after: Option<Value>,
    result: &'static str,
) -> Result<Option<ActionId>, StoreError> {
    let action = &record.action;
    let row = AuditRow {
        actor: Some(record.actor),
        role: record.role.name(),
        address: record.address,
        scope: record.scope,
        action: action.name().into(),
        target_id: target_id(action),
        arguments: arguments(action),
        before,
        after,
        reason: record.reason.clone(),
        request_id: record.request_id.clone(),
        result,
        at: record.at,
    };
    audit_rows::insert(conn, &row).await
}

/// An action that was done under the same name.
#[derive(Queryable)]
struct EarlierAction {
    id: i64,
    scope: String,
    scope_id: Option<i64>,
    target_id: Option<i64>,
    arguments: String,
    after: Option<String>,
    at: i64,
}

impl EarlierAction {
    /// Whether what was asked for is the same. The reason need not be.
    fn is_same(&self, record: &ActionRecord) -> bool {
        let asked = arguments(&record.action).to_string();
        (self.scope.as_str(), self.scope_id) == scope_columns(record.scope)
            && self.target_id == target_id(&record.action)
            && self.arguments == asked
    }

    /// The answer to a retry: that of the first time, with rows as they are now but for what it
    /// changed.
    async fn answer(
        &self,
        conn: &mut Conn,
        record: &ActionRecord,
    ) -> Result<Performed, StoreError> {
        if !self.is_same(record) {
            return Ok(Performed::Refused(Reject::DuplicateConflict));
        }
        let gone = || StoreError::Fault(format!("audit {}: what it is about is gone", self.id));
        let action = &record.action;
        let decision = match (action.subject(), record.scope) {
            (Subject::Comment | Subject::HeldComment, Scope::Live(live_id)) => {
                earlier_decision(conn, live_id, self.target_id, &self.after).await?
            }
            _ => None,
        };
        let change = match (action.subject(), record.scope, action.target()) {
            (Subject::HeldComment, ..) => {
                reviewed(action, decision, Timestamp(self.at)).ok_or_else(gone)?
            }
            _ if decision.is_some() => decision.ok_or_else(gone)?,
            (Subject::Comment, Scope::Live(live_id), _) => {
                let id = self.target_id.and_then(CommentId::new).ok_or_else(gone)?;
                let removed = comments::remove(conn, live_id, id, Timestamp(self.at)).await?;
                Change::CommentRemoved(removed.ok_or_else(gone)?.1)
            }
            (Subject::Live, Scope::Live(live_id), _) => Change::Live(Box::new(
                lives::by_id(conn, live_id).await?.ok_or_else(gone)?,
            )),
            (Subject::User, _, Some(user)) => {
                let user = accounts::by_id(conn, user).await?.ok_or_else(gone)?;
                let enabled = matches!(record.action, Action::EnableUser(_));
                Change::User(Box::new(User { enabled, ..user }))
            }
            (Subject::Gift, ..) => {
                let id = self.target_id.and_then(GiftId::new).ok_or_else(gone)?;
                let row = catalogue::by_id(conn, id).await?.ok_or_else(gone)?;
                Change::Gift(Box::new(catalogue::earlier(row, self.after.as_deref())))
            }
            (Subject::CommentsOfUser, ..) => earlier_comments(action, self.after.as_deref()),
            (Subject::Reports, ..) => earlier_reports_change(self.target_id, self.after.as_deref()),
            (Subject::Pin, Scope::Live(live_id), _) => {
                pinned_earlier(conn, live_id, self.target_id).await?
            }
            (Subject::Modes, ..) => {
                modes::earlier(self.after.as_deref(), record.actor.principal()).ok_or_else(gone)?
            }
            (Subject::Standing, Scope::Live(live_id), Some(user)) => {
                let after = self.after.as_deref();
                standing_changes::earlier(conn, action, live_id, user, after, record.at)
                    .await?
                    .ok_or_else(gone)?
            }
            _ => Change::Nothing,
        };
        let id = ActionId::new(self.id).ok_or_else(gone)?;
        let is_pending: bool = diesel::select(exists(pending_actions::table.find(self.id)))
            .get_result(conn)
            .await?;
        let mut pending = Vec::new();
        if is_pending {
            let after = self.after.as_deref();
            let added = Added {
                pin: pin_of(id, record.actor.principal(), &change, was_unpinned(after)),
                denials: held_comments::denials(conn, &denied_ids(after)).await?,
                change: &change,
            };
            pending = entries(id, action, record.scope, Timestamp(self.at), added);
        }
        Ok(Performed::Done {
            id,
            change,
            is_repeated: true,
            pending,
        })
    }
}

async fn earlier(
    conn: &mut Conn,
    record: &ActionRecord,
) -> Result<Option<EarlierAction>, StoreError> {
    let Some(request_id) = &record.request_id else {
        return Ok(None);
    };
    let (actor_kind, actor_id) = record.actor.kind_and_id();
    Ok(audit::table
        .filter(audit::actor_kind.eq(actor_kind))
        .filter(audit::actor_id.eq(actor_id))
        .filter(audit::action.eq(record.action.name()))
        .filter(audit::request_id.eq(request_id.as_str()))
        // A literal, because SQLite does not match a bound value with the condition of the index.
        .filter(sql::<Bool>("audit.result = 'ok'"))
        .select((
            audit::id,
            audit::scope,
            audit::scope_id,
            audit::target_id,
            audit::arguments,
            audit::after,
            audit::at,
        ))
        .get_result(conn)
        .await
        .optional()?)
}
