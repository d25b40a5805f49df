//! What is known about the values of a tensor: `value = code * scale`.

use std::borrow::Cow;
use std::sync::Arc;

use fewbit_formats::FloatFormat;
use fewbit_kernels as kernels;

/// The codes of a tensor and the scale that is taken out of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) scale: Scale,
    pub(crate) kind: Kind,
}

/// How many scales a tensor has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scale {
    PerTensor(f32),
    /// One for each index along an axis.
    PerChannel {
        axis: usize,
        scales: Arc<Vec<f32>>,
    },
}

/// Which codes there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Integers up to a magnitude.
    Integer { max_abs: u32 },
    /// Values of a minifloat.
    Float(FloatFormat),
}

/// Values with their scale taken out, and what the contract wants to know about them.
pub(crate) struct Codes<'a> {
    pub(crate) values: Cow<'a, [f32]>,
    pub(crate) scale: Scale,
    pub(crate) grid: kernels::Grid,
}

impl Grid {
    /// Integers up to `max_abs` times a scale; `None` if the codes cannot be had back from the values.
    ///
    /// From `fl(n * s)`, `fl(fl(n * s) / s)` is less than one unit in the last place of `n` away from `n`, so rounding it gives `n`
    /// if `n` has two bits less than an `f32`.
    pub(crate) fn integer(scale: Scale, max_abs: f64) -> Option<Self> {
        let fits = max_abs <= f64::from(1u32 << 22) && scale.iter().all(is_ordinary);
        fits.then_some(Self { scale, kind: Kind::Integer { max_abs: max_abs as u32 } })
    }

    /// Values of a minifloat times a scale; `None` if the codes cannot be had back from the values.
    pub(crate) fn float(format: FloatFormat, scale: Scale) -> Option<Self> {
        if let Some(grid) = format.integer_grid() {
            let unit = scale.map(|scale| scale * grid.step);
            return Self::integer(unit, f64::from(grid.max_multiple));
        }
        // Where the largest value is off the grid, it is not found again by rounding.
        let max = format.max_value();
        let found_again = scale.iter().all(is_power_of_two)
            || (format.mantissa_bit_width() <= 20 && unlimited(&format).quantize(max) == max);
        let normal =
            |scale: f32| is_ordinary(scale) && is_ordinary(scale * format.smallest_subnormal());
        // Values without a scale are their codes, be they as small and as large as those of e8m7.
        let known = matches!(scale, Scale::PerTensor(1.0))
            || (found_again && max.is_finite() && scale.iter().all(normal));
        known.then_some(Self { scale, kind: Kind::Float(format) })
    }

    /// The grid after a permutation of the axes: axis `i` of the result is axis `perm[i]`.
    pub(crate) fn transposed(self, perm: &[usize]) -> Option<Self> {
        let scale = match self.scale {
            Scale::PerTensor(scale) => Scale::PerTensor(scale),
            Scale::PerChannel { axis, scales } => {
                Scale::PerChannel { axis: perm.iter().position(|&from| from == axis)?, scales }
            }
        };
        Some(Self { scale, ..self })
    }

    /// The grid, if it does not depend on the place in the tensor.
    pub(crate) fn if_per_tensor(self) -> Option<Self> {
        matches!(self.scale, Scale::PerTensor(_)).then_some(self)
    }

    /// Takes the scale out of `values`, a tensor of the given shape.
    pub(crate) fn codes<'a>(&self, values: &'a [f32], shape: &[usize]) -> Codes<'a> {
        let grid = match self.kind {
            Kind::Integer { max_abs } => kernels::Grid::Integer { max_abs },
            Kind::Float(format) => kernels::Grid::Significant { bits: format.significant_bits() },
        };
        let values = match &self.scale {
            Scale::PerTensor(1.0) => Cow::Borrowed(values),
            &Scale::PerTensor(scale) => {
                let mut out = vec![0.0; values.len()];
                self.kind.codes(values, scale, &mut out);
                Cow::Owned(out)
            }
            Scale::PerChannel { axis, scales } => {
                let inner: usize = shape[axis + 1..].iter().product();
                let mut out = vec![0.0; values.len()];
                let runs = values.chunks(inner.max(1)).zip(out.chunks_mut(inner.max(1)));
                for (i, (values, out)) in runs.enumerate() {
                    self.kind.codes(values, scales[i % scales.len()], out);
                }
                Cow::Owned(out)
            }
        };
        Codes { values, scale: self.scale.clone(), grid }
    }
}

