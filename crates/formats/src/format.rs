//! Any of the formats.

mod name;
mod suggestion;

use crate::float::FloatFormat;
use crate::ternary::{TERNARY_THRESHOLD, quantize_bipolar, quantize_ternary};
use crate::{FixedPointFormat, IntegerFormat, IntegerGrid, Overflow, RoundingMode};

/// A number format: a finite set of values, each with a bit code.
///
/// Read and printed by name:
///
/// | name | format |
/// |---|---|
/// | `e4m3`, `e5m2` | OCP's 8-bit minifloats |
/// | `e3m1`, any `eXmY` | minifloat, every code finite |
/// | `e4m3-finite`, `-ieee`, `-nan`, `-fnuz` | with other [`ReservedCodes`](crate::ReservedCodes) |
/// | `ue4m3`, `e4m3b8`, `e4m3-max240` | without a sign, with an exponent bias, clipped |
/// | `int4`, `uint8`, `int4-narrow` | integers |
/// | `bipolar`, `ternary` | -1 and 1; -1, 0 and 1 |
/// | `fixed8.4`, `ufixed8.4` | 8 bits, 4 of them before the point |
///
/// Also read: `e4m3fn`, `binary` (`uint1`), `int4n`, and the names of qonnx (`FLOAT<4,3,7>`, `INT4`, `FIXED<8,4>`, ...). As in qonnx, a `FLOAT<...>` has no
/// reserved codes.
///
/// # Examples
/// ```
/// use fewbit_formats::Format;
///
/// let int4: Format = "INT4".parse()?;
/// assert_eq!(int4.to_string(), "int4");
/// assert_eq!(int4.quantize(-9.0), -8.0);
/// assert_eq!(int4.encode(-8.0), Some(0b1000));
/// assert!("int44".parse::<Format>().is_err());
/// # Ok::<(), fewbit_formats::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A minifloat.
    Float(FloatFormat),
    /// An integer.
    Integer(IntegerFormat),
    /// -1 and 1, one bit: the code 1 is the value 1.
    Bipolar,
    /// -1, 0 and 1, two bits in two's complement.
    Ternary,
    /// Integers times a power of two.
    FixedPoint(FixedPointFormat),
}

impl Format {
    /// The number of bits of a code.
    pub fn bit_width(&self) -> u32 {
        match self {
            Self::Float(f) => f.bit_width(),
            Self::Integer(f) => f.bit_width(),
            Self::Bipolar => 1,
            Self::Ternary => 2,
            Self::FixedPoint(f) => f.integer().bit_width(),
        }
    }

    /// Whether there are negative values.
    pub fn signed(&self) -> bool {
        match self {
            Self::Float(f) => f.signed(),
            Self::Integer(f) => f.signed(),
            Self::Bipolar | Self::Ternary => true,
            Self::FixedPoint(f) => f.integer().signed(),
        }
    }

    /// The smallest value.
    pub fn min_value(&self) -> f32 {
        match self {
            Self::Float(f) => f.min_value(),
            Self::Integer(f) => f.min_value(),
            Self::Bipolar | Self::Ternary => -1.0,
            Self::FixedPoint(f) => f.min_value(),
        }
    }

    /// The largest value.
    pub fn max_value(&self) -> f32 {
        match self {
            Self::Float(f) => f.max_value(),
            Self::Integer(f) => f.max_value(),
            Self::Bipolar | Self::Ternary => 1.0,
            Self::FixedPoint(f) => f.max_value(),
        }
    }

    /// The smallest value above zero.
    pub fn smallest_positive(&self) -> f32 {
        match self {
            Self::Float(f) => f.smallest_subnormal().min(f.max_value()),
            // int1 has none: -1 and 0.
            Self::Integer(f) => f.max().min(1) as f32,
            Self::Bipolar | Self::Ternary => 1.0,
            Self::FixedPoint(f) => f.integer().max().min(1) as f32 * f.step(),
        }
    }

    /// The number of different finite values.
    pub fn value_count(&self) -> u64 {
        match self {
            Self::Float(f) => f.value_count(),
            Self::Integer(f) => f.value_count(),
            Self::Bipolar => 2,
            Self::Ternary => 3,
            Self::FixedPoint(f) => f.integer().value_count(),
        }
    }

    /// The grid of which all values are multiples, if the multiples fit 16 bits: sums of products are then exact in integers.
    pub fn integer_grid(&self) -> Option<IntegerGrid> {
        match self {
            Self::Float(f) => f.integer_grid(),
            Self::Integer(f) => f.integer_grid(),
            Self::Bipolar | Self::Ternary => Some(IntegerGrid { step: 1.0, max_multiple: 1 }),
            Self::FixedPoint(f) => f.integer_grid(),
        }
    }

    /// How many bits a value needs without sign and exponent, trailing zeros left out: a product is exact in `f32` if two factors need at most 24 together.
    pub fn significant_bits(&self) -> u32 {
        match self {
            Self::Float(f) => f.significant_bits(),
            Self::Integer(f) => f.significant_bits(),
            Self::Bipolar | Self::Ternary => 1,
            Self::FixedPoint(f) => f.integer().significant_bits(),
        }
    }

