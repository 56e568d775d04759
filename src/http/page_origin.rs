//! The page that a request comes from, as its browser says: for what cookies alone must not allow.

use actix_web::http::header::{HOST, HeaderMap, ORIGIN};

/// Says how the page of a request and its target are related. Pages cannot set it.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}

/// Whether a browser sent it for a page. Other programs send neither header.
pub fn is_from_page(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN)
}

/// Whether the page was served from where the request goes: as `Sec-Fetch-Site` says, or where that
/// is missing, if the host and port of `Origin` are those of `Host`. A proxy has to pass `Host` on
/// with its port.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_SITE) {
        Some(site) => site == "same-origin",
        None => {
            let origin = text(headers, "origin").and_then(|origin| origin.split_once("://"));
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            origin.is_some_and(|(_, authority)| {
                host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
            })
        }
    }
}

/// How a browser may be given a session, which depends on how it reached its page: this process
/// never sees TLS itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageScheme {
    Https,
    /// Plain HTTP on the same machine.
    Local,
}

/// Why a browser is given no session.
pub const LOGIN_NEEDS_ORIGIN: &str =
    "log in from the console's page: the request has no Origin of http or https";
pub const LOGIN_NEEDS_HTTPS: &str =
    "log in over https, or over http on localhost: passwords do not travel in the clear";

impl PageScheme {
    /// By the header `Origin`. The error is the reason for which there will be no session.
    pub fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let origin = text(headers, "origin").unwrap_or_default();
        match origin.split_once("://") {
            Some(("https", _)) => Ok(Self::Https),
            Some(("http", authority)) if is_local(authority) => Ok(Self::Local),
            Some(("http", _)) => Err(LOGIN_NEEDS_HTTPS),
            _ => Err(LOGIN_NEEDS_ORIGIN),
        }
    }
}

/// Whether a host, with or without a port, is this machine by its name.
fn is_local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_browser_says_whether_a_page_is_ours_and_an_origin_does_where_it_does_not() {
        let (site, origin, host) = ("sec-fetch-site", "origin", "host");
        for (named, expected) in [
            (vec![(site, "same-origin")], true),
            (vec![(site, "same-site")], false),
            (vec![(site, "none")], false),
            (
                vec![(site, "cross-site"), (origin, "https://a"), (host, "a")],
                false,
            ),
            (vec![(origin, "https://a"), (host, "a")], true),
            (vec![(origin, "https://a:8443"), (host, "a:8443")], true),
            (vec![(origin, "https://a:8443"), (host, "a")], false),
            (vec![(origin, "https://evil"), (host, "a")], false),
            (vec![(origin, "null"), (host, "null")], false),
            (vec![(host, "a")], false),
            (vec![], false),
        ] {
            assert_eq!(is_same_origin(&headers(&named)), expected, "{named:?}");
        }
    }

    #[test]
    fn sessions_are_for_pages_over_https_and_for_this_machine() {
        for (origin, expected) in [
            ("https://live.example", Ok(PageScheme::Https)),
            ("http://localhost:7001", Ok(PageScheme::Local)),
            ("http://127.0.0.1", Ok(PageScheme::Local)),
            ("http://[::1]:7001", Ok(PageScheme::Local)),
            ("http://live.example", Err(LOGIN_NEEDS_HTTPS)),
            ("http://localhost.example:80", Err(LOGIN_NEEDS_HTTPS)),
            ("null", Err(LOGIN_NEEDS_ORIGIN)),
        ] {
            let found = PageScheme::of(&headers(&[("origin", origin)]));
            assert_eq!(found, expected, "{origin}");
        }
        assert_eq!(PageScheme::of(&HeaderMap::new()), Err(LOGIN_NEEDS_ORIGIN));
    }
}
