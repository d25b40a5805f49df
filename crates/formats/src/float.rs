//! Minifloats eXmY.

mod codes;
mod quantizer;

pub use quantizer::FloatQuantizer;

use crate::{Error, IntegerGrid, RoundingMode};

/// A minifloat: sign, exponent bits, mantissa bits, exponent bias, and which codes stand for no number.
///
/// A code holds, from the most significant bit, the sign, the exponent field `E` and the mantissa field `M`. Its value is
/// `2^(1 - bias) * M / 2^m` if `E = 0`, else `2^(E - bias) * (1 + M / 2^m)`, unless the code is reserved.
///
/// Every value is an `f32`; only above `f32::MAX` (exponent width 8) values round to infinity.
///
/// # Examples
/// ```
/// use fewbit_formats::{FloatFormat, ReservedCodes};
///
/// let e4m3 = FloatFormat::new(4, 3)?;
/// assert_eq!(e4m3.max_value(), 448.0);
/// assert_eq!(e4m3.with_reserved(ReservedCodes::None)?.max_value(), 480.0);
/// assert_eq!(e4m3.quantize(1.06), 1.0);
/// assert_eq!(e4m3.smallest_subnormal(), 1.0 / 512.0);
/// # Ok::<(), fewbit_formats::Error>(())
/// ```
/// # Source
/// Brevitas `FloatQuant`, QONNX `FloatQuant`; codes by the OCP 8-bit specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatFormat {
    exponent_bit_width: u32,
    mantissa_bit_width: u32,
    exponent_bias: i32,
    signed: bool,
    reserved: ReservedCodes,
    /// Magnitude code of the largest finite value.
    max_code: u32,
    quantizer: FloatQuantizer,
}

/// Which codes of a minifloat stand for no finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReservedCodes {
    /// None: every code is finite.
    None,
    /// Exponent and mantissa all ones is NaN (OCP e4m3).
    Nan,
    /// With the exponent all ones, mantissa zero is infinity and every other is NaN (IEEE 754, OCP e5m2).
    Ieee,
    /// The code of negative zero is NaN, and the usual bias is one larger.
    Fnuz,
}

impl FloatFormat {
    /// Makes a signed format: with the codes of OCP for e4m3 and e5m2, with every code finite for all others; bias `2^(e - 1) - 1`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) unless `1 <= e <= 8` and `0 <= m <= 23`.
    pub fn new(exponent_bit_width: u32, mantissa_bit_width: u32) -> Result<Self, Error> {
        if !(1..=8).contains(&exponent_bit_width) {
            return Err(Error::out_of_range("exponent bit width", exponent_bit_width, "1 to 8"));
        }
        if mantissa_bit_width > 23 {
            return Err(Error::out_of_range("mantissa bit width", mantissa_bit_width, "0 to 23"));
        }
        Parts {
            exponent_bit_width,
            mantissa_bit_width,
            exponent_bias: usual_bias(exponent_bit_width),
            signed: true,
            reserved: usual_codes(exponent_bit_width, mantissa_bit_width, true),
        }
        .build()
    }

    /// Replaces the exponent bias; a limit set by [`FloatFormat::with_max_value`] is lost.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) unless the smallest normal and the smallest subnormal value are `f32` numbers:
    /// `-126 <= bias <= 150 - m`.
    pub fn with_exponent_bias(self, exponent_bias: i32) -> Result<Self, Error> {
        Parts { exponent_bias, ..self.parts() }.build()
    }

    /// Replaces the reserved codes; [`ReservedCodes::Fnuz`] moves a usual bias to `2^(e - 1)`. A limit set by [`FloatFormat::with_max_value`] is lost.
    ///
    /// # Errors
    /// [`ErrorKind::ReservedCodes`](crate::ErrorKind::ReservedCodes) if nothing but zero is left, if there is no mantissa bit to tell infinity from NaN, or for
    /// [`ReservedCodes::Fnuz`] without a sign.
    pub fn with_reserved(self, reserved: ReservedCodes) -> Result<Self, Error> {
        let mut parts = self.parts();
        if parts.exponent_bias == usual_bias_with(parts.exponent_bit_width, parts.reserved) {
            parts.exponent_bias = usual_bias_with(parts.exponent_bit_width, reserved);
        }
        Parts { reserved, ..parts }.build()
    }

