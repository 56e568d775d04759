//! What a filter finds and what it leaves alone, as tables, and what holds for any terms and texts.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn compiled(lines: &str) -> Arc<CompiledTerms> {
    let list = import(lines.as_bytes(), SITE_TERMS_MAX).unwrap();
    Arc::new(CompiledTerms::compile(list, None))
}

/// A filter of terms of the site.
fn filter(lines: &str) -> WordFilter {
    WordFilter::new(Some(compiled(lines)), None)
}

/// Terms that mask, unless they allow; a text; and the text as it is shown.
type Row = (&'static str, &'static str, &'static str);

#[track_caller]
fn assert_shown(rows: &[Row]) {
    let faults: Vec<String> = rows
        .iter()
        .filter_map(|(lines, text, shown)| {
            let masked = filter(lines).check(text).masked(text);
            (masked != *shown).then(|| format!("{lines:?} {text:?}: {masked:?}, not {shown:?}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn evasions_are_found() {
    assert_shown(&[
        // What every filter is tried with.
        ("傻冒\tmask\tloose", "你个傻@冒！", "你个***！"),
        ("fuck\tmask\tloose", "f u c k you", "******* you"),
        ("fuck\tmask", "ｆｕｃｋ you", "**** you"),
        ("fuck\tmask", "Ⓕⓤⓒⓚ", "****"),
        ("fuck\tmask", "oh fuuuuck", "oh *******"),
        ("fuck\tmask", "fu\u{200b}ck", "*****"),
        ("fuck\tmask", "fu\u{441}k", "****"),
        ("卖淫\tmask", "不要賣淫", "不要**"),
        ("賣淫\tmask", "不要卖淫", "不要**"),
        // Letters in another style.
        ("fuck\tmask", "FUCK", "****"),
        ("fuck\tmask", "𝓯𝖚𝒸𝕜", "****"),
        ("fuck\tmask", "ᶠᵘᶜᵏ", "****"),
        ("fuck\tmask", "ꜰᴜᴄᴋ", "****"),
        ("fuck\tmask", "🅵🆄🅲🅺 🄵🅄🄲🄺", "**** ****"),
        ("fuck\tmask\tloose", "⒡⒰⒞⒦", "****"),
        ("skip\tmask", "\u{17f}\u{212a}ip", "****"),
        ("office\tmask", "oﬃce", "****"),
        ("女优\tmask", "⼥优 ㊛优 女優", "** ** **"),
        ("里\u{5c4e}\tmask", "裏屎裡\u{5c4e}", "****"),
        // Letters of other scripts.
        ("scope\tmask", "ѕсоре for me", "***** for me"),
        ("paypal\tmask", "p\u{430}yp\u{430}l", "******"),
        ("sex\tmask", "看ѕех吗", "看***吗"),
        ("porn\tmask", "ροrn", "****"),
        ("fu\u{441}k\tmask", "fuck fu\u{441}k", "**** ****"),
        ("ты lol\tmask", "ну ты lol", "ну ******"),
        // What cannot be seen.
        ("fuck\tmask", "f\u{ad}u\u{2060}c\u{200d}k", "*******"),
        ("fuck\tmask", "f\u{e0066}u\u{fe0e}c\u{34f}k", "*******"),
        ("fuck\tmask", "\u{202e}f\u{2066}uck", "\u{202e}*****"),
        ("傻冒\tmask", "傻\u{3164}冒傻\u{2800}冒", "******"),
        ("傻冒\tmask", "傻\u{feff}\u{200e}冒", "****"),
        // Marks that are heaped on letters.
        ("fuck\tmask", "f\u{336}u\u{336}c\u{336}k\u{336}", "********"),
        (
            "fuck\tmask",
            "f\u{303}\u{489}u\u{301}\u{302}\u{30f}ck",
            "*********",
        ),
        ("сука\tmask", "су\u{301}ка", "*****"),
        ("كلب\tmask", "يا كـــلب", "يا ******"),
        // Letters said longer.
        ("fuck\tmask", "ffffuckkkk fuccck", "********** ******"),
        ("asshole\tmask", "aaassshooole", "************"),
        ("boob\tmask", "booooob", "*******"),
        ("傻冒\tmask", "傻傻傻傻冒冒冒", "*******"),
        // Something between the letters.
        (
            "傻冒\tmask\tloose",
            "傻 💩 冒 傻…冒 傻\n冒",
            "***** *** ***",
        ),
        ("法轮\tmask\tloose", "法/轮 法 . 轮 法_轮", "*** ***** ***"),
        (
            "kill yourself\tmask",
            "kill \u{3000} yourself",
            "***************",
        ),
        (
            "fuck\tmask\tloose",
            "f.u.c.k f-u-u-u-c-k",
            "******* ***********",
        ),
        // Several of these at once.
        (
            "fuck\tmask\tloose",
            "Ｆ\u{200b} ⓤ*υυυ \u{441} 𝐤",
            "************",
        ),
        ("加微信\tmask\tloose", "加、微·➕信", "******"),
    ]);
}

#[test]
fn innocent_texts_pass() {
    let rows = [
        // What filters are known to get wrong.
        ("口交\tmask\n路口交通\tallow", "前方路口交通拥堵"),
        ("黄片\tmask\n三黄片\tallow", "吃了三黄片"),
        ("av\tmask", "I have an avatar"),
        // A word inside a word: Scunthorpe and its sisters.
        ("cunt\tmask", "Scunthorpe"),
        ("ass\tmask", "a grassy class assignment, as always"),
        ("cum\tmask", "documents accumulate in these circumstances"),
        ("tit\tmask\tloose", "don't i think so"),
        ("rapist\tmask", "my therapist"),
        ("cialis\tmask", "a socialist specialist"),
        ("ass\tmask\tloose", "as so often"),
        ("sex\tmask", "Essex, Sussex, sextant"),
        ("hell\tmask", "hello shell"),
        ("shit\tmask", "shiitake, Matsushita"),
        ("anal\tmask\tloose", "an analysis"),
        ("ho\tmask", "h\u{f4} hoo who"),
        // Characters of two words.
        (
            "日你\tmask\n今日你\tallow\n生日你\tallow",
            "今日你好，生日你来吗",
        ),
        ("去死\tmask\n去死胡同\tallow", "别去死胡同"),
        ("做爱\tmask\n当做爱好\tallow", "把钓鱼当做爱好"),
        ("性交\tmask\n男性交友\tallow", "男性交友"),
        ("台独\tmask\n这台独立\tallow", "这台独立显卡"),
        ("达赖\tmask\n赖\u{4ee5}生\tallow", "人类赖以生存"),
        ("援交\tmask\n支援交通\tallow", "支援交通"),
        ("干你\tmask\n饼干你\tallow", "饼干你吃吗"),
        ("操你\tmask\n体操你\tallow", "体操你看吗"),
        // What is written alike and is not the same.
        ("sik\tmask", "sık sık"),
        ("lon\tmask", "lòn"),
        ("6666\tmask", "666 66666a"),
        ("sop\tmask", "сор"),
        ("fuck\tmask", "f u c k, fuuck, fu ck"),
        ("小姐\tmask\twhole", "空姐小姐姐"),
        // Nothing to compare.
        ("fuck\tmask", "\u{200b}\u{200b}"),
        ("fuck\tmask\tloose", "🌹🌹🌹 ❤️❤️ 👨‍👩‍👧 🇨🇳"),
    ];
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|(lines, text)| (lines, text, text))
        .collect();
    assert_shown(&rows);
}

#[test]
fn what_an_allow_term_does_not_contain_counts() {
    assert_shown(&[
        (
            "口交\tmask\n路口交通\tallow",
            "路口交通，口交，路口口交通",
            "路口交通，**，路***通",
        ),
        ("黄片\tmask\n三黄片\tallow", "三黄片黄片", "三黄片**"),
        (
            "cunt\tmask\tpart\nscunthorpe\tallow",
            "Scunthorpe cunts",
            "Scunthorpe ****s",
        ),
        (
            "ab\tmask\tpart\nxab\tallow\tpart\nabz\tmask\tpart",
            "xabz",
            "x***",
        ),
    ]);
}

#[test]
fn the_severest_action_of_all_terms_wins() {
    let list =
        "aa-mask\tmask\nbb-shadow\tshadow\ncc-hold\thold\ndd-block\tblock\nee-observe\tobserve";
    let filter = filter(list);
    let action = |text| filter.check(text).action();
    assert_eq!(action("ee-observe"), None);
    assert_eq!(action("aa-mask ee-observe"), Some(FilterAction::Mask));
    assert_eq!(action("bb-shadow aa-mask"), Some(FilterAction::Shadow));
    assert_eq!(action("bb-shadow cc-hold"), Some(FilterAction::Hold));
    assert_eq!(
        action("aa-mask dd-block cc-hold"),
        Some(FilterAction::Block)
    );
    assert_eq!(action("nothing"), None);
}

#[test]
fn a_streamer_adds_to_the_terms_of_the_site_and_cannot_weaken_them() {
    let site = compiled("口交\tblock\n三黄片\tallow\n坏话\tmask");
    let streamer =
        compiled("路口交通\tallow\n黄片\thold\n剧透\tblock\n坏话\tobserve\n大剧透社\tallow");
    let filter = WordFilter::new(Some(site), Some(streamer));
    let action = |text| filter.check(text).action();
    assert_eq!(
        action("路口交通"),
        Some(FilterAction::Block),
        "the site's term"
    );
    assert_eq!(
        action("三黄片"),
        None,
        "what the site allows, a streamer's term is not about"
    );
    assert_eq!(action("黄片"), Some(FilterAction::Hold));
    assert_eq!(action("剧透"), Some(FilterAction::Block));
    assert_eq!(action("大剧透社"), None, "a streamer's own term");
    assert_eq!(action("坏话"), Some(FilterAction::Mask));
    assert_eq!(WordFilter::default().check("口交").action(), None);
}

#[test]
fn a_verdict_says_what_was_found_where() {
    let filter = filter("路口交通\tallow\n口交\tblock\nFuck\tobserve\t\ten");
    let text = "路口交通 fuck";
    let verdict = filter.check(text);
    let hits: Vec<_> = verdict
        .hits()
        .iter()
        .map(|hit| {
            (
                &text[hit.span.clone()],
                hit.term.term().text(),
                hit.is_allowed,
            )
        })
        .collect();
    assert_eq!(
        hits,
        [
            ("路口交通", "路口交通", false),
            ("口交", "口交", true),
            ("fuck", "Fuck", false)
        ]
    );
    assert_eq!(normalised("Ｆuuuuck  賣\u{200b}！"), "fuuck 卖!");
}

#[test]
fn each_comment_counts_once_for_a_term_and_trying_a_text_does_not() {
    let list = compiled("spam\tobserve\n广告\tblock\n广告学\tallow");
    let filter = WordFilter::new(Some(Arc::clone(&list)), None);
    let hits = |list: &CompiledTerms| -> Vec<u64> {
        list.terms().iter().map(|term| term.hits()).collect()
    };
    let _ = filter.check("spam");
    assert_eq!(hits(&list), [0, 0, 0]);
    filter.check("spam spam 广告学").count();
    filter.check("spam 广告").count();
    assert_eq!(hits(&list), [2, 1, 1]);

    let lines = import("广告\thold\nnew\nSPAM".as_bytes(), SITE_TERMS_MAX).unwrap();
    let next = CompiledTerms::compile(lines, Some(&list));
    assert_eq!(hits(&next), [1, 0, 2]);
    filter.check("spam").count();
    assert_eq!(
        hits(&next),
        [1, 0, 3],
        "the filter before it is still in use somewhere"
    );
}

#[test]
fn terms_that_are_too_short_or_too_long_are_refused() {
    let refused = |text: &str, loose| {
        let fields = TermFields {
            text: text.to_owned(),
            action: TermAction::Observe,
            loose,
            whole_word: None,
            tags: Vec::new(),
        };
        FilterTerm::new(fields).err()
    };
    let length = |chars| Some(TermFault::Length { chars });
    assert_eq!(refused("女", false), length(1));
    assert_eq!(refused(" 女\u{200b} ", false), length(1));
    assert_eq!(refused("\u{200b}", false), length(0));
    assert_eq!(refused("", false), length(0));
    assert_eq!(refused(&"ab".repeat(32), false), None);
    assert_eq!(refused(&format!("{}c", "ab".repeat(32)), false), length(65));
    assert_eq!(
        refused(&"a".repeat(65), false),
        None,
        "a run of a letter counts as two"
    );
    assert_eq!(refused("a-", false), None);
    assert_eq!(
        refused("a-", true),
        Some(TermFault::LooseLength { chars: 1 })
    );
    assert_eq!(
        refused("!!", true),
        Some(TermFault::LooseLength { chars: 0 })
    );
    assert_eq!(
        refused(&"\u{200b}".repeat(200), false),
        Some(TermFault::Bytes { bytes: 600 })
    );
    assert_eq!(refused("a\tb", false), Some(TermFault::Control));
}

#[test]
fn a_hostile_text_is_checked_in_bounded_work() {
    let filter = filter("fuck\tmask\tloose\n傻冒\tmask");
    for unit in [
        "\u{fdfa}",
        "e\u{301}\u{302}",
        "f\u{200b}",
        "сf",
        "ก\u{e47}",
        "❤️",
        "a",
    ] {
        let text = unit.repeat(5_000);
        assert_eq!(filter.check(&text).masked(&text), text);
    }
    let zalgo = format!("f{}uck", "\u{336}".repeat(20_000));
    assert_eq!(filter.check(&zalgo).hits().len(), 1);
}

/// Terms of any kind, of letters that meet each other.
fn terms() -> impl Strategy<Value = Vec<FilterTerm>> {
    let text = prop_oneof![
        "[abcａ傻冒 @]{2,6}",
        "[a-z傻冒賣淫éж]{2,8}",
        any::<String>()
    ];
    let action = (0..TermAction::ALL.len()).prop_map(|nth| TermAction::ALL[nth]);
    let term = (text, action, any::<bool>(), any::<Option<bool>>()).prop_filter_map(
        "is a term",
        |(text, action, loose, whole_word)| {
            let tags = Vec::new();
            let fields = TermFields {
                text,
                action,
                loose,
                whole_word,
                tags,
            };
            FilterTerm::new(fields).ok()
        },
    );
    prop::collection::vec(term, 0..12)
}

fn list_of(terms: Vec<FilterTerm>) -> TermList {
    let mut list = TermList::new(SITE_TERMS_MAX);
    for term in terms {
        // One that the list has already changes nothing.
        let _ = list.push(term);
    }
    list
}

/// With two of a letter where there were more.
fn without_long_runs(text: String) -> String {
    let mut short: Vec<char> = Vec::new();
    for c in text.chars() {
        if !short.ends_with(&[c, c]) {
            short.push(c);
        }
    }
    short.into_iter().collect()
}

/// What stands for the same letter to a reader.
fn disguised(text: &str, disguises: &[u8]) -> String {
    let letters = text.chars().zip(disguises.iter().cycle());
    letters
        .map(|(c, disguise)| match disguise % 5 {
            0 => c.to_uppercase().to_string(),
            1 => char::from_u32(u32::from(c) + 0xfee0).unwrap().to_string(),
            2 => format!("\u{200d}{c}\u{336}\u{336}"),
            3 => c.to_string().repeat(3),
            _ => c.to_string(),
        })
        .collect()
}

proptest! {
    #[test]
    fn spans_are_characters_of_the_text_and_masks_keep_its_length(
        terms in terms(),
        text in prop_oneof!["[abcａ傻冒賣淫 @\u{200b}\u{301}éжа]{0,30}", any::<String>()],
    ) {
        let terms = CompiledTerms::compile(list_of(terms), None);
        let filter = WordFilter::new(Some(Arc::new(terms)), None);
        let verdict = filter.check(&text);
        for hit in verdict.hits() {
            prop_assert!(!hit.span.is_empty());
            prop_assert!(text.is_char_boundary(hit.span.start) && text.is_char_boundary(hit.span.end));
        }
        let masked = verdict.masked(&text);
        prop_assert_eq!(masked.chars().count(), text.chars().count());
        prop_assert!(masked.chars().zip(text.chars()).all(|(shown, c)| shown == c || shown == '*'));
    }

    #[test]
    fn without_long_runs_a_part_of_a_word_is_found_wherever_it_stands(
        term in "[abc]{2,4}".prop_map(without_long_runs),
        text in "[abc ]{0,20}".prop_map(without_long_runs),
    ) {
        let found = filter(&format!("{term}\tblock\tpart")).check(&text).action();
        prop_assert_eq!(found.is_some(), text.contains(&term));
    }

    #[test]
    fn a_disguised_term_is_found_and_nothing_beside_it(
        // No letter stands beside itself, where three of one would be six.
        term in "([a-m][n-z]){1,4}",
        disguises in prop::collection::vec(any::<u8>(), 8),
    ) {
        let disguised = disguised(&term, &disguises);
        let text = format!("- {disguised} -");
        let masked = filter(&format!("{term}\tmask")).check(&text).masked(&text);
        let stars = "*".repeat(disguised.trim_start_matches('\u{200d}').chars().count());
        prop_assert!(masked.ends_with(&format!("{stars} -")), "{} {}", text, masked);
        prop_assert!(masked.starts_with("- "));
    }

    #[test]
    fn what_is_exported_is_imported_as_it_was(terms in terms()) {
        let list = list_of(terms);
        let lines = export(&list);
        let again = import(lines.as_str().as_bytes(), SITE_TERMS_MAX).unwrap();
        prop_assert_eq!(again.terms(), list.terms());
        prop_assert_eq!(export(&again), lines);
    }
}
