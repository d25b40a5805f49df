//! Quant, also called IntQuant.

use fewbit_formats::RoundingMode;
use fewbit_kernels::program::{Integer, Step};
use fewbit_kernels::quantize::{self, IntegerQuantizer, Scale as KernelScale};

use super::quantizer::{self, Parameters, blocks, clip, integer_range, round};
use crate::Options;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::{each, step};
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site};
use crate::tensor::{Grid, Tensor};

/// `t = x / scale + zero_point; q = round(clip(t, min, max)); y = (q - zero_point) * scale`.
///
/// One signed bit means bipolar: `q = 1` where `t >= 0`, else -1.
#[derive(Clone, Debug)]
struct Quant {
    signed: bool,
    narrow: bool,
    rounding_mode: RoundingMode,
    /// The parameters and what they say about the result, if they are constant, and the same for all elements.
    prepared: Option<([f32; 3], Option<Grid>)>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Quant {
        signed: attributes.required_flag("signed")?,
        narrow: attributes.flag("narrow", false)?,
        rounding_mode: quantizer::rounding_mode(attributes)?.unwrap_or_default(),
        prepared: None,
    }))
}

impl Operator for Quant {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(4)?;
        let x = inputs.take(0, "X")?;
        if let Some((parameters, grid)) = &self.prepared {
            let y = blocks(x.slice("input 0 (X)")?, |x, y| self.quantize(*parameters, x, y));
            return Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(grid.clone())]);
        }
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
        check_bits(parameters.all(BITS))?;
        let y = parameters.apply(x.slice("input 0 (X)")?, |parameters, x, y| {
            self.quantize(parameters, x, y);
        });
        Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(self.grid(&parameters))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        quantizer::keeps_batch(inputs)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let (parameters, _) = self.prepared.as_ref().filter(|_| site.only_first())?;
        let [scale, zero_point, bit_width] = *parameters;
        if self.rounding_mode == RoundingMode::HalfEven && !self.is_bipolar(bit_width) {
            let (min, max) = integer_range(bit_width, self.signed, self.narrow);
            let clips_first = min.fract() != 0.0 || min >= 0.0;
            let factor = scale;
            return step(Step::Integer(Integer {
                min,
                max,
                zero_point,
                scale,
                factor,
                clips_first,
            }));
        }
        let (own, parameters) = (self.clone(), *parameters);
        each(move |block| {
            let x = block.to_vec();
            own.quantize(parameters, &x, block);
        })
    }

    fn specialize(&self, constants: &[Option<&Tensor>], _: Options) -> Option<Box<dyn Operator>> {
        let &[_, Some(scale), Some(zero_point), Some(bits)] = constants else { return None };
        let parameters = Parameters::new(&[], [(scale, ""), (zero_point, ""), (bits, "")]).ok()?;
        check_bits(parameters.all(BITS)).ok()?;
        let prepared = Some((parameters.uniform()?, self.grid(&parameters)));
        Some(Box::new(Quant { prepared, ..*self }))
    }
}

fn check_bits(bits: &[f32]) -> Result<(), Fault> {
    match bits.iter().find(|&&bits| !(bits > 0.0 && bits <= 64.0)) {
        Some(bits) => Err(Fault::value("input 3 (bitwidth)", bits, "more than 0 and at most 64")),
        None => Ok(()),
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
        // Rounding before clipping gives the same, if the limits are integers and 0 is no limit: there -0 would stay.
        if self.rounding_mode == RoundingMode::HalfEven && min.fract() == 0.0 && min < 0.0 {
            let quantizer =
                IntegerQuantizer { min, max, zero_point, rounding_mode: self.rounding_mode };
            return quantize::integer(x, y, &quantizer, KernelScale::PerTensor(scale));
        }
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
