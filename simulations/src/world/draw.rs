//! Randomness of a world: every (who, what for) draws from a stream of its own, made from the seed and its name, so that
//! one more draw in one place shifts no other. Must not know what is drawn.

use std::collections::BTreeMap;

use hortator_core::id::fnv1a64;
use hortator_raft::Entropy;

/// One stream.
#[derive(Clone, Debug)]
pub struct Draw(u64);

/// All streams of one owner, by name.
#[derive(Clone, Debug)]
pub struct Streams {
    seed: u64,
    owner: String,
    open: BTreeMap<String, Draw>,
}

impl Draw {
    /// The stream of that name.
    pub fn of(seed: u64, name: &str) -> Draw {
        let mut draw = Draw(seed ^ fnv1a64(name.as_bytes()));
        // Names that differ little give seeds that differ little.
        Draw(draw.word())
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.word() % bound }
    }

    pub fn between(&mut self, [least, most]: [u64; 2]) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// Small and large ones of all magnitudes alike.
    pub fn log_between(&mut self, [least, most]: [u64; 2]) -> u64 {
        let (low, high) = (bits(least), bits(most));
        let magnitude = self.between([low, high]);
        let from = if magnitude == 0 { 0 } else { 1 << (magnitude - 1) };
        let value = from + self.below(from.max(1));
        value.clamp(least, most)
    }

    /// Of a million.
    pub fn chance(&mut self, millionths: u64) -> bool {
        millionths > 0 && self.below(1_000_000) < millionths
    }

    /// Many short ones, few long ones: each multiple of the mean is half as likely as the one before.
    pub fn about(&mut self, mean: u64) -> u64 {
        let multiple = u64::from(self.word().trailing_zeros().min(8));
        mean / 2 * multiple + self.below(mean.max(1))
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len() as u64) as usize) }
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            all.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}

fn bits(value: u64) -> u64 {
    u64::from(64 - value.leading_zeros())
}

impl Streams {
    pub fn new(seed: u64, owner: String) -> Streams {
        Streams { seed, owner, open: BTreeMap::new() }
    }
}

impl Entropy for Streams {
    fn next_u64(&mut self, stream: &str) -> u64 {
        if let Some(draw) = self.open.get_mut(stream) {
            return draw.word();
        }
        let mut draw = Draw::of(self.seed, &format!("{}/{stream}", self.owner));
        let value = draw.word();
        self.open.insert(stream.to_owned(), draw);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_more_in_one_stream_shifts_no_other() {
        let (mut one, mut two) = (Streams::new(7, "n1".into()), Streams::new(7, "n1".into()));
        let _ = one.next_u64("a");
        assert_eq!(one.next_u64("b"), two.next_u64("b"));
        assert_ne!(Draw::of(7, "x").word(), Draw::of(8, "x").word());
        assert_ne!(Draw::of(7, "x").word(), Draw::of(7, "y").word());
    }

    #[test]
    fn ranges_hold() {
        let mut draw = Draw::of(1, "ranges");
        for _ in 0..10_000 {
            let (even, skewed) = (draw.between([3, 5]), draw.log_between([10, 100_000]));
            assert!((3..=5).contains(&even) && (10..=100_000).contains(&skewed));
        }
        assert_eq!((draw.between([4, 4]), draw.log_between([0, 0]), draw.below(0)), (4, 0, 0));
    }
}
