//! FloatQuant.

use fewbit_formats::{FloatFormat, Overflow, ReservedCodes, RoundingMode};
use fewbit_kernels::program::{Minifloat, Step};
use fewbit_kernels::quantize::{self, Scale as KernelScale};

use super::quantizer::{self, Parameters, blocks};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::{each, step};
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site};
use crate::tensor::{Grid, Scale, Tensor};
use crate::{Mode, Options};

/// `u = x / scale; v` the nearest minifloat to `u`, clipped at `min(largest, max_val)`; `y = v * scale`.
///
/// `has_inf` and `has_nan` say what an overflow becomes if it does not saturate; `has_subnormal` has no effect.
#[derive(Clone, Debug)]
struct FloatQuant {
    overflow: Overflow,
    rounding_mode: RoundingMode,
    /// The format, the scale, and what they say about the result, if they are constant, and the same for all elements.
    prepared: Option<(FloatFormat, f32, Option<Grid>)>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    // The operator's document calls it `has_infinity`.
    let has_inf = if attributes.has("has_infinity") && !attributes.has("has_inf") {
        attributes.required_flag("has_infinity")?
    } else {
        attributes.required_flag("has_inf")?
    };
    let has_nan = attributes.required_flag("has_nan")?;
    attributes.required_flag("has_subnormal")?;
    let saturates = attributes.required_flag("saturation")?;
    let overflow = match (saturates, has_inf, has_nan) {
        (true, _, _) => Overflow::Saturate,
        (false, true, _) => Overflow::Infinity,
        (false, false, true) => Overflow::Nan,
        (false, false, false) => {
            return Err(Fault::value(
                "attribute \"saturation\"",
                "0 with has_inf 0 and has_nan 0",
                "1, or a code for what an overflow becomes",
            ));
        }
    };
    let rounding_mode = quantizer::rounding_mode(attributes)?.unwrap_or_default();
    Ok(Box::new(FloatQuant { overflow, rounding_mode, prepared: None }))
}

impl Operator for FloatQuant {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(6)?;
        let x = inputs.take(0, "X")?;
        let mode = context.options.mode;
        if let Some((format, scale, grid)) = &self.prepared {
            let values = x.slice("input 0 (X)")?;
            let y = blocks(values, |x, y| self.quantize(format, *scale, x, y, mode));
            return Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(grid.clone())]);
        }
        let names = ["scale", "exponent_bitwidth", "mantissa_bitwidth", "exponent_bias", "max_val"];
        let mut tensors = Vec::with_capacity(names.len());
        for (i, name) in names.into_iter().enumerate() {
            tensors.push((inputs.take(i + 1, name)?, format!("input {} ({name})", i + 1)));
        }
        let named = |i: usize| (&tensors[i].0, tensors[i].1.as_str());
        let scale = Parameters::new(x.shape(), [named(0)])?;
        let format = Parameters::new(x.shape(), [named(1), named(2), named(3), named(4)])?;
        let values = x.slice("input 0 (X)")?;
        let (y, grid) = if let Some(format) = format.uniform() {
            let format = float_format(format)?;
            let y = scale.apply(values, |[scale], x, y| self.quantize(&format, scale, x, y, mode));
            (y, scale.scale(0).and_then(|scale| Grid::float(format, scale)))
        } else {
            // Every combination that occurs has to be a format.
            let all =
                Parameters::new(x.shape(), [named(0), named(1), named(2), named(3), named(4)])?;
            let faults = std::sync::Mutex::new(None);
            let y = all.apply(values, |[scale, e, m, bias, max], x, y| {
                match float_format([e, m, bias, max]) {
                    Ok(format) => self.quantize(&format, scale, x, y, mode),
                    Err(fault) => {
                        *faults.lock().unwrap_or_else(|lock| lock.into_inner()) = Some(fault)
                    }
                }
            });
            if let Some(fault) = faults.into_inner().unwrap_or_else(|lock| lock.into_inner()) {
                return Err(fault);
            }
            (y, None)
        };
        Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        quantizer::keeps_batch(inputs)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let (format, scale, _) = self.prepared.as_ref().filter(|_| site.only_first())?;
        let usual =
            self.rounding_mode == RoundingMode::HalfEven && self.overflow == Overflow::Saturate;
        if let Some(quantizer) = usual.then(|| Minifloat::new(format, *scale)).flatten() {
            return step(Step::Minifloat(quantizer));
        }
        let (own, format, scale) = (self.clone(), *format, *scale);
        each(move |block| {
            let x = block.to_vec();
            own.quantize(&format, scale, &x, block, Mode::Canonical);
        })
    }

    fn specialize(&self, constants: &[Option<&Tensor>], _: Options) -> Option<Box<dyn Operator>> {
        let &[_, Some(scale), Some(e), Some(m), Some(bias), Some(max)] = constants else {
            return None;
        };
        let named = [scale, e, m, bias, max].map(|tensor| (tensor, ""));
        let [scale, format @ ..] = Parameters::new(&[], named).ok()?.uniform()?;
        let format = float_format(format).ok()?;
        let prepared = Some((format, scale, Grid::float(format, Scale::PerTensor(scale))));
        Some(Box::new(FloatQuant {
            prepared,
            overflow: self.overflow,
            rounding_mode: self.rounding_mode,
        }))
    }
}

