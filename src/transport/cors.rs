//! Which pages of other origins may use Engine.IO, answered as the server of each revision answers
//! it.

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, HOST, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

use crate::protocol::EngineVersion;

/// Whether the page that sent a request may use this server: one of a configured origin, or one of
/// this server's own. Programs other than pages send no origin.
pub(super) fn is_allowed(head: &RequestHead, allowed: &[String]) -> bool {
    let Some(origin) = head.headers().get(ORIGIN) else {
        return true;
    };
    let is_listed = allowed
        .iter()
        .any(|entry| entry == "*" || entry.as_bytes() == origin.as_bytes());
    is_listed
        || head
            .headers()
            .get(HOST)
            .is_some_and(|host| is_own(origin, host))
}

/// Whether a page was loaded from the host that its request goes to. Browsers write both headers,
/// and pages cannot change them. The scheme may differ, since a proxy may end TLS; the port may
/// not, since another port is another server.
fn is_own(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let (Ok(origin), Ok(host)) = (origin.to_str(), host.to_str()) else {
        return false;
    };
    let schemes = [("https://", ":443"), ("http://", ":80")];
    schemes.into_iter().any(|(scheme, port)| {
        // Browsers leave the scheme's own port out, others may not.
        let host = host.strip_suffix(port).unwrap_or(host);
        origin
            .strip_prefix(scheme)
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    })
}

/// Lets the page that asked read the answer.
pub(super) fn allow(
    head: &RequestHead,
    version: EngineVersion,
    allowed: &[String],
    headers: &mut HeaderMap,
) {
    // The answer depends on it even where there is none.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if !is_allowed(head, allowed) {
        return;
    }
    let origin = head
        .headers()
        .get(ORIGIN)
        .filter(|origin| !origin.is_empty());
    match (version, origin) {
        (EngineVersion::V3, None) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
        }
        (_, origin) => {
            if let Some(origin) = origin {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            )
        }
    };
}

/// Answers a preflight.
pub(super) fn preflight(head: &RequestHead) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET,POST"));
    response.append_header((VARY, "Access-Control-Request-Headers"));
    if let Some(asked) = head
        .headers()
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|asked| !asked.is_empty())
    {
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
    }
    response.finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(
        version: EngineVersion,
        origin: Option<&'static str>,
        allowed: &[&str],
    ) -> Vec<(String, String)> {
        let mut request = TestRequest::default();
        if let Some(origin) = origin {
            request = request.insert_header((ORIGIN, origin));
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let mut headers = HeaderMap::new();
        allow(
            request.to_http_request().head(),
            version,
            &allowed,
            &mut headers,
        );
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn programs_receive_the_headers_of_their_revision() {
        let vary = pair("vary", "Origin");
        let v3 = headers(EngineVersion::V3, None, &["*"]);
        assert!(
            v3.contains(&pair("access-control-allow-origin", "*"))
                && v3.contains(&vary)
                && v3.len() == 2,
            "{v3:?}"
        );
        let v4 = headers(EngineVersion::V4, None, &["*"]);
        assert!(
            v4.contains(&pair("access-control-allow-credentials", "true")) && v4.contains(&vary),
            "{v4:?}"
        );
    }

    #[test]
    fn only_pages_of_allowed_origins_may_read() {
        for version in [EngineVersion::V3, EngineVersion::V4] {
            for allowed in ["*", "https://live.example"] {
                let headers = headers(version, Some("https://live.example"), &[allowed]);
                assert!(
                    headers.contains(&pair("access-control-allow-origin", "https://live.example"))
                );
                assert!(headers.contains(&pair("access-control-allow-credentials", "true")));
            }
            let refused = headers(
                version,
                Some("https://other.example"),
                &["https://live.example"],
            );
            assert_eq!(refused, [pair("vary", "Origin")]);
        }
    }

    #[test]
    fn a_page_of_this_server_is_always_welcome() {
        let listed = ["https://live.example".to_owned()];
        let is_welcome = |origin: &'static str, host: &'static str| {
            let request = TestRequest::default()
                .insert_header((ORIGIN, origin))
                .insert_header((HOST, host));
            is_allowed(request.to_http_request().head(), &listed)
        };
        for (origin, host) in [
            ("https://live.example", "anything"),
            ("http://127.0.0.1:7001", "127.0.0.1:7001"),
            ("https://own.example", "own.example"),
            ("https://own.example", "Own.Example:443"),
            ("http://own.example", "own.example:80"),
            ("https://own.example:8443", "own.example:8443"),
            ("http://[::1]:7001", "[::1]:7001"),
        ] {
            assert!(is_welcome(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://other.example", "own.example"),
            ("https://own.example:8443", "own.example"),
            ("https://own.example", "own.example:8443"),
            ("https://own.example", "own.example:80"),
            ("https://own.example.other.example", "own.example"),
            ("https://own.example@other.example", "own.example"),
            ("null", "null"),
            ("file://", ""),
            ("", ""),
            ("own.example", "own.example"),
        ] {
            assert!(!is_welcome(origin, host), "{origin} at {host}");
        }
    }
}
