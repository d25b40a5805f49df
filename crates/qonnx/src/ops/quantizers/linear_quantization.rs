//! QuantizeLinear and DequantizeLinear.

use fewbit_formats::FloatFormat;

use super::quantizer::Parameters;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::values::cast::dtype;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::tensor::{Grid, Scale, Tensor};
use crate::value::{DType, Data, Narrowing, low_bits, narrowed};

/// `saturate(round(x / scale) + zero_point)`, half to even; to a minifloat `x / scale` in one rounding.
#[derive(Debug)]
struct QuantizeLinear {
    along: Along,
    /// The type without a zero point.
    output: Option<DType>,
    saturate: bool,
}

/// `(x - zero_point) * scale`.
#[derive(Debug)]
struct DequantizeLinear {
    along: Along,
    output: Option<DType>,
}

/// How scales that are more than one lie along the tensor.
#[derive(Clone, Copy, Debug)]
struct Along {
    axis: i64,
    /// Elements along the axis that share a scale; 0 if each has its own.
    block: usize,
}

impl Along {
    fn new(attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        let block = attributes.int("block_size")?.unwrap_or(0);
        let block = usize::try_from(block)
            .map_err(|_| Fault::value("attribute \"block_size\"", block, "0 or more"))?;
        Ok(Self { axis: attributes.int("axis")?.unwrap_or(1), block })
    }

    /// A parameter in a shape that repeats over a tensor of this shape.
    fn repeat(self, parameter: Tensor, shape: &[usize], what: &str) -> Result<Tensor, Fault> {
        match *parameter.shape() {
            [] | [1] if self.block == 0 => Ok(parameter),
            [len] if self.block == 0 => {
                let axis = axes::axis(self.axis, shape.len(), "attribute \"axis\"")?;
                if len != shape[axis] {
                    let expected = format!("[{}]", shape[axis]);
                    return Err(Fault::shape(what, parameter.shape(), expected));
                }
                let mut repeated = vec![1; shape.len() - axis];
                repeated[0] = len;
                Ok(Tensor::new(parameter.into_value().with_shape(repeated)))
            }
            _ if self.block > 0 => self.blocks(parameter, shape, what),
            _ => Err(Fault::shape(what, parameter.shape(), "no axis, or one")),
        }
    }

    fn blocks(self, parameter: Tensor, shape: &[usize], what: &str) -> Result<Tensor, Fault> {
        let axis = axes::axis(self.axis, shape.len(), "attribute \"axis\"")?;
        let mut expected = shape.to_vec();
        expected[axis] = shape[axis].div_ceil(self.block);
        if parameter.shape() != expected {
            return Err(Fault::shape(what, parameter.shape(), format!("{expected:?}")));
        }
        let strides = axes::row_major(&expected);
        let mut picked = Vec::with_capacity(shape.iter().product());
        axes::indices(shape, |index| {
            let of = |(i, &at): (usize, &usize)| {
                (if i == axis { at / self.block } else { at }) * strides[i]
            };
            picked.push(Some(index.iter().enumerate().map(of).sum()));
        });
        let data = parameter.value().data();
        let data = data
            .pick(picked.into_iter(), data)
            .ok_or_else(|| Fault::Malformed("a block leaves the scales".to_owned()))?;
        Ok(Tensor::of(shape.to_vec(), data))
    }
}

pub(crate) fn quantize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.only_int("precision", 0)?;
    let output = match attributes.int("output_dtype")? {
        None | Some(0) => None,
        Some(number) => Some(dtype(number, "attribute \"output_dtype\"")?),
    };
    let saturate = attributes.flag("saturate", true)?;
    Ok(Box::new(QuantizeLinear { along: Along::new(attributes)?, output, saturate }))
}

pub(crate) fn dequantize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let output = match attributes.int("output_dtype")? {
        None | Some(0) => None,
        Some(number) => Some(dtype(number, "attribute \"output_dtype\"")?),
    };
    Ok(Box::new(DequantizeLinear { along: Along::new(attributes)?, output }))
}

/// Integers of a type of 16 and fewer bits that are known to fit it.
pub(crate) fn saturated(codes: &[f32], output: DType) -> Data {
    match output {
        DType::I8 => codes.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
        DType::U16 => codes.iter().map(|&v| v as u16).collect::<Vec<_>>().into(),
        DType::I16 => codes.iter().map(|&v| v as i16).collect::<Vec<_>>().into(),
        DType::U8 => codes.iter().map(|&v| v as u8).collect::<Vec<_>>().into(),
        small => {
            let integers = low_bits(codes.iter().map(|&v| v as i64), small);
            integers.unwrap_or_else(|| codes.to_vec().into())
        }
    }
}

