//! The word filter: its lists as lines, for operators and for each streamer its own, and what it says
//! about a text, for operators.

use std::borrow::Cow;
use std::cmp::Reverse;

use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::actors::Requested;
use crate::domain::word_filter::{
    Hit, SITE_TERMS_MAX, STREAMER_TERMS_MAX, TermList, TermOwner, export, import, normalised,
};
use crate::domain::{Action, LiveId, REASON_CHARS_MAX, Scope, UserId, is_text};
use crate::word_filters::terms_max;

use super::admin::{invalid, read_request_id};
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, ok};
use super::fields::{ListBody, RequestBody, positive_digits};
use super::operator::Operator;
use super::signed_in::SignedIn;
use super::{ApiState, address_of};

/// Longest text that is tried, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// Bytes of a list that an operator imports.
pub const SITE_LIST_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes of a list that a streamer imports.
const STREAMER_LIST_BYTES_MAX: usize = 256 * 1_024;

/// Terms of one answer.
const HITS_MAX: usize = 1_000;

/// The query of a request about a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Whose list; the site's, if it is absent.
    streamer: Option<String>,
    request_id: Option<String>,
    reason: Option<String>,
}

impl ListQuery {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = web::Query::<Self>::from_query(request.query_string())
            .map_err(|_| ApiError::BadParameter("malformed query"))?;
        Ok(query.into_inner())
    }

    /// Of a request about the list of the user who asks.
    fn of_own(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = Self::of(request)?;
        match query.streamer {
            None => Ok(query),
            Some(_) => Err(ApiError::BadParameter("streamer: the list is your own")),
        }
    }

    fn streamer(&self) -> Result<Option<UserId>, ApiError> {
        let Some(text) = &self.streamer else {
            return Ok(None);
        };
        let streamer = positive_digits(text).and_then(UserId::new);
        let streamer = streamer.ok_or(ApiError::BadParameter("streamer must be the id of a user"));
        streamer.map(Some)
    }
}

/// GET /admin/filter/export?streamer={user id}: a list as lines, as it was imported.
pub async fn export_terms(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let streamer = ListQuery::of(&request)?.streamer()?;
    export_list(&state, streamer).await
}

/// GET /api/filter/export: the same for the list of the streamer who asks.
pub async fn export_own(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    ListQuery::of_own(&request)?;
    export_list(&state, Some(identity.profile.id)).await
}

async fn export_list(state: &ApiState, streamer: Option<UserId>) -> ApiResult {
    let lines = match state.store.term_list(streamer).await? {
        Some(row) => row.lines,
        None => export(&TermList::new(0)).as_str().to_owned(),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type(ContentType::plaintext())
        .body(lines))
}

#[derive(Serialize)]
struct ImportView {
    terms: usize,
}

/// POST /admin/filter/import?streamer={user id}&request_id=&reason=: replaces a list by the lines of
/// the body, all of them or, with a fault in any, none. Rooms of this node have it when this is
/// answered, those of others a second later.
pub async fn import_terms(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    ListBody(lines): ListBody<SITE_LIST_BYTES_MAX>,
) -> ApiResult {
    let query = ListQuery::of(&request)?;
    let streamer = query.streamer()?;
    let address = address_of(&request, &state);
    let asked = |scope, action| operator.requested(address, scope, action);
    import_list(&state, streamer, query, lines, asked).await
}

/// POST /api/filter/import?request_id=&reason=: the same for the list of the streamer who asks.
pub async fn import_own(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
    ListBody(lines): ListBody<STREAMER_LIST_BYTES_MAX>,
) -> ApiResult {
    let query = ListQuery::of_own(&request)?;
    let streamer = identity.profile.id;
    state
        .live_limits
        .take_terms_change(streamer, state.clock.now())?;
    let address = address_of(&request, &state);
    let asked = |scope, action| Requested::of_user(streamer, address, scope, action);
    import_list(&state, Some(streamer), query, lines, asked).await
}

