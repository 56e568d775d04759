//! What the site has stored of a user, for that user.

use std::sync::Arc;

use actix_web::web;
use serde_json::{Value, json};

use crate::auth::AuthError;
use crate::domain::{CommentId, SanctionId, SanctionKind, Timestamp, UserId};
use crate::storage::{AccountEntry, BookAccount, ShownComment, Store, User, UserSanction};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::export::{Cell, ExportFormat, ExportPage, ExportTable};
use super::signed_in::SignedIn;

const COLUMNS: &[&str] = &["kind", "at_ms", "data"];

/// The parts of an export, in their order after the account, each from where it goes on.
enum Part {
    Follows(Option<(Timestamp, UserId)>),
    Ledger { after: i64 },
    Sanctions(Option<SanctionId>),
    Comments(Option<CommentId>),
}

/// GET /api/user/export: the account, whom it follows, its entries in the books, what holds against
/// it, and its comments, as JSON lines `{kind, at_ms, data}`. Read and sent a page at a time, so
/// what is written meanwhile may be in it or not.
pub async fn export(state: web::Data<ApiState>, SignedIn(identity): SignedIn) -> ApiResult {
    let (user, now) = (identity.profile.id, state.clock.now());
    state.account_limits.take_export(user, now)?;
    let table = ExportTable {
        format: ExportFormat::JsonLines,
        name: "account",
        live_id: None,
        columns: COLUMNS,
    };
    let store = state.store.clone();
    let next = move |part| page(store.clone(), user, part, now);
    state.own_exports.send(table, next).await
}

async fn page(
    store: Arc<dyn Store>,
    user: UserId,
    part: Option<Part>,
    now: Timestamp,
) -> Result<ExportPage<Part>, ApiError> {
    let max = ExportPage::ROWS_MAX;
    let is_full = |count: usize| count == max as usize;
    Ok(match part {
        None => {
            let account = store.user(user).await?.ok_or(AuthError::UserGone)?;
            ExportPage {
                rows: vec![account_row(&account)],
                next: Some(Part::Follows(None)),
            }
        }
        Some(Part::Follows(before)) => {
            let found = store.follows(user, before, max).await?;
            let last = found
                .last()
                .map(|followed| (followed.since, followed.streamer));
            ExportPage {
                next: Some(match last.filter(|_| is_full(found.len())) {
                    Some(last) => Part::Follows(Some(last)),
                    None => Part::Ledger { after: 0 },
                }),
                rows: found
                    .into_iter()
                    .map(|followed| {
                        let data =
                            json!({"user_id": followed.streamer.get(), "username": followed.username});
                        row("follow", followed.since, &data)
                    })
                    .collect(),
            }
        }
        Some(Part::Ledger { after }) => {
            let between = (after, i64::MAX);
            let found = store
                .account_entries(BookAccount::User(user), between, false, max)
                .await?;
            let last = found.last().map(|entry| entry.id);
            ExportPage {
                next: Some(match last.filter(|_| is_full(found.len())) {
                    Some(after) => Part::Ledger { after },
                    None => Part::Sanctions(None),
                }),
                rows: found.iter().map(entry_row).collect(),
            }
        }
        Some(Part::Sanctions(before)) => {
            let found = store.sanctions_of_user(user, before, max, now).await?;
            let last = found.last().map(|found| found.sanction.id);
            ExportPage {
                next: Some(match last.filter(|_| is_full(found.len())) {
                    Some(last) => Part::Sanctions(Some(last)),
                    None => Part::Comments(None),
                }),
                rows: found.iter().filter_map(sanction_row).collect(),
            }
        }
        Some(Part::Comments(before)) => {
            let found = store.comments_of_user(user, before, max).await?;
            ExportPage {
                next: found.next.map(|(id, _)| Part::Comments(Some(id))),
                rows: found.comments.iter().map(comment_row).collect(),
            }
        }
    })
}

fn row(kind: &str, at: Timestamp, data: &Value) -> Vec<Cell> {
    vec![
        Cell::Text(kind.to_owned()),
        Cell::Number(at.0),
        Cell::Json(data.to_string()),
    ]
}

fn account_row(user: &User) -> Vec<Cell> {
    let data = json!({
        "id": user.id.get(),
        "username": user.username,
        "nickname": user.nickname,
        "avatar": user.avatar,
        "coin": user.coin.get(),
    });
    row("account", user.created_at, &data)
}

fn entry_row(entry: &AccountEntry) -> Vec<Cell> {
    let gift = entry.gift.as_ref().map(|gift| {
        json!({
            "live_id": gift.live_id.get(),
            "gift_id": gift.gift_id.get(),
            "name": gift.name,
            "count": gift.count,
        })
    });
    let data = json!({"coins": entry.coins.get(), "coin": entry.balance.get(), "gift": gift});
    row("coins", entry.at, &data)
}

/// `None` for a shadow: it would be none if its user knew.
fn sanction_row(found: &UserSanction) -> Option<Vec<Cell>> {
    let sanction = &found.sanction;
    let data = json!({
        "kind": sanction.kind.name(),
        "scope": sanction.scope.name(),
        "live_id": found.live_id.map(|id| id.get()),
        "until_ms": sanction.until.map(|until| until.0),
        "reason": sanction.reason,
    });
    (sanction.kind != SanctionKind::Shadow).then(|| row("sanction", sanction.since, &data))
}

fn comment_row(shown: &ShownComment) -> Vec<Cell> {
    let comment = &shown.comment;
    let data = json!({
        "id": comment.id.to_string(),
        "live_id": comment.live_id.get(),
        "content": comment.text.as_str(),
        "removed_at_ms": shown.removed_at.map(|at| at.0),
    });
    row("comment", comment.at, &data)
}
