//! QuantAvgPool2d.

use super::window::WindowAttributes;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::shapes::transpose::permuted;
use crate::ops::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::tensor::{Grid, Scale, Tensor};
use crate::value::Data;

/// The sum of each window of integers without its lowest bits: as many as the largest sum has more than the result.
#[derive(Debug)]
struct QuantAvgPool2d {
    kernel: i64,
    stride: i64,
    shift: u32,
    out_bits: i64,
    channels_last: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let in_range = |name: &'static str, value: i64, last: i64| {
        if (1..=last).contains(&value) {
            return Ok(value);
        }
        Err(Fault::value(format_args!("attribute {name:?}"), value, format_args!("1 to {last}")))
    };
    let kernel = in_range("kernel", attributes.required_int("kernel")?, 1 << 15)?;
    let stride = in_range("stride", attributes.required_int("stride")?, 1 << 15)?;
    let in_bits = in_range("ibits", attributes.required_int("ibits")?, 32)?;
    let out_bits = in_range("obits", attributes.required_int("obits")?, 32)?;
    // Both signs are shifted alike.
    attributes.required_flag("signed")?;
    let channels_last = match attributes.string("data_layout")? {
        None | Some("NCHW") => false,
        Some("NHWC") => true,
        Some(other) => {
            let found = format_args!("{other:?}");
            return Err(Fault::value("attribute \"data_layout\"", found, "NCHW or NHWC"));
        }
    };
    let largest = ((1i128 << in_bits) - 1) * i128::from(kernel * kernel);
    let bits = 128 - largest.leading_zeros();
    let shift = bits.saturating_sub(out_bits as u32);
    Ok(Box::new(QuantAvgPool2d { kernel, stride, shift, out_bits, channels_last }))
}

impl Operator for QuantAvgPool2d {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "x")?;
        let &[n, a, b, c] = x.shape() else {
            return Err(Fault::shape("input 0 (x)", x.shape(), "four axes"));
        };
        let planes = if self.channels_last {
            permuted(x.value().data(), x.shape(), &[0, 3, 1, 2])?
        } else {
            x.value().data().clone()
        };
        let (channels, lens) = if self.channels_last { (c, [a, b]) } else { (a, [b, c]) };
        let Data::F32(values) = planes else {
            return Err(Fault::dtype("input 0 (x)", x.dtype(), "float32"));
        };
        let windows = WindowAttributes::of(vec![self.stride; 2], vec![1; 2], vec![0; 4]);
        let axes = windows.axes(&lens, &[self.kernel as usize; 2])?;
        let shape = [n, channels, axes[0].out, axes[1].out];
        context.check_size(&shape)?;
        let size = lens[0] * lens[1];
        let mut y = Vec::with_capacity(shape.iter().product());
        for plane in values.chunks(size.max(1)) {
            super::window::windows(&axes, |_, places| {
                let sum: f64 = places.iter().map(|&place| f64::from(plane[place])).sum();
                y.push(((sum.round_ties_even() as i64) >> self.shift) as f32);
            });
        }
        let grid = Grid::integer(Scale::PerTensor(1.0), (self.out_bits as f64).exp2());
        let y = if self.channels_last {
            let last = [n, axes[0].out, axes[1].out, channels].to_vec();
            one(last, permuted(&y.into(), &shape, &[0, 2, 3, 1])?)
        } else {
            one(shape.to_vec(), y)
        };
        // Only integers that are in the range they were declared for have a result in its range.
        let fits = x.grid().is_some();
        Ok(y.into_iter().map(|y| y.with_grid(grid.clone().filter(|_| fits))).collect())
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
