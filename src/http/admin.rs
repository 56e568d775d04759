//! The operators' API: look into rooms, correct balances, add gifts, prove the books.

use std::borrow::Cow;
use std::collections::HashMap;

use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{HttpRequest, web};
use log::info;
use serde::Deserialize;

use crate::actors::{ROOMS_PAGE_MAX, RoomsAsked, RoomsPage};
use crate::domain::{Coins, LiveId, REASON_CHARS_MAX, RequestId, UserId, is_text};
use crate::storage::{CoinGrant, GrantOutcome};

use super::admin_views::{ClusterRoomView, GrantView, LedgerProofView, NodeView, RoomDetailView};
use super::error::{ApiError, ApiResult, ROOM_NOT_OPEN, USER_NOT_FOUND, ok};
use super::fields::{RequestBody, positive_digits};
use super::operator::Operator;
use super::views::GiftView;
use super::{ApiState, address_of};

const GIFT_NAME_CHARS_MAX: usize = 50;
const GIFT_IMAGE_CHARS_MAX: usize = 500;

/// GET /admin/nodes: all nodes that count as alive, this one first and those that do not answer
/// last.
pub async fn nodes(state: web::Data<ApiState>) -> ApiResult {
    ok(NodeView::all(
        state.cluster_control.reports(RoomsAsked::Totals).await?,
    ))
}

/// GET /admin/rooms?after={live id}&limit={1 to 100}: one page of the rooms open on any node, by
/// live id, of 100 rooms if `limit` is absent. If more rooms follow, a `Link` header has the URL of
/// the next page. A page may then be shorter than `limit`, for rooms that do not answer in time are
/// left out. Other values are answered with 400.
pub async fn rooms(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page = rooms_page(request.query_string())?;
    let reports = state
        .cluster_control
        .reports(RoomsAsked::Page(page))
        .await?;
    let (rooms, next_after) = ClusterRoomView::page(reports.answered, page);
    let mut response = ok(rooms)?;
    if let Some(after) = next_after {
        let next = format!(
            "</admin/rooms?after={after}&limit={}>; rel=\"next\"",
            page.limit
        );
        let next = HeaderValue::try_from(next).expect("digits and letters make a header");
        response.headers_mut().insert(LINK, next);
    }
    Ok(response)
}

fn rooms_page(query: &str) -> Result<RoomsPage, ApiError> {
    let query = web::Query::<HashMap<String, String>>::from_query(query)
        .map_err(|_| ApiError::BadParameter("malformed query"))?;
    let number = |name: &str| query.get(name).map(|text| positive_digits(text));
    let after = match number("after") {
        None => 0,
        Some(after) => after.ok_or(ApiError::BadParameter("after must be the id of a live"))?,
    };
    let limit = match number("limit") {
        None => ROOMS_PAGE_MAX,
        Some(limit) => limit
            .and_then(|limit| u32::try_from(limit).ok())
            .filter(|limit| *limit <= ROOMS_PAGE_MAX)
            .ok_or(ApiError::BadParameter("limit must be 1 to 100"))?,
    };
    Ok(RoomsPage { after, limit })
}

/// GET /admin/rooms/{live_id}: one room in full, with what the books say beside what the room says.
pub async fn room(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(ROOM_NOT_OPEN)?;
    let detail = state.rooms.detail(live_id).await?.ok_or(ROOM_NOT_OPEN)?;
    let books = state.store.live_ledger(live_id).await?;
    ok(RoomDetailView::new(detail, books))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    delta: i64,
    request_id: String,
    reason: Option<String>,
}

/// POST /admin/users/{id}/coins: adds coins, or takes them when `delta` is negative, once per
/// `request_id`.
pub async fn grant_coins(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let user_id = path_id(&request, "id", UserId::new).ok_or(USER_NOT_FOUND)?;
    let GrantBody {
        delta,
        request_id,
        reason,
    } = body.json()?;
    if delta == 0 {
        return Err(invalid("delta must not be 0"));
    }
    let request_id = read_request_id(&request_id)?;
    require_reason(reason.as_deref())?;
    let grant = CoinGrant {
        user_id,
        delta: Coins::new(delta),
        request_id: request_id.clone(),
        at: state.clock.now(),
        by: operator.author(address_of(&request, &state), reason),
    };
    match state.store.grant(grant).await? {
        GrantOutcome::Granted { coin, duplicate } => {
            info!(
                "coins granted: user_id={user_id} delta={delta} request_id={request_id} duplicate={duplicate}"
            );
            ok(GrantView {
                user_id: user_id.get(),
                coin: coin.get(),
                duplicate,
            })
        }
        GrantOutcome::UserNotFound => Err(USER_NOT_FOUND),
        GrantOutcome::CoinsInsufficient => {
            Err(ApiError::Refused("the balance would leave its range"))
        }
        GrantOutcome::Conflict => Err(ApiError::Conflict(
            "request_id was used before with another user or delta",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiftBody {
    name: String,
    image: String,
    coin: i64,
    reason: Option<String>,
}

/// POST /admin/gifts: adds a gift to the catalogue, on offer at once.
pub async fn create_gift(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let GiftBody {
        name,
        image,
        coin,
        reason,
    } = body.json()?;
    require_reason(reason.as_deref())?;
    if !is_text(&name, GIFT_NAME_CHARS_MAX) {
        return Err(invalid(
            "name must be 1 to 50 characters, none of them U+0000",
        ));
    }
    if !is_text(&image, GIFT_IMAGE_CHARS_MAX) {
        return Err(invalid(
            "image must be 1 to 500 characters, none of them U+0000",
        ));
    }
    if coin < 1 {
        return Err(invalid("coin must be at least 1"));
    }
    if coin > Coins::MAX.get() {
        return Err(invalid("coin must be at most 9007199254740991"));
    }
    if state.catalogue.is_full() {
        return Err(ApiError::Conflict("the catalogue is full"));
    }
    let row = state
        .store
        .create_gift(
            name,
            image,
            Coins::new(coin),
            state.clock.now(),
            operator.author(address_of(&request, &state), reason),
        )
        .await?;
    state.cluster_control.gift_changed(row.clone());
    info!("gift created: gift_id={} price={coin}", row.gift.id);
    ok(GiftView::from(row))
}

/// GET /admin/ledger/proof: recomputes the books. 200 also when they do not balance, for then the
/// answer is the faults and not an error; `balanced` says which.
pub async fn prove_ledger(state: web::Data<ApiState>) -> ApiResult {
    ok(LedgerProofView::from(state.store.audit().await?))
}

pub(super) fn path_id<T>(
    request: &HttpRequest,
    segment: &str,
    new: impl Fn(i64) -> Option<T>,
) -> Option<T> {
    request
        .match_info()
        .get(segment)
        .and_then(positive_digits)
        .and_then(new)
}

/// Refuses a reason that the audit does not take.
pub(super) fn require_reason(reason: Option<&str>) -> Result<(), ApiError> {
    if reason.is_none_or(|reason| is_text(reason, REASON_CHARS_MAX)) {
        return Ok(());
    }
    Err(invalid(
        "reason must be 1 to 500 characters, none of them U+0000",
    ))
}

/// Reads an operator's name for a request.
pub(super) fn read_request_id(text: &str) -> Result<RequestId, ApiError> {
    RequestId::parse(text).ok_or_else(|| invalid("request_id must be 1 to 64 of [A-Za-z0-9_-]"))
}

pub(super) fn invalid(text: &'static str) -> ApiError {
    ApiError::Invalid(Cow::Borrowed(text))
}
