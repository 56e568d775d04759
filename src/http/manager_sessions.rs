//! Sessions of managers in browsers: the cookie, what it is worth, and how it is renewed.
//!
//! Each request is verified in the store, so a session that ends anywhere has ended on all nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use actix_web::http::header::{COOKIE, HeaderMap};

use super::error::ApiError;
use super::operator::{Operator, OperatorSession};
use super::page_origin::PageScheme;
use crate::auth::{random_secret, secret_digest};
use crate::clock::Clock;
use crate::domain::{OperatorId, Timestamp};
use crate::storage::{
    MANAGER_IDLE_MS, ManagerRow, ManagerSession, NewManagerSession, Store, StoreError,
};

/// How long a session lasts at most, in milliseconds, whatever its manager does.
const LASTS_MS: i64 = 12 * 3_600_000;
/// What a manager does is written down this often, in milliseconds: not each request writes.
const TOUCHED_EVERY_MS: i64 = 30_000;
/// While there is no manager, the store is asked this often whether there is one now, in
/// milliseconds, however many requests come.
const LOOKED_EVERY_MS: i64 = 1_000;

/// Characters of the browser's name that are kept.
const USER_AGENT_CHARS: usize = 200;

/// Browsers take a cookie with this name over TLS alone, for this host and all its paths.
const SECURE_COOKIE: &str = "__Host-liveroom";
/// For http on the same machine, where browsers refuse the other name.
const LOCAL_COOKIE: &str = "liveroom_dev";

/// The sessions of managers, and whether there are any managers.
pub struct ManagerSessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Managers are never deleted: once true, this stays true.
    has_managers: AtomicBool,
    looked_at: AtomicI64,
}

impl ManagerSessions {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            has_managers: AtomicBool::new(false),
            looked_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether there is a manager. One that was just added is found within a second.
    pub async fn has_managers(&self) -> Result<bool, StoreError> {
        if self.has_managers.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let now = self.clock.now();
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        if now.0 < looked_at.saturating_add(LOOKED_EVERY_MS) {
            return Ok(false);
        }
        let found = self.store.is_there_a_manager().await?;
        self.looked_at.store(now.0, Ordering::Relaxed);
        self.has_managers.fetch_or(found, Ordering::Relaxed);
        Ok(found)
    }

    /// The manager whose session the cookie of these headers names. `is_act`: it does something,
    /// which keeps the session alive.
    pub async fn identify(&self, headers: &HeaderMap, is_act: bool) -> Result<Operator, ApiError> {
        let secret = secret_of(headers).ok_or(ApiError::NoOperator)?;
        let now = self.clock.now();
        let digest = secret_digest(secret);
        let found = self.store.manager_session(digest, now).await?;
        let (mut session, manager) = found.ok_or(ApiError::NoOperator)?;
        if is_act && now.since(session.used_at) >= TOUCHED_EVERY_MS {
            self.store.touch_manager_session(session.id, now).await?;
            session.used_at = now;
        }
        Ok(operator_of(secret, &session, manager))
    }

    /// Begins a session of a manager whose password was compared. `None`: the manager was disabled
    /// or has another password by now.
    pub async fn open(
        &self,
        manager: ManagerRow,
        login: Login<'_>,
    ) -> Result<Option<(Operator, String)>, StoreError> {
        let secret = random_secret();
        let now = self.clock.now();
        let new = NewManagerSession {
            manager: manager.id,
            password_hash: login.password_hash,
            digest: secret_digest(&secret),
            address: login.address,
            network: login.network,
            user_agent: user_agent_of(login.headers),
            at: now,
            ends_at: now.plus_ms(LASTS_MS),
        };
        let opened = self.store.open_manager_session(new).await?;
        Ok(opened.map(|session| {
            let cookie = set_cookie(login.scheme, &secret);
            (operator_of(&secret, &session, manager), cookie)
        }))
    }
}

/// A login whose password was right.
pub struct Login<'a> {
    /// The hash that it was compared with.
    pub password_hash: String,
    pub address: std::net::IpAddr,
    pub network: String,
    pub scheme: PageScheme,
    pub headers: &'a HeaderMap,
}

fn operator_of(secret: &str, session: &ManagerSession, manager: ManagerRow) -> Operator {
    let idle_ends_at = session.used_at.plus_ms(MANAGER_IDLE_MS);
    Operator {
        id: OperatorId::Manager(manager.id),
        name: manager.name.as_str().into(),
        permissions: manager.role.permissions(manager.is_admin),
        session: Some(Arc::new(OperatorSession {
            id: session.id,
            csrf: csrf_of(secret),
            ends_at: session.ends_at,
            idle_ends_at: Timestamp(idle_ends_at.0.min(session.ends_at.0)),
            manager,
        })),
    }
}

/// What requests of a session that change something carry in a header. Derived from the secret,
/// which pages cannot read and other sites do not have.
fn csrf_of(secret: &str) -> String {
    secret_digest(&format!("csrf {secret}"))
}

fn user_agent_of(headers: &HeaderMap) -> String {
    let sent = headers
        .get("user-agent")
        .and_then(|name| name.to_str().ok());
    let visible = sent.unwrap_or_default().chars();
    visible.take(USER_AGENT_CHARS).collect()
}

/// The secret in the cookie, if there is one that could be one of ours.
fn secret_of(headers: &HeaderMap) -> Option<&str> {
    let named = |name: &str| {
        let mut pairs = headers
            .get_all(COOKIE)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(found, value)| (found == name).then_some(value))
    };
    let secret = named(SECURE_COOKIE).or_else(|| named(LOCAL_COOKIE))?;
    let is_ours = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then_some(secret)
}

fn set_cookie(scheme: PageScheme, secret: &str) -> String {
    match scheme {
        PageScheme::Https => {
            format!("{SECURE_COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict")
        }
        PageScheme::Local => format!("{LOCAL_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict"),
    }
}

/// What takes the cookies away from a browser.
pub fn removed_cookies() -> [String; 2] {
    [
        format!("{SECURE_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"),
        format!("{LOCAL_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
    ]
}
