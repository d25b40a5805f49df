//! Bit codes of minifloats, and the order of their values.

use super::{FloatFormat, ReservedCodes};
use crate::{Overflow, RoundingMode};

impl FloatFormat {
    /// Returns the value of a code; bits above the format's width are ignored.
    ///
    /// Values above `f32::MAX` become infinity (exponent width 8 only).
    pub fn decode(&self, code: u32) -> f32 {
        let bits = self.exponent_bit_width + self.mantissa_bit_width;
        let magnitude = code & (u32::MAX >> (32 - bits));
        let negative = self.signed && (code >> bits) & 1 == 1;
        let top = u32::MAX >> (32 - bits);
        let infinity = (top >> self.mantissa_bit_width) << self.mantissa_bit_width;
        let value = match self.reserved {
            ReservedCodes::Nan if magnitude == top => f32::NAN,
            ReservedCodes::Ieee if magnitude == infinity => f32::INFINITY,
            ReservedCodes::Ieee if magnitude > infinity => f32::NAN,
            ReservedCodes::Fnuz if negative && magnitude == 0 => return f32::NAN,
            _ => self.decode_magnitude(magnitude) as f32,
        };
        if negative { -value } else { value }
    }

    /// Returns the code of a value; `None` if `x` is no value of the format.
    ///
    /// NaN has the code with all bits of exponent and mantissa set (FNUZ: that of negative zero), infinity its own. Where the values above `f32::MAX` have
    /// become infinity (e8m7), infinity has the code of `2^128`. Negative zero without a code of its own has that of zero.
    pub fn encode(&self, x: f32) -> Option<u32> {
        let bits = self.exponent_bit_width + self.mantissa_bit_width;
        let top = u32::MAX >> (32 - bits);
        let sign = u32::from(x.is_sign_negative());
        if x.is_nan() {
            return match self.reserved {
                ReservedCodes::None => None,
                ReservedCodes::Nan | ReservedCodes::Ieee => {
                    Some(top | if self.signed { sign << bits } else { 0 })
                }
                ReservedCodes::Fnuz => Some(1 << bits),
            };
        }
        if x == 0.0 && (!self.signed || self.reserved == ReservedCodes::Fnuz) {
            return Some(0);
        }
        if sign == 1 && !self.signed {
            return None;
        }
        let magnitude = if x.is_infinite() {
            self.infinity_code()?
        } else if x.abs() <= self.max_value() && self.exact(x) {
            self.magnitude_code(x.abs())
        } else {
            return None;
        };
        Some((sign << bits) | magnitude)
    }

    /// Returns the code of the nearest value, ties to the even code, infinities taken for numbers beyond the range.
    ///
    /// With [`Overflow::Saturate`] they and what rounds to more than the largest value get the code of the largest value, with the others that of infinity or
    /// NaN. Without a sign bit, negative numbers get the code of 0.
    /// `None` if the format has no code for the result.
    pub fn encode_nearest(&self, x: f32, overflow: Overflow) -> Option<u32> {
        self.encode_rounded(x, RoundingMode::HalfEven, overflow)
    }

    /// As [`FloatFormat::encode_nearest`], rounded in a given way.
    pub fn encode_rounded(
        &self,
        x: f32,
        rounding_mode: RoundingMode,
        overflow: Overflow,
    ) -> Option<u32> {
        let rounded = if x.is_infinite() {
            match overflow {
                Overflow::Saturate if x > 0.0 => self.max_value(),
                Overflow::Saturate => self.min_value(),
                Overflow::Infinity if x > 0.0 || self.signed => x,
                Overflow::Infinity => 0.0,
                Overflow::Nan => f32::NAN.copysign(x),
            }
        } else {
            // NaN keeps its sign through nothing but this.
            self.quantize_with(x, rounding_mode, overflow).copysign(x)
        };
        // A largest value chosen off the grid has no code: take the value below it.
        let rounded = if self.signed || rounded.is_nan() { rounded } else { rounded.max(0.0) };
        if rounded.abs() == self.max_value() && rounded.is_finite() {
            let sign = u32::from(self.signed && rounded < 0.0);
            let bits = self.exponent_bit_width + self.mantissa_bit_width;
            return Some((sign << bits) | self.max_code);
        }
        self.encode(rounded)
    }

