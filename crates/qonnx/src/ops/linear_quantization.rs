//! QuantizeLinear and DequantizeLinear.

use super::cast::dtype;
use super::quantizer::Parameters;
use super::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::{Grid, Scale, Tensor};
use crate::value::{DType, Data};

/// `saturate(round(x / scale) + zero_point)`, half to even.
#[derive(Debug)]
struct QuantizeLinear {
    axis: i64,
    /// The type without a zero point.
    output: Option<DType>,
}

/// `(x - zero_point) * scale`.
#[derive(Debug)]
struct DequantizeLinear {
    axis: i64,
}

pub(super) fn quantize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.only_int("block_size", 0)?;
    attributes.only_int("precision", 0)?;
    // Concerns floats of 8 bits only.
    attributes.ignore("saturate");
    let output = match attributes.int("output_dtype")? {
        None | Some(0) => None,
        Some(number) => Some(dtype(number, "attribute \"output_dtype\"")?),
    };
    Ok(Box::new(QuantizeLinear { axis: attributes.int("axis")?.unwrap_or(1), output }))
}

pub(super) fn dequantize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.only_int("block_size", 0)?;
    match attributes.int("output_dtype")? {
        None | Some(0) | Some(1) => {}
        Some(number) => {
            return Err(Fault::unsupported(format_args!(
                "attribute \"output_dtype\" with {number}"
            )));
        }
    }
    Ok(Box::new(DequantizeLinear { axis: attributes.int("axis")?.unwrap_or(1) }))
}

/// A parameter of rank 1 along `axis`, as one that repeats over a tensor of `rank`.
fn along(parameter: Tensor, shape: &[usize], axis: i64, what: &str) -> Result<Tensor, Fault> {
    match *parameter.shape() {
        [] | [1] => Ok(parameter),
        [len] => {
            let axis = axes::axis(axis, shape.len(), "attribute \"axis\"")?;
            if len != shape[axis] {
                let expected = format!("[{}]", shape[axis]);
                return Err(Fault::shape(what, parameter.shape(), expected));
            }
            let mut repeated = vec![1; shape.len() - axis];
            repeated[0] = len;
            Ok(Tensor::new(parameter.into_value().with_shape(repeated)))
        }
        _ => Err(Fault::unsupported(format_args!("{what} of shape {:?}", parameter.shape()))),
    }
}

/// Smallest and largest integer of a type.
fn limits(dtype: DType) -> Option<(f32, f32)> {
    match dtype {
        DType::U8 => Some((0.0, 255.0)),
        DType::I8 => Some((-128.0, 127.0)),
        DType::U16 => Some((0.0, 65535.0)),
        DType::I16 => Some((-32768.0, 32767.0)),
        _ => None,
    }
}

impl Operator for QuantizeLinear {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "x")?;
        let scale = along(inputs.take(1, "y_scale")?, x.shape(), self.axis, "input 1 (y_scale)")?;
        let zero_point = inputs.optional(2);
        let output = zero_point.as_ref().map(Tensor::dtype).or(self.output).unwrap_or(DType::U8);
        let (min, max) = limits(output)
            .ok_or_else(|| Fault::unsupported(format_args!("an output of type {output}")))?;
        let zero_point = zero_point.unwrap_or_else(|| Tensor::of(vec![], vec![0.0f32]));
        let zero_point = along(zero_point, x.shape(), self.axis, "input 2 (y_zero_point)")?;
        let parameters = Parameters::new(
            x.shape(),
            [(&scale, "input 1 (y_scale)"), (&zero_point, "input 2 (y_zero_point)")],
        )?;
        let q = parameters.apply(x.slice("input 0 (x)")?, |[scale, zero_point], x, y| {
            // The sum is taken of integers, so what does not fit them is clipped before.
            let wide = 16_777_216.0;
            for (y, &x) in y.iter_mut().zip(x) {
                let rounded = (x / scale).round_ties_even().clamp(-wide, wide);
                *y = (rounded + zero_point).clamp(min, max);
            }
        });
        let data: Data = match output {
            DType::I8 => q.into_iter().map(|v| v as i8).collect::<Vec<_>>().into(),
            DType::U16 => q.into_iter().map(|v| v as u16).collect::<Vec<_>>().into(),
            DType::I16 => q.into_iter().map(|v| v as i16).collect::<Vec<_>>().into(),
            _ => q.into_iter().map(|v| v as u8).collect::<Vec<_>>().into(),
        };
        Ok(one(x.shape().to_vec(), data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        parameters_off_batch(inputs, self.axis, output.len())
    }
}

impl Operator for DequantizeLinear {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "x")?;
        let scale = along(inputs.take(1, "x_scale")?, x.shape(), self.axis, "input 1 (x_scale)")?;
        if scale.dtype() != DType::F32 {
            return Err(Fault::dtype("input 1 (x_scale)", scale.dtype(), DType::F32));
        }
        let zero_point = match inputs.optional(2) {
            Some(zero_point) if zero_point.dtype() != x.dtype() => {
                return Err(Fault::dtype("input 2 (x_zero_point)", zero_point.dtype(), x.dtype()));
            }
            Some(zero_point) => along(zero_point, x.shape(), self.axis, "input 2 (x_zero_point)")?,
            None => Tensor::of(vec![], vec![0.0f32]),
        };
        if !matches!(x.dtype(), DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32) {
            return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype())));
        }
        let parameters = Parameters::new(
            x.shape(),
            [(&scale, "input 1 (x_scale)"), (&zero_point, "input 2 (x_zero_point)")],
        )?;
        let codes = x.to_f32("input 0 (x)")?;
        let y = parameters.apply(&codes, |[scale, zero_point], x, y| {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - zero_point) * scale);
        });
        let grid = limits(x.dtype()).and_then(|(min, max)| {
            let reach = |z: f32| f64::from((min - z).abs().max((max - z).abs()));
            let largest = parameters.all(1).iter().map(|&z| reach(z)).fold(0.0, f64::max);
            let scale: Scale = parameters.scale(0)?;
            Grid::integer(scale, largest)
        });
        Ok(vec![Tensor::of(x.shape().to_vec(), y).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        parameters_off_batch(inputs, self.axis, output.len())
    }
}

fn parameters_off_batch(inputs: &[Input<'_>], axis: i64, rank: usize) -> bool {
    let repeated = inputs[1..].iter().all(|input| {
        input.role == Role::Fixed
            && (input.shape.iter().product::<usize>() == 1
                || axes::axis(axis, rank, "axis").is_ok_and(|axis| axis != 0))
    });
    inputs[0].batched() && repeated
}
