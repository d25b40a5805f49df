//! Nearest values by brute force: all values of a format are listed from its definition, then compared.

use fewbit_formats::{FloatFormat, Overflow, ReservedCodes, RoundingMode};

/// All values of a minifloat, by the definition (spec 1.2, 1.3).
pub struct FloatOracle {
    pub signed: bool,
    pub mantissa_bit_width: u32,
    /// Finite values that are not negative, ascending: the place is the code.
    pub values: Vec<f64>,
    /// The value after the largest one, if the range had no end.
    pub beyond: f64,
    /// What each code means.
    pub codes: Vec<f64>,
}

impl FloatOracle {
    pub fn new(
        exponent_bit_width: u32,
        mantissa_bit_width: u32,
        bias: i32,
        reserved: ReservedCodes,
        signed: bool,
    ) -> Self {
        let m = mantissa_bit_width;
        let value = |code: u32| {
            let (field, mantissa) = (code >> m, code & ((1 << m) - 1));
            let fraction = f64::from(mantissa) / 2_f64.powi(m as i32);
            if field == 0 {
                2_f64.powi(1 - bias) * fraction
            } else {
                2_f64.powi(field as i32 - bias) * (1.0 + fraction)
            }
        };
        let top_field = (1 << exponent_bit_width) - 1;
        let top_mantissa = (1_u32 << m) - 1;
        let meaning = |code: u32| {
            let (field, mantissa) = (code >> m, code & ((1 << m) - 1));
            match reserved {
                ReservedCodes::Nan if field == top_field && mantissa == top_mantissa => f64::NAN,
                ReservedCodes::Ieee if field == top_field && mantissa == 0 => f64::INFINITY,
                ReservedCodes::Ieee if field == top_field => f64::NAN,
                _ => value(code),
            }
        };
        let magnitudes: Vec<f64> = (0..1 << (exponent_bit_width + m)).map(meaning).collect();
        let values: Vec<f64> = magnitudes.iter().copied().filter(|v| v.is_finite()).collect();
        assert!(values.is_sorted_by(|a, b| a < b), "values of e{exponent_bit_width}m{m}");
        let mut codes = magnitudes.clone();
        if signed {
            codes.extend(magnitudes.iter().map(|v| -v));
            if reserved == ReservedCodes::Fnuz {
                codes[magnitudes.len()] = f64::NAN;
            }
        }
        let beyond = value(values.len() as u32);
        Self { signed, mantissa_bit_width, values, beyond, codes }
    }

    pub fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    /// The rounded magnitude, or the value beyond all (for everything from there on).
    fn rounded(&self, x: f64, mode: RoundingMode) -> f64 {
        let magnitude = x.abs();
        if magnitude >= self.beyond {
            return self.beyond;
        }
        let above = self.values.partition_point(|&v| v <= magnitude);
        let (lower, code) = (self.values[above - 1], above - 1);
        let upper = self.values.get(above).copied().unwrap_or(self.beyond);
        if lower == magnitude {
            return lower;
        }
        let midpoint = (lower + upper) / 2.0;
        let up = match mode {
            RoundingMode::Up => true,
            RoundingMode::Down => false,
            RoundingMode::Ceil => x > 0.0,
            RoundingMode::Floor => x < 0.0,
            // The lower neighbour has the even significand if its code is even; without mantissa bits every significand but zero's is 1.
            RoundingMode::HalfEven if magnitude == midpoint => {
                if self.mantissa_bit_width == 0 {
                    code > 0
                } else {
                    code % 2 == 1
                }
            }
            RoundingMode::HalfUp if magnitude == midpoint => true,
            RoundingMode::HalfDown if magnitude == midpoint => false,
            RoundingMode::HalfEven | RoundingMode::HalfUp | RoundingMode::HalfDown => {
                magnitude > midpoint
            }
        };
        if up { upper } else { lower }
    }

    pub fn quantize(&self, x: f32, mode: RoundingMode, overflow: Overflow) -> f32 {
        if !x.is_finite() {
            return f32::NAN;
        }
        let magnitude = self.rounded(f64::from(x), mode) as f32;
        if x < 0.0 && !self.signed && magnitude > 0.0 {
            return 0.0;
        }
        let max = self.max() as f32;
        let magnitude = match overflow {
            Overflow::Saturate => magnitude.min(max),
            Overflow::Infinity => {
                if magnitude > max {
                    f32::INFINITY
                } else {
                    magnitude
                }
            }
            Overflow::Nan => {
                if magnitude > max || magnitude.is_infinite() {
                    f32::NAN
                } else {
                    magnitude
                }
            }
        };
        magnitude.copysign(x)
    }

    /// Every value, every midpoint and every power of two with two `f32` neighbours on each side, both signs, and the ends of `f32`.
    pub fn probes(&self) -> Vec<f32> {
        let mut centres: Vec<f64> = self.values.clone();
        centres.push(self.beyond);
        centres.extend(self.values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
        centres.push((self.max() + self.beyond) / 2.0);
        centres.extend((-149..=127).map(|k| 2_f64.powi(k)));
        centres.push(f64::from(f32::MAX));
        around(centres.into_iter().map(|v| v as f32).filter(|v| v.is_finite()))
    }
}

/// Each number with two neighbours on each side, both signs, and NaN and infinities.
pub fn around(centres: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut probes: Vec<f32> = Vec::new();
    for centre in centres {
        let (below, above) = (centre.next_down(), centre.next_up());
        for x in [below.next_down(), below, centre, above, above.next_up()] {
            probes.extend([x, -x]);
        }
    }
    probes.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]);
    probes
}

/// The same bits, any NaN equal to any other.
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

pub struct Case {
    pub format: FloatFormat,
    pub oracle: FloatOracle,
}

/// Every kind of reserved codes that a format can have.
pub fn flavours(e: u32, m: u32, signed: bool) -> Vec<Case> {
    let kinds = [ReservedCodes::None, ReservedCodes::Nan, ReservedCodes::Ieee, ReservedCodes::Fnuz];
    let plain = FloatFormat::new(e, m).unwrap();
    let plain = if signed { plain } else { plain.unsigned().unwrap() };
    kinds
        .into_iter()
        .filter_map(|reserved| {
            let bias = (1 << (e - 1)) - 1 + i32::from(reserved == ReservedCodes::Fnuz);
            let usable = match reserved {
                ReservedCodes::None => true,
                ReservedCodes::Nan => e + m > 1,
                ReservedCodes::Ieee => m > 0,
                ReservedCodes::Fnuz => signed,
            };
            let format = plain.with_reserved(reserved);
            assert_eq!(format.is_ok(), usable, "e{e}m{m} {reserved:?}: {format:?}");
            let format = format.ok()?;
            Some(Case { format, oracle: FloatOracle::new(e, m, bias, reserved, signed) })
        })
        .collect()
}
