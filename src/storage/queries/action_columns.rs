//! What is asked for by an action, in columns of the audit: written, and read again.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::modes;
use crate::domain::{
    Action, Coins, CommentId, LiveStatus, Purge, SanctionKind, SanctionOrder, SanctionScope, Scope,
    Term, UserId,
};

pub fn scope_columns(scope: Scope) -> (&'static str, Option<i64>) {
    match scope {
        Scope::Live(live_id) => ("live", Some(live_id.get())),
        Scope::Streamer(user) => ("streamer", Some(user.get())),
        Scope::Site => ("site", None),
    }
}

pub fn target_id(action: &Action) -> Option<i64> {
    match action {
        Action::TakeDown(comment_id)
        | Action::Review { comment_id, .. }
        | Action::Report(comment_id)
        | Action::DismissReports(comment_id) => Some(comment_id.get()),
        Action::Pin(comment_id) => comment_id.map(CommentId::get),
        Action::ChangeGift(change) => Some(change.gift.get()),
        _ => action.target().map(UserId::get),
    }
}

/// What was asked for beside the target.
pub fn arguments(action: &Action) -> Value {
    match action {
        Action::Notice(text) => json!({"text": **text}),
        Action::SetStatus(status) => json!({"status": status.code()}),
        Action::SetTitle(title) => json!({"title": **title}),
        Action::Sanction(order) => json!({
            "scope": order.scope.name(),
            "seconds": order.term.seconds(),
            "gifts": order.gifts,
            "purge": order.purge.name(),
        }),
        Action::SetModerator { moderator, .. } => json!({"moderator": moderator}),
        Action::TakeDownLast { count, .. } => json!({"count": count}),
        Action::Review { approve, .. } => json!({"approve": approve}),
        Action::SetModes(change) => modes::json_of(change.iter()),
        Action::Trace { seconds, .. } => json!({"seconds": seconds}),
        Action::ChangeGift(change) => json!({
            "coin": change.price.map(Coins::get),
            "on_sale": change.on_sale,
        }),
        Action::TakeDown(_)
        | Action::Report(_)
        | Action::DismissReports(_)
        | Action::Pin(_)
        | Action::Kick(_)
        | Action::Restore(_)
        | Action::Lift { .. }
        | Action::DisableUser(_)
        | Action::EnableUser(_) => json!({}),
        // A list may be as long as all of the audit beside it.
        Action::SetTerms(lines) => {
            let digest = Sha256::digest(lines.as_str());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"terms": lines.count(), "sha256": hex})
        }
    }
}

/// The action on a live that these columns of the audit stand for; `None` if this version does not
/// know it.
pub fn action_of(name: &str, target_id: Option<i64>, arguments: &str) -> Option<Action> {
    let arguments: Value = serde_json::from_str(arguments).ok()?;
    let target_user = target_id.and_then(UserId::new);
    if let Some(kind) = SanctionKind::from_name(name) {
        return sanction_of(kind, target_user?, &arguments).map(Action::Sanction);
    }
    let lifted = |kind| {
        let user = target_user?;
        Some(Action::Lift { user, kind })
    };
    Some(match name {
        "take_down" => Action::TakeDown(CommentId::new(target_id?)?),
        "report" => Action::Report(CommentId::new(target_id?)?),
        "dismiss_reports" => Action::DismissReports(CommentId::new(target_id?)?),
        "pin" => Action::Pin(match target_id {
            Some(id) => Some(CommentId::new(id)?),
            None => None,
        }),
        "review" => Action::Review {
            comment_id: CommentId::new(target_id?)?,
            approve: arguments["approve"].as_bool()?,
        },
        "notice" => Action::Notice(arguments["text"].as_str()?.into()),
        "set_title" => Action::SetTitle(arguments["title"].as_str()?.into()),
        "kick" => Action::Kick(target_user?),
        "restore" => Action::Restore(target_user?),
        "take_down_last" => Action::TakeDownLast {
            user: target_user?,
            count: arguments["count"]
                .as_u64()
                .and_then(|count| u32::try_from(count).ok())?,
        },
        "unmute" => lifted(SanctionKind::Mute)?,
        "unban" => lifted(SanctionKind::Ban)?,
        "unshadow" => lifted(SanctionKind::Shadow)?,
        "set_moderator" => Action::SetModerator {
            user: target_user?,
            moderator: arguments["moderator"].as_bool()?,
        },
        "set_modes" => Action::SetModes(modes::change_of(&arguments)),
        "set_status" => {
            let code = arguments["status"]
                .as_i64()
                .and_then(|code| i16::try_from(code).ok())?;
            Action::SetStatus(LiveStatus::from_code(code)?)
        }
        _ => return None,
    })
}

fn sanction_of(kind: SanctionKind, user: UserId, arguments: &Value) -> Option<SanctionOrder> {
    Some(SanctionOrder {
        user,
        kind,
        scope: SanctionScope::from_name(arguments["scope"].as_str()?)?,
        term: Term::from_seconds(arguments["seconds"].as_i64()?)?,
        gifts: arguments["gifts"].as_bool()?,
        purge: Purge::from_name(arguments["purge"].as_str()?)?,
    })
}