    /// Drops the sign. e4m3 and e5m2 lose their OCP codes with it (ue4m3 reaches 480), other codes stay; choose codes afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::ReservedCodes`](crate::ErrorKind::ReservedCodes) for [`ReservedCodes::Fnuz`].
    pub fn unsigned(self) -> Result<Self, Error> {
        let parts = self.parts();
        let (e, m) = (parts.exponent_bit_width, parts.mantissa_bit_width);
        let usual = parts.reserved == usual_codes(e, m, parts.signed);
        let reserved = if usual { usual_codes(e, m, false) } else { parts.reserved };
        Parts { signed: false, reserved, ..parts }.build()
    }

    /// Clips at `max_value` if that is less than the format's own largest value, on the grid or not (QONNX `max_val`).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) unless `max_value` is positive.
    pub fn with_max_value(self, max_value: f32) -> Result<Self, Error> {
        if max_value.is_nan() || max_value <= 0.0 {
            return Err(Error::out_of_range("largest value", max_value, "a positive number"));
        }
        let whole = self.parts().build()?;
        if max_value >= whole.max_value() {
            return Ok(whole);
        }
        let quantizer = FloatQuantizer::new(&self.parts(), max_value);
        let below = RoundingMode::Floor.apply_f64(f64::from(max_value) / whole.step_at(max_value))
            * whole.step_at(max_value);
        let max_code = whole.magnitude_code(below as f32);
        Ok(Self { max_code, quantizer, ..whole })
    }

    /// The number of exponent bits, `e`.
    pub fn exponent_bit_width(&self) -> u32 {
        self.exponent_bit_width
    }

    /// The number of stored mantissa bits, `m`.
    pub fn mantissa_bit_width(&self) -> u32 {
        self.mantissa_bit_width
    }

    /// What is subtracted from the exponent field.
    pub fn exponent_bias(&self) -> i32 {
        self.exponent_bias
    }

    /// Whether there is a sign bit.
    pub fn signed(&self) -> bool {
        self.signed
    }

    /// Which codes stand for no finite number.
    pub fn reserved(&self) -> ReservedCodes {
        self.reserved
    }

    /// The number of bits of a code: sign, exponent and mantissa.
    pub fn bit_width(&self) -> u32 {
        u32::from(self.signed) + self.exponent_bit_width + self.mantissa_bit_width
    }

    /// The largest value, which is also where numbers are clipped: infinity if it is above `f32::MAX` (e8m7).
    pub fn max_value(&self) -> f32 {
        self.quantizer.max_value()
    }

    /// The smallest value: the negated largest one, or zero without a sign.
    pub fn min_value(&self) -> f32 {
        if self.signed { -self.max_value() } else { 0.0 }
    }

    /// The smallest value with full precision, `2^(1 - bias)`.
    pub fn smallest_normal(&self) -> f32 {
        power_of_two(1 - self.exponent_bias) as f32
    }

    /// The smallest value above zero, `2^(1 - bias - m)`.
    pub fn smallest_subnormal(&self) -> f32 {
        power_of_two(1 - self.exponent_bias - self.mantissa_bit_width as i32) as f32
    }

    /// Whether a code stands for infinity.
    pub fn has_inf(&self) -> bool {
        self.reserved == ReservedCodes::Ieee
    }

    /// Whether a code stands for NaN.
    pub fn has_nan(&self) -> bool {
        self.reserved != ReservedCodes::None
    }

    /// The number of different finite `f32` values, zero counted once.
    pub fn value_count(&self) -> u64 {
        let above_zero = self.last_index() as u64;
        let signs = if self.signed { 2 } else { 1 };
        let off_grid = self.max_value() > self.decode_magnitude(self.max_code) as f32;
        signs * (above_zero + u64::from(off_grid)) + 1
    }

    /// How many bits a value needs without its exponent, trailing zeros left out: `m + 1`, more if the largest value is off the grid.
    pub fn significant_bits(&self) -> u32 {
        let max = self.max_value();
        let of_max = if max.is_finite() { significant_bits(max) } else { 1 };
        of_max.max(self.mantissa_bit_width + 1)
    }

    /// The grid of which all values are multiples, if the multiples fit 16 bits: e3m1 has multiples of 1/8 up to 192.
    pub fn integer_grid(&self) -> Option<IntegerGrid> {
        IntegerGrid::new(self.smallest_subnormal(), f64::from(self.max_value()))
    }

    /// The constants with which numbers are rounded, to be taken out of a loop.
    pub fn quantizer(&self) -> FloatQuantizer {
        self.quantizer
    }

    fn parts(&self) -> Parts {
        Parts {
            exponent_bit_width: self.exponent_bit_width,
            mantissa_bit_width: self.mantissa_bit_width,
            exponent_bias: self.exponent_bias,
            signed: self.signed,
            reserved: self.reserved,
        }
    }

    /// Whether [`FloatFormat::with_max_value`] lowered the largest value.
    pub(crate) fn is_clipped(&self) -> bool {
        self.parts().build().is_ok_and(|whole| whole != *self)
    }

