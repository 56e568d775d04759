//! The operators' console at `/admin/`: a page over the operators' API, served to anybody. What it
//! may read and change is decided there, request by request.

mod assets;

use std::sync::LazyLock;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use assets::{ASSETS, INDEX};

use super::static_files::StaticFiles;

static FILES: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::new(ASSETS));

/// GET /admin/: the document. Its references count from the folder, so without the slash it is
/// answered with where it is.
pub async fn document(request: HttpRequest) -> HttpResponse {
    if request.path() == INDEX {
        return FILES.serve(&request, INDEX);
    }
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, INDEX))
        .finish()
}

/// GET /admin/assets/{file}
pub async fn asset(request: HttpRequest) -> HttpResponse {
    FILES.serve(&request, request.path())
}

#[cfg(test)]
mod tests {
    use actix_web::http::{StatusCode, header};
    use actix_web::{App, test, web};

    use super::*;

    async fn ask(path: &str) -> (StatusCode, Option<String>) {
        let app = App::new()
            .route("/admin", web::get().to(document))
            .route("/admin/", web::get().to(document))
            .route("/admin/assets/{file}", web::get().to(asset));
        let app = test::init_service(app).await;
        let request = test::TestRequest::with_uri(path).to_request();
        let response = test::call_service(&app, request).await;
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY);
        let policy = policy.map(|value| value.to_str().expect("ascii").to_owned());
        (response.status(), policy)
    }

    #[actix_web::test]
    async fn the_console_and_nothing_else_is_served() {
        let (status, policy) = ask("/admin/").await;
        assert_eq!(status, StatusCode::OK);
        let policy = policy.expect("a policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
        assert_eq!(ask("/admin").await.0, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(ask("/admin/assets/dom.js").await.0, StatusCode::OK);
        for path in [
            "/admin/assets/",
            "/admin/assets/room.css",
            "/admin/assets/a/b",
        ] {
            assert_eq!(ask(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
