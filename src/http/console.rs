//! The operators' console at `/admin/`: a page over the operators' API, served to anybody. What it
//! may read and change is decided there, request by request.

mod assets;

use std::sync::LazyLock;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use assets::{ASSETS, INDEX};

use super::static_files::{StaticFiles, reading_only};

static FILES: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::new(ASSETS));

/// Registers `/admin`, `/admin/` and `/admin/assets/…`, for GET and HEAD. To be called before the
/// scope of the operators' API, which would take these paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    let serve = |request: HttpRequest| async move { FILES.serve(&request, request.path()) };
    for pattern in [INDEX, "/admin/assets/{file:.*}"] {
        let resource = web::resource(pattern)
            .route(web::get().to(serve))
            .route(web::head().to(serve));
        cfg.service(resource.default_service(web::to(reading_only)));
    }
    cfg.route("/admin", web::get().to(with_slash));
}

/// References of the page count from the folder.
async fn with_slash() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, INDEX))
        .finish()
}

#[cfg(test)]
mod tests {
    use actix_web::http::{Method, StatusCode, header};
    use actix_web::{App, test};

    use super::*;

    async fn ask(method: Method, path: &str) -> (StatusCode, Option<String>) {
        let app = test::init_service(App::new().configure(configure)).await;
        let request = test::TestRequest::with_uri(path).method(method);
        let response = test::call_service(&app, request.to_request()).await;
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY);
        let policy = policy.map(|value| value.to_str().expect("ascii").to_owned());
        (response.status(), policy)
    }

    #[actix_web::test]
    async fn the_console_and_nothing_else_is_served_below_admin() {
        let (status, policy) = ask(Method::GET, "/admin/").await;
        assert_eq!(status, StatusCode::OK);
        let policy = policy.expect("a policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
        assert_eq!(
            ask(Method::GET, "/admin").await.0,
            StatusCode::PERMANENT_REDIRECT
        );
        for path in [
            "/admin/assets/",
            "/admin/assets/../page.rs",
            "/admin/assets/room.css",
        ] {
            assert_eq!(
                ask(Method::GET, path).await.0,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        assert_eq!(
            ask(Method::POST, "/admin/").await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
