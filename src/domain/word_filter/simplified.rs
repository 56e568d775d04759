//! Traditional Chinese characters as simplified ones, character by character.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Groups of a simplified character and its traditional ones; lines with `#` are comments.
/// `simplified.py` has written it.
const GROUPS: &str = include_str!("simplified.txt");

static SIMPLIFIED: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let lines = GROUPS.lines().filter(|line| !line.starts_with('#'));
    let groups = lines.flat_map(|line| line.split(' '));
    let pairs = groups.filter_map(|group| {
        let mut characters = group.chars();
        let form = characters.next()?;
        Some(characters.map(move |traditional| (traditional, form)))
    });
    pairs.flatten().collect()
});

/// The simplified form of a character; itself, if it has none.
pub(super) fn simplified(c: char) -> char {
    SIMPLIFIED.get(&c).copied().unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traditional_and_variant_characters_become_simplified_ones() {
        let text = |text: &str| text.chars().map(simplified).collect::<String>();
        assert_eq!(text("賣淫說説裏裡後台臺灣"), "卖淫说说里里后台台湾");
        assert_eq!(
            text("卖淫说里后abcД🌹"),
            "卖淫说里后abcД🌹",
            "simplified already, or not Chinese"
        );
    }

    #[test]
    fn no_simplified_form_is_simplified_further() {
        assert!(SIMPLIFIED.len() > 3_000);
        for form in SIMPLIFIED.values() {
            assert_eq!(simplified(*form), *form);
        }
    }
}