    /// Rounds to the nearest value, ties to even, beyond the range to its end. What becomes of NaN and infinities, the formats say each for itself.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> f32 {
        match self {
            Self::Float(f) => f.quantize(x),
            Self::Integer(f) => f.quantize(x),
            Self::Bipolar => quantize_bipolar(x),
            Self::Ternary => quantize_ternary(x, TERNARY_THRESHOLD),
            Self::FixedPoint(f) => f.quantize(x),
        }
    }

    /// Rounds in a given way, beyond the range to its end. Bipolar and ternary have only one way.
    pub fn quantize_with(&self, x: f32, rounding_mode: RoundingMode) -> f32 {
        match self {
            Self::Float(f) => f.quantize_with(x, rounding_mode, Overflow::Saturate),
            Self::Integer(f) => f.quantize_with(x, rounding_mode),
            Self::Bipolar => quantize_bipolar(x),
            Self::Ternary => quantize_ternary(x, TERNARY_THRESHOLD),
            Self::FixedPoint(f) => f.quantize_with(x, rounding_mode),
        }
    }

    /// Rounds to one of the two neighbours, to the nearer one more often: the mean is `x` inside of the range.
    ///
    /// `random`: 32 evenly distributed bits, from [`CounterRng`](crate::CounterRng).
    pub fn quantize_stochastic(&self, x: f32, random: u32) -> f32 {
        match self {
            Self::Float(f) => f.quantize_stochastic(x, random),
            Self::Integer(f) => f.quantize_stochastic(x, random),
            // The probability of 1 is (x + 1) / 2.
            Self::Bipolar => {
                let above = (f64::from(x) + 1.0) * 2_147_483_648.0 > f64::from(random);
                if above { 1.0 } else { -1.0 }
            }
            Self::Ternary if x.is_nan() => 0.0,
            Self::Ternary => TERNARY.quantize_stochastic(x, random),
            Self::FixedPoint(f) => f.quantize_stochastic(x, random),
        }
    }

    /// Returns the code of a value; `None` if `x` is no value of the format.
    pub fn encode(&self, x: f32) -> Option<u32> {
        match self {
            Self::Float(f) => f.encode(x),
            Self::Integer(f) => f.encode(x),
            Self::Bipolar => (x.abs() == 1.0).then_some(u32::from(x > 0.0)),
            Self::Ternary => TERNARY.encode(x),
            Self::FixedPoint(f) => f.encode(x),
        }
    }

    /// Returns the code of the nearest value, ties to even, beyond the range that of its end; `None` for NaN if the format has no code for it.
    pub fn encode_nearest(&self, x: f32) -> Option<u32> {
        match self {
            Self::Float(f) => f.encode_nearest(x, Overflow::Saturate),
            Self::Integer(f) => f.encode_nearest(x),
            Self::Bipolar | Self::Ternary if x.is_nan() => None,
            Self::Bipolar | Self::Ternary => self.encode(self.quantize(x)),
            Self::FixedPoint(f) => f.encode_nearest(x),
        }
    }

    /// Returns the value of a code; bits above the format's width are ignored.
    ///
    /// Narrow ranges and ternary have a code that is none of their values: it decodes to the integer that it would be without the restriction.
    pub fn decode(&self, code: u32) -> f32 {
        match self {
            Self::Float(f) => f.decode(code),
            Self::Integer(f) => f.decode(code),
            Self::Bipolar => {
                if code & 1 == 1 {
                    1.0
                } else {
                    -1.0
                }
            }
            Self::Ternary => TERNARY.decode(code),
            Self::FixedPoint(f) => f.decode(code),
        }
    }

    /// Whether a finite number is a value of the format.
    pub fn contains(&self, x: f32) -> bool {
        x.is_finite() && self.encode(x).is_some()
    }

    /// Returns the smallest value above `x`, `None` if there is none or `x` is NaN.
    pub fn next_up(&self, x: f32) -> Option<f32> {
        match self {
            Self::Float(f) => f.next_up(x),
            Self::Integer(f) => f.next_up(x).map(|v| v as f32),
            Self::Bipolar => [-1.0, 1.0].into_iter().find(|&v| v > x),
            Self::Ternary => [-1.0, 0.0, 1.0].into_iter().find(|&v| v > x),
            Self::FixedPoint(f) => f.next_up(x),
        }
    }

    /// Returns the largest value below `x`, `None` if there is none or `x` is NaN.
    pub fn next_down(&self, x: f32) -> Option<f32> {
        match self {
            Self::Float(f) => f.next_down(x),
            Self::Integer(f) => f.next_down(x).map(|v| v as f32),
            Self::Bipolar => [1.0, -1.0].into_iter().find(|&v| v < x),
            Self::Ternary => [1.0, 0.0, -1.0].into_iter().find(|&v| v < x),
            Self::FixedPoint(f) => f.next_down(x),
        }
    }
}

/// What ternary numbers are as integers.
const TERNARY: IntegerFormat = IntegerFormat::TERNARY;

impl From<FloatFormat> for Format {
    fn from(format: FloatFormat) -> Self {
        Self::Float(format)
    }
}

impl From<IntegerFormat> for Format {
    fn from(format: IntegerFormat) -> Self {
        Self::Integer(format)
    }
}

impl From<FixedPointFormat> for Format {
    fn from(format: FixedPointFormat) -> Self {
        Self::FixedPoint(format)
    }
}
