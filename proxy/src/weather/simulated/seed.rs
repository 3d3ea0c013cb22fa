//! Repeatable random numbers: the same words always give the same numbers.
//!
//! `std`'s hashers and `rand`'s default generators may change with any version, so both parts are
//! written out here and pinned by tests. FNV-1a, 64 bit (IETF draft-eastlake-fnv) turns words into a
//! seed. SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
//! 2014) turns the seed into numbers.

/// A source of numbers seeded by words.
#[derive(Debug, Clone)]
pub(super) struct Draws(u64);

impl Draws {
    /// Seeds from `words` in lower case. The boundaries of words count: `["a", "bc"]` and `["ab", "c"]`
    /// give different seeds.
    pub(super) fn of(words: &[&str]) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut feed = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        for word in words {
            match word.is_ascii() {
                true => word.bytes().map(|byte| byte.to_ascii_lowercase()).for_each(&mut feed),
                false => word
                    .chars()
                    .flat_map(char::to_lowercase)
                    .for_each(|c| c.encode_utf8(&mut [0; 4]).bytes().for_each(&mut feed)),
            }
            // A separator: no UTF-8 text contains this byte.
            feed(0xff);
        }
        Self(hash)
    }

    /// The next number in `0.0..1.0`.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 53 bits, since an f64 holds 53 bits exactly.
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next number in `low..high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_and_the_generator_are_the_published_ones() {
        // FNV-1a of no bytes is its offset basis; SplitMix64 from 1234567 starts with
        // 6457827717110365317 (the reference implementation's first output).
        assert_eq!(Draws::of(&[]).0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Draws(1_234_567).unit(), (6_457_827_717_110_365_317_u64 >> 11) as f64 / 2_f64.powi(53));
    }

    #[test]
    fn word_boundaries_change_the_seed_and_case_does_not() {
        assert_eq!(Draws::of(&["Ørsta", "X"]).0, Draws::of(&["ØRSTA", "x"]).0);
        assert_ne!(Draws::of(&["a", "bc"]).0, Draws::of(&["ab", "c"]).0);
        assert_ne!(Draws::of(&["a", ""]).0, Draws::of(&["a"]).0);
    }

    #[test]
    fn numbers_stay_in_their_range_and_fill_it() {
        let mut draws = Draws::of(&["range"]);

        let numbers: Vec<_> = (0..10_000).map(|_| draws.between(-5.0, 5.0)).collect();

        assert!(numbers.iter().all(|n| (-5.0..5.0).contains(n)));
        assert!(numbers.iter().any(|n| *n < -4.9) && numbers.iter().any(|n| *n > 4.9));
    }
}
