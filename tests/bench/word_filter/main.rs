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

use std::collections::BTreeMap;
use std::hint::black_box;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liveroom::domain::word_filter::{CompiledTerms, SITE_TERMS_MAX, WordFilter, import};

const TEXT_CHARS: usize = 200;
const TEXTS: usize = 200;
const ROUNDS: usize = 31;

/// SplitMix64: the same terms and texts on each machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).expect("below a u32")
    }

    fn letters(&mut self, first: char, kinds: u32, count: u32) -> String {
        let letter = |random: &mut Self| char::from_u32(u32::from(first) + random.below(kinds));
        (0..count).filter_map(|_| letter(self)).collect()
    }

    fn chinese(&mut self, count: u32) -> String {
        self.letters('\u{4e00}', 3_000, count)
    }

    fn word(&mut self, count: u32) -> String {
        self.letters('a', 26, count)
    }
}

fn terms(count: usize) -> String {
    let mut random = Random(1);
    // By text: two terms with one text are refused.
    let mut lines = BTreeMap::new();
    while lines.len() < count {
        let line = match random.below(10) {
            0 => {
                let (before, after) = (random.chinese(1), random.below(4));
                format!("{before}{}\tblock\tloose", random.chinese(1 + after))
            }
            1..=6 => {
                let length = 2 + random.below(4);
                format!("{}\thold", random.chinese(length))
            }
            _ => {
                let length = 4 + random.below(6);
                format!("{}\tmask", random.word(length))
            }
        };
        let text = line.split('\t').next().unwrap_or_default().to_owned();
        lines.insert(text, line);
    }
    lines.into_values().map(|line| line + "\n").collect()
}

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
