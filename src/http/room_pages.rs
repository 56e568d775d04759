//! One room, as operators look at it: what was said in it, who gave most, its entries in the books,
//! and the sanctions that hold in it.

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::domain::{CommentId, LiveId};
use crate::storage::{AccountEntry, BookAccount, GiftEntry, Giver, RowActor, ShownComment};

use super::ApiState;
use super::admin::path_id;
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, ok};
use super::explain::sanctions_page;
use super::paging::PageQuery;

/// The live of a path, which exists.
pub(super) async fn known_live(
    state: &ApiState,
    request: &HttpRequest,
) -> Result<LiveId, ApiError> {
    let live_id = path_id(request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    Ok(live_id)
}

#[derive(Serialize)]
struct CommentsView {
    comments: Vec<RoomCommentView>,
    next: Option<String>,
}

/// A comment, taken down or not. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
pub(super) struct RoomCommentView {
    /// Text, because it may exceed what a JavaScript number holds exactly.
    id: String,
    live_id: i64,
    user_id: i64,
    name: String,
    text: String,
    at_ms: i64,
    removed_at_ms: Option<i64>,
    removed_by: Option<ActorView>,
}

#[derive(Serialize)]
struct ActorView {
    kind: String,
    id: i64,
    name: Option<String>,
}

impl From<RowActor> for ActorView {
    fn from(RowActor { kind, id, name }: RowActor) -> Self {
        Self { kind, id, name }
    }
}

impl From<ShownComment> for RoomCommentView {
    fn from(shown: ShownComment) -> Self {
        let comment = shown.comment;
        Self {
            id: comment.id.to_string(),
            live_id: comment.live_id.get(),
            user_id: comment.author.id.get(),
            name: comment.author.name.clone(),
            text: comment.text.as_str().to_owned(),
            at_ms: comment.at.0,
            removed_at_ms: shown.removed_at.map(|at| at.0),
            removed_by: shown.removed_by.map(ActorView::from),
        }
    }
}

/// GET /admin/rooms/{live_id}/comments?removed=1&cursor=&limit=: stored comments, newest first, with
/// `removed=1` also those that were taken down, and by whom.
pub async fn comments(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let live_id = known_live(&state, &request).await?;
    let before = page.cursor.and_then(CommentId::new);
    let removed = page.has("removed");
    let found = state
        .store
        .comments_with_removed(live_id, before, removed, page.limit)
        .await?;
    let last = found.last().map(|shown| shown.comment.id.get());
    ok(CommentsView {
        next: page.next(found.len(), last),
        comments: found.into_iter().map(RoomCommentView::from).collect(),
    })
}

#[derive(Serialize)]
struct GiversView {
    givers: Vec<GiverView>,
}

#[derive(Serialize)]
struct GiverView {
    user_id: i64,
    name: String,
    coins: i64,
    gifts: i64,
}

impl From<Giver> for GiverView {
    fn from(giver: Giver) -> Self {
        Self {
            user_id: giver.user.get(),
            name: giver.username,
            coins: giver.coins.get(),
            gifts: giver.gifts,
        }
    }
}

/// GET /admin/rooms/{live_id}/givers?limit=: who gave most in a live, most coins first.
pub async fn givers(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let live_id = known_live(&state, &request).await?;
    let givers = state.store.givers(live_id, page.limit).await?;
    ok(GiversView {
        givers: givers.into_iter().map(GiverView::from).collect(),
    })
}

#[derive(Serialize)]
struct RoomLedgerView {
    /// All gifts of the live, ever.
    coins: i64,
    gifts: i64,
    entries: Vec<AccountEntryView>,
    next: Option<String>,
}

/// One movement of coins of a live or a user. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
pub(super) struct AccountEntryView {
    id: i64,
    at_ms: i64,
    kind: &'static str,
    /// Who gave, or to whom coins were granted.
    user_id: i64,
    name: String,
    /// Negative: the account paid.
    coins: i64,
    /// Of the account, right after it.
    balance: i64,
    request_id: String,
    #[serde(flatten)]
    gift: GiftFields,
}

/// What was given; `null` for coins that operators granted or took.
#[derive(Serialize, Default)]
struct GiftFields {
    gift_record_id: Option<i64>,
    live_id: Option<i64>,
    gift_id: Option<i64>,
    gift: Option<String>,
    count: Option<i64>,
    price: Option<i64>,
}

impl From<GiftEntry> for GiftFields {
    fn from(gift: GiftEntry) -> Self {
        Self {
            gift_record_id: Some(gift.record_id.get()),
            live_id: Some(gift.live_id.get()),
            gift_id: Some(gift.gift_id.get()),
            gift: Some(gift.name),
            count: Some(gift.count),
            price: Some(gift.price.get()),
        }
    }
}

impl From<AccountEntry> for AccountEntryView {
    fn from(entry: AccountEntry) -> Self {
        Self {
            id: entry.id,
            at_ms: entry.at.0,
            kind: if entry.gift.is_some() {
                "gift"
            } else {
                "grant"
            },
            user_id: entry.user.get(),
            name: entry.username,
            coins: entry.coins.get(),
            balance: entry.balance.get(),
            request_id: entry.request_id,
            gift: entry.gift.map(GiftFields::from).unwrap_or_default(),
        }
    }
}

/// A page of the entries of an account, newest first, and where the next one begins.
pub(super) async fn entries_page(
    state: &ApiState,
    account: BookAccount,
    page: &PageQuery,
) -> Result<(Vec<AccountEntryView>, Option<String>), ApiError> {
    let between = (0, page.cursor.unwrap_or(i64::MAX));
    let found = state
        .store
        .account_entries(account, between, true, page.limit)
        .await?;
    let next = page.next(found.len(), found.last().map(|entry| entry.id));
    Ok((
        found.into_iter().map(AccountEntryView::from).collect(),
        next,
    ))
}

/// GET /admin/rooms/{live_id}/ledger?cursor=&limit=: the gifts of a live as the books have them,
/// newest first.
pub async fn ledger(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let live_id = known_live(&state, &request).await?;
    let books = state.store.live_ledger(live_id).await?;
    let (entries, next) = entries_page(&state, BookAccount::Live(live_id), &page).await?;
    ok(RoomLedgerView {
        coins: books.coins.get(),
        gifts: books.gifts_count,
        entries,
        next,
    })
}

/// GET /admin/rooms/{live_id}/sanctions?cursor=&user=: what holds in a live, newest first, but for
/// sanctions of the whole site.
pub async fn sanctions(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = known_live(&state, &request).await?;
    sanctions_page(&state, &request, live_id).await
}
