//! Rows of `f32` that hold few-bit numbers, converted to words; each conversion says whether it lost anything.

use crate::isa::{Level, multiversion};
use crate::scratch;
use crate::tile::Words;

/// What a row is converted to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Conversion {
    /// As it is.
    Float,
    /// As it is, each even element exchanged for the odd one behind it: the order of the paired sum.
    FloatPairs,
    /// Pairs of bfloat16.
    Bf16,
    /// Pairs of integers between the two.
    I16(f32, f32),
    /// Quadruples of integers between the two, as signed bytes.
    I8(f32, f32),
    /// Quadruples of integers between the two, 128 added to each: unsigned bytes.
    U8Offset(f32, f32),
}

/// Added to the integers of [`Conversion::U8Offset`].
pub(crate) const OFFSET: i32 = 128;

impl Conversion {
    pub(crate) fn words(self) -> Words {
        match self {
            Self::Float | Self::FloatPairs => Words::F32,
            Self::Bf16 => Words::Bf16,
            Self::I16(..) => Words::I16,
            Self::I8(..) | Self::U8Offset(..) => Words::I8,
        }
    }

    /// Converts one row into words, the last one filled up with zeros. False if an element is not what was promised: its words are nonsense then.
    #[inline(always)]
    pub(crate) fn row(self, level: Level, x: &[f32], words: &mut [u32]) -> bool {
        let per_word = self.words().count();
        assert_eq!(words.len(), x.len().div_ceil(per_word), "words of {} values", x.len());
        if !x.len().is_multiple_of(per_word) {
            words[words.len() - 1] = 0;
        }
        let len = x.len();
        match self {
            Self::Float => {
                words.copy_from_slice(scratch::bits(x));
                true
            }
            Self::FloatPairs => {
                swapped(level, scratch::bits(x), words);
                true
            }
            Self::Bf16 => bf16(level, x, &mut scratch::halves_mut(words)[..len]),
            Self::I16(low, high) => {
                i16(level, x, &mut scratch::halves_mut(words)[..len], low, high)
            }
            Self::I8(low, high) => {
                i8(level, x, &mut scratch::bytes_mut(words)[..len], low, high, 0)
            }
            Self::U8Offset(low, high) => {
                i8(level, x, &mut scratch::bytes_mut(words)[..len], low, high, OFFSET as u8)
            }
        }
    }
}

impl Conversion {
    /// Converts a plane of one number per word, the one at `place` in it: place 0 fills the words, the others are added. False as in [`row`](Self::row).
    pub(crate) fn plane(self, level: Level, x: &[f32], place: usize, words: &mut [u32]) -> bool {
        assert_eq!(x.len(), words.len(), "words of a plane");
        let keep = if place == 0 { 0 } else { !0 };
        match self {
            Self::Float | Self::FloatPairs => {
                words.copy_from_slice(scratch::bits(x));
                true
            }
            Self::Bf16 => bf16_plane(level, x, words, keep, 16 * place as u32),
            Self::I16(low, high) => {
                integer_plane(level, x, words, keep, 16 * place as u32, 0xffff, low, high, 0)
            }
            Self::I8(low, high) => {
                integer_plane(level, x, words, keep, 8 * place as u32, 0xff, low, high, 0)
            }
            Self::U8Offset(low, high) => integer_plane(
                level,
                x,
                words,
                keep,
                8 * place as u32,
                0xff,
                low,
                high,
                OFFSET as u32,
            ),
        }
    }

    /// The word that stands for zeros.
    pub(crate) fn zero(self) -> u32 {
        match self {
            Self::U8Offset(..) => 0x8080_8080,
            _ => 0,
        }
    }
}

multiversion! {
    fn bf16_plane(level, x: &[f32], words: &mut [u32], keep: u32, shift: u32) -> bool {
        let x = &x[..words.len()];
        let mut wrong = 0_u32;
        for i in 0..x.len() {
            let bits = x[i].to_bits();
            let magnitude = bits & 0x7fff_ffff;
            let inside = (magnitude == 0) | (BF16_SMALLEST..=BF16_LARGEST).contains(&magnitude);
            wrong |= u32::from(!inside) | (bits & 0xffff);
            words[i] = (words[i] & keep) | ((bits >> 16) << shift);
        }
        wrong == 0
    }
}

multiversion! {
    fn integer_plane(level, x: &[f32], words: &mut [u32], keep: u32, shift: u32, mask: u32, low: f32, high: f32, flip: u32) -> bool {
        let x = &x[..words.len()];
        let mut wrong = 0_u32;
        for i in 0..x.len() {
            let sum = x[i] + ROUND;
            let right = (sum - ROUND == x[i]) & (x[i] >= low) & (x[i] <= high);
            wrong |= u32::from(!right);
            words[i] = (words[i] & keep) | (((sum.to_bits() ^ flip) & mask) << shift);
        }
        wrong == 0
    }
}

multiversion! {
    fn swapped(level, x: &[u32], words: &mut [u32]) {
        let words = &mut words[..x.len()];
        let (pairs, rest) = x.as_chunks::<2>();
        let (to, to_rest) = words.as_chunks_mut::<2>();
        for (to, pair) in to.iter_mut().zip(pairs) {
            *to = [pair[1], pair[0]];
        }
        to_rest.copy_from_slice(rest);
    }
}

/// Adding it leaves an integer of up to 22 bits in the low bits of the sum, in two's complement.
pub(crate) const ROUND: f32 = 12_582_912.0;

multiversion! {
    /// The wrapped sum of a row of integers.
    pub(crate) fn sum(level, x: &[f32]) -> i32 {
        let base = ROUND.to_bits();
        x.iter().fold(0_u32, |total, &v| total.wrapping_add((v + ROUND).to_bits().wrapping_sub(base))) as i32
    }
}

