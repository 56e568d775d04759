//! What the audit says that an action left behind, and the change that it made, for a retry and for
//! the log of its room.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Conn, comments, held_comments};
use crate::domain::{
    Action, CommentId, Denial, LiveId, Outcome, ReportedComment, ReportsChange, Timestamp,
};
use crate::storage::{Change, StoreError};

/// Comments that an action took down together, as the audit says what it left behind.
pub fn removed_ids(after: Option<&str>) -> Vec<CommentId> {
    let after: Value = left_behind(after);
    comments::ids_of_json(&after["removed"])
}

/// What an action left behind that took a pinned comment down.
pub fn with_unpinned(after: Option<Value>) -> Option<Value> {
    let mut after = after.unwrap_or_else(|| json!({}));
    after["unpinned"] = true.into();
    Some(after)
}

/// What an action left behind that took comments down before they were in the log of their room.
pub fn with_denied(after: Option<Value>, denials: &[Denial]) -> Option<Value> {
    if denials.is_empty() {
        return after;
    }
    let mut after = after.unwrap_or_else(|| json!({}));
    let ids: Vec<CommentId> = denials.iter().map(|denial| denial.comment_id).collect();
    after["denied"] = comments::ids_json(&ids);
    Some(after)
}

/// Those comments.
pub fn denied_ids(after: Option<&str>) -> Vec<CommentId> {
    comments::ids_of_json(&left_behind(after)["denied"])
}

pub fn was_unpinned(after: Option<&str>) -> bool {
    left_behind(after)["unpinned"].as_bool().unwrap_or_default()
}

/// The change that an earlier action on the pin of a live made. A comment that was taken down since
/// is not shown again.
pub async fn pinned_earlier(
    conn: &mut Conn,
    live_id: LiveId,
    target_id: Option<i64>,
) -> Result<Change, StoreError> {
    let comment = match target_id.and_then(CommentId::new) {
        Some(id) => comments::shown(conn, live_id, id).await?,
        None => None,
    };
    Ok(Change::Pinned(comment.map(Arc::new)))
}

fn left_behind(after: Option<&str>) -> Value {
    after
        .and_then(|after| serde_json::from_str(after).ok())
        .unwrap_or_default()
}

/// The decision on a held comment that an earlier action made, as the audit says that it made one.
pub async fn earlier_decision(
    conn: &mut Conn,
    live_id: LiveId,
    comment_id: Option<i64>,
    after: &Option<String>,
) -> Result<Option<Change>, StoreError> {
    let has_decided = left_behind(after.as_deref())["state"].is_string();
    match comment_id.and_then(CommentId::new).filter(|_| has_decided) {
        Some(id) => held_comments::earlier(conn, live_id, id).await,
        None => Ok(None),
    }
}

/// The change that an earlier review made, with its answer: as it was answered the first time, even
/// if the comment was taken down since or nothing but the audit knows of it any more. `None`: the
/// action is not a review.
pub fn reviewed(action: &Action, decided: Option<Change>, at: Timestamp) -> Option<Change> {
    let Action::Review {
        comment_id,
        approve,
    } = action
    else {
        return None;
    };
    let decision = match decided {
        Some(Change::Decided { decision, .. }) => decision,
        _ => None,
    };
    let outcome = Outcome::Reviewed {
        comment_id: *comment_id,
        approved: *approve,
    };
    Some(Change::Decided {
        decision,
        outcome,
        at,
    })
}

/// What an action left behind that took the newest comments of a user down, and denied so many of
/// its that waited.
pub fn taken_down(removed: &[CommentId], denied: usize) -> Value {
    json!({"removed": comments::ids_json(removed), "denied_waiting": denied})
}

/// The change that an earlier action on several comments made.
pub fn earlier_comments(action: &Action, after: Option<&str>) -> Change {
    let removed = removed_ids(after);
    let after = left_behind(after);
    let count = |of: &str| {
        let count = after[of].as_u64().unwrap_or_default();
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    let outcome = match action {
        Action::Restore(_) => Outcome::Restored(count("restored")),
        _ => Outcome::TakenDown(removed.len().saturating_add(count("denied_waiting"))),
    };
    Change::Comments { outcome, removed }
}

/// What an earlier action did to the queue of reports, if that was worth a notice.
pub fn earlier_reports_change(comment_id: Option<i64>, after: Option<&str>) -> Change {
    let after = left_behind(after);
    let counts = after["reports"].as_i64().zip(after["open"].as_i64());
    let Some(((reports, open), comment_id)) = counts.zip(comment_id.and_then(CommentId::new))
    else {
        return Change::Nothing;
    };
    let comment = ReportedComment {
        comment_id,
        reports,
    };
    Change::Reports(ReportsChange { comment, open })
}
