//! The files of the page, and the gifts whose pictures are among them.

/// One file, ready to be sent.
pub(super) struct Asset {
    /// The path it is served at.
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: &'static str,
}

/// The document's key in [`ASSETS`]; it is served at `/` and by no other name.
pub(super) const INDEX: &str = "/";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Everything under `/assets/`, and the document.
macro_rules! assets {
    ($($content_type:ident { $($file:literal),+ $(,)? })+) => {
        &[
            Asset { path: INDEX, content_type: HTML, body: include_str!("index.html") },
            $($(Asset { path: concat!("/assets/", $file), content_type: $content_type, body: include_str!($file) },)+)+
        ]
    };
}

pub(super) const ASSETS: &[Asset] = assets! {
    CSS { "base.css", "room.css" }
    SCRIPT {
        "account.js", "api.js", "app.js", "chat.js", "composer.js", "controls.js", "danmaku.js", "dom.js", "gifts.js",
        "i18n.js", "lobby.js", "modes.js", "names.js", "notice.js", "outbox.js", "own_comments.js", "people.js", "person_card.js",
        "pinned.js", "presence.js", "queue.js", "room.js", "socket.js", "stage.js", "standing.js",
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
    use super::*;

    /// Every `/assets/…` and `./module.js` a file names is there, and every file is named by one.
    #[test]
    fn references_and_assets_match() {
        let mut named: Vec<String> = DEMO_GIFTS
            .iter()
            .map(|(_, image, _)| (*image).to_owned())
            .collect();
        for asset in ASSETS {
            for quoted in asset.body.split(['"', '`']) {
                if let Some(module) = quoted.strip_prefix("./") {
                    named.push(format!("/assets/{module}"));
                } else if quoted.starts_with("/assets/") && !quoted.contains("${") {
                    named.push(quoted.to_owned());
                }
            }
        }
        for path in &named {
            assert!(
                ASSETS.iter().any(|asset| asset.path == path),
                "{path} is named, but not served"
            );
        }
        for asset in ASSETS
            .iter()
            .filter(|asset| asset.path != INDEX && !asset.path.contains("/covers/"))
        {
            assert!(
                named.iter().any(|path| path == asset.path),
                "{} is served, but never named",
                asset.path
            );
        }
    }

    /// The page's promise that user text never becomes markup, and that it stays readable.
    #[test]
    fn scripts_make_no_markup_and_stay_small() {
        for asset in ASSETS {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(
                    !asset.body.contains(forbidden),
                    "{} uses {forbidden}",
                    asset.path
                );
            }
            assert!(
                asset.body.lines().count() < 500,
                "{} is too long",
                asset.path
            );
        }
    }
}
