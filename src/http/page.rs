//! The page at `/`: a live room to look at, over `/ws` and the HTTP API like any other client.
//!
//! Its files are compiled in, so the binary is all there is to deploy. There is no build step: what
//! the browser gets is what stands in `page/`.

mod assets;

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::http::header::{self, EntityTag, Header as _};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

pub use assets::DEMO_GIFTS;
use assets::{ASSETS, INDEX};

/// Scripts, styles and pictures only from here. The page never inserts markup, and if it did, this
/// would keep it from running. `ws:` and `wss:` are named because not every browser counts them
/// as `'self'`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
    style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Names carry no version, so a browser asks each time whether its copy is still good: scripts of
/// two releases must never meet in one page. The answer is a 304 without a body.
const CACHE_CONTROL: &str = "no-cache";

/// Bytes of a SHA-256 that an `ETag` shows: enough to distinguish releases.
const ETAG_BYTES: usize = 12;

/// Entity tags by path, computed once.
static ETAGS: LazyLock<HashMap<&'static str, EntityTag>> = LazyLock::new(|| {
    ASSETS
        .iter()
        .map(|asset| (asset.path, etag_of(asset.body)))
        .collect()
});

/// Registers `/`, `/assets/…` and `/favicon.ico`, for GET and HEAD.
pub fn configure(cfg: &mut web::ServiceConfig) {
    for (pattern, fixed) in [
        ("/", Some(INDEX)),
        ("/favicon.ico", Some("/assets/icon.svg")),
        ("/assets/{file:.*}", None),
    ] {
        let handler = move |request: HttpRequest| async move {
            serve(&request, fixed.unwrap_or(request.path()))
        };
        let resource = web::resource(pattern)
            .route(web::get().to(handler))
            .route(web::head().to(handler));
        cfg.service(resource.default_service(web::to(reading_only)));
    }
}

/// Answers with the asset at exactly `path`, or 304 if the browser has it.
fn serve(request: &HttpRequest, path: &str) -> HttpResponse {
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return HttpResponse::NotFound().finish();
    };
    let etag = ETAGS[asset.path].clone();
    let fresh = is_fresh(request, &etag);
    let mut response = if fresh {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header(header::ETag(etag))
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CONTENT_TYPE, asset.content_type));
    if fresh {
        response.finish()
    } else {
        response.body(asset.body)
    }
}

async fn reading_only() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((header::ALLOW, "GET, HEAD"))
        .finish()
}

fn is_fresh(request: &HttpRequest, etag: &EntityTag) -> bool {
    match header::IfNoneMatch::parse(request) {
        Ok(header::IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
        Ok(header::IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(etag)),
        Err(_) => false,
    }
}

fn etag_of(body: &str) -> EntityTag {
    let digest = Sha256::digest(body.as_bytes());
    EntityTag::new_strong(
        digest
            .iter()
            .take(ETAG_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::dev::ServiceResponse;
    use actix_web::http::{Method, StatusCode};
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
