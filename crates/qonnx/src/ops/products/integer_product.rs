//! Products of integers: ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul.

use super::conv_nd::places;
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, strides};
use crate::error::Fault;
use crate::ops::quantizers::linear_quantization::saturated;
use crate::ops::windows::window::{self, WindowAttributes};
use crate::ops::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Data;

/// Integers minus their zero points, multiplied and added up exactly; with scales, the result is quantized again.
#[derive(Debug)]
struct IntegerProduct {
    kind: Kind,
    /// The result is quantized with scales, instead of being the sum in 32 bits.
    scaled: bool,
}

#[derive(Debug)]
enum Kind {
    MatMul,
    Conv { windows: WindowAttributes, groups: usize },
}

pub(crate) fn matmul_integer(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(IntegerProduct { kind: Kind::MatMul, scaled: false }))
}

pub(crate) fn qlinear_matmul(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(IntegerProduct { kind: Kind::MatMul, scaled: true }))
}

pub(crate) fn conv_integer(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(IntegerProduct { kind: conv(attributes)?, scaled: false }))
}

pub(crate) fn qlinear_conv(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(IntegerProduct { kind: conv(attributes)?, scaled: true }))
}

fn conv(attributes: &mut Attributes<'_>) -> Result<Kind, Fault> {
    let windows = WindowAttributes::new(attributes)?;
    let groups = window::groups(attributes)?;
    Ok(Kind::Conv { windows, groups })
}

/// An operand without its zero point.
struct Operand {
    shape: Vec<usize>,
    values: Vec<i64>,
}

/// Takes the zero point off, which is one number, one for each index along an axis, or repeats over the operand.
fn operand(x: &Tensor, zero: Option<&Tensor>, axis: usize, what: &str) -> Result<Operand, Fault> {
    let integers = |tensor: &Tensor| -> Result<Vec<i64>, Fault> {
        match tensor.value().data() {
            Data::U8(values) => Ok(values.iter().map(|&v| v.into()).collect()),
            Data::I8(values) => Ok(values.iter().map(|&v| v.into()).collect()),
            _ => Err(Fault::dtype(what, tensor.dtype(), "uint8 or int8")),
        }
    };
    let mut values = integers(x)?;
    if let Some(zero) = zero {
        let along = repeated(zero, x.shape(), axis, what)?;
        let zeros = integers(zero)?;
        values.iter_mut().enumerate().for_each(|(i, v)| *v -= zeros[along(i)]);
    }
    Ok(Operand { shape: x.shape().to_vec(), values })
}

/// For an element of a tensor of this shape, the element of a parameter that belongs to it.
fn repeated(
    parameter: &Tensor,
    shape: &[usize],
    axis: usize,
    what: &str,
) -> Result<impl Fn(usize) -> usize + use<>, Fault> {
    let mut own = parameter.shape().to_vec();
    if parameter.len() == 1 {
        own = Vec::new();
    } else if own.len() == 1 && axis < shape.len() {
        own.resize(shape.len() - axis, 1);
    }
    if broadcast_shape(shape, &own).as_deref() != Some(shape) {
        let expected = format!("one element, or a shape that repeats over {shape:?}");
        return Err(Fault::shape(what, parameter.shape(), expected));
    }
    let (steps, shape) = (strides(&own, shape), shape.to_vec());
    Ok(move |mut place: usize| {
        let mut found = 0;
        for axis in (0..shape.len()).rev() {
            found += place % shape[axis] * steps[axis];
            place /= shape[axis];
        }
        found
    })
}

