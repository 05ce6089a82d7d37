//! Random numbers from the operating system. Streams do not matter here: every draw is fresh.

use hortator_raft::Entropy;
use rand::rngs::StdRng;
use rand::{Rng, make_rng};

/// A generator seeded by the operating system.
#[derive(Debug)]
pub struct OsEntropy {
    generator: StdRng,
}

impl OsEntropy {
    pub fn new() -> OsEntropy {
        OsEntropy { generator: make_rng() }
    }
}

impl Default for OsEntropy {
    fn default() -> OsEntropy {
        OsEntropy::new()
    }
}

impl Entropy for OsEntropy {
    fn next_u64(&mut self, _stream: &str) -> u64 {
        self.generator.next_u64()
    }
}
