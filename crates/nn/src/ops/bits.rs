//! One bit per element: what is kept of a tensor when only a yes or no matters.

/// A yes or no for each element of a tensor.
#[derive(Debug)]
pub struct Bits {
    words: Vec<u32>,
    len: usize,
}

/// Elements per word.
const WORD: usize = u32::BITS as usize;

impl Bits {
    /// Asks `test` about each value.
    #[inline(always)]
    pub fn new(values: &[f32], test: impl Fn(f32) -> bool) -> Self {
        let words = values.chunks(WORD).map(|chunk| {
            chunk.iter().enumerate().fold(0, |word, (i, &v)| word | (u32::from(test(v)) << i))
        });
        Self { words: words.collect(), len: values.len() }
    }

    /// Puts pieces together; all but the last hold whole words.
    pub fn collect(pieces: impl Iterator<Item = Self>) -> Self {
        pieces.fold(Self { words: vec![], len: 0 }, |mut all, piece| {
            assert_eq!(all.len % WORD, 0, "bits before a further piece");
            all.words.extend(piece.words);
            all.len += piece.len;
            all
        })
    }

    /// Sets the values to zero whose bit is not set.
    pub fn mask(&self, values: &mut [f32]) {
        assert_eq!(values.len(), self.len, "values of a mask");
        for (chunk, &word) in values.chunks_mut(WORD).zip(&self.words) {
            for (i, v) in chunk.iter_mut().enumerate() {
                *v = select(word, i, *v);
            }
        }
    }

    /// Writes the values whose bit is set to `out`, and zero for the others.
    pub fn mask_into(&self, values: &[f32], out: &mut [f32]) {
        assert_eq!((values.len(), out.len()), (self.len, self.len), "values of a mask");
        for ((chunk, out), &word) in values.chunks(WORD).zip(out.chunks_mut(WORD)).zip(&self.words)
        {
            for (i, (v, out)) in chunk.iter().zip(out).enumerate() {
                *out = select(word, i, *v);
            }
        }
    }
}

/// Without a branch: all bits of the value, or none.
#[inline(always)]
fn select(word: u32, i: usize, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & 0_u32.wrapping_sub((word >> i) & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_every_length() {
        for len in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..len).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
            let bits = Bits::new(&values, |v| v > 0.0);
            let expected: Vec<f32> = values.iter().map(|v| v.max(0.0)).collect();
            let mut out = vec![9.0; len];
            bits.mask_into(&values, &mut out);
            assert_eq!(out, expected);
            let mut in_place = values.clone();
            bits.mask(&mut in_place);
            assert_eq!(in_place, expected);
        }
    }
}
