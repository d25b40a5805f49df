//! Random numbers drawn one after the other.

use fewbit_formats::CounterRng;

/// A stream of random numbers and a place in it.
pub(crate) struct Random {
    numbers: CounterRng,
    /// Numbers come in blocks of four; these are left of the last one.
    block: [u32; 4],
    drawn: u64,
}

impl Random {
    /// Starts a stream; its numbers depend on `seed` and `stream`, on nothing else.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { numbers: CounterRng::new(seed, stream), block: [0; 4], drawn: 0 }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let lane = (self.drawn % 4) as usize;
        if lane == 0 {
            self.block = self.numbers.block_at(self.drawn / 4);
        }
        self.drawn += 1;
        self.block[lane]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_ranges_and_reach_every_number() {
        let mut random = Random::new(1, 2);
        let places = CounterRng::new(1, 2);
        (0..9).for_each(|place| assert_eq!(random.u32(), places.u32_at(place)));
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
