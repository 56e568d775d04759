//! The texts of members: filler of a given length and script.

use crate::rng::Rng;
use crate::script::TextSource;

const WORDS: &[&str] = &[
    "hello ", "nice ", "song ", "again ", "please ", "wow ", "from ", "the ", "back ", "row ",
];
const CHINESE: &[&str] = &[
    "主播",
    "好听",
    "来了",
    "哈哈",
    "再来",
    "一首",
    "加油",
    "晚上好",
    "礼物",
    "感谢",
];
const EMOJI: &[&str] = &["🌹", "👏", "😂", "❤️", "🎉", "🚀", "👨‍👩‍👧", "🇨🇳", "🔥", "✨"];
const ESCAPES: &[&str] = &[
    "\"", "\\", "\n", "\t", "</b>", "\u{7f}", "\u{2028}", "'", "&amp;", "\\u0000",
];

/// Appends until `text` has about `bytes` bytes: never more, unless it had already.
pub fn pad(text: &mut String, bytes: usize, source: TextSource, rng: &mut Rng) {
    let pieces = match source {
        TextSource::Words => WORDS,
        TextSource::Chinese => CHINESE,
        TextSource::Emoji => EMOJI,
        TextSource::Escapes => ESCAPES,
    };
    loop {
        let piece = pieces[rng.below(pieces.len())];
        if text.len() + piece.len() > bytes {
            break;
        }
        text.push_str(piece);
    }
    // Not a space at the end: servers may trim, and the sender is to receive what it sent.
    if text.len() < bytes {
        text.push('.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_length_asked_for() {
        let mut rng = Rng::new(3);
        for source in [
            TextSource::Words,
            TextSource::Chinese,
            TextSource::Emoji,
            TextSource::Escapes,
        ] {
            let mut text = "lab#1 ".to_owned();
            pad(&mut text, 120, source, &mut rng);
            assert!((80..=120).contains(&text.len()), "{text}");
        }
    }
}
