//! ConvTranspose.

use super::conv;
use super::product::result_shape;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::windows::window::{self, AutoPad, WindowAttributes};
use crate::ops::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::tensor::{Grid, Scale, Tensor};
use crate::value::element_count;

/// Each element of the input times the kernel, laid down `strides` apart and added up.
///
/// That is the convolution of the input, with zeros between its elements and around it, with the mirrored kernel: so it is computed, and the
/// sums are those of the arithmetic contract.
#[derive(Debug)]
struct ConvTranspose {
    groups: usize,
    kernel: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    output_padding: Option<Vec<i64>>,
    output_shape: Option<Vec<i64>>,
    auto_pad: AutoPad,
}

/// One axis of the result.
#[derive(Clone, Copy, Debug)]
struct Axis {
    len: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Elements cut off in front.
    before: usize,
    out: usize,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let auto_pad = AutoPad::new(attributes)?;
    let groups = window::groups(attributes)?;
    let list = |values: Option<&[i64]>| values.map(<[i64]>::to_vec);
    Ok(Box::new(ConvTranspose {
        groups,
        kernel: list(attributes.ints("kernel_shape")?),
        strides: list(attributes.ints("strides")?),
        dilations: list(attributes.ints("dilations")?),
        pads: list(attributes.ints("pads")?),
        output_padding: list(attributes.ints("output_padding")?),
        output_shape: list(attributes.ints("output_shape")?),
        auto_pad,
    }))
}

/// Numbers of an attribute, each at least `least`; `default` without it.
fn numbers(
    values: Option<&[i64]>,
    count: usize,
    least: i64,
    default: usize,
    what: &str,
) -> Result<Vec<usize>, Fault> {
    let Some(values) = values else { return Ok(vec![default; count]) };
    if values.len() != count || values.iter().any(|value| !(least..1 << 31).contains(value)) {
        let expected = format!("{count} numbers of {least} or more");
        return Err(Fault::value(what, format_args!("{values:?}"), expected));
    }
    Ok(values.iter().map(|&value| value as usize).collect())
}

impl ConvTranspose {
    fn axes(&self, lens: &[usize], kernel: &[usize]) -> Result<Vec<Axis>, Fault> {
        let count = lens.len();
        if let Some(kernel_shape) = &self.kernel
            && !kernel_shape
                .iter()
                .map(|&k| usize::try_from(k).ok())
                .eq(kernel.iter().map(|&k| Some(k)))
        {
            let found = format_args!("{kernel_shape:?}");
            return Err(Fault::value("attribute \"kernel_shape\"", found, format!("{kernel:?}")));
        }
        let of = |values: &Option<Vec<i64>>, count, least, default, what| {
            numbers(values.as_deref(), count, least, default, what)
        };
        let strides = of(&self.strides, count, 1, 1, "attribute \"strides\"")?;
        let dilations = of(&self.dilations, count, 1, 1, "attribute \"dilations\"")?;
        let pads = match self.auto_pad {
            AutoPad::NotSet => of(&self.pads, 2 * count, 0, 0, "attribute \"pads\"")?,
            _ => vec![0; 2 * count],
        };
        let behind = of(&self.output_padding, count, 0, 0, "attribute \"output_padding\"")?;
        // Old files list batch and channels, too.
        let listed = self
            .output_shape
            .as_deref()
            .map(|shape| if shape.len() == count + 2 { &shape[2..] } else { shape });
        let wanted = listed
            .map(|shape| numbers(Some(shape), count, 1, 1, "attribute \"output_shape\""))
            .transpose()?;
        let axis = |i: usize| {
            let (len, stride) = (lens[i], strides[i]);
            let extent = (kernel[i] - 1).checked_mul(dilations[i])?.checked_add(1)?;
            let full = (len - 1).checked_mul(stride)?.checked_add(extent)?;
            let whole = full.checked_add(behind[i])?;
            let same = matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
            let wanted = match &wanted {
                Some(wanted) => Some(wanted[i]),
                None if same => Some(len.checked_mul(stride)?),
                None => None,
            };
            let (before, out) = match wanted {
                Some(out) => {
                    let cut = whole.saturating_sub(out);
                    let upper = self.auto_pad == AutoPad::SameUpper;
                    (if upper { cut / 2 } else { cut - cut / 2 }, out)
                }
                None => (pads[i], whole.checked_sub(pads[i])?.checked_sub(pads[count + i])?),
            };
            Some(Axis { len, kernel: kernel[i], stride, dilation: dilations[i], before, out })
        };
        (0..count).map(axis).collect::<Option<Vec<Axis>>>().ok_or_else(|| {
            let expected = format!("extents for which {self:?} leaves something");
            Fault::shape("the input, without batch and channels,", lens, expected)
        })
    }

