//! The whole URL table, as data. Sessions (`/socket.io/`, `/ws`) are the transport's.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, guard, web};

use super::changes::{Changes, Completing, Requester};
use super::error::{ApiError, ApiResult};
use super::gate::Requires::{self, AnyOperator, Nobody, Session, User};
use super::gate::Verb;
use super::{
    ApiState, account, admin, api_tokens, audit, console, cors, explain, feed, filter, follows,
    gate, gifts, health, held, history, live_exports, lives, manager_login, managers, moderation,
    overview, own_export, page, presence_pages, reports, room_pages, traces, user_pages, users,
};
use crate::domain::Permission::{self, Administer, Comments, Finance, Look, Moderate, Operate};

/// One line of the table: what is asked of which URL, and the author that it takes.
pub struct Endpoint {
    pub verb: Verb,
    /// As the router has it: `{name}` for a segment, `{name:a|b}` for one of these. It may be
    /// written with a slash at its end.
    pub path: &'static str,
    pub requires: Requires,
    handler: HandlerOf,
}

/// Makes the route of an endpoint, once for each worker thread.
enum HandlerOf {
    Read(fn() -> Route),
    Change(fn(ChangeRoute) -> Route),
}

/// Makes the route of a change. It only runs to its end as [`Completing`].
struct ChangeRoute {
    requester: Requester,
    changes: Arc<Changes>,
}

impl ChangeRoute {
    fn of<F, Args>(self, handler: F) -> Route
    where
        F: Handler<Args, Output = ApiResult>,
        Args: FromRequest + 'static,
    {
        web::route().to(Completing {
            handler,
            requester: self.requester,
            changes: self.changes,
        })
    }
}

fn read<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::route().to(handler)
}

const fn get(path: &'static str, requires: Requires, handler: fn() -> Route) -> Endpoint {
    Endpoint {
        verb: Verb::Get,
        path,
        requires,
        handler: HandlerOf::Read(handler),
    }
}

const fn post(
    path: &'static str,
    requires: Requires,
    handler: fn(ChangeRoute) -> Route,
) -> Endpoint {
    Endpoint {
        verb: Verb::Post,
        path,
        requires,
        handler: HandlerOf::Change(handler),
    }
}

const fn delete(
    path: &'static str,
    requires: Requires,
    handler: fn(ChangeRoute) -> Route,
) -> Endpoint {
    Endpoint {
        verb: Verb::Delete,
        path,
        requires,
        handler: HandlerOf::Change(handler),
    }
}

const fn to(permission: Permission) -> Requires {
    Requires::Operator(permission)
}

