//! Users, as operators look at them: found by name, and one with what holds against it, its entries
//! in the books and its comments.

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::domain::{CommentId, Permission, SanctionId, UserId};
use crate::protocol::SanctionBody;
use crate::storage::{BookAccount, User};

use super::ApiState;
use super::admin::path_id;
use super::error::{ApiError, ApiResult, USER_NOT_FOUND, ok};
use super::fields::positive_digits;
use super::operator::Operator;
use super::paging::PageQuery;
use super::room_pages::{AccountEntryView, RoomCommentView, entries_page};

/// A user. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
struct AccountView {
    id: i64,
    username: String,
    nickname: Option<String>,
    avatar: Option<String>,
    /// 0: disabled by an operator, 1: enabled.
    status: u8,
    /// For those who may look at balances.
    #[serde(skip_serializing_if = "Option::is_none")]
    coin: Option<i64>,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl AccountView {
    fn of(user: User, operator: &Operator) -> Self {
        let sees_balance = operator.permissions.contains(Permission::Finance);
        Self {
            coin: sees_balance.then_some(user.coin.get()),
            id: user.id.get(),
            username: user.username,
            nickname: user.nickname,
            avatar: user.avatar,
            status: user.enabled.into(),
            created_at_ms: user.created_at.0,
            updated_at_ms: user.updated_at.0,
        }
    }
}

#[derive(Serialize)]
struct UsersView {
    users: Vec<AccountView>,
    next: Option<String>,
}

/// GET /admin/users?search=&cursor=&limit=: users by name. `search`: the id of one, or the beginning
/// of usernames in any case.
pub async fn search(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let search = page.search()?;
    // A username may be all digits: whoever has the id comes first, on the first page.
    let by_id = match positive_digits(search).and_then(UserId::new) {
        Some(id) if page.cursor.is_none() => state.store.user(id).await?,
        _ => None,
    };
    let after = page.cursor.and_then(UserId::new);
    let found = state
        .store
        .users_by_name(search.to_owned(), after, page.limit)
        .await?;
    let next = page.next(found.len(), found.last().map(|user| user.id.get()));
    let id = by_id.as_ref().map(|user| user.id);
    let others = found.into_iter().filter(|user| Some(user.id) != id);
    ok(UsersView {
        users: by_id
            .into_iter()
            .chain(others)
            .map(|user| AccountView::of(user, &operator))
            .collect(),
        next,
    })
}

/// The user of a path.
pub(super) async fn known_user(state: &ApiState, request: &HttpRequest) -> Result<User, ApiError> {
    let id = path_id(request, "id", UserId::new).ok_or(USER_NOT_FOUND)?;
    state.store.user(id).await?.ok_or(USER_NOT_FOUND)
}

/// GET /admin/users/{id}
pub async fn profile(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let user = known_user(&state, &request).await?;
    ok(AccountView::of(user, &operator))
}

#[derive(Serialize)]
struct UserLedgerView {
    /// The balance.
    coin: i64,
    entries: Vec<AccountEntryView>,
    next: Option<String>,
}

/// GET /admin/users/{id}/ledger?cursor=&limit=: the balance of a user, and how it came about, newest
/// first.
pub async fn ledger(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let user = known_user(&state, &request).await?;
    let (entries, next) = entries_page(&state, BookAccount::User(user.id), &page).await?;
    ok(UserLedgerView {
        coin: user.coin.get(),
        entries,
        next,
    })
}

#[derive(Serialize)]
struct UserCommentsView {
    comments: Vec<RoomCommentView>,
    next: Option<String>,
    /// Since when comments were looked at, if there are older ones.
    searched_to_ms: Option<i64>,
}

/// GET /admin/users/{id}/comments?cursor=&limit=: what a user said in all lives, newest first, also
/// what was taken down. Each page looks at the newest 100,000 comments of the site before its cursor,
/// so it may be short, or empty, and still have a next one.
pub async fn comments(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let user = known_user(&state, &request).await?;
    let before = page.cursor.and_then(CommentId::new);
    let found = state
        .store
        .comments_of_user(user.id, before, page.limit)
        .await?;
    ok(UserCommentsView {
        comments: found
            .comments
            .into_iter()
            .map(RoomCommentView::from)
            .collect(),
        next: found.next.map(|(id, _)| id.to_string()),
        searched_to_ms: found.next.map(|(_, at)| at.0),
    })
}

#[derive(Serialize)]
struct UserSanctionsView<'a> {
    sanctions: Vec<UserSanctionView<'a>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct UserSanctionView<'a> {
    /// Where it holds, in the scope live.
    live_id: Option<i64>,
    /// Whose lives it is about; `null` for the whole site.
    streamer_id: Option<i64>,
    #[serde(flatten)]
    sanction: SanctionBody<'a>,
}

/// GET /admin/users/{id}/sanctions?cursor=&limit=: what holds against a user in any live, with any
/// streamer and on the site, newest first.
pub async fn sanctions(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = PageQuery::of(&request)?;
    let user = known_user(&state, &request).await?;
    let before = page.cursor.and_then(SanctionId::new);
    let now = state.clock.now();
    let found = state
        .store
        .sanctions_of_user(user.id, before, page.limit, now)
        .await?;
    let last = found.last().map(|found| found.sanction.id.get());
    ok(UserSanctionsView {
        next: page.next(found.len(), last),
        sanctions: found
            .iter()
            .map(|found| UserSanctionView {
                live_id: found.live_id.map(|live| live.get()),
                streamer_id: found.streamer.map(|streamer| streamer.get()),
                sanction: (&found.sanction).into(),
            })
            .collect(),
    })
}
