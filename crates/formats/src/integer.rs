//! Integers of 1 to 32 bits.

use crate::{Error, IntegerGrid, RoundingMode};

/// Integers of a bit width, with a sign (two's complement) or without; a narrow range leaves out one value, so that a signed range is symmetric.
///
/// | signed | narrow | min | max |
/// |---|---|---|---|
/// | yes | no | `-2^(b-1)` | `2^(b-1) - 1` |
/// | yes | yes | `-2^(b-1) + 1` | `2^(b-1) - 1` |
/// | no | no | `0` | `2^b - 1` |
/// | no | yes | `0` | `2^b - 2` |
///
/// # Examples
/// ```
/// use fewbit_formats::IntegerFormat;
///
/// let int4 = IntegerFormat::new(4)?;
/// assert_eq!((int4.min(), int4.max()), (-8, 7));
/// assert_eq!(int4.with_narrow_range()?.min(), -7);
/// assert_eq!(int4.unsigned()?.max(), 15);
/// assert_eq!(int4.quantize(2.5), 2.0);
/// # Ok::<(), fewbit_formats::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntegerFormat {
    bit_width: u32,
    signed: bool,
    narrow_range: bool,
}

impl IntegerFormat {
    /// The integers -1, 0 and 1.
    pub(crate) const TERNARY: Self = Self { bit_width: 2, signed: true, narrow_range: true };

    /// Makes a signed format with its whole range.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) unless `1 <= bit_width <= 32`.
    pub fn new(bit_width: u32) -> Result<Self, Error> {
        if !(1..=32).contains(&bit_width) {
            return Err(Error::out_of_range("integer bit width", bit_width, "1 to 32"));
        }
        Ok(Self { bit_width, signed: true, narrow_range: false })
    }

    /// Drops the sign.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) if the range is narrow and of one bit.
    pub fn unsigned(self) -> Result<Self, Error> {
        Self { signed: false, ..self }.with_two_values()
    }

    /// Leaves out the smallest value (signed) or the largest (unsigned).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) if the format has one bit.
    pub fn with_narrow_range(self) -> Result<Self, Error> {
        Self { narrow_range: true, ..self }.with_two_values()
    }

    fn with_two_values(self) -> Result<Self, Error> {
        if self.narrow_range && self.bit_width == 1 {
            return Err(Error::out_of_range("bit width of a narrow range", 1, "2 to 32"));
        }
        Ok(self)
    }

    /// The number of bits of a code.
    pub fn bit_width(&self) -> u32 {
        self.bit_width
    }

    /// Whether there are negative values.
    pub fn signed(&self) -> bool {
        self.signed
    }

    /// Whether one value is left out.
    pub fn narrow_range(&self) -> bool {
        self.narrow_range
    }

    /// The smallest value.
    pub fn min(&self) -> i64 {
        if self.signed {
            -(1_i64 << (self.bit_width - 1)) + i64::from(self.narrow_range)
        } else {
            0
        }
    }

    /// The largest value.
    pub fn max(&self) -> i64 {
        if self.signed {
            (1_i64 << (self.bit_width - 1)) - 1
        } else {
            (1_i64 << self.bit_width) - 1 - i64::from(self.narrow_range)
        }
    }

    /// The smallest value as an `f32`, as quantizers clip: rounded to nearest above 24 bits.
    pub fn min_value(&self) -> f32 {
        self.min() as f32
    }

    /// The largest value as an `f32`, as quantizers clip: rounded to nearest above 24 bits, so `2^31` for 32 signed bits.
    pub fn max_value(&self) -> f32 {
        self.max() as f32
    }

    /// The number of values.
    pub fn value_count(&self) -> u64 {
        (self.max() - self.min()) as u64 + 1
    }

    /// How many bits the magnitude of a value needs, trailing zeros left out; not more than the 24 of an `f32`.
    pub fn significant_bits(&self) -> u32 {
        // The magnitude 2^(b-1) has a single one; the odd numbers below it need b - 1 bits.
        (self.bit_width - u32::from(self.signed)).clamp(1, 24)
    }

    /// The grid of the integers, if they fit 16 bits.
    pub fn integer_grid(&self) -> Option<IntegerGrid> {
        IntegerGrid::new(1.0, self.max().max(-self.min()) as f64)
    }

    /// Rounds to the nearest value, ties to even, and clips. NaN stays NaN; -0 becomes 0, since a zero point of 0 is added.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> f32 {
        self.clip((x + 0.0).round_ties_even())
    }

    /// Rounds in a given way and clips, else as [`IntegerFormat::quantize`].
    pub fn quantize_with(&self, x: f32, rounding_mode: RoundingMode) -> f32 {
        self.clip(rounding_mode.apply(x + 0.0))
    }

    /// Rounds to one of the two neighbours, to the nearer one more often, and clips: the mean is `x` inside of the range.
    ///
    /// `random`: 32 evenly distributed bits. The probability of the upper neighbour is off by less than `2^-32`.
    pub fn quantize_stochastic(&self, x: f32, random: u32) -> f32 {
        let below = x.floor();
        let fraction = (f64::from(x) - f64::from(below)) * 4_294_967_296.0;
        self.clip(if fraction > f64::from(random) { below + 1.0 } else { below })
    }

    /// Clips by comparison: NaN stays NaN.
    #[inline(always)]
    fn clip(&self, q: f32) -> f32 {
        let (min, max) = (self.min_value(), self.max_value());
        let q = if q > max { max } else { q };
        if q < min { min } else { q }
    }

    /// Returns the code of a value, two's complement; `None` if `x` is no value of the format.
    pub fn encode(&self, x: f32) -> Option<u32> {
        let integer = x as i64;
        let inside = x.fract() == 0.0 && (self.min()..=self.max()).contains(&integer);
        inside.then_some((integer as u32) & self.mask())
    }

    /// Returns the code of the nearest value, ties to even, clipped exactly at any width; `None` for NaN.
    pub fn encode_nearest(&self, x: f32) -> Option<u32> {
        let integer = (x.round_ties_even() as i64).clamp(self.min(), self.max());
        (!x.is_nan()).then_some((integer as u32) & self.mask())
    }

    /// Returns the integer of a code; bits above the format's width are ignored. A narrow range has a code that is none of its values.
    pub fn decode_integer(&self, code: u32) -> i64 {
        let code = i64::from(code & self.mask());
        let sign = 1_i64 << (self.bit_width - 1);
        if self.signed && code & sign != 0 { code - 2 * sign } else { code }
    }

    /// Returns the value of a code, rounded to an `f32` above 24 bits.
    pub fn decode(&self, code: u32) -> f32 {
        self.decode_integer(code) as f32
    }

    /// Returns the smallest integer of the range above `x`, `None` if there is none or `x` is NaN.
    pub fn next_up(&self, x: f32) -> Option<i64> {
        // Saturates: infinities end up outside of the range.
        let next = (f64::from(x).floor() as i64).saturating_add(1).max(self.min());
        (!x.is_nan() && next <= self.max()).then_some(next)
    }

    /// Returns the largest integer of the range below `x`, `None` if there is none or `x` is NaN.
    pub fn next_down(&self, x: f32) -> Option<i64> {
        let next = (f64::from(x).ceil() as i64).saturating_sub(1).min(self.max());
        (!x.is_nan() && next >= self.min()).then_some(next)
    }

    fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.bit_width)
    }
}
