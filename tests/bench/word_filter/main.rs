//! What the word filter costs: microseconds for a text of 200 code points, and memory, by the number
//! of terms.
//!
//!     cargo bench --bench word_filter
//!
//! Terms and texts are made up, from the same seed each time: words of two to five Chinese
//! characters out of 3,000, and of four to nine letters, a tenth of them loose. A figure is the
//! fastest of the rounds, which is all that counts on a machine that does something else as well; the
//! median is beside it. The texts have few terms in them, as
//! those of viewers have. One kind is as slow as a viewer can make it.

mod made_up;

use std::hint::black_box;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liveroom::domain::word_filter::{CompiledTerms, SITE_TERMS_MAX, WordFilter, import};

use made_up::{Random, terms};

const TEXT_CHARS: usize = 200;
const TEXTS: usize = 200;
const ROUNDS: usize = 31;

type Text = fn(&mut Random) -> String;

const TEXTS_OF: [(&str, Text); 5] = [
    ("Chinese", |random| random.chinese(200)),
    ("Latin", |random| {
        let words = iter::repeat_with(|| {
            let length = 2 + random.below(8);
            random.word(length)
        });
        words.take(60).collect::<Vec<_>>().join(" ")
    }),
    ("Chinese and Latin, punctuated", |random| {
        let parts = iter::repeat_with(|| {
            let length = 1 + random.below(6);
            format!("{}，{}！👍🏽 ", random.chinese(length), random.word(length))
        });
        parts.take(40).collect()
    }),
    ("Cyrillic and Latin", |random| {
        iter::repeat_with(|| format!("{} {} ", random.letters('а', 32, 6), random.word(6)))
            .take(20)
            .collect()
    }),
    ("decomposed, decorated, look-alikes", |random| {
        iter::repeat_with(|| format!("{}e\u{301}\u{336}с", random.word(1)))
            .take(50)
            .collect()
    }),
];

/// The fastest round and the median one, per text.
fn measure(filter: &WordFilter, texts: &[String]) -> (Duration, Duration) {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for text in texts {
                black_box(filter.check(black_box(text)).action());
            }
            began.elapsed() / u32::try_from(texts.len()).expect("few texts")
        })
        .collect();
    rounds.sort();
    (rounds[0], rounds[ROUNDS / 2])
}

fn main() {
    // `cargo bench` says so; anything else only builds it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for count in [1, 1_000, 10_000, SITE_TERMS_MAX] {
        let lines = terms(count);
        let began = Instant::now();
        let list = import(lines.as_bytes(), SITE_TERMS_MAX).expect("terms are good");
        let imported = began.elapsed();
        let terms = Arc::new(CompiledTerms::compile(list, None));
        let compiled = began.elapsed() - imported;
        println!(
            "{count} terms: {:.1} MiB, read in {imported:.1?}, compiled in {compiled:.1?}",
            terms.bytes() as f64 / 1_048_576.0
        );
        let filter = WordFilter::new(Some(terms), None);
        for (name, text) in TEXTS_OF {
            let mut random = Random(2);
            let texts: Vec<String> = (0..TEXTS)
                .map(|_| text(&mut random).chars().take(TEXT_CHARS).collect())
                .collect();
            let found = texts
                .iter()
                .filter(|text| !filter.check(text).hits().is_empty());
            let found = found.count();
            let (fastest, median) = measure(&filter, &texts);
            println!(
                "  {name}: {fastest:.1?} (median {median:.1?}), terms in {found} of {TEXTS} texts"
            );
        }
    }
}
