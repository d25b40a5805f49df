//! The scale of microscaling blocks.

use crate::RoundingMode;

/// The OCP scale format e8m0: powers of two from `2^-127` to `2^127`, and NaN (code 255). It has no sign and no zero.
///
/// It is no [`Format`](crate::Format): nothing is quantized to it but the scales of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct E8m0;

impl E8m0 {
    /// The code of NaN.
    pub const NAN: u8 = 255;

    /// Returns the value of a code.
    pub fn decode(self, code: u8) -> f32 {
        match code {
            0 => f32::from_bits(0x0040_0000),
            Self::NAN => f32::NAN,
            code => f32::from_bits(u32::from(code) << 23),
        }
    }

    /// Returns the code of a power of two; `None` if `x` is none, or out of range. NaN has a code.
    pub fn encode(self, x: f32) -> Option<u8> {
        if x.is_nan() {
            return Some(Self::NAN);
        }
        let code = self.encode_rounded(x, RoundingMode::Down);
        (self.decode(code) == x).then_some(code)
    }

    /// Returns the code of a neighbouring power of two, ties to the even code by [`RoundingMode::HalfEven`]; beyond the range that of the nearest.
    ///
    /// Zero, negative numbers and NaN get [`E8m0::NAN`].
    pub fn encode_rounded(self, x: f32, rounding_mode: RoundingMode) -> u8 {
        if x.is_nan() || x <= 0.0 {
            return Self::NAN;
        }
        let bits = f64::from(x.min(f32::MAX)).to_bits();
        let code = (bits >> 52) as i32 - 1023 + 127;
        // What is left above the power of two, and the middle to the next one.
        let (rest, half) = (bits & ((1 << 52) - 1), 1 << 51);
        let up = match rounding_mode {
            RoundingMode::HalfEven => rest > half || (rest == half && code % 2 != 0),
            RoundingMode::HalfUp => rest >= half,
            RoundingMode::HalfDown => rest > half,
            RoundingMode::Ceil | RoundingMode::Up => rest > 0,
            RoundingMode::Floor | RoundingMode::Down => false,
        };
        (code + i32::from(up)).clamp(0, 254) as u8
    }
}
