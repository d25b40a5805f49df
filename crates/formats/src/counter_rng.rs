//! Random numbers by place: no state, so any thread may draw any of them.

/// Draws the random number of a place: the same for the same seed, stream and index, on every machine.
///
/// Philox4x32-10: the seed is the key, `[index / 4, stream]` the counter, `index % 4` the lane of the block. A stream has `2^64` indices before it
/// would repeat, and a seed has `2^64` streams; no two places share a counter, so streams never overlap.
///
/// # Examples
/// ```
/// use fewbit_formats::CounterRng;
///
/// let rng = CounterRng::new(42, 0);
/// assert_eq!(rng.u32_at(7), CounterRng::new(42, 0).u32_at(7));
/// assert!((0.0..1.0).contains(&rng.uniform_at(7)));
/// ```
/// # Source
/// J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11; known answers of the authors' Random123.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterRng {
    key: [u32; 2],
    stream: [u32; 2],
}

impl CounterRng {
    /// Names a stream of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: halves(seed), stream: halves(stream) }
    }

    /// Returns 32 random bits.
    #[inline]
    pub fn u32_at(&self, index: u64) -> u32 {
        self.block_at(index / 4)[(index % 4) as usize]
    }

    /// Returns 64 random bits: those of the places `2 * index` (the lower half) and `2 * index + 1`.
    #[inline]
    pub fn u64_at(&self, index: u64) -> u64 {
        let block = self.block_at(index / 2);
        let lane = (index % 2) as usize * 2;
        u64::from(block[lane]) | u64::from(block[lane + 1]) << 32
    }

    /// Returns a number in `[0, 1)`, a multiple of `2^-24`, each equally probable.
    #[inline]
    pub fn uniform_at(&self, index: u64) -> f32 {
        uniform(self.u32_at(index))
    }

    /// Returns the bits of the four places from `4 * block` on: faster than one by one.
    #[inline(always)]
    pub fn block_at(&self, block: u64) -> [u32; 4] {
        let [low, high] = halves(block);
        philox4x32_10([low, high, self.stream[0], self.stream[1]], self.key)
    }

    /// Writes the bits of the places from `first` on.
    #[inline(always)]
    pub fn fill_u32(&self, first: u64, out: &mut [u32]) {
        self.fill(first, out, |bits| bits);
    }

    /// Writes the numbers in `[0, 1)` of the places from `first` on.
    #[inline(always)]
    pub fn fill_uniform(&self, first: u64, out: &mut [f32]) {
        self.fill(first, out, uniform);
    }

    #[inline(always)]
    fn fill<T>(&self, first: u64, out: &mut [T], make: impl Fn(u32) -> T) {
        let aligned = ((first.wrapping_neg() % 4) as usize).min(out.len());
        let (head, body) = out.split_at_mut(aligned);
        for (i, out) in head.iter_mut().enumerate() {
            *out = make(self.u32_at(first.wrapping_add(i as u64)));
        }
        let start = first.div_ceil(4);
        for (i, chunk) in body.chunks_mut(4).enumerate() {
            let block = self.block_at(start.wrapping_add(i as u64));
            for (out, bits) in chunk.iter_mut().zip(block) {
                *out = make(bits);
            }
        }
    }
}

/// The upper 24 bits, all that an `f32` can tell apart evenly.
#[inline(always)]
fn uniform(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[inline(always)]
fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [low0, high0] = halves(u64::from(counter[0]) * 0xd251_1f53);
        let [low1, high1] = halves(u64::from(counter[2]) * 0xcd9e_8d57);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `philox 4x32 10` of Random123's `kat_vectors`.
    #[test]
    fn known_answers() {
        let table = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in table {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn places_of_a_seed_and_stream() {
        let rng = CounterRng::new(0x299f_31d0_a409_3822, 0x0370_7344_1319_8a2e);
        let known = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(rng.block_at(0x85a3_08d3_243f_6a88), known);
        for index in 0..40 {
            assert_eq!(rng.u32_at(index), rng.block_at(index / 4)[index as usize % 4], "{index}");
        }
        assert_eq!(CounterRng::new(0, 0).u32_at(0), 0x6627_e8d5);
        assert_eq!(CounterRng::new(0, 0).u32_at(3), 0x9b00_dbd8);
        assert_eq!(CounterRng::new(0, 0).u64_at(1), 0x9b00_dbd8_bc57_ac4c);
        assert_eq!(CounterRng::new(0, 0).uniform_at(0), (0x66_27e8 as f32) / 16_777_216.0);
    }

    #[test]
    fn filling_draws_the_same_as_one_by_one() {
        let rng = CounterRng::new(3, 9);
        for first in 0..9 {
            for len in 0..14 {
                let (mut bits, mut numbers) = (vec![0; len], vec![0.0; len]);
                rng.fill_u32(first, &mut bits);
                rng.fill_uniform(first, &mut numbers);
                for i in 0..len {
                    assert_eq!(bits[i], rng.u32_at(first + i as u64), "{first} {len} {i}");
                    assert_eq!(numbers[i], rng.uniform_at(first + i as u64), "{first} {len} {i}");
                }
            }
        }
        let mut last = [0; 2];
        rng.fill_u32(u64::MAX - 1, &mut last);
        assert_eq!(last, [rng.u32_at(u64::MAX - 1), rng.u32_at(u64::MAX)]);
    }
}
