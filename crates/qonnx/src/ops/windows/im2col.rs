//! Im2Col.

use super::window::WindowAttributes;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Value;

/// What each window of an image with channels last sees, taps outside and channels inside: `[N, H, W, C]` to `[N, OH, OW, KH * KW * C]`.
#[derive(Debug)]
struct Im2Col {
    kernel: Vec<i64>,
    windows: WindowAttributes,
    pad_value: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let required = |name: &'static str, values: Option<&[i64]>| {
        values
            .map(<[i64]>::to_vec)
            .ok_or_else(|| Fault::missing(format_args!("attribute {name:?}")))
    };
    let kernel = required("kernel_size", attributes.ints("kernel_size")?)?;
    let stride = required("stride", attributes.ints("stride")?)?;
    let pads = attributes.ints("pad_amount")?.map_or_else(|| vec![0; 4], <[i64]>::to_vec);
    let dilations = attributes.ints("dilations")?.map_or_else(|| vec![1; 2], <[i64]>::to_vec);
    // Hints for the hardware, and a copy of what the input says.
    attributes.ignore("depthwise");
    attributes.ignore("input_shape");
    Ok(Box::new(Im2Col {
        kernel,
        windows: WindowAttributes::of(stride, dilations, pads),
        pad_value: attributes.int("pad_value")?.unwrap_or(0),
    }))
}

impl Operator for Im2Col {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "x")?.into_parts();
        let &[n, h, w, c] = value.shape() else {
            return Err(Fault::shape("input 0 (x)", value.shape(), "four axes, channels last"));
        };
        let kernel = |&k: &i64| usize::try_from(k).ok().filter(|k| (1..1 << 31).contains(k));
        let kernel: Option<Vec<usize>> = self.kernel.iter().map(kernel).collect();
        let kernel = kernel.filter(|kernel| kernel.len() == 2).ok_or_else(|| {
            let found = format_args!("{:?}", self.kernel);
            Fault::value("attribute \"kernel_size\"", found, "two numbers of 1 or more")
        })?;
        let axes = self.windows.axes(&[h, w], &kernel)?;
        let (y, x) = (axes[0], axes[1]);
        let row = kernel[0].checked_mul(kernel[1]).and_then(|taps| taps.checked_mul(c));
        let shape = vec![n, y.out, x.out, row.unwrap_or(usize::MAX)];
        context.check_size(&shape)?;
        let split = [n, y.out, x.out, y.kernel, x.kernel, c];
        let mut picked = Vec::with_capacity(shape.iter().product());
        axes::indices(&split, |index| {
            let &[n, oy, ox, ky, kx, channel] = index else { return };
            let inside = |axis: super::window::Axis, o: usize, k: usize| {
                let place = (o * axis.stride + k * axis.dilation).checked_sub(axis.before);
                place.filter(|&place| place < axis.len)
            };
            let place = inside(y, oy, ky).zip(inside(x, ox, kx));
            picked.push(place.map(|(iy, ix)| ((n * h + iy) * w + ix) * c + channel));
        });
        let fill = vec![self.pad_value as f32].into();
        let data = value
            .data()
            .pick(picked.into_iter(), &fill)
            .ok_or_else(|| Fault::dtype("input 0 (x)", value.dtype(), "float32"))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor()).filter(|_| self.pad_value == 0);
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