    /// The bias that goes without saying.
    pub(crate) fn usual_bias(&self) -> i32 {
        usual_bias_with(self.exponent_bit_width, self.reserved)
    }

    /// The reserved codes that go without saying.
    pub(crate) fn usual_codes(&self) -> ReservedCodes {
        usual_codes(self.exponent_bit_width, self.mantissa_bit_width, self.signed)
    }
}

/// The independent numbers of a format.
#[derive(Clone, Copy)]
struct Parts {
    exponent_bit_width: u32,
    mantissa_bit_width: u32,
    exponent_bias: i32,
    signed: bool,
    reserved: ReservedCodes,
}

impl Parts {
    fn build(self) -> Result<FloatFormat, Error> {
        let m = self.mantissa_bit_width as i32;
        if !(-126..=150 - m).contains(&self.exponent_bias) {
            let expected = format!("-126 to {}", 150 - m);
            return Err(Error::out_of_range("exponent bias", self.exponent_bias, expected));
        }
        let max_code = self.max_code()?;
        let max_value = self.value(max_code) as f32;
        Ok(FloatFormat {
            exponent_bit_width: self.exponent_bit_width,
            mantissa_bit_width: self.mantissa_bit_width,
            exponent_bias: self.exponent_bias,
            signed: self.signed,
            reserved: self.reserved,
            max_code,
            quantizer: FloatQuantizer::new(&self, max_value),
        })
    }

    /// The largest magnitude code that is finite.
    fn max_code(&self) -> Result<u32, Error> {
        let (e, m) = (self.exponent_bit_width, self.mantissa_bit_width);
        let all = u32::MAX >> (32 - e - m);
        let code = match self.reserved {
            ReservedCodes::None => all,
            ReservedCodes::Nan => all - 1,
            ReservedCodes::Ieee if m == 0 => {
                return Err(Error::reserved_codes(
                    format!("e{e}m0 has no mantissa bit to tell infinity from NaN"),
                    Some(format!("write \"e{e}m0-nan\" or \"e{e}m0\"")),
                ));
            }
            ReservedCodes::Ieee => all - (1 << m),
            ReservedCodes::Fnuz if self.signed => all,
            ReservedCodes::Fnuz => {
                let bias = usual_bias_with(e, ReservedCodes::Fnuz);
                return Err(Error::reserved_codes(
                    format!("ue{e}m{m}-fnuz has no negative zero whose code could be NaN"),
                    Some(format!("write \"ue{e}m{m}b{bias}\"")),
                ));
            }
        };
        if code == 0 {
            return Err(Error::reserved_codes(
                format!(
                    "e{e}m{m} has no value but zero with the codes {:?} reserved",
                    self.reserved
                ),
                Some(format!("write \"e{e}m{m}\"")),
            ));
        }
        Ok(code)
    }

    /// The value of a magnitude code as if no code were reserved.
    fn value(&self, magnitude: u32) -> f64 {
        let m = self.mantissa_bit_width;
        let (field, mantissa) = (magnitude >> m, magnitude & ((1 << m) - 1));
        let (exponent, significand) =
            if field == 0 { (1, mantissa) } else { (field as i32, mantissa | (1 << m)) };
        f64::from(significand) * power_of_two(exponent - self.exponent_bias - m as i32)
    }
}

fn usual_bias(exponent_bit_width: u32) -> i32 {
    (1 << (exponent_bit_width - 1)) - 1
}

fn usual_bias_with(exponent_bit_width: u32, reserved: ReservedCodes) -> i32 {
    usual_bias(exponent_bit_width) + i32::from(reserved == ReservedCodes::Fnuz)
}

/// The OCP rule, as Brevitas applies it: only 8 bits in all make e4m3 and e5m2 special.
fn usual_codes(exponent_bit_width: u32, mantissa_bit_width: u32, signed: bool) -> ReservedCodes {
    match (exponent_bit_width, mantissa_bit_width, signed) {
        (4, 3, true) => ReservedCodes::Nan,
        (5, 2, true) => ReservedCodes::Ieee,
        _ => ReservedCodes::None,
    }
}

/// `2^exponent` by its bits.
fn power_of_two(exponent: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&exponent), "2^{exponent} is no normal f64");
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// From the leading to the trailing one of a finite number.
fn significant_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let stored = bits & 0x007f_ffff;
    let significand = if bits & 0x7f80_0000 == 0 { stored } else { stored | 0x0080_0000 };
    if significand == 0 {
        1
    } else {
        32 - significand.leading_zeros() - significand.trailing_zeros()
    }
}