impl FloatQuant {
    fn quantize(&self, format: &FloatFormat, scale: f32, x: &[f32], y: &mut [f32], mode: Mode) {
        let factor = scale;
        let scale = KernelScale::PerTensor(scale);
        if self.rounding_mode == RoundingMode::HalfEven && self.overflow == Overflow::Saturate {
            quantize::minifloat(x, y, format, scale);
        } else {
            quantize::minifloat_with(x, y, format, scale, self.rounding_mode, self.overflow);
            let step = format.smallest_subnormal();
            let zeros = y.iter_mut().zip(x).filter(|(y, _)| **y == 0.0);
            zeros.for_each(|(y, &x)| {
                *y = quantizer::zero(self.rounding_mode, x / factor / step) * factor
            });
        }
        if mode == Mode::Reference && format.mantissa_bit_width() == 0 {
            // Without a mantissa the original's step is 2^128 there, infinity in f32: log2 is rounded up.
            let lost = |u: f32| u.is_finite() && f64::from(u.abs()).log2() as f32 >= 128.0;
            let pairs = y.iter_mut().zip(x).filter(|(_, x)| lost(**x / factor));
            pairs.for_each(|(y, _)| *y = f32::NAN);
        }
    }
}

/// The format of these parameters, with every code finite up to `max_val`.
fn float_format([e, m, bias, max_val]: [f32; 4]) -> Result<FloatFormat, Fault> {
    let whole = |value: f32, what: &str, range: std::ops::RangeInclusive<i32>| {
        let (first, last) = (*range.start(), *range.end());
        let fits = value.fract() == 0.0 && value >= first as f32 && value <= last as f32;
        let expected = format_args!("a whole number from {first} to {last}").to_string();
        if fits { Ok(value as i32) } else { Err(Fault::value(what, value, expected)) }
    };
    let e = whole(e, "input 2 (exponent_bitwidth)", 1..=8)?;
    let m = whole(m, "input 3 (mantissa_bitwidth)", 0..=23)?;
    let bias = whole(bias, "input 4 (exponent_bias)", -126..=150 - m)?;
    if max_val.is_nan() || max_val <= 0.0 {
        return Err(Fault::value("input 5 (max_val)", max_val, "a number above 0"));
    }
    FloatFormat::new(e as u32, m as u32)
        .and_then(|format| format.with_reserved(ReservedCodes::None))
        .and_then(|format| format.with_exponent_bias(bias))
        .and_then(|format| format.with_max_value(max_val))
        .map_err(|error| Fault::Malformed(error.to_string()))
}
