//! Fixed point: integers times a power of two.

use crate::{Error, IntegerFormat, IntegerGrid, RoundingMode};

/// Integers of 1 to 32 bits times `2^-fraction_bit_width`, where the fraction is what the integer bits (sign included) leave of the bit width.
///
/// # Examples
/// ```
/// use fewbit_formats::{FixedPointFormat, IntegerFormat};
///
/// let fixed = FixedPointFormat::new(IntegerFormat::new(8)?, 4)?;
/// assert_eq!(fixed.step(), 0.0625);
/// assert_eq!(fixed.max_value(), 7.9375);
/// assert_eq!(fixed.quantize(1.04), 1.0625);
/// # Ok::<(), fewbit_formats::Error>(())
/// ```
/// # Source
/// QONNX `FIXED<w,i>`, `ap_fixed<w,i>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedPointFormat {
    integer: IntegerFormat,
    integer_bit_width: i32,
}

impl FixedPointFormat {
    /// Places the point of an integer format behind its first `integer_bit_width` bits, which may be more bits than there are, or less than none.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) unless `-32 <= integer_bit_width <= 64`.
    pub fn new(integer: IntegerFormat, integer_bit_width: i32) -> Result<Self, Error> {
        if !(-32..=64).contains(&integer_bit_width) {
            return Err(Error::out_of_range("integer bit width", integer_bit_width, "-32 to 64"));
        }
        Ok(Self { integer, integer_bit_width })
    }

    /// The integers that are scaled.
    pub fn integer(&self) -> IntegerFormat {
        self.integer
    }

    /// The number of bits before the point, sign included.
    pub fn integer_bit_width(&self) -> i32 {
        self.integer_bit_width
    }

    /// The number of bits behind the point.
    pub fn fraction_bit_width(&self) -> i32 {
        self.integer.bit_width() as i32 - self.integer_bit_width
    }

    /// The distance between neighbouring values: a power of two.
    pub fn step(&self) -> f32 {
        f32::from_bits(((127 - self.fraction_bit_width()) as u32) << 23)
    }

    /// The smallest value.
    pub fn min_value(&self) -> f32 {
        self.integer.min_value() * self.step()
    }

    /// The largest value.
    pub fn max_value(&self) -> f32 {
        self.integer.max_value() * self.step()
    }

    /// The grid of the values, if the integers fit 16 bits.
    pub fn integer_grid(&self) -> Option<IntegerGrid> {
        Some(IntegerGrid { step: self.step(), ..self.integer.integer_grid()? })
    }

    /// Rounds to the nearest value, ties to even, and clips. NaN stays NaN; -0 becomes 0.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> f32 {
        self.scaled(x, |u| self.integer.quantize(u))
    }

    /// Rounds in a given way and clips, else as [`FixedPointFormat::quantize`].
    pub fn quantize_with(&self, x: f32, rounding_mode: RoundingMode) -> f32 {
        self.scaled(x, |u| self.integer.quantize_with(u, rounding_mode))
    }

    /// As [`IntegerFormat::quantize_stochastic`].
    pub fn quantize_stochastic(&self, x: f32, random: u32) -> f32 {
        self.scaled(x, |u| self.integer.quantize_stochastic(u, random))
    }

    #[inline(always)]
    fn scaled(&self, x: f32, quantize: impl Fn(f32) -> f32) -> f32 {
        quantize(self.steps(x)) * self.step()
    }

    /// How many steps `x` is. Exact where it matters: what overflows is clipped, and what a coarse step shifts below the smallest `f32` must not become zero
    /// before a directed rounding has seen it.
    #[inline(always)]
    fn steps(&self, x: f32) -> f32 {
        let steps = x / self.step();
        if steps == 0.0 {
            f32::MIN_POSITIVE.copysign(x) * f32::from(u8::from(x != 0.0))
        } else {
            steps
        }
    }

    /// Returns the code of a value, two's complement; `None` if `x` is no value of the format.
    pub fn encode(&self, x: f32) -> Option<u32> {
        self.integer.encode(self.steps(x))
    }

    /// Returns the code of the nearest value, ties to even, clipped; `None` for NaN.
    pub fn encode_nearest(&self, x: f32) -> Option<u32> {
        self.integer.encode_nearest(self.steps(x))
    }

    /// Returns the value of a code.
    pub fn decode(&self, code: u32) -> f32 {
        self.integer.decode(code) * self.step()
    }

    /// Returns the smallest value above `x`, `None` if there is none or `x` is NaN.
    pub fn next_up(&self, x: f32) -> Option<f32> {
        Some(self.integer.next_up(self.steps(x))? as f32 * self.step())
    }

    /// Returns the largest value below `x`, `None` if there is none or `x` is NaN.
    pub fn next_down(&self, x: f32) -> Option<f32> {
        Some(self.integer.next_down(self.steps(x))? as f32 * self.step())
    }
}