impl Scale {
    pub(crate) fn iter(&self) -> impl Iterator<Item = f32> + '_ {
        let (one, many) = match self {
            Self::PerTensor(scale) => (Some(*scale), None),
            Self::PerChannel { scales, .. } => (None, Some(scales.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        match self {
            Self::PerTensor(scale) => Self::PerTensor(f(scale)),
            Self::PerChannel { axis, scales } => {
                Self::PerChannel { axis, scales: Arc::new(scales.iter().map(|&s| f(s)).collect()) }
            }
        }
    }
}

impl Kind {
    fn codes(self, values: &[f32], scale: f32, out: &mut [f32]) {
        let pairs = out.iter_mut().zip(values);
        match self {
            // By a power of two the division is exact already, and so is the product with the reciprocal.
            _ if is_power_of_two(scale) => {
                let reciprocal = 1.0 / scale;
                pairs.for_each(|(out, &v)| *out = v * reciprocal);
            }
            Self::Integer { .. } => pairs.for_each(|(out, &v)| *out = nearest(v / scale)),
            Self::Float(format) => {
                let format = unlimited(&format).quantizer();
                pairs.for_each(|(out, &v)| *out = format.quantize(v / scale));
            }
        }
    }
}

/// The nearest integer of a magnitude up to `2^23`: adding `2^23` rounds to units. Vectorizes everywhere.
fn nearest(v: f32) -> f32 {
    const UNIT: f32 = 8_388_608.0;
    let rounded = (v.abs() + UNIT) - UNIT;
    rounded.copysign(v)
}

fn is_ordinary(scale: f32) -> bool {
    scale.is_normal()
}

fn is_power_of_two(scale: f32) -> bool {
    // The reciprocal of the largest powers is subnormal.
    scale.is_normal() && scale.to_bits() & 0x007f_ffff == 0 && (1.0 / scale).is_normal()
}

/// The format without the limit that a quantizer may have set.
fn unlimited(format: &FloatFormat) -> FloatFormat {
    format.with_reserved(fewbit_formats::ReservedCodes::None).unwrap_or(*format)
}

/// What can be found out about values whose quantizer is not in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Examined {
    /// The power of two of which all are multiples, and the largest multiple, if that is at most 32767.
    pub(crate) integer: Option<(f32, u32)>,
    /// The largest number of significant bits.
    pub(crate) significant_bits: u32,
}

/// A number as an integer times a power of two, the integer odd.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Binary {
    /// The bits of the integer.
    pub(crate) significant_bits: u32,
    /// The power of two that it is multiplied by.
    pub(crate) lowest: i32,
    /// The exponent: that of its leading bit.
    pub(crate) highest: i32,
}

impl Binary {
    /// `None` for what is not normal: zero, subnormals, infinities and NaN.
    pub(crate) fn of(v: f32) -> Option<Self> {
        if !v.is_normal() {
            return None;
        }
        let significand = (v.to_bits() & 0x007f_ffff) | 0x0080_0000;
        let trailing = significand.trailing_zeros();
        let highest = ((v.to_bits() >> 23) & 0xff) as i32 - 127;
        let lowest = highest - 23 + trailing as i32;
        Some(Self { significant_bits: 24 - trailing, lowest, highest })
    }
}

