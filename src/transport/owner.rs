//! Which requests may speak for a session that polls.
//!
//! In revision 4 the sid is a secret, and to know it is enough. In revision 3 it is the socket id,
//! which everybody in a room reads in `clients`, so the cookie that engine.io 3 sets anyway holds a
//! secret beside it. A client that keeps cookies is known by the secret, from whatever address it
//! comes. One that keeps none, as socket.io-client in Node, is known by its address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_http::RequestHead;
use actix_web::http::header::COOKIE;
use subtle::ConstantTimeEq;

use super::sid::{SID_CHARS, random_sid};
use crate::protocol::EngineVersion;

/// The name of engine.io 3's cookie. Its value is `<sid>.<secret>`.
const COOKIE_NAME: &str = "io";

/// The owner of one session.
#[derive(Debug)]
pub(super) struct Owner {
    /// Where the handshake came from.
    pub(super) address: IpAddr,
    /// Of revision 3 alone.
    cookie: Option<CookieSecret>,
}

#[derive(Debug)]
struct CookieSecret {
    secret: Arc<str>,
    /// The secret came back once, so the client keeps cookies and every request of it brings the
    /// secret.
    is_kept: AtomicBool,
}

impl Owner {
    /// The owner of a session that begins with the handshake `head` from `address`.
    ///
    /// A browser has one cookie for all its tabs, and the latest session sets it. So sessions of
    /// one browser share a secret: a handshake that brings one keeps it.
    pub(super) fn new(version: EngineVersion, head: &RequestHead, address: IpAddr) -> Self {
        let cookie = (version == EngineVersion::V3).then(|| {
            let brought = secrets(head).next().map(Arc::from);
            CookieSecret {
                is_kept: AtomicBool::new(brought.is_some()),
                secret: brought.unwrap_or_else(random_sid),
            }
        });
        Self { address, cookie }
    }

    /// Whether the request `head` from `address` comes from the owner, given that it knows the sid.
    /// A secret that came once is asked for ever after; until then, the address is.
    pub(super) fn sent(&self, head: &RequestHead, address: IpAddr) -> bool {
        let Some(cookie) = &self.cookie else {
            return true;
        };
        if secrets(head).any(|brought| brought.as_bytes().ct_eq(cookie.secret.as_bytes()).into()) {
            cookie.is_kept.store(true, Ordering::Relaxed);
            return true;
        }
        !cookie.is_kept.load(Ordering::Relaxed) && address == self.address
    }

    /// The `Set-Cookie` of each answer to the session `sid`, if its revision has one.
    pub(super) fn set_cookie(&self, sid: &str) -> Option<String> {
        let secret = &self.cookie.as_ref()?.secret;
        Some(format!(
            "{COOKIE_NAME}={sid}.{secret}; Path=/; HttpOnly; SameSite=Strict"
        ))
    }
}

/// The secrets that a request brings: usually none or one, but other domains and paths may have set
/// more.
fn secrets(head: &RequestHead) -> impl Iterator<Item = &str> {
    let values = head
        .headers()
        .get_all(COOKIE)
        .filter_map(|value| value.to_str().ok());
    let cookies = values
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    cookies
        .filter(|(name, _)| *name == COOKIE_NAME)
        .filter_map(|(_, value)| {
            let (_, secret) = value.split_once('.')?;
            let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (secret.len() == SID_CHARS && secret.bytes().all(is_ours)).then_some(secret)
        })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use actix_web::test::TestRequest;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// A request with these `Cookie` headers.
    fn request(cookies: &[&str]) -> actix_web::HttpRequest {
        let request = cookies
            .iter()
            .fold(TestRequest::default(), |request, value| {
                request.append_header((COOKIE, (*value).to_owned()))
            });
        request.to_http_request()
    }

    fn opened(version: EngineVersion, cookies: &[&str]) -> Owner {
        Owner::new(version, request(cookies).head(), HOME)
    }

    fn sent(owner: &Owner, cookies: &[&str], address: IpAddr) -> bool {
        owner.sent(request(cookies).head(), address)
    }

    /// The part of a `Set-Cookie` that a client sends back.
    fn kept(owner: &Owner) -> String {
        owner
            .set_cookie("sid")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_client_without_cookies_is_known_by_its_address() {
        let owner = opened(EngineVersion::V3, &[]);
        for cookies in [
            &[][..],
            &["io=sid"],
            &["io=sid.short", "other=x"],
            &["io=sid.AAAAAAAAAAAAAAAAAAAA"],
        ] {
            assert!(sent(&owner, cookies, HOME), "{cookies:?}");
            assert!(!sent(&owner, cookies, ELSEWHERE), "{cookies:?}");
        }
    }

    #[test]
    fn a_secret_that_came_once_is_asked_for_ever_after() {
        let owner = opened(EngineVersion::V3, &[]);
        let cookie = kept(&owner);
        assert!(
            sent(&owner, &[&cookie], ELSEWHERE),
            "the address of who has the secret does not matter"
        );
        assert!(!sent(&owner, &[], HOME));
        assert!(!sent(&owner, &["io=sid"], HOME));
        assert!(!sent(&owner, &["io=sid.AAAAAAAAAAAAAAAAAAAA"], HOME));
        assert!(!sent(
            &owner,
            &[&format!("{cookie}A"), &cookie[..cookie.len() - 1]],
            HOME
        ));
        assert!(sent(
            &owner,
            &["io=sid.AAAAAAAAAAAAAAAAAAAA", &format!("a=b; {cookie};c=d")],
            HOME
        ));
    }

    #[test]
    fn sessions_of_one_browser_share_its_secret_and_others_do_not() {
        let first = opened(EngineVersion::V3, &[]);
        let second = opened(EngineVersion::V3, &[&kept(&first)]);
        assert_eq!(kept(&first), kept(&second));
        assert!(
            !sent(&second, &[], HOME),
            "its browser keeps cookies, as the handshake says"
        );
        assert_ne!(kept(&first), kept(&opened(EngineVersion::V3, &["io=sid"])));
    }

    #[test]
    fn in_revision_4_the_sid_is_the_secret() {
        let owner = opened(EngineVersion::V4, &["io=sid.AAAAAAAAAAAAAAAAAAAA"]);
        assert!(sent(&owner, &[], ELSEWHERE));
        assert_eq!(owner.set_cookie("sid"), None);
    }
}