/// Every URL but those of the page at `/`. Lines of one path follow each other.
#[rustfmt::skip]
pub static ENDPOINTS: &[Endpoint] = &[
    get("/healthz", Nobody, || read(health::alive)),
    get("/readyz", Nobody, || read(health::ready)),

    post("/api/reg", Nobody, |change| change.of(users::register)),
    post("/api/login", Nobody, |change| change.of(users::login)),
    post("/api/logout", User, |change| change.of(users::logout)),
    get("/api/user/info", User, || read(users::info)),
    post("/api/user/profile", User, |change| change.of(account::change_profile)),
    post("/api/user/password", User, |change| change.of(account::change_password)),
    get("/api/user/export", User, || read(own_export::export)),
    get("/api/filter/export", User, || read(filter::export_own)),
    post("/api/filter/import", User, |change| change.of(filter::import_own)),
    post("/api/user/follow", User, |change| change.of(follows::set)),
    get("/api/user/follows", User, || read(follows::page)),
    post("/api/live/create", User, |change| change.of(lives::create)),
    post("/api/live/changestatus", User, |change| change.of(lives::change_status)),
    get("/api/live/list/{page}", Nobody, || read(lives::list)),
    get("/api/live/read/{id}", Nobody, || read(lives::read)),
    get("/api/live/{id}/history", Nobody, || read(history::page)),
    get("/api/live/{id}/me", User, || read(explain::for_user)),
    get("/api/live/{id}/sanctions", User, || read(explain::sanctions)),
    get("/api/live/{id}/held", User, || read(held::list)),
    get("/api/live/{id}/reports", User, || read(reports::for_moderators)),
    get("/api/gift/list", Nobody, || read(gifts::list)),

    post("/admin/login", Nobody, |change| change.of(manager_login::login)),
    post("/admin/setup", Nobody, |change| change.of(manager_login::setup)),
    post("/admin/logout", Session, |change| change.of(manager_login::logout)),
    get("/admin/me", AnyOperator, || read(manager_login::me)),
    post("/admin/password", Session, |change| change.of(manager_login::change_password)),
    get("/admin/sessions", Session, || read(manager_login::sessions)),
    delete("/admin/sessions/{id}", Session, |change| change.of(manager_login::end_session)),
    get("/admin/managers", to(Administer), || read(managers::list)),
    post("/admin/managers", to(Administer), |change| change.of(managers::add)),
    post("/admin/managers/{id}", to(Administer), |change| change.of(managers::change)),
    post("/admin/managers/{id}/reset", to(Administer), |change| change.of(managers::reset)),

    get("/admin/nodes", to(Look), || read(admin::nodes)),
    get("/admin/overview", to(Look), || read(overview::overview)),
    get("/admin/charts", to(Look), || read(overview::charts)),
    get("/admin/feed", to(Look), || read(feed::websocket_only)),
    get("/admin/explain", to(Comments), || read(explain::for_operators)),
    get("/admin", Nobody, || read(console::document)),
    get("/admin/assets/{file}", Nobody, || read(console::asset)),
    get("/admin/held", to(Comments), || read(held::list_anywhere)),
    get("/admin/reports", to(Comments), || read(reports::anywhere)),
    get("/admin/rooms", to(Look), || read(admin::rooms)),
    get("/admin/rooms/{live_id}", to(Look), || read(admin::room)),
    delete("/admin/rooms/{live_id}/comments/{comment_id}", to(Moderate), |change| change.of(moderation::take_down)),
    get("/admin/rooms/{live_id}/members", to(Comments), || read(presence_pages::members)),
    get("/admin/rooms/{live_id}/comments", to(Comments), || read(room_pages::comments)),
    get("/admin/rooms/{live_id}/givers", to(Look), || read(room_pages::givers)),
    get("/admin/rooms/{live_id}/ledger", to(Finance), || read(room_pages::ledger)),
    get("/admin/rooms/{live_id}/sanctions", to(Comments), || read(room_pages::sanctions)),
    get("/admin/rooms/{live_id}/held", to(Comments), || read(held::list_for_operators)),
    post("/admin/rooms/{live_id}/review", to(Moderate), |change| change.of(held::review)),
    post("/admin/rooms/{live_id}/notice", to(Moderate), |change| change.of(moderation::notice)),
    get("/admin/rooms/{live_id}/reports", to(Comments), || read(reports::for_operators)),
    post("/admin/rooms/{live_id}/dismiss_reports", to(Moderate), |change| change.of(moderation::dismiss_reports)),
    post("/admin/rooms/{live_id}/pin", to(Moderate), |change| change.of(moderation::pin)),
    post("/admin/rooms/{live_id}/title", to(Moderate), |change| change.of(moderation::set_title)),
    post("/admin/rooms/{live_id}/kick", to(Moderate), |change| change.of(moderation::kick)),
    post("/admin/rooms/{live_id}/{kind:mute|ban|shadow}", to(Moderate), |change| change.of(moderation::sanction)),
    post("/admin/rooms/{live_id}/un{kind:mute|ban|shadow}", to(Moderate), |change| change.of(moderation::lift)),
    post("/admin/rooms/{live_id}/delete_comments", to(Moderate), |change| change.of(moderation::take_down_last)),
    post("/admin/rooms/{live_id}/restore_comments", to(Moderate), |change| change.of(moderation::restore)),
    post("/admin/rooms/{live_id}/moderator", to(Moderate), |change| change.of(moderation::set_moderator)),
    get("/admin/rooms/{live_id}/modes", to(Look), || read(moderation::modes)),
    post("/admin/rooms/{live_id}/modes", to(Moderate), |change| change.of(moderation::set_modes)),
    post("/admin/rooms/{live_id}/close", to(Operate), |change| change.of(moderation::close)),
    get("/admin/users", to(Look), || read(user_pages::search)),
    post("/admin/users/{id}/coins", to(Finance), |change| change.of(admin::grant_coins)),
    get("/admin/users/{id}", to(Look), || read(user_pages::profile)),
    post("/admin/users/{id}", to(Operate), |change| change.of(moderation::set_user_status)),
    get("/admin/users/{id}/sessions", to(Comments), || read(presence_pages::sessions)),
    get("/admin/users/{id}/sanctions", to(Comments), || read(user_pages::sanctions)),
    get("/admin/users/{id}/ledger", to(Finance), || read(user_pages::ledger)),
    get("/admin/users/{id}/comments", to(Comments), || read(user_pages::comments)),
    get("/admin/lives/{live_id}/export/comments", to(Comments), || read(live_exports::comments)),
    get("/admin/lives/{live_id}/export/gifts", to(Finance), || read(live_exports::gifts)),
    get("/admin/trace", to(Operate), || read(traces::list)),
    post("/admin/trace", to(Operate), |change| change.of(traces::begin)),
    delete("/admin/trace/{id}", to(Operate), |change| change.of(traces::end)),
    get("/admin/trace/{id}/lines", to(Operate), || read(traces::lines)),
    get("/admin/filter/export", to(Operate), || read(filter::export_terms)),
    get("/admin/filter/hits", to(Operate), || read(filter::hits)),
    post("/admin/filter/import", to(Operate), |change| change.of(filter::import_terms)),
    post("/admin/filter/test", to(Operate), |change| change.of(filter::test)),
    get("/admin/gifts", to(Look), || read(gifts::list_for_operators)),
    post("/admin/gifts", to(Operate), |change| change.of(admin::create_gift)),
    post("/admin/gifts/{id}", to(Operate), |change| change.of(gifts::change)),
    get("/admin/tokens", to(Administer), || read(api_tokens::list)),
    post("/admin/tokens", to(Administer), |change| change.of(api_tokens::create)),
    delete("/admin/tokens/{id}", to(Administer), |change| change.of(api_tokens::revoke)),
    get("/admin/audit", to(Look), || read(audit::page)),
    get("/admin/audit/export", to(Look), || read(audit::export)),
    get("/admin/ledger/proof", to(Finance), || read(admin::prove_ledger)),
];

