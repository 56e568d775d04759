//! The HTTP API: what is not a session.
//!
//! Handlers extract, call and map the error; the whole URL table is `routes.rs`, what each failure
//! looks like is `error.rs`. Wire names and shapes of the replaced system's API live in `views.rs`.
//! `page.rs` is the page of viewers and `console.rs` that of operators; `static_files.rs` serves both.

mod account;
mod admin;
mod admin_views;
mod api_tokens;
mod attempts;
mod audit;
mod changes;
mod console;
mod cors;
mod error;
mod explain;
mod export;
mod feed;
mod fields;
mod filter;
mod follows;
mod gate;
mod gifts;
mod health;
mod held;
mod history;
mod live_exports;
mod live_limits;
mod lives;
mod login_limiter;
mod manager_login;
mod manager_sessions;
mod managers;
mod media;
mod moderation;
mod operator;
mod overview;
mod own_export;
mod page;
mod page_origin;
mod paging;
mod presence_pages;
mod reports;
mod room_pages;
mod routes;
mod signed_in;
mod static_files;
mod traces;
mod tries;
mod user_pages;
mod users;
mod views;
mod wrong_tokens;

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;

use crate::actors::{ClusterControl, Operations, Rooms};
use crate::auth::{Auth, Passwords};
use crate::catalogue::GiftCatalogue;
use crate::client_address::client_of;
use crate::clock::Clock;
use crate::config::Config;
use crate::storage::Store;
use crate::word_filters::WordFilters;

pub use account::AccountLimits;
pub use attempts::Attempts;
pub use changes::Changes;
pub use export::Exports;
pub use feed::{FeedText, open_feed};
pub use follows::FollowLimits;
pub use gate::{Requires, Verb};
pub use health::Readiness;
pub use live_limits::LiveLimits;
pub use login_limiter::LoginLimiter;
pub use manager_sessions::ManagerSessions;
pub use page::DEMO_GIFTS;
pub use routes::{ENDPOINTS, Endpoint, UrlSide, configure};
pub use tries::AddressBuckets;
pub use wrong_tokens::WrongTokens;

/// The services of the handlers. One is made per process and cloned per worker thread.
#[derive(Clone)]
pub struct ApiState {
    pub store: Arc<dyn Store>,
    pub auth: Arc<Auth>,
    pub passwords: Arc<Passwords>,
    pub catalogue: Arc<GiftCatalogue>,
    pub word_filters: Arc<WordFilters>,
    pub rooms: Rooms,
    pub cluster_control: Arc<ClusterControl>,
    pub operations: Arc<Operations>,
    pub clock: Arc<dyn Clock>,
    pub login_limiter: Arc<LoginLimiter>,
    /// Registrations of each address.
    pub registrations: Arc<AddressBuckets>,
    pub live_limits: Arc<LiveLimits>,
    pub follow_limits: Arc<FollowLimits>,
    pub account_limits: Arc<AccountLimits>,
    pub wrong_tokens: Arc<WrongTokens>,
    pub manager_sessions: Arc<ManagerSessions>,
    pub changes: Arc<Changes>,
    pub exports: Arc<Exports>,
    pub attempts: Arc<Attempts>,
    /// Of users, who must not take the seats of operators.
    pub own_exports: Arc<Exports>,
    pub readiness: Arc<Readiness>,
    pub config: Arc<Config>,
}

/// The client's address, under which its tries are counted.
fn address_of(request: &HttpRequest, state: &ApiState) -> IpAddr {
    client_of(
        request.peer_addr(),
        request.headers(),
        &state.config.server.trusted_proxies,
    )
}
