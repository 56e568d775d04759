//! The whole URL table. Sessions (`/socket.io/`, `/ws`) are the transport's.

use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, Resource, Responder, guard, web};

use super::error::{Answer, ApiError};
use super::{ApiState, admin, cors, gifts, health, history, lives, moderation, page, users};

/// Adds every route of this module to an app, and the answer to those that do not exist.
pub fn configure(cfg: &mut web::ServiceConfig, state: &ApiState) {
    cfg.app_data(web::Data::new(state.clone()))
        .configure(page::configure)
        .service(get("/healthz", health::alive))
        .service(get("/readyz", health::ready))
        .service(
            web::scope("/api")
                .wrap(from_fn(cors::allow_origins))
                .service(post("/reg", users::register))
                .service(post("/login", users::login))
                .service(post("/logout", users::logout))
                .service(get("/user/info", users::info))
                .service(post("/live/create", lives::create))
                .service(post("/live/changestatus", lives::change_status))
                .service(get("/live/list/{page}", lives::list))
                .service(get("/live/read/{id}", lives::read))
                .service(get("/live/{id}/history", history::page))
                .service(get("/gift/list", gifts::list)),
        )
        .service(
            web::scope("/admin")
                .wrap(from_fn(admin::require_operator))
                .service(get("/nodes", admin::nodes))
                .service(get("/rooms", admin::rooms))
                .service(get("/rooms/{live_id}", admin::room))
                .service(delete("/rooms/{live_id}/comments/{comment_id}", moderation::take_down))
                .service(post("/rooms/{live_id}/notice", moderation::notice))
                .service(post("/rooms/{live_id}/kick", moderation::kick))
                .service(post("/rooms/{live_id}/close", moderation::close))
                .service(post("/users/{id}/coins", admin::grant_coins))
                .service(post("/users/{id}", admin::set_user_status))
                .service(post("/gifts", admin::create_gift))
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
    web::resource(path).route(web::route().guard(reads).to(handler)).default_service(web::to(get_only))
}

fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler)).default_service(web::to(post_only))
}

fn delete<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::delete().to(handler)).default_service(web::to(delete_only))
}

async fn get_only() -> Answer {
    Err(ApiError::MethodNotAllowed { allow: "GET, HEAD" })
}

async fn post_only() -> Answer {
    Err(ApiError::MethodNotAllowed { allow: "POST" })
}

async fn delete_only() -> Answer {
    Err(ApiError::MethodNotAllowed { allow: "DELETE" })
}

async fn unknown_route() -> Answer {
    Err(ApiError::UnknownRoute)
}
