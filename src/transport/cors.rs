//! Which pages of other origins may use Engine.IO, told as each revision's server tells it.

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap, HeaderValue, ORIGIN, VARY,
};

use crate::protocol::EngineVersion;

/// Whether a page of this origin is welcome. Programs that are no pages send none.
pub(super) fn is_allowed(origin: Option<&HeaderValue>, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    allowed.iter().any(|entry| entry == "*" || entry.as_bytes() == origin.as_bytes())
}

/// Lets the page that asked read the answer.
pub(super) fn allow(head: &RequestHead, version: EngineVersion, allowed: &[String], headers: &mut HeaderMap) {
    let origin = head.headers().get(ORIGIN);
    // The answer depends on it even where there is none.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if !is_allowed(origin, allowed) {
        return;
    }
    match (version, origin) {
        (EngineVersion::V3, None) => headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (_, origin) => {
            if let Some(origin) = origin {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))
        }
    };
}

/// Answers a preflight.
pub(super) fn preflight(head: &RequestHead) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET,POST"));
    response.append_header((VARY, "Access-Control-Request-Headers"));
    if let Some(asked) = head.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
    }
    response.finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(version: EngineVersion, origin: Option<&'static str>, allowed: &[&str]) -> Vec<(String, String)> {
        let mut request = TestRequest::default();
        if let Some(origin) = origin {
            request = request.insert_header((ORIGIN, origin));
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let mut headers = HeaderMap::new();
        allow(request.to_http_request().head(), version, &allowed, &mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn programs_are_told_what_their_revision_tells_them() {
        let vary = pair("vary", "Origin");
        let v3 = headers(EngineVersion::V3, None, &["*"]);
        assert!(
            v3.contains(&pair("access-control-allow-origin", "*")) && v3.contains(&vary) && v3.len() == 2,
            "{v3:?}"
        );
        let v4 = headers(EngineVersion::V4, None, &["*"]);
        assert!(v4.contains(&pair("access-control-allow-credentials", "true")) && v4.contains(&vary), "{v4:?}");
    }

    #[test]
    fn only_pages_of_allowed_origins_may_read() {
        for version in [EngineVersion::V3, EngineVersion::V4] {
            for allowed in ["*", "https://live.example"] {
                let headers = headers(version, Some("https://live.example"), &[allowed]);
                assert!(headers.contains(&pair("access-control-allow-origin", "https://live.example")));
                assert!(headers.contains(&pair("access-control-allow-credentials", "true")));
            }
            let refused = headers(version, Some("https://other.example"), &["https://live.example"]);
            assert_eq!(refused, [pair("vary", "Origin")]);
        }
    }
}