async fn import_list(
    state: &ApiState,
    streamer: Option<UserId>,
    query: ListQuery,
    lines: Bytes,
    asked: impl FnOnce(Scope, Action) -> Requested,
) -> ApiResult {
    let request_id = query
        .request_id
        .as_deref()
        .map(read_request_id)
        .transpose()?;
    if query
        .reason
        .as_ref()
        .is_some_and(|reason| !is_text(reason, REASON_CHARS_MAX))
    {
        return Err(invalid(
            "reason must be 1 to 500 characters, none of them U+0000",
        ));
    }
    // Some tens of milliseconds for a long list.
    let lines = web::block(move || import(&lines, terms_max(streamer)).map(|list| export(&list)))
        .await
        .map_err(|_| ApiError::Busy("no thread to read the list"))?
        .map_err(|faults| ApiError::Invalid(Cow::Owned(faults.to_string())))?;
    let terms = lines.count();
    let scope = streamer.map_or(Scope::Site, Scope::Streamer);
    let mut requested = asked(scope, Action::SetTerms(lines));
    (requested.request_id, requested.reason) = (request_id, query.reason);
    state.operations.perform(requested).await?;
    // It is stored. If it cannot be read now, it is read with the next look at the versions.
    if let Err(error) = state.word_filters.refresh().await {
        log::warn!("terms not read again: error={error}");
    }
    ok(ImportView { terms })
}

#[derive(Serialize)]
struct HitsView {
    term: String,
    action: &'static str,
    hits: u64,
}

/// GET /admin/filter/hits?streamer={user id}: in how many comments each term was found, on this node
/// since it started or, of a streamer, since rooms of theirs are open; the most frequent first.
pub async fn hits(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let streamer = ListQuery::of(&request)?.streamer()?;
    let list = state.word_filters.terms(streamer).await?;
    let terms = list.iter().flat_map(|list| list.terms());
    let mut found: Vec<HitsView> = terms
        .map(|counted| HitsView {
            term: counted.term().text().to_owned(),
            action: counted.term().action().name(),
            hits: counted.hits(),
        })
        .filter(|view| view.hits > 0)
        .collect();
    found.sort_by_key(|view| Reverse(view.hits));
    found.truncate(HITS_MAX);
    ok(found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestBody {
    text: String,
    /// With the terms of its streamer.
    live_id: Option<i64>,
}

#[derive(Serialize)]
struct TestView {
    normalised: String,
    /// What would happen to the comment; `null`: nothing.
    action: Option<&'static str>,
    /// The text with its masks.
    shown: String,
    hits: Vec<HitView>,
}

#[derive(Serialize)]
struct HitView {
    /// Where it was found: the first character and the one behind the last, counted from 0.
    start: usize,
    end: usize,
    found: String,
    term: String,
    action: &'static str,
    list: &'static str,
    tags: Vec<String>,
    /// Whether a term that allows takes it out.
    allowed: bool,
}

impl HitView {
    fn of(text: &str, hit: &Hit) -> Self {
        let chars = |bytes: usize| text[..bytes].chars().count();
        let term = hit.term.term();
        Self {
            start: chars(hit.span.start),
            end: chars(hit.span.end),
            found: text[hit.span.clone()].to_owned(),
            term: term.text().to_owned(),
            action: term.action().name(),
            list: match hit.owner {
                TermOwner::Site => "site",
                TermOwner::Streamer => "streamer",
            },
            tags: term.tags().map(str::to_owned).collect(),
            allowed: hit.is_allowed,
        }
    }
}

/// POST /admin/filter/test: what the filter says about a text, in the rooms of this live or with the
/// terms of the site alone. It counts nothing.
pub async fn test(state: web::Data<ApiState>, body: RequestBody) -> ApiResult {
    let TestBody { text, live_id } = body.json()?;
    if !is_text(&text, TEXT_CHARS_MAX) {
        return Err(invalid(
            "text must be 1 to 1000 characters, none of them U+0000",
        ));
    }
    let filter = match live_id {
        None => state.word_filters.of_site(),
        Some(live_id) => {
            let live_id = LiveId::new(live_id).ok_or(LIVE_NOT_FOUND)?;
            let row = state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
            let filter = state.word_filters.of_streamer(row.live.owner).await?;
            filter.current()
        }
    };
    let verdict = filter.check(&text);
    ok(TestView {
        normalised: normalised(&text),
        action: verdict.action().map(|action| action.name()),
        shown: verdict.masked(&text),
        hits: (verdict.hits().iter().map(|hit| HitView::of(&text, hit))).collect(),
    })
}

// As many terms as the site may have fit into a body, unless they and their tags are very long.
const _: () = assert!(SITE_LIST_BYTES_MAX / SITE_TERMS_MAX >= 200);
const _: () = assert!(STREAMER_LIST_BYTES_MAX / STREAMER_TERMS_MAX >= 200);
