//! Repeatable chance: the same seed gives the same run, on every version and machine.

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and its outputs never change with a library's
/// version.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0. The bias is below 2⁻³² for the bounds in use.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// From 0 up to, but without, 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nanoseconds until the next of events that come at random, `rate` a second on average.
    pub fn gap_ns(&mut self, rate: f64) -> u64 {
        (-(1.0 - self.share()).ln() / rate * 1e9) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_the_published_ones() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(
            [rng.next(), rng.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn gaps_have_the_rate_asked_for() {
        let mut rng = Rng::new(1);
        let total: u64 = (0..10_000).map(|_| rng.gap_ns(1_000.0)).sum();
        assert!((9_000_000_000..11_000_000_000).contains(&total), "{total}");
    }
}
