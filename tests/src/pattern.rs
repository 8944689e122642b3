//! Bytes that say where they belong: every word depends on a seed and on its place.

use crate::{PAGE, PAGE_LEN};

/// What page number `index` of something holds that was filled from `seed`. Never all zeros.
#[must_use]
pub fn page(seed: u64, index: u64) -> [u8; PAGE_LEN] {
    let mut bytes = [0; PAGE_LEN];
    let first = index * (PAGE / 8);
    for (word, number) in bytes.chunks_exact_mut(8).zip(first..) {
        word.copy_from_slice(&scramble(seed ^ scramble(number)).to_ne_bytes());
    }
    bytes
}

/// A number that looks random and depends on nothing else (the finaliser of splitmix64).
#[must_use]
pub(crate) const fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Random numbers that a seed repeats.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        scramble(self.0) % end
    }
}