multiversion! {
    fn i8(level, x: &[f32], bytes: &mut [u8], low: f32, high: f32, flip: u8) -> bool {
        let x = &x[..bytes.len()];
        let mut wrong = 0_u32;
        for i in 0..x.len() {
            let sum = x[i] + ROUND;
            let right = (sum - ROUND == x[i]) & (x[i] >= low) & (x[i] <= high);
            wrong |= u32::from(!right);
            bytes[i] = sum.to_bits() as u8 ^ flip;
        }
        wrong == 0
    }
}

multiversion! {
    fn i16(level, x: &[f32], halves: &mut [u16], low: f32, high: f32) -> bool {
        let x = &x[..halves.len()];
        let mut wrong = 0_u32;
        for i in 0..x.len() {
            let sum = x[i] + ROUND;
            let right = (sum - ROUND == x[i]) & (x[i] >= low) & (x[i] <= high);
            wrong |= u32::from(!right);
            halves[i] = sum.to_bits() as u16;
        }
        wrong == 0
    }
}

/// Magnitudes that bfloat16 dot products may see: with 8 significant bits each, products and sums are multiples of 2^-114, which no
/// instruction takes for subnormal, and finite.
pub(crate) const BF16_SMALLEST: u32 = 0x2680_0000;
pub(crate) const BF16_LARGEST: u32 = 0x5880_0000;

multiversion! {
    fn bf16(level, x: &[f32], halves: &mut [u16]) -> bool {
        let x = &x[..halves.len()];
        let mut wrong = 0_u32;
        for i in 0..x.len() {
            let bits = x[i].to_bits();
            let magnitude = bits & 0x7fff_ffff;
            let inside = (magnitude == 0) | (BF16_SMALLEST..=BF16_LARGEST).contains(&magnitude);
            wrong |= u32::from(!inside) | (bits & 0xffff);
            halves[i] = (bits >> 16) as u16;
        }
        wrong == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        assert_eq!(
            (f32::from_bits(BF16_SMALLEST), f32::from_bits(BF16_LARGEST)),
            (2.0_f32.powi(-50), 2.0_f32.powi(50))
        );
        let small = 2.0_f32.powi(-50);
        let cases = [
            (Conversion::Bf16, vec![0.0, -0.0, small, -448.0, 1.0 / small], true),
            (Conversion::Bf16, vec![1.0, small / 2.0], false),
            (Conversion::Bf16, vec![1.0 + 1.0 / 256.0], false),
            (Conversion::Bf16, vec![2.0 / small], false),
            (Conversion::Bf16, vec![f32::NAN], false),
            (Conversion::Bf16, vec![f32::INFINITY], false),
            (Conversion::I8(-3.0, 3.0), vec![-3.0, 3.0, -0.0, 0.0, 1.0], true),
            (Conversion::I8(-3.0, 3.0), vec![1.0, -4.0], false),
            (Conversion::I8(-3.0, 3.0), vec![0.5], false),
            (Conversion::I8(-3.0, 3.0), vec![f32::NAN], false),
            (Conversion::I8(0.0, 255.0), vec![255.0, 0.0], true),
            (Conversion::I16(-32767.0, 32767.0), vec![-32767.0, 32767.0, 5.0], true),
            (Conversion::I16(-32767.0, 32767.0), vec![32768.0], false),
            (Conversion::I16(-32767.0, 32767.0), vec![1e30], false),
        ];
        for level in Level::all() {
            for (conversion, x, expected) in &cases {
                for len in [x.len(), 40] {
                    let mut x = x.clone();
                    x.resize(len, 0.0);
                    let mut words = vec![0; x.len().div_ceil(conversion.words().count())];
                    assert_eq!(
                        conversion.row(level, &x, &mut words),
                        *expected,
                        "{conversion:?} {x:?} {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn words_hold_what_was_converted() {
        let x: Vec<f32> = (0..37).map(|i| (i * 7 % 23) as f32 - 11.0).collect();
        for level in Level::all() {
            for len in [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 37] {
                let x = &x[..len];
                let convert = |conversion: Conversion| {
                    let mut words = vec![!0; len.div_ceil(conversion.words().count())];
                    assert!(conversion.row(level, x, &mut words));
                    words
                };
                let element = |words: &[u32], i: usize, bits: usize| {
                    (words[i * bits / 32] as i32) << (32 - bits - i * bits % 32) >> (32 - bits)
                };
                let (bytes, offset) = (
                    convert(Conversion::I8(-11.0, 11.0)),
                    convert(Conversion::U8Offset(-11.0, 11.0)),
                );
                let (halves, bf16) =
                    (convert(Conversion::I16(-11.0, 11.0)), convert(Conversion::Bf16));
                let (float, pairs) = (convert(Conversion::Float), convert(Conversion::FloatPairs));
                for (i, &v) in x.iter().enumerate() {
                    assert_eq!(element(&bytes, i, 8), v as i32);
                    assert_eq!(element(&offset, i, 8) & 0xff, v as i32 + OFFSET);
                    assert_eq!(element(&halves, i, 16), v as i32);
                    assert_eq!(f32::from_bits((element(&bf16, i, 16) as u32) << 16), v);
                    assert_eq!(f32::from_bits(float[i]), v);
                    let partner = if i ^ 1 < len { i ^ 1 } else { i };
                    assert_eq!(f32::from_bits(pairs[partner]), v);
                }
                assert_eq!(sum(level, x), x.iter().sum::<f32>() as i32);
            }
        }
    }
}
