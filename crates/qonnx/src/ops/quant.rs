//! Quant, also called IntQuant.

use fewbit_formats::RoundingMode;

use super::quantizer::{self, Parameters, clip, integer_range, round};
use super::{Context, Input, Inputs, Operator};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::{Grid, Tensor};

/// `t = x / scale + zero_point; q = round(clip(t, min, max)); y = (q - zero_point) * scale`.
///
/// One signed bit means bipolar: `q = 1` where `t >= 0`, else -1.
#[derive(Debug)]
struct Quant {
    signed: bool,
    narrow: bool,
    rounding_mode: RoundingMode,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Quant {
        signed: attributes.required_flag("signed")?,
        narrow: attributes.flag("narrow", false)?,
        rounding_mode: quantizer::rounding_mode(attributes)?.unwrap_or_default(),
    }))
}

impl Operator for Quant {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(4)?;
        let x = inputs.take(0, "X")?;
        let scale = inputs.take(1, "scale")?;
        let zero_point = inputs.take(2, "zeropt")?;
        let bit_width = inputs.take(3, "bitwidth")?;
        let parameters = Parameters::new(
            x.shape(),
            [
                (&scale, "input 1 (scale)"),
                (&zero_point, "input 2 (zeropt)"),
                (&bit_width, "input 3 (bitwidth)"),
            ],
        )?;
        for &bits in parameters.all(BITS) {
            if !(bits > 0.0 && bits <= 64.0) {
                return Err(Fault::value("input 3 (bitwidth)", bits, "more than 0 and at most 64"));
            }
        }
        let y = parameters.apply(x.slice("input 0 (X)")?, |parameters, x, y| {
            self.quantize(parameters, x, y);
        });
        Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(self.grid(&parameters))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        quantizer::keeps_batch(inputs)
    }
}

/// Places of the parameters.
const SCALE: usize = 0;
const ZERO_POINT: usize = 1;
const BITS: usize = 2;

impl Quant {
    fn is_bipolar(&self, bit_width: f32) -> bool {
        self.signed && bit_width == 1.0
    }

    fn quantize(&self, [scale, zero_point, bit_width]: [f32; 3], x: &[f32], y: &mut [f32]) {
        let pairs = y.iter_mut().zip(x);
        if self.is_bipolar(bit_width) {
            let (above, below) = ((1.0 - zero_point) * scale, (-1.0 - zero_point) * scale);
            return pairs.for_each(|(y, &x)| {
                *y = if x / scale + zero_point >= 0.0 { above } else { below };
            });
        }
        let (min, max) = integer_range(bit_width, self.signed, self.narrow);
        pairs.for_each(|(y, &x)| *y = clip(x / scale + zero_point, min, max));
        round(y, self.rounding_mode);
        y.iter_mut().for_each(|y| *y = (*y - zero_point) * scale);
    }

    /// Codes are `q - zero_point`, integers if the zero point is one.
    fn grid(&self, parameters: &Parameters<3>) -> Option<Grid> {
        let whole = parameters.all(ZERO_POINT).iter().all(|z| z.fract() == 0.0);
        let largest = |bits: f32, zero_point: f32| {
            let (min, max) = if self.is_bipolar(bits) {
                (-1.0, 1.0)
            } else {
                integer_range(bits, self.signed, self.narrow)
            };
            let bound =
                |v: f32| (f64::from(self.rounding_mode.apply(v)) - f64::from(zero_point)).abs();
            bound(min).max(bound(max))
        };
        let mut max_abs = 0.0f64;
        for &bits in parameters.all(BITS) {
            for &zero_point in parameters.all(ZERO_POINT) {
                max_abs = max_abs.max(largest(bits, zero_point));
            }
        }
        let scale = parameters.scale(SCALE)?;
        if whole { Grid::integer(scale, max_abs) } else { None }
    }
}