impl Operator for QuantizeLinear {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "x")?;
        let scale =
            self.along.repeat(inputs.take(1, "y_scale")?, x.shape(), "input 1 (y_scale)")?;
        let zero_point = inputs.optional(2);
        let output = zero_point.as_ref().map(Tensor::dtype).or(self.output).unwrap_or(DType::U8);
        let zero_point = zero_point.unwrap_or_else(|| Tensor::of(vec![], vec![0.0f32]));
        let own =
            Along { block: if zero_point.len() == 1 { 0 } else { self.along.block }, ..self.along };
        let zero_point = own.repeat(zero_point, x.shape(), "input 2 (y_zero_point)")?;
        let parameters = Parameters::new(
            x.shape(),
            [(&scale, "input 1 (y_scale)"), (&zero_point, "input 2 (y_zero_point)")],
        )?;
        let values = x.to_f32("input 0 (x)")?;
        if output.minifloat().is_some() {
            if let Some(zero) = parameters.all(1).iter().find(|&&zero| zero != 0.0) {
                return Err(Fault::value("input 2 (y_zero_point)", zero, "0, as it is a float"));
            }
            let ratios = parameters.apply(&values, |[scale, _], x, y| {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x / scale);
            });
            let narrowing = Narrowing { saturate: self.saturate, ..Narrowing::default() };
            let codes = narrowed(&ratios, output, narrowing);
            return Ok(one(x.shape().to_vec(), codes.unwrap_or_else(|| ratios.into())));
        }
        let (min, max) = output
            .small_integers()
            .ok_or_else(|| Fault::unsupported(format_args!("an output of type {output}")))?;
        let q = parameters.apply(&values, |[scale, zero_point], x, y| {
            // The sum is taken of integers, so what does not fit them is clipped before.
            let wide = 16_777_216.0;
            for (y, &x) in y.iter_mut().zip(x) {
                let rounded = (x / scale).round_ties_even().clamp(-wide, wide);
                *y = (rounded + zero_point).clamp(min, max);
            }
        });
        Ok(one(x.shape().to_vec(), saturated(&q, output)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.along.off_batch(inputs, output.len())
    }
}

/// What is known about values that were codes of this type.
fn grid_of(codes: DType, parameters: &Parameters<2>) -> Option<Grid> {
    let scale: Scale = parameters.scale(0)?;
    if let Some((min, max)) = codes.small_integers() {
        let reach = |z: f32| f64::from((min - z).abs().max((max - z).abs()));
        let largest = parameters.all(1).iter().map(|&z| reach(z)).fold(0.0, f64::max);
        return Grid::integer(scale, largest);
    }
    let format: FloatFormat = codes.minifloat()?;
    let centered = parameters.all(1).iter().all(|&zero| zero == 0.0);
    if centered { Grid::float(format, scale) } else { None }
}

impl Operator for DequantizeLinear {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "x")?;
        let scale =
            self.along.repeat(inputs.take(1, "x_scale")?, x.shape(), "input 1 (x_scale)")?;
        if scale.dtype() != DType::F32 {
            return Err(Fault::dtype("input 1 (x_scale)", scale.dtype(), DType::F32));
        }
        let zero_point = match inputs.optional(2) {
            Some(zero_point) if zero_point.dtype() != x.dtype() => {
                return Err(Fault::dtype("input 2 (x_zero_point)", zero_point.dtype(), x.dtype()));
            }
            Some(zero_point) => {
                let one = zero_point.len() == 1;
                let own = Along { block: if one { 0 } else { self.along.block }, ..self.along };
                own.repeat(zero_point, x.shape(), "input 2 (x_zero_point)")?
            }
            None => Tensor::of(vec![], vec![0.0f32]),
        };
        let codes = x.dtype();
        let known = codes.small_integers().is_some() || codes.minifloat().is_some();
        if !known && codes != DType::I32 {
            return Err(Fault::unsupported(format_args!("an input of type {codes}")));
        }
        let parameters = Parameters::new(
            x.shape(),
            [(&scale, "input 1 (x_scale)"), (&zero_point, "input 2 (x_zero_point)")],
        )?;
        let values = x.to_f32("input 0 (x)")?;
        let y = parameters.apply(&values, |[scale, zero_point], x, y| {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - zero_point) * scale);
        });
        let shape = x.shape().to_vec();
        match self.output {
            None | Some(DType::F32) => {
                Ok(vec![Tensor::of(shape, y).with_grid(grid_of(codes, &parameters))])
            }
            Some(output) => {
                let small = narrowed(&y, output, Narrowing::default());
                let small = small.ok_or_else(|| {
                    Fault::unsupported(format_args!("an output of type {output}"))
                })?;
                Ok(one(shape, small))
            }
        }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.along.off_batch(inputs, output.len())
    }
}

impl Along {
    fn off_batch(self, inputs: &[Input<'_>], rank: usize) -> bool {
        let repeated = inputs[1..].iter().all(|input| {
            input.role == Role::Fixed
                && (input.shape.iter().product::<usize>() == 1
                    || (self.block == 0
                        && axes::axis(self.axis, rank, "axis").is_ok_and(|axis| axis != 0)))
        });
        inputs[0].batched() && repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_a_scale() {
        let along = Along { axis: 1, block: 2 };
        let scale = Tensor::of(vec![2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let repeated = along.repeat(scale, &[2, 3], "scale").unwrap();
        assert_eq!(repeated.slice::<f32>("").unwrap(), [1.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
        let wrong = Tensor::of(vec![2, 3], vec![1.0f32; 6]);
        assert!(along.repeat(wrong, &[2, 3], "scale").is_err());
    }
}
