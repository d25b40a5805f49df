//! Trunc, versions 1 and 2, which compute different things.

use fewbit_formats::RoundingMode;

use super::quantizer::{self, Parameters, clip, integer_range, round};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::each;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, one};
use crate::tensor::{Grid, Tensor};

/// `q = round(x / scale + zero_point)`, then drops low bits.
///
/// Version 1: `y = (mode(q / 2^(b_in - b_out)) - zero_point) * scale`, neither clipped nor rescaled.
/// Version 2: `t = 2^round(log2(scale_out / scale)); q = mode(clip(q / t, min, max)); y = (q - zero_point / t) * scale_out`.
#[derive(Debug)]
enum Trunc {
    Version1 { rounding_mode: RoundingMode },
    Version2 { rounding_mode: RoundingMode, signed: bool, narrow: bool },
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let rounding_mode = quantizer::rounding_mode(attributes)?
        .ok_or_else(|| Fault::missing("attribute \"rounding_mode\""))?;
    Ok(Box::new(if attributes.version() < 2 {
        Trunc::Version1 { rounding_mode }
    } else {
        Trunc::Version2 {
            rounding_mode,
            signed: attributes.flag("signed", true)?,
            narrow: attributes.flag("narrow", false)?,
        }
    }))
}

impl Operator for Trunc {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        let x = inputs.take(0, "X")?;
        let mut parameter = |index: usize, name: &'static str| {
            inputs.take(index, name).map(|tensor| (tensor, format!("input {index} ({name})")))
        };
        let scale = parameter(1, "scale")?;
        let zero_point = parameter(2, "zeropt")?;
        let bits_in = parameter(3, "in_bitwidth")?;
        match *self {
            Self::Version1 { rounding_mode } => {
                let bits_out = parameter(4, "out_bitwidth")?;
                inputs.at_most(5)?;
                let all =
                    [&scale, &zero_point, &bits_in, &bits_out].map(|(t, name)| (t, name.as_str()));
                let parameters = Parameters::new(x.shape(), all)?;
                let y = parameters.apply(x.slice("input 0 (X)")?, |parameters, x, y| {
                    version_1(rounding_mode, parameters, x, y)
                });
                Ok(one(x.shape().to_vec(), y))
            }
            Self::Version2 { rounding_mode, signed, narrow } => {
                let scale_out = parameter(4, "out_scale")?;
                let bits_out = parameter(5, "out_bitwidth")?;
                inputs.at_most(6)?;
                // The input's bit width has no effect.
                bits_in.0.to_f32(&bits_in.1)?;
                let all = [&scale, &zero_point, &scale_out, &bits_out]
                    .map(|(t, name)| (t, name.as_str()));
                let parameters = Parameters::new(x.shape(), all)?;
                let y = parameters.apply(
                    x.slice("input 0 (X)")?,
                    |[scale, zero_point, scale_out, b_out], x, y| {
                        let range = integer_range(b_out, signed, narrow);
                        version_2(rounding_mode, [scale, zero_point, scale_out], range, x, y);
                    },
                );
                let grid =
                    parameters.uniform().and_then(|[scale, zero_point, scale_out, b_out]| {
                        let zero_point = zero_point / divisor(scale, scale_out);
                        let (min, max) = integer_range(b_out, signed, narrow);
                        let bound = |v: f32| {
                            (f64::from(rounding_mode.apply(v)) - f64::from(zero_point)).abs()
                        };
                        let scale = parameters.scale(2)?;
                        if zero_point.fract() != 0.0 {
                            return None;
                        }
                        Grid::integer(scale, bound(min).max(bound(max)))
                    });
                Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(grid)])
            }
        }
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let one = |place: usize| {
            let tensor = (*site.constants.get(place)?)?;
            let values = tensor.to_f32("a parameter").ok()?;
            (values.len() == 1).then(|| values[0])
        };
        if !site.only_first() {
            return None;
        }
        match *self {
            Self::Version1 { rounding_mode } => {
                let parameters = [one(1)?, one(2)?, one(3)?, one(4)?];
                (site.constants.len() == 5).then_some(())?;
                each(move |block| {
                    let x = block.to_vec();
                    version_1(rounding_mode, parameters, &x, block);
                })
            }
            Self::Version2 { rounding_mode, signed, narrow } => {
                let parameters = [one(1)?, one(2)?, one(4)?];
                let range = integer_range(one(5)?, signed, narrow);
                (site.constants.len() == 6).then_some(())?;
                each(move |block| {
                    let x = block.to_vec();
                    version_2(rounding_mode, parameters, range, &x, block);
                })
            }
        }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        quantizer::keeps_batch(inputs)
    }
}

fn version_1(
    mode: RoundingMode,
    [scale, zero_point, b_in, b_out]: [f32; 4],
    x: &[f32],
    y: &mut [f32],
) {
    let divisor = f64::from(b_in - b_out).exp2() as f32;
    codes(x, y, scale, zero_point);
    y.iter_mut().for_each(|y| *y /= divisor);
    round(y, mode);
    y.iter_mut().for_each(|y| *y = (*y - zero_point) * scale);
}

fn version_2(
    mode: RoundingMode,
    [scale, zero_point, scale_out]: [f32; 3],
    (min, max): (f32, f32),
    x: &[f32],
    y: &mut [f32],
) {
    let divisor = divisor(scale, scale_out);
    codes(x, y, scale, zero_point);
    y.iter_mut().for_each(|y| *y = clip(*y / divisor, min, max));
    round(y, mode);
    let zero_point = zero_point / divisor;
    y.iter_mut().for_each(|y| *y = (*y - zero_point) * scale_out);
}

/// `round(x / scale + zero_point)`, half to even.
fn codes(x: &[f32], y: &mut [f32], scale: f32, zero_point: f32) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x / scale + zero_point);
    round(y, RoundingMode::HalfEven);
}

/// The power of two nearest to the ratio of the scales.
fn divisor(scale: f32, scale_out: f32) -> f32 {
    f64::from(scale_out / scale).log2().round_ties_even().exp2() as f32
}