    /// The input with zeros between its elements.
    fn spread(x: &Tensor, axes: &[Axis], context: &Context) -> Result<Tensor, Fault> {
        let wide = axes.iter().map(|axis| (axis.len - 1) * axis.stride + 1);
        let shape: Vec<usize> = x.shape()[..2].iter().copied().chain(wide).collect();
        context.check_size(&shape)?;
        let strides = axes::row_major(&shape);
        let values = x.slice::<f32>("input 0 (X)")?;
        let mut out = vec![0.0; shape.iter().product()];
        let mut next = values.iter();
        axes::indices(x.shape(), |index| {
            let step = |axis: usize| if axis < 2 { 1 } else { axes[axis - 2].stride };
            let place = index.iter().enumerate().map(|(axis, i)| i * step(axis) * strides[axis]);
            if let Some(&value) = next.next() {
                out[place.sum::<usize>()] = value;
            }
        });
        let grid = x.grid().cloned().and_then(|grid| grid.if_per_tensor());
        Ok(Tensor::of(shape, out).with_grid(grid))
    }

    /// The kernels `[C, M / groups, ...]` mirrored, as `[M, C / groups, ...]`.
    fn mirrored(&self, w: &Tensor) -> Result<Tensor, Fault> {
        let shape = w.shape();
        let (channels, rows) = (shape[0] / self.groups, shape[1]);
        let taps: usize = shape[2..].iter().product();
        let values = w.slice::<f32>("input 1 (W)")?;
        let mut out: Vec<f32> = Vec::with_capacity(values.len());
        for group in 0..self.groups {
            for row in 0..rows {
                for c in 0..channels {
                    let first = ((group * channels + c) * rows + row) * taps;
                    out.extend(values[first..first + taps].iter().rev());
                }
            }
        }
        let mut turned = shape.to_vec();
        (turned[0], turned[1]) = (rows * self.groups, channels);
        let grid = w.grid().and_then(|grid| {
            let scale = match &grid.scale {
                Scale::PerTensor(scale) => Scale::PerTensor(*scale),
                Scale::PerChannel { axis: 1, scales } => {
                    Scale::PerChannel { axis: 0, scales: scales.repeat(self.groups).into() }
                }
                Scale::PerChannel { .. } => return None,
            };
            Some(Grid { scale, kind: grid.kind })
        });
        Ok(Tensor::of(turned, out).with_grid(grid))
    }
}

impl Operator for ConvTranspose {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let constant = inputs.is_constant(1);
        let (x, w) = (inputs.take(0, "X")?, inputs.take(1, "W")?);
        let bias = inputs.optional(2);
        let (input, kernels) = (x.shape(), w.shape());
        if input.len() < 3 {
            return Err(Fault::shape(
                "input 0 (X)",
                input,
                "batch, channels, and one axis or more",
            ));
        }
        let fits = kernels.len() == input.len()
            && kernels[0] == input[1]
            && input[1].is_multiple_of(self.groups)
            && kernels[2..].iter().chain(&input[2..]).all(|&extent| extent > 0);
        if !fits {
            let groups = self.groups;
            let expected =
                format!("[{}, any, ...] for an input {input:?} in {groups} groups", input[1]);
            return Err(Fault::shape("input 1 (W)", kernels, expected));
        }
        let axes = self.axes(&input[2..], &kernels[2..])?;
        let channels = kernels[1].saturating_mul(self.groups);
        let shape = [input[0], channels].into_iter().chain(axes.iter().map(|axis| axis.out));
        let shape = result_shape(shape.collect(), context)?;
        let around = |axis: &Axis| ((axis.kernel - 1) * axis.dilation) as i64;
        let pads: Vec<i64> = axes.iter().chain(&axes).map(around).collect();
        let dilations = axes.iter().map(|axis| axis.dilation as i64).collect();
        let windows = WindowAttributes::of(vec![1; axes.len()], dilations, pads);
        let spread = Self::spread(&x, &axes, context)?;
        let tensors = vec![Some(spread), Some(self.mirrored(&w)?)];
        let mut given = Inputs::new(tensors, vec![false, constant], false);
        let full = conv::with_windows(windows, self.groups).run(&mut given, context)?.remove(0);
        let sums = full.slice::<f32>("the full result")?;
        let bias = match &bias {
            Some(bias) if bias.shape() == [channels] => Some(bias.slice::<f32>("input 2 (B)")?),
            Some(bias) => {
                return Err(Fault::shape("input 2 (B)", bias.shape(), format!("[{channels}]")));
            }
            None => None,
        };
        let strides = axes::row_major(full.shape());
        let mut y = Vec::with_capacity(element_count(&shape).unwrap_or(0));
        axes::indices(&shape, |index| {
            // Behind the last element there may be padding.
            let place = index.iter().enumerate().map(|(axis, &i)| {
                let i = if axis < 2 { i } else { i + axes[axis - 2].before };
                (i < full.shape()[axis]).then_some(i * strides[axis])
            });
            let sum = place.sum::<Option<usize>>().map_or(0.0, |place| sums[place]);
            y.push(bias.map_or(sum, |bias| sum + bias[index[1]]));
        });
        Ok(one(shape, y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
