//! The whole URL table. Sessions (`/socket.io/`, `/ws`) are the transport's.

use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, Resource, Responder, guard, web};

use super::changes::{Completing, Requester};
use super::error::{ApiError, ApiResult};
use super::{
    ApiState, account, admin, console, cors, explain, filter, follows, gifts, health, held,
    history, lives, moderation, page, reports, users,
};

/// Adds every route of this module to an app, and the answer to those that do not exist.
pub fn configure(cfg: &mut web::ServiceConfig, state: &ApiState) {
    cfg.app_data(web::Data::new(state.clone()))
        .configure(page::configure)
        .configure(console::configure)
        .service(get("/healthz", health::alive))
        .service(get("/readyz", health::ready))
        .service(
            web::scope("/api")
                .wrap(from_fn(cors::allow_origins))
                .service(post_of_stranger(state, "/reg", users::register))
                .service(post_of_stranger(state, "/login", users::login))
                .service(post(state, "/logout", users::logout))
                .service(get("/user/info", users::info))
                .service(post(state, "/user/profile", account::change_profile))
                .service(post(state, "/user/password", account::change_password))
                .service(get("/filter/export", filter::export_own))
                .service(post(state, "/filter/import", filter::import_own))
                .service(post(state, "/user/follow", follows::set))
                .service(get("/user/follows", follows::page))
                .service(post(state, "/live/create", lives::create))
                .service(post(state, "/live/changestatus", lives::change_status))
                .service(get("/live/list/{page}", lives::list))
                .service(get("/live/read/{id}", lives::read))
                .service(get("/live/{id}/history", history::page))
                .service(get("/live/{id}/me", explain::for_user))
                .service(get("/live/{id}/sanctions", explain::sanctions))
                .service(get("/live/{id}/held", held::list))
                .service(get("/live/{id}/reports", reports::for_moderators))
                .service(get("/gift/list", gifts::list)),
        )
        .service(
            web::scope("/admin")
                .wrap(from_fn(admin::require_operator))
                .service(get("/nodes", admin::nodes))
                .service(get("/explain", explain::for_operators))
                .service(get("/held", held::list_anywhere))
                .service(get("/reports", reports::anywhere))
                .service(get("/rooms", admin::rooms))
                .service(get("/rooms/{live_id}", admin::room))
                .service(delete(
                    state,
                    "/rooms/{live_id}/comments/{comment_id}",
                    moderation::take_down,
                ))
                .service(get("/rooms/{live_id}/held", held::list_for_operators))
                .service(post(state, "/rooms/{live_id}/review", held::review))
                .service(post(state, "/rooms/{live_id}/notice", moderation::notice))
                .service(get("/rooms/{live_id}/reports", reports::for_operators))
                .service(post(
                    state,
                    "/rooms/{live_id}/dismiss_reports",
                    moderation::dismiss_reports,
                ))
                .service(post(state, "/rooms/{live_id}/pin", moderation::pin))
                .service(post(state, "/rooms/{live_id}/title", moderation::set_title))
                .service(post(state, "/rooms/{live_id}/kick", moderation::kick))
                .service(post(
                    state,
                    "/rooms/{live_id}/{kind:mute|ban|shadow}",
                    moderation::sanction,
                ))
                .service(post(
                    state,
                    "/rooms/{live_id}/un{kind:mute|ban|shadow}",
                    moderation::lift,
                ))
                .service(post(
                    state,
                    "/rooms/{live_id}/delete_comments",
                    moderation::take_down_last,
                ))
                .service(post(
                    state,
                    "/rooms/{live_id}/restore_comments",
                    moderation::restore,
                ))
                .service(post(
                    state,
                    "/rooms/{live_id}/moderator",
                    moderation::set_moderator,
                ))
                .service(get_and_post(
                    state,
                    "/rooms/{live_id}/modes",
                    moderation::modes,
                    moderation::set_modes,
                ))
                .service(post(state, "/rooms/{live_id}/close", moderation::close))
                .service(post(state, "/users/{id}/coins", admin::grant_coins))
                .service(post(state, "/users/{id}", moderation::set_user_status))
                .service(get("/filter/export", filter::export_terms))
                .service(get("/filter/hits", filter::hits))
                .service(post(state, "/filter/import", filter::import_terms))
                .service(post(state, "/filter/test", filter::test))
                .service(get_and_post(
                    state,
                    "/gifts",
                    gifts::list_for_operators,
                    admin::create_gift,
                ))
                .service(post(state, "/gifts/{id}", gifts::change))
                .service(get("/ledger/proof", admin::prove_ledger)),
        )
        .default_service(web::to(unknown_route));
}

fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    web::resource(with_and_without_slash(path))
        .route(web::route().guard(reads).to(handler))
        .default_service(web::to(get_only))
}

/// A change that only a user with a good token or an operator may ask for: its handler's arguments,
/// or the scope it is in, see to that.
fn post<F, Args>(state: &ApiState, path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output = ApiResult>,
    Args: FromRequest + 'static,
{
    let handler = completing(state, Requester::Known, handler);
    web::resource(with_and_without_slash(path))
        .route(web::post().to(handler))
        .default_service(web::to(post_only))
}

/// What is read and changed under one URL.
fn get_and_post<G, GetArgs, P, PostArgs>(state: &ApiState, path: &str, get: G, post: P) -> Resource
where
    G: Handler<GetArgs>,
    GetArgs: FromRequest + 'static,
    G::Output: Responder + 'static,
    P: Handler<PostArgs, Output = ApiResult>,
    PostArgs: FromRequest + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    let post = completing(state, Requester::Known, post);
    web::resource(with_and_without_slash(path))
        .route(web::route().guard(reads).to(get))
        .route(web::post().to(post))
        .default_service(web::to(get_and_post_only))
}

/// A change that anybody may ask for.
fn post_of_stranger<F, Args>(state: &ApiState, path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output = ApiResult>,
    Args: FromRequest + 'static,
{
    let handler = completing(state, Requester::Stranger, handler);
    web::resource(with_and_without_slash(path))
        .route(web::post().to(handler))
        .default_service(web::to(post_only))
}

fn delete<F, Args>(state: &ApiState, path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output = ApiResult>,
    Args: FromRequest + 'static,
{
    let handler = completing(state, Requester::Known, handler);
    web::resource(with_and_without_slash(path))
        .route(web::delete().to(handler))
        .default_service(web::to(delete_only))
}

/// A path may end with a slash, as in the system this replaces. Nothing else of it is forgiven:
/// slashes that are merged here and not by a proxy would be a way around its rules.
fn with_and_without_slash(path: &str) -> [String; 2] {
    [path.to_owned(), format!("{path}/")]
}

fn completing<F>(state: &ApiState, requester: Requester, handler: F) -> Completing<F> {
    Completing {
        handler,
        requester,
        changes: state.changes.clone(),
    }
}

async fn get_only() -> ApiResult {
    Err(ApiError::MethodNotAllowed { allow: "GET, HEAD" })
}

async fn get_and_post_only() -> ApiResult {
    let allow = "GET, HEAD, POST";
    Err(ApiError::MethodNotAllowed { allow })
}

async fn post_only() -> ApiResult {
    Err(ApiError::MethodNotAllowed { allow: "POST" })
}

async fn delete_only() -> ApiResult {
    Err(ApiError::MethodNotAllowed { allow: "DELETE" })
}

async fn unknown_route() -> ApiResult {
    Err(ApiError::UnknownRoute)
}