fn matmul(a: &Operand, b: &Operand, context: &Context) -> Result<(Vec<usize>, Vec<i64>), Fault> {
    let ([a_outer @ .., n, k], [b_outer @ .., rows, m]) = (&a.shape[..], &b.shape[..]) else {
        return Err(Fault::shape("an input", &a.shape, "two axes or more"));
    };
    let outer = broadcast_shape(a_outer, b_outer).filter(|_| k == rows).ok_or_else(|| {
        let expected = format!("a shape that can be multiplied with {:?}", a.shape);
        Fault::shape("the right input", &b.shape, expected)
    })?;
    let (n, k, m) = (*n, *k, *m);
    let shape = [&outer[..], &[n, m]].concat();
    context.check_size(&shape)?;
    let (a_steps, b_steps) = (strides(a_outer, &outer), strides(b_outer, &outer));
    let mut y = Vec::with_capacity(shape.iter().product());
    axes::indices(&outer, |index| {
        let place =
            |steps: &[usize]| index.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>();
        let a = &a.values[place(&a_steps) * n * k..][..n * k];
        let b = &b.values[place(&b_steps) * k * m..][..k * m];
        for row in 0..n {
            let mut sums = vec![0i64; m];
            for (i, &v) in a[row * k..][..k].iter().enumerate() {
                let pairs = sums.iter_mut().zip(&b[i * m..][..m]);
                pairs.for_each(|(sum, w)| *sum += v * w);
            }
            y.extend(sums);
        }
    });
    Ok((shape, y))
}

fn convolve(
    x: &Operand,
    w: &Operand,
    windows: &WindowAttributes,
    groups: usize,
    context: &Context,
) -> Result<(Vec<usize>, Vec<i64>), Fault> {
    let (input, kernels) = (&x.shape, &w.shape);
    let fits = input.len() >= 3
        && kernels.len() == input.len()
        && kernels[1].checked_mul(groups) == Some(input[1])
        && kernels[0].is_multiple_of(groups)
        && kernels[2..].iter().all(|&extent| extent > 0);
    if !fits {
        let expected = format!("kernels for an input {input:?} in {groups} groups");
        return Err(Fault::shape("the kernels", kernels, expected));
    }
    let axes = windows.axes(&input[2..], &kernels[2..])?;
    let out: Vec<usize> = axes.iter().map(|axis| axis.out).collect();
    let shape = [&[input[0], kernels[0]][..], &out].concat();
    context.check_size(&shape)?;
    let taps: usize = kernels[2..].iter().product();
    let outputs: usize = out.iter().product();
    context.check_size(&[outputs, taps])?;
    let places = places(&axes);
    let plane: usize = input[2..].iter().product();
    let (channels, rows) = (kernels[1], kernels[0] / groups);
    let mut y = Vec::with_capacity(shape.iter().product());
    for item in 0..input[0] {
        for row in 0..kernels[0] {
            let first = item * input[1] + row / rows.max(1) * channels;
            y.extend(places.iter().map(|places| {
                let mut sum = 0i64;
                for c in 0..channels {
                    let x = &x.values[(first + c) * plane..];
                    let w = &w.values[(row * channels + c) * taps..];
                    sum += places.iter().map(|&(tap, place)| w[tap] * x[place]).sum::<i64>();
                }
                sum
            }));
        }
    }
    Ok((shape, y))
}

impl IntegerProduct {
    fn sums(
        &self,
        [x, x_zero]: [(Option<&Tensor>, &str); 2],
        [w, w_zero]: [(Option<&Tensor>, &str); 2],
        context: &Context,
    ) -> Result<(Vec<usize>, Vec<i64>), Fault> {
        let (Some(left), Some(right)) = (x.0, w.0) else { return Err(Fault::missing("an input")) };
        match &self.kind {
            Kind::MatMul => {
                let row = left.shape().len().saturating_sub(2);
                let column = right.shape().len().saturating_sub(1);
                let a = operand(left, x_zero.0, row, x.1)?;
                let b = operand(right, w_zero.0, column, w.1)?;
                matmul(&a, &b, context)
            }
            Kind::Conv { windows, groups } => {
                let x = operand(left, x_zero.0, 1, x.1)?;
                let w = operand(right, w_zero.0, 0, w.1)?;
                convolve(&x, &w, windows, *groups, context)
            }
        }
    }
}

