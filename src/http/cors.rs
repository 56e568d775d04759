//! Which pages of other origins may call the API.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::ApiState;

/// How long a browser may remember the answer to a preflight. Browsers cut it to two hours or less
/// themselves; longer would outlive a change of configuration.
const PREFLIGHT_AGE_S: u32 = 600;

/// Answers preflights and marks answers as readable for configured origins. Requests of other
/// origins are served all the same: what protects them is the token, which no browser attaches by
/// itself, and it is the browser that withholds the answer.
pub async fn allow_origins(
    state: web::Data<ApiState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let origin = request
        .headers()
        .get(ORIGIN)
        .and_then(|origin| allowed(origin, &state.config.server.allowed_origins));
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        request.into_response(preflight_answer())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    Ok(response)
}

fn preflight_answer() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "content-type, token"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S))
        .finish()
}

/// The answer to a page of `origin`: `*` where every origin is allowed, its own name where it
/// is one of the list, and nothing otherwise.
fn allowed(origin: &HeaderValue, allowed_origins: &[String]) -> Option<HeaderValue> {
    if allowed_origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    allowed_origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
        .then(|| origin.clone())
}
