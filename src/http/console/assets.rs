//! The files of the console. Those that it has in common with the page at `/` are served from here
//! too, because the operators' side may have an address of its own. Their `./words.js` is the
//! console's.

use super::super::static_files::{CSS, HTML, PICTURE, SCRIPT, StaticFile};

/// The path of the document.
pub(super) const INDEX: &str = "/admin/";

/// Everything under `/admin/assets/`, and the document: `own` files are in `console/`, `shared` ones
/// in `page/`.
macro_rules! assets {
    ($(own $own_type:ident { $($own:literal),+ $(,)? })+ $(shared $shared_type:ident { $($shared:literal),+ $(,)? })+) => {
        &[
            StaticFile { path: INDEX, content_type: HTML, body: include_str!("index.html") },
            $($(StaticFile { path: concat!("/admin/assets/", $own), content_type: $own_type, body: include_str!($own) },)+)+
            $($(StaticFile { path: concat!("/admin/assets/", $shared), content_type: $shared_type, body: include_str!(concat!("../page/", $shared)) },)+)+
        ]
    };
}

pub(super) const ASSETS: &[StaticFile] = assets! {
    own CSS { "console.css" }
    own SCRIPT {
        "act.js", "admin.js", "app.js", "audit.js", "books.js", "charts.js", "feed.js",
        "filter.js", "format.js", "gifts.js", "login.js", "managers.js", "overview.js", "own.js",
        "person.js", "queue.js", "review.js", "room.js", "room_acts.js", "room_feed.js",
        "secret.js", "session.js", "table.js", "trace.js", "ui.js", "uplot.js", "user.js",
        "users.js", "words.js", "words_en.js", "words_zh.js",
    }
    shared CSS { "base.css" }
    shared SCRIPT { "dom.js", "i18n.js", "ids.js", "request.js" }
    shared PICTURE { "icon.svg" }
};

#[cfg(test)]
mod tests {
    use super::super::super::static_files::promises;
    use super::*;

    /// Published as it is by its authors; the console gives it numbers and fixed words alone.
    const FOREIGN: &str = "/admin/assets/uplot.js";

    #[test]
    fn references_and_assets_match() {
        let is_unnamed = |path: &str| path == INDEX;
        promises::assert_references_match(ASSETS, "/admin/assets/", Vec::new(), is_unnamed);
    }

    #[test]
    fn scripts_make_no_markup_and_stay_small() {
        let own = ASSETS.iter().filter(|file| file.path != FOREIGN);
        promises::assert_no_markup_and_small(own);
    }
}