/// The URLs that one listener serves. `/healthz` and `/readyz` are on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlSide {
    /// All of them: there is one listener.
    Everybody,
    /// All but those of operators, which have a listener of their own.
    Public,
    /// Those of operators.
    Operators,
}

/// Adds the routes of this module that a listener serves to an app, and the answer to those that do
/// not exist.
pub fn configure(cfg: &mut web::ServiceConfig, state: &ApiState, side: UrlSide) {
    cfg.app_data(web::Data::new(state.clone()));
    if side != UrlSide::Operators {
        cfg.configure(page::configure);
    }
    let mut api = web::scope(API).wrap(from_fn(cors::allow_origins));
    let mut admin = web::scope(ADMIN).wrap(from_fn(|state, request, next| {
        gate::admit_operators(requires_of, state, request, next)
    }));
    for lines in ENDPOINTS.chunk_by(|one, next| one.path == next.path) {
        let path = lines[0].path;
        if let Some(path) = path.strip_prefix(API) {
            api = api.service(resource(path, lines, state));
        } else if let Some(path) = path.strip_prefix(ADMIN) {
            admin = admin.service(resource(path, lines, state));
        } else {
            cfg.service(resource(path, lines, state));
        }
    }
    if side != UrlSide::Operators {
        cfg.service(api);
    }
    if side != UrlSide::Public {
        cfg.service(admin);
    }
    cfg.default_service(web::to(unknown_route));
}

/// The author that a URL of the table requires, by its path in the table.
fn requires_of(verb: Verb, path: &str) -> Option<Requires> {
    let found = ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.verb == verb && endpoint.path == path);
    found.map(|endpoint| endpoint.requires)
}

const API: &str = "/api";
/// The operators' side: all of it is behind the gate.
const ADMIN: &str = "/admin";

/// The service of one path.
fn resource(path: &str, lines: &'static [Endpoint], state: &ApiState) -> Resource {
    let resource = web::resource(with_and_without_slash(path));
    let resource = lines.iter().fold(resource, |resource, endpoint| {
        resource.route(endpoint.route(state))
    });
    resource.default_service(web::to(move || not_allowed(lines)))
}

impl Endpoint {
    fn route(&self, state: &ApiState) -> Route {
        let route = match &self.handler {
            HandlerOf::Read(make) => make(),
            HandlerOf::Change(make) => make(ChangeRoute {
                requester: match self.requires {
                    Requires::Nobody => Requester::Stranger,
                    _ => Requester::Known,
                },
                changes: state.changes.clone(),
            }),
        };
        match self.verb {
            Verb::Get => route.guard(guard::Any(guard::Get()).or(guard::Head())),
            Verb::Post => route.guard(guard::Post()),
            Verb::Delete => route.guard(guard::Delete()),
        }
    }
}

/// A path may end with a slash, as in the system this replaces. Nothing else of it is forgiven:
/// slashes that are merged here and not by a proxy would be a way around its rules.
fn with_and_without_slash(path: &str) -> Vec<String> {
    let slashed = (!path.ends_with('/')).then(|| format!("{path}/"));
    [path.to_owned()].into_iter().chain(slashed).collect()
}

async fn not_allowed(lines: &'static [Endpoint]) -> ApiResult {
    let methods: Vec<_> = lines.iter().map(|line| line.verb.methods()).collect();
    Err(ApiError::MethodNotAllowed {
        allow: Cow::Owned(methods.join(", ")),
    })
}

async fn unknown_route() -> ApiResult {
    Err(ApiError::UnknownRoute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_path_follow_each_other_and_name_each_method_once() {
        let mut seen = Vec::new();
        for lines in ENDPOINTS.chunk_by(|one, next| one.path == next.path) {
            assert!(!seen.contains(&lines[0].path), "{}", lines[0].path);
            seen.push(lines[0].path);
            for (index, line) in lines.iter().enumerate() {
                let is_twice = lines[..index].iter().any(|other| other.verb == line.verb);
                assert!(!is_twice, "{:?} {}", line.verb, line.path);
            }
        }
    }

    #[test]
    fn only_urls_of_operators_require_one() {
        for endpoint in ENDPOINTS {
            let is_admin = endpoint.path.starts_with("/admin/");
            match endpoint.requires {
                Requires::Nobody => {}
                Requires::User => assert!(!is_admin, "{}", endpoint.path),
                _ => assert!(is_admin, "{}", endpoint.path),
            }
        }
    }
}
