//! The files of the page, and the gifts whose pictures are among them.

use super::super::static_files::{CSS, HTML, PICTURE, SCRIPT, StaticFile};

/// The document's key in [`ASSETS`]; it is served at `/` and by no other name.
pub(super) const INDEX: &str = "/";

/// Everything under `/assets/`, and the document.
macro_rules! assets {
    ($($content_type:ident { $($file:literal),+ $(,)? })+) => {
        &[
            StaticFile { path: INDEX, content_type: HTML, body: include_str!("index.html") },
            $($(StaticFile { path: concat!("/assets/", $file), content_type: $content_type, body: include_str!($file) },)+)+
        ]
    };
}

pub(super) const ASSETS: &[StaticFile] = assets! {
    CSS { "base.css", "room.css" }
    SCRIPT {
        "account.js", "api.js", "app.js", "chat.js", "composer.js", "controls.js", "danmaku.js", "dom.js",
        "gifts.js", "i18n.js", "ids.js", "lobby.js", "modes.js", "names.js", "notice.js", "outbox.js",
        "own_comments.js", "people.js", "person_card.js", "pinned.js", "presence.js", "profile.js",
        "queue.js", "request.js", "room.js", "socket.js", "stage.js", "standing.js", "words.js",
    }
    PICTURE {
        "icon.svg", "gifts/rose.svg", "gifts/heart.svg", "gifts/star.svg", "gifts/diamond.svg", "gifts/crown.svg",
        "gifts/rocket.svg", "covers/aurora.svg", "covers/sunset.svg", "covers/neon.svg", "covers/ocean.svg",
    }
};

/// The catalogue a demo starts with: name, picture, price in coins. The page knows English words
/// for these names.
pub const DEMO_GIFTS: [(&str, &str, i64); 6] = [
    ("小花", "/assets/gifts/rose.svg", 1),
    ("爱心", "/assets/gifts/heart.svg", 5),
    ("星星", "/assets/gifts/star.svg", 10),
    ("钻石", "/assets/gifts/diamond.svg", 66),
    ("皇冠", "/assets/gifts/crown.svg", 188),
    ("火箭", "/assets/gifts/rocket.svg", 520),
];

#[cfg(test)]
mod tests {
    use super::super::super::static_files::promises;
    use super::*;

    #[test]
    fn references_and_assets_match() {
        let gifts = DEMO_GIFTS.iter().map(|(_, image, _)| (*image).to_owned());
        let is_unnamed = |path: &str| path == INDEX || path.contains("/covers/");
        promises::assert_references_match(ASSETS, "/assets/", gifts.collect(), is_unnamed);
    }

    #[test]
    fn scripts_make_no_markup_and_stay_small() {
        promises::assert_no_markup_and_small(ASSETS);
    }
}
