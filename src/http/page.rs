//! The page at `/`: a live room to look at, over `/ws` and the HTTP API like any other client.

mod assets;

use std::sync::LazyLock;

use actix_web::{HttpRequest, web};

use super::static_files::{StaticFiles, reading_only};

pub use assets::DEMO_GIFTS;
use assets::{ASSETS, INDEX};

static FILES: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::new(ASSETS));

/// Registers `/`, `/assets/…` and `/favicon.ico`, for GET and HEAD.
pub fn configure(cfg: &mut web::ServiceConfig) {
    for (pattern, fixed) in [
        ("/", Some(INDEX)),
        ("/favicon.ico", Some("/assets/icon.svg")),
        ("/assets/{file:.*}", None),
    ] {
        let handler = move |request: HttpRequest| async move {
            FILES.serve(&request, fixed.unwrap_or(request.path()))
        };
        let resource = web::resource(pattern)
            .route(web::get().to(handler))
            .route(web::head().to(handler));
        cfg.service(resource.default_service(web::to(reading_only)));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::ServiceResponse;
    use actix_web::http::{Method, StatusCode, header};
    use actix_web::{App, test};

    use super::*;

    fn header_of(response: &ServiceResponse, name: header::HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .expect("header")
            .to_str()
            .expect("ascii")
    }

    async fn ask(method: Method, path: &str, if_none_match: Option<&str>) -> ServiceResponse {
        let app = test::init_service(App::new().configure(configure)).await;
        let mut request = test::TestRequest::with_uri(path).method(method);
        if let Some(tag) = if_none_match {
            request = request.insert_header((header::IF_NONE_MATCH, tag));
        }
        test::call_service(&app, request.to_request()).await
    }

    #[actix_web::test]
    async fn the_page_forbids_foreign_scripts_and_asks_to_be_revalidated() {
        let response = ask(Method::GET, "/", None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            header_of(&response, header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
        assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-cache");
        let policy = header_of(&response, header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
    }

    #[actix_web::test]
    async fn a_known_etag_is_answered_without_a_body() {
        let first = ask(Method::GET, "/assets/app.js", None).await;
        let etag = header_of(&first, header::ETAG);
        for tag in [
            etag.to_owned(),
            format!("W/{etag}"),
            format!("\"other\", {etag}"),
            "*".to_owned(),
        ] {
            let response = ask(Method::GET, "/assets/app.js", Some(&tag)).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert_eq!(header_of(&response, header::ETAG), etag);
        }
        assert_eq!(
            ask(Method::GET, "/assets/app.js", Some("\"other\""))
                .await
                .status(),
            StatusCode::OK
        );
        assert_eq!(
            ask(Method::GET, "/assets/app.js", Some("nonsense"))
                .await
                .status(),
            StatusCode::OK
        );
    }

    #[actix_web::test]
    async fn head_is_answered_and_other_methods_are_refused() {
        for path in ["/", "/favicon.ico", "/assets/base.css"] {
            assert_eq!(
                ask(Method::HEAD, path, None).await.status(),
                StatusCode::OK,
                "{path}"
            );
            assert_eq!(
                ask(Method::POST, path, None).await.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{path}"
            );
        }
    }

    #[actix_web::test]
    async fn nothing_but_the_listed_assets_is_served() {
        for path in [
            "/assets/",
            "/assets/../page.rs",
            "/assets/%2e%2e/page.rs",
            "/assets/none.js",
            "/assets//app.js",
        ] {
            assert_eq!(
                ask(Method::GET, path, None).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }

    #[actix_web::test]
    async fn demo_gifts_have_a_picture_that_is_served() {
        for (name, image, price) in DEMO_GIFTS {
            let response = ask(Method::GET, image, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(header_of(&response, header::CONTENT_TYPE), "image/svg+xml");
            assert!(price >= 1);
        }
    }
}
