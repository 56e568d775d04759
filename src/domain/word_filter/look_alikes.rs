//! Letters of other scripts that are drawn as Latin ones (Unicode Technical Standard 39), and Latin
//! ones in styles that NFKC does not know.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript};
use unicode_security::skeleton;

/// From here on there are Chinese characters, and no letters that look like Latin ones.
const LOOK_ALIKES_END: char = '\u{20000}';

static LATIN_OF: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters = ('\u{80}'..LOOK_ALIKES_END).filter(|c| {
        c.is_alphabetic() && !matches!(writing(*c), Writing::Latin | Writing::EastAsian)
    });
    letters
        .filter_map(|c| Some((c, drawn_as_latin(c)?)))
        .collect()
});

/// Computes the table now, and not with the first text.
pub(super) fn prepare() {
    LazyLock::force(&LATIN_OF);
}

/// How a letter is written, as far as one text may have letters of several scripts and be innocent:
/// Chinese, Japanese and Korean ones count as one script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Latin,
    EastAsian,
    Other(Script),
}

pub(super) fn writing(c: char) -> Writing {
    match c.script() {
        Script::Latin => Writing::Latin,
        Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo => {
            Writing::EastAsian
        }
        other => Writing::Other(other),
    }
}

/// The small Latin letter that a small letter of another script looks like.
pub(super) fn latin_of(c: char) -> Option<char> {
    // Most characters of most texts need no search.
    let is_chinese = ('\u{4e00}'..'\u{a000}').contains(&c);
    if c.is_ascii() || is_chinese {
        return None;
    }
    LATIN_OF.get(&c).copied()
}

/// Some small letters do not look like a Latin one where their capitals do, such as `к` and `К`.
fn drawn_as_latin(c: char) -> Option<char> {
    let mut capital = c.to_uppercase();
    let capital = capital.next().filter(|_| capital.next().is_none());
    [Some(c), capital].into_iter().flatten().find_map(|c| {
        let mut bytes = [0; 4];
        let mut drawn = skeleton(c.encode_utf8(&mut bytes));
        let letter = drawn.next().filter(char::is_ascii_alphabetic)?;
        drawn.next().is_none().then(|| letter.to_ascii_lowercase())
    })
}

/// A Latin letter for one in a style that NFKC leaves as it is: small capitals, and white on a black
/// disc or square.
pub(super) fn plain_style(c: char) -> char {
    const SMALL_CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡ\0ʏᴢ";
    let nth = |n: u32| char::from(b'a' + u8::try_from(n).expect("one of 26"));
    let since = |first: u32| u32::from(c) - first;
    match c {
        '\u{1f150}'..='\u{1f169}' => nth(since(0x1f150)),
        '\u{1f170}'..='\u{1f189}' => nth(since(0x1f170)),
        '\u{250}'..='\u{a7ff}' => (SMALL_CAPITALS.chars().zip('a'..='z'))
            .find_map(|(small, letter)| (small == c).then_some(letter))
            .unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_drawn_as_latin_ones_have_them() {
        let latin = |text: &str| text.chars().filter_map(latin_of).collect::<String>();
        assert_eq!(latin("асеорхуіѕкнтвм"), "aceopxyiskhtbm", "Cyrillic");
        assert_eq!(latin("ορνικτ"), "opvikt", "Greek");
        assert_eq!(
            latin("abcéß傻あ한🅰1٣"),
            "",
            "Latin, East Asian, or no letter"
        );
    }

    #[test]
    fn styles_that_nfkc_leaves_become_plain() {
        let plain = |text: &str| text.chars().map(plain_style).collect::<String>();
        assert_eq!(plain("ꜰᴜᴄᴋ 🅕🅤🅒🅚 🅵🆄🅲🅺 ᴀᴢ"), "fuck fuck fuck az");
        assert_eq!(plain("fuckж傻🇨🇳\u{200}"), "fuckж傻🇨🇳\u{200}");
    }
}