impl Operator for IntegerProduct {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        if !self.scaled {
            inputs.at_most(4)?;
            let (x, w) = (inputs.take(0, "x")?, inputs.take(1, "w")?);
            let (x_zero, w_zero) = (inputs.optional(2), inputs.optional(3));
            let (shape, sums) = self.sums(
                [(Some(&x), "input 0"), (x_zero.as_ref(), "input 2")],
                [(Some(&w), "input 1"), (w_zero.as_ref(), "input 3")],
                context,
            )?;
            // Sums in 32 bits wrap around.
            return Ok(one(shape, sums.into_iter().map(|sum| sum as i32).collect::<Vec<_>>()));
        }
        inputs.at_most(if matches!(self.kind, Kind::MatMul) { 8 } else { 9 })?;
        let (x, x_scale, x_zero) =
            (inputs.take(0, "x")?, inputs.take(1, "x_scale")?, inputs.take(2, "x_zero_point")?);
        let (w, w_scale, w_zero) =
            (inputs.take(3, "w")?, inputs.take(4, "w_scale")?, inputs.take(5, "w_zero_point")?);
        let (y_scale, y_zero) = (inputs.take(6, "y_scale")?, inputs.take(7, "y_zero_point")?);
        let (shape, mut sums) = self.sums(
            [(Some(&x), "input 0"), (Some(&x_zero), "input 2")],
            [(Some(&w), "input 3"), (Some(&w_zero), "input 5")],
            context,
        )?;
        // Scales and biases of channels are along this axis, those of rows along the one before the last.
        let last = shape.len().saturating_sub(1);
        let (row, channel) = match self.kind {
            Kind::MatMul => (last.saturating_sub(1), last),
            Kind::Conv { .. } => (1, 1),
        };
        if let Some(bias) = inputs.optional(8) {
            let of = repeated(&bias, &shape, channel, "input 8 (B)")?;
            let bias = bias.slice::<i32>("input 8 (B)")?;
            sums.iter_mut().enumerate().for_each(|(i, sum)| *sum += i64::from(bias[of(i)]));
        }
        let (min, max) = y_zero.dtype().small_integers().ok_or_else(|| {
            Fault::unsupported(format_args!("an output of type {}", y_zero.dtype()))
        })?;
        let x_of = repeated(&x_scale, &shape, row, "input 1 (x_scale)")?;
        let w_of = repeated(&w_scale, &shape, channel, "input 4 (w_scale)")?;
        let y_of = repeated(&y_scale, &shape, row, "input 6 (y_scale)")?;
        let z_of = repeated(&y_zero, &shape, row, "input 7 (y_zero_point)")?;
        let (x_scale, w_scale) = (x_scale.to_f32("x_scale")?, w_scale.to_f32("w_scale")?);
        let (y_scale, zero) = (y_scale.to_f32("y_scale")?, y_zero.to_f32("y_zero_point")?);
        let codes = sums.iter().enumerate().map(|(i, &sum)| {
            let factor = x_scale[x_of(i)] * w_scale[w_of(i)] / y_scale[y_of(i)];
            let rounded = (sum as f32 * factor).round_ties_even();
            (rounded + zero[z_of(i)]).clamp(min, max)
        });
        let codes = saturated(&codes.collect::<Vec<f32>>(), y_zero.dtype());
        Ok(one(shape, codes))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        // Parameters for each row could be for each item of the batch.
        let parameters = inputs.iter().enumerate().all(|(i, input)| {
            i == 0
                || i == if self.scaled { 3 } else { 1 }
                || input.shape.iter().product::<usize>() <= 1
        });
        let rows = match self.kind {
            Kind::MatMul => output.len() == inputs[0].shape.len() && parameters,
            Kind::Conv { .. } => true,
        };
        only_first_batched(inputs) && rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn more_than_24_bits_are_exact() {
        let context = Context { options: Options::default(), largest: 1 << 20, batch: None };
        let k = 1000;
        let tensors = vec![
            Some(Tensor::of(vec![1, k], vec![255u8; k])),
            Some(Tensor::of(vec![k, 1], vec![-128i8; k])),
            None,
            Some(Tensor::of(vec![1], vec![1i8])),
        ];
        let product = IntegerProduct { kind: Kind::MatMul, scaled: false };
        let mut inputs = Inputs::new(tensors, vec![false; 4], false);
        let y = product.run(&mut inputs, &context).unwrap();
        assert_eq!(y[0].slice::<i32>("y").unwrap(), [-129 * 255 * 1000]);
    }
}
