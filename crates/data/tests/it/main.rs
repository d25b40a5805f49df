//! The crate from outside: files on disk, good and bad, and what the loader delivers.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, their helpers included")]

mod augmentation;
mod cifar10;
mod glyphs;
mod loader;
mod mnist;
mod npy;
mod npz;
mod shapes;

use std::path::PathBuf;

/// The folder of the shared test data, or nothing if this machine has none.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: FEWBIT_SHARED is not set");
    }
    folder
}

/// A seeded generator for tests (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.u64() % end as u64) as usize
    }
}
