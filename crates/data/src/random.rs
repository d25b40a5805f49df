//! Random numbers drawn one after the other.

use counter::CounterRng;

/// A stream of random numbers and a place in it.
pub(crate) struct Random {
    numbers: CounterRng,
    drawn: u64,
}

impl Random {
    /// Starts a stream; its numbers depend on `seed` and `stream`, on nothing else.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { numbers: CounterRng::new(seed, stream), drawn: 0 }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let number = self.numbers.u32_at(self.drawn);
        self.drawn += 1;
        number
    }

    /// Draws a number below `end`, each equally probable: `floor(u * end / 2^32)`, where the few `u`
    /// that would favour some numbers are drawn again.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        let favoured = end.wrapping_neg() % end;
        loop {
            let product = u64::from(self.u32()) * u64::from(end);
            if product as u32 >= favoured {
                return (product >> 32) as u32;
            }
        }
    }

    /// Draws a number between two others.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.u32() >> 8) as f32 / (1 << 24) as f32)
    }
}

// Until `fewbit_formats::CounterRng` is there.
mod counter {
    pub(super) struct CounterRng(u64);

    impl CounterRng {
        pub(super) fn new(seed: u64, stream: u64) -> Self {
            Self(mix(mix(seed).wrapping_add(stream)))
        }

        pub(super) fn u32_at(&self, index: u64) -> u32 {
            (mix(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 32) as u32
        }
    }

    fn mix(x: u64) -> u64 {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_ranges_and_reach_every_number() {
        let mut random = Random::new(1, 2);
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
            let x = random.between(-2.0, 3.0);
            assert!((-2.0..3.0).contains(&x), "{x}");
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        assert_eq!(random.below(1), 0);
    }
}