    /// Returns all values in ascending order, zero once and infinity not.
    pub fn values(&self) -> impl Iterator<Item = f32> + use<> {
        let format = *self;
        (self.first_index()..=self.last_index()).map(move |index| format.value_at(index))
    }

    /// Returns the smallest value above `x`, `None` if there is none or `x` is NaN. Infinity is no value.
    pub fn next_up(&self, x: f32) -> Option<f32> {
        if x.is_nan() || x >= self.value_at(self.last_index()) {
            return None;
        }
        let first = self.first_index();
        if x < self.value_at(first) {
            return Some(self.value_at(first));
        }
        Some(self.value_at(self.index_at_or_below(x) + 1))
    }

    /// Returns the largest value below `x`, `None` if there is none or `x` is NaN. Infinity is no value.
    pub fn next_down(&self, x: f32) -> Option<f32> {
        if self.signed {
            return self.next_up(-x).map(|v| 0.0 - v);
        }
        if x.is_nan() || x <= 0.0 {
            return None;
        }
        let last = self.last_index();
        if x > self.value_at(last) {
            return Some(self.value_at(last));
        }
        let index = self.index_at_or_below(x);
        let value = self.value_at(index);
        Some(if value < x { value } else { self.value_at(index - 1) })
    }

    /// The value of a magnitude code, reserved or not.
    pub(super) fn decode_magnitude(&self, magnitude: u32) -> f64 {
        self.parts().value(magnitude)
    }

    /// The magnitude code of a number on the grid that is not negative.
    pub(super) fn magnitude_code(&self, x: f32) -> u32 {
        let step = self.step_at(x);
        let smallest = f64::from(self.smallest_subnormal());
        let significand = (f64::from(x) / step) as u32;
        // Each doubling of the step is one exponent further: 2^m codes.
        let doublings = exponent(step) - exponent(smallest);
        significand + ((doublings as u32) << self.mantissa_bit_width)
    }

    fn exact(&self, x: f32) -> bool {
        (f64::from(x) / self.step_at(x)).fract() == 0.0
    }

    fn infinity_code(&self) -> Option<u32> {
        let m = self.mantissa_bit_width;
        match self.reserved {
            ReservedCodes::Ieee => Some(((1 << self.exponent_bit_width) - 1) << m),
            _ if self.max_value().is_infinite() => Some(((128 + self.exponent_bias) as u32) << m),
            _ => None,
        }
    }

    fn first_index(&self) -> i64 {
        if self.signed { -self.last_index() } else { 0 }
    }

    /// The place of the largest finite value in the ascending order of values.
    pub(super) fn last_index(&self) -> i64 {
        let overflow = (128 + self.exponent_bias) as u32;
        if self.max_value().is_infinite() {
            i64::from(overflow << self.mantissa_bit_width) - 1
        } else {
            i64::from(self.max_code)
        }
    }

    /// The value of a place in the ascending order of values, 0 that of zero.
    fn value_at(&self, index: i64) -> f32 {
        let magnitude = self.decode_magnitude(index.unsigned_abs() as u32) as f32;
        if index < 0 { -magnitude } else { magnitude }
    }

    /// The place of the largest value that is not above `x`, which lies inside the range.
    fn index_at_or_below(&self, x: f32) -> i64 {
        let step = self.step_at(x);
        let on_grid = (f64::from(x) / step).floor() * step;
        let code = i64::from(self.magnitude_code(on_grid.abs() as f32));
        if on_grid < 0.0 { -code } else { code }
    }
}

fn exponent(x: f64) -> i32 {
    (x.to_bits() >> 52) as i32 - 1023
}
