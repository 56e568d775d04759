//! Files of the pages, compiled in, so the binary is all there is to deploy. There is no build step:
//! what the browser gets is what stands in the folder of the page.

use std::collections::HashMap;

use actix_web::http::header::{self, EntityTag, Header as _};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const PICTURE: &str = "image/svg+xml";

/// Scripts, styles and pictures only from here. The pages never insert markup, and if they did, this
/// would keep it from running. `ws:` and `wss:` are named because not every browser counts them
/// as `'self'`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
    style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Names carry no version, so a browser asks each time whether its copy is still good: scripts of
/// two releases must never meet in one page. The answer is a 304 without a body.
const CACHE_CONTROL: &str = "no-cache";

/// Bytes of a SHA-256 that an `ETag` shows: enough to distinguish releases.
const ETAG_BYTES: usize = 12;

/// One file, ready to be sent.
pub(super) struct StaticFile {
    /// The path it is served at.
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: &'static str,
}

/// All files of a page.
pub(super) struct StaticFiles {
    files: &'static [StaticFile],
    /// Entity tags by path, computed once.
    etags: HashMap<&'static str, EntityTag>,
}

impl StaticFiles {
    pub fn new(files: &'static [StaticFile]) -> Self {
        let etags = files.iter().map(|file| (file.path, etag_of(file.body)));
        Self {
            files,
            etags: etags.collect(),
        }
    }

    /// Answers with the file at exactly `path`, or 304 if the browser has it.
    pub fn serve(&self, request: &HttpRequest, path: &str) -> HttpResponse {
        let Some(file) = self.files.iter().find(|file| file.path == path) else {
            return HttpResponse::NotFound().finish();
        };
        let etag = self.etags[file.path].clone();
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
            .insert_header((header::CONTENT_TYPE, file.content_type));
        if fresh {
            response.finish()
        } else {
            response.body(file.body)
        }
    }
}

/// The answer to a request with a method that files do not have.
pub(super) async fn reading_only() -> HttpResponse {
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

/// What the files of every page promise.
#[cfg(test)]
pub(super) mod promises {
    use super::StaticFile;

    /// Every `{folder}…` and `./module.js` that a file names is there, and every file but those at
    /// the paths `unnamed` is named by one, or in `named`.
    pub fn assert_references_match(
        files: &[StaticFile],
        folder: &str,
        mut named: Vec<String>,
        is_unnamed: impl Fn(&str) -> bool,
    ) {
        for file in files {
            for quoted in file.body.split(['"', '`']) {
                if let Some(module) = quoted.strip_prefix("./") {
                    named.push(format!("{folder}{module}"));
                } else if quoted.starts_with(folder) && !quoted.contains("${") {
                    named.push(quoted.to_owned());
                }
            }
        }
        for path in &named {
            assert!(
                files.iter().any(|file| file.path == path),
                "{path} is named, but not served"
            );
        }
        for file in files.iter().filter(|file| !is_unnamed(file.path)) {
            assert!(
                named.iter().any(|path| path == file.path),
                "{} is served, but never named",
                file.path
            );
        }
    }

    /// User text never becomes markup, and scripts stay readable.
    pub fn assert_no_markup_and_small<'a>(files: impl IntoIterator<Item = &'a StaticFile>) {
        for file in files {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(
                    !file.body.contains(forbidden),
                    "{} uses {forbidden}",
                    file.path
                );
            }
            assert!(file.body.lines().count() < 500, "{} is too long", file.path);
        }
    }
}
