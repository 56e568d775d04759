//! Terms and texts that are made up, the same each time.

use std::collections::BTreeMap;

/// SplitMix64: the same terms and texts on each machine.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).expect("below a u32")
    }

    pub fn letters(&mut self, first: char, kinds: u32, count: u32) -> String {
        let letter = |random: &mut Self| char::from_u32(u32::from(first) + random.below(kinds));
        (0..count).filter_map(|_| letter(self)).collect()
    }

    pub fn chinese(&mut self, count: u32) -> String {
        self.letters('\u{4e00}', 3_000, count)
    }

    pub fn word(&mut self, count: u32) -> String {
        self.letters('a', 26, count)
    }
}

/// A list of terms to import, one on each line.
pub fn terms(count: usize) -> String {
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