/// Looks for the grid of constants; `None` if a value is not finite or is subnormal.
pub(crate) fn examine(values: &[f32]) -> Option<Examined> {
    let mut significant_bits = 1;
    let mut lowest = i32::MAX;
    let mut largest = 0.0f32;
    for &v in values {
        if v == 0.0 {
            continue;
        }
        let parts = Binary::of(v)?;
        significant_bits = significant_bits.max(parts.significant_bits);
        lowest = lowest.min(parts.lowest);
        largest = largest.max(v.abs());
    }
    if largest == 0.0 {
        return Some(Examined { integer: Some((1.0, 0)), significant_bits });
    }
    let integer = (-100..=100).contains(&lowest).then(|| {
        let unit = f32::from_bits(((lowest + 127) as u32) << 23);
        (unit, largest / unit)
    });
    let integer = integer.filter(|&(_, multiple)| multiple <= 32767.0);
    Some(Examined {
        integer: integer.map(|(unit, multiple)| (unit, multiple as u32)),
        significant_bits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_scaled_integers_come_back() {
        for scale in [1.0, 0.125, 0.1, 3.0, 0.0017, 27.768_454, -0.3, 1.4e-20] {
            let grid = Grid::integer(Scale::PerTensor(scale), 32767.0).unwrap();
            let codes: Vec<f32> = (-32767..=32767).map(|n| n as f32).collect();
            let values: Vec<f32> = codes.iter().map(|n| n * scale).collect();
            assert_eq!(grid.codes(&values, &[65535]).values.as_ref(), codes, "{scale}");
        }
    }

    #[test]
    fn codes_of_scaled_minifloats_come_back() {
        let mut formats = 0;
        for (e, m) in [(4, 3), (5, 2), (4, 7), (5, 10), (6, 1)] {
            let format = FloatFormat::new(e, m).unwrap();
            for scale in [1.0, 0.5, 0.1, 0.003_348_213, 7.3] {
                let grid = Grid::float(format, Scale::PerTensor(scale)).unwrap();
                assert_eq!(grid.kind, Kind::Float(format));
                let mut codes: Vec<f32> =
                    (0..20000).map(|i| format.quantize((i as f32 - 1e4) * 0.013)).collect();
                codes.extend([format.max_value(), format.smallest_subnormal()]);
                let values: Vec<f32> = codes.iter().map(|v| v * scale).collect();
                assert_eq!(grid.codes(&values, &[20002]).values.as_ref(), codes, "{scale}");
                formats += 1;
            }
        }
        assert_eq!(formats, 25);
    }

    #[test]
    fn small_minifloats_are_integers() {
        let e3m1 = FloatFormat::new(3, 1).unwrap();
        let grid = Grid::float(e3m1, Scale::PerTensor(2.0)).unwrap();
        assert_eq!(grid.kind, Kind::Integer { max_abs: 192 });
        assert_eq!(grid.scale, Scale::PerTensor(0.25));
        assert_eq!(grid.codes(&[48.0, -0.25], &[2]).values.as_ref(), [192.0, -1.0]);
    }

    #[test]
    fn a_limit_off_the_grid_needs_an_exact_scale() {
        let format = FloatFormat::new(4, 3).unwrap().with_max_value(225.0).unwrap();
        assert!(Grid::float(format, Scale::PerTensor(0.1)).is_none());
        assert!(Grid::float(format, Scale::PerTensor(0.25)).is_some());
        assert!(Grid::float(FloatFormat::new(4, 3).unwrap(), Scale::PerTensor(0.0)).is_none());
    }

    #[test]
    fn values_without_a_scale_are_codes_whatever_the_range() {
        for (e, m) in [(8, 3), (8, 7)] {
            let format = FloatFormat::new(e, m).unwrap();
            assert!(!format.smallest_subnormal().is_normal());
            let grid = Grid::float(format, Scale::PerTensor(1.0)).unwrap();
            let values = [f32::INFINITY, -1.5, format.smallest_subnormal()];
            let codes = grid.codes(&values, &[3]);
            assert_eq!(codes.values.as_ref(), values);
            assert_eq!(codes.grid, kernels::Grid::Significant { bits: m + 1 });
            assert!(Grid::float(format, Scale::PerTensor(0.1)).is_none());
        }
    }

    #[test]
    fn scales_per_channel() {
        let scale = Scale::PerChannel { axis: 0, scales: Arc::new(vec![0.1, 0.7]) };
        let grid = Grid::integer(scale, 7.0).unwrap();
        let values = [3.0 * 0.1, -7.0 * 0.1, 2.0 * 0.7, 0.0];
        assert_eq!(grid.codes(&values, &[2, 2]).values.as_ref(), [3.0, -7.0, 2.0, 0.0]);
        let turned = grid.transposed(&[1, 0]).unwrap();
        let values = [3.0 * 0.1, 2.0 * 0.7, -7.0 * 0.1, 0.0];
        assert_eq!(turned.codes(&values, &[2, 2]).values.as_ref(), [3.0, 2.0, -7.0, 0.0]);
    }

    #[test]
    fn examined_values() {
        let cases: &[(&[f32], Option<Examined>)] = &[
            (&[0.0, -0.0], Some(Examined { integer: Some((1.0, 0)), significant_bits: 1 })),
            (&[0.125, -24.0], Some(Examined { integer: Some((0.125, 192)), significant_bits: 2 })),
            (&[6.0, 4.0], Some(Examined { integer: Some((2.0, 3)), significant_bits: 2 })),
            (&[448.0, 1.0 / 512.0], Some(Examined { integer: None, significant_bits: 3 })),
            (&[0.1], Some(Examined { integer: None, significant_bits: 24 })),
            (&[1.0, f32::NAN], None),
            (&[1e-40], None),
        ];
        for (values, expected) in cases {
            assert_eq!(examine(values), *expected, "{values:?}");
        }
    }
}
