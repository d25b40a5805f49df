//! Conv.

use fewbit_kernels::conv2d::Padding;
use fewbit_kernels::{Conv2dShape, WideWeights, conv2d};
use rayon::prelude::*;

use super::conv_nd::convolve;
use super::product::{self, Factor, Operand, choose, finish, left, result_shape};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::windows::window::{self, Axis, WindowAttributes};
use crate::ops::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::ops::{Planned, Site};
use crate::tensor::Tensor;
use crate::{Mode, Options};

/// Slides a kernel over each image; padding is zero. Groups of channels do not see each other.
#[derive(Debug)]
struct Conv {
    windows: WindowAttributes,
    groups: usize,
    /// What is constant, if the kernels are.
    prepared: Option<Prepared>,
}

/// Kernels with their shape, and the bias, if it is constant, too.
#[derive(Debug)]
struct Prepared {
    shape: Vec<usize>,
    weight: Weight,
    bias: Option<Tensor>,
}

/// Kernels, worked out once.
#[derive(Debug)]
enum Weight {
    Canonical(Vec<Operand<'static>>),
    /// Those of each group.
    Reference(Vec<WideWeights>),
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let windows = WindowAttributes::new(attributes)?;
    let groups = window::groups(attributes)?;
    Ok(Box::new(Conv { windows, groups, prepared: None }))
}

impl Weight {
    fn new(w: &Tensor, groups: usize, constant: bool, options: Options) -> Result<Self, Fault> {
        let values = w.slice::<f32>("input 1 (W)")?;
        Ok(match options.mode {
            Mode::Canonical => {
                let forms = product::right(values, w.shape(), w.grid(), constant);
                Self::Canonical(forms.into_iter().map(Operand::into_owned).collect())
            }
            Mode::Reference => {
                let k: usize = w.shape()[1..].iter().product();
                let rows = w.shape()[0] / groups;
                let size = (rows * k).max(1);
                let of_group = |w: &[f32]| WideWeights::new(w, rows, k);
                Self::Reference(values.chunks(size).map(of_group).collect())
            }
        })
    }
}

impl Conv {
    /// The windows, once everything is known to fit; the shape of the result.
    fn axes(&self, x: &[usize], w: &[usize]) -> Result<(Vec<Axis>, Vec<usize>), Fault> {
        if x.len() < 3 {
            return Err(Fault::shape("input 0 (X)", x, "batch, channels, and one axis or more"));
        }
        let groups = self.groups;
        let fits = w.len() == x.len()
            && w[1].checked_mul(groups) == Some(x[1])
            && w[0].is_multiple_of(groups)
            && w[2..].iter().all(|&extent| extent > 0);
        if !fits {
            let expected =
                format!("{} axes for {} channels of the input in {groups} groups", x.len(), x[1]);
            return Err(Fault::shape("input 1 (W)", w, expected));
        }
        if self.windows.kernel.is_some() && self.windows.kernel_shape(x.len() - 2)? != w[2..] {
            let found = format_args!("{:?}", self.windows.kernel).to_string();
            return Err(Fault::value(
                "attribute \"kernel_shape\"",
                found,
                format_args!("{:?}", &w[2..]),
            ));
        }
        let axes = self.windows.axes(&x[2..], &w[2..])?;
        let shape = [x[0], w[0]].into_iter().chain(axes.iter().map(|axis| axis.out)).collect();
        Ok((axes, shape))
    }

    /// The sizes for the kernels; the shape of the result.
    fn sizes(&self, x: &[usize], w: &[usize]) -> Result<(Conv2dShape, Vec<usize>), Fault> {
        let (axes, shape) = self.axes(x, w)?;
        // One axis is an image of one row.
        let (first, last) = match axes[..] {
            [last] => (None, last),
            [first, last] => (Some(first), last),
            _ => return Err(Fault::unsupported(format_args!("a plane of {} axes", axes.len()))),
        };
        let sizes = Conv2dShape {
            n: x[0],
            c: x[1],
            h: first.map_or(1, |axis| axis.len),
            w: last.len,
            o: w[0],
            kh: first.map_or(1, |axis| axis.kernel),
            kw: last.kernel,
            stride: (first.map_or(1, |axis| axis.stride), last.stride),
            pad: Padding {
                top: first.map_or(0, |axis| axis.before),
                left: last.before,
                bottom: first.map_or(0, |axis| axis.after),
                right: last.after,
            },
            dilation: (first.map_or(1, |axis| axis.dilation), last.dilation),
            groups: self.groups,
        };
        Ok((sizes, shape))
    }

    /// Over three axes and more.
    fn in_space(
        &self,
        x: &Tensor,
        inputs: &mut Inputs,
        context: &Context,
    ) -> Result<Vec<Tensor>, Fault> {
        let (w, bias) = (inputs.take(1, "W")?, inputs.optional(2));
        let (axes, shape) = self.axes(x.shape(), w.shape())?;
        let shape = result_shape(shape, context)?;
        let bias = bias.as_ref().map(|bias| of_channels(bias, w.shape()[0])).transpose()?;
        let y = convolve(x, &w, bias, &axes, self.groups, context)?;
        Ok(one(shape, y))
    }
}

/// The bias, if it is one for each channel.
fn of_channels(bias: &Tensor, channels: usize) -> Result<&[f32], Fault> {
    if bias.shape() != [channels] {
        return Err(Fault::shape("input 2 (B)", bias.shape(), format!("[{channels}]")));
    }
    bias.slice("input 2 (B)")
}

/// An operator for windows that are not those of a node.
pub(super) fn with_windows(windows: WindowAttributes, groups: usize) -> Box<dyn Operator> {
    Box::new(Conv { windows, groups, prepared: None })
}

impl Operator for Conv {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "X")?;
        if x.shape().len() > 4 && self.prepared.is_none() {
            return self.in_space(&x, inputs, context);
        }
        let made;
        let (prepared, bias) = match &self.prepared {
            Some(prepared) => (prepared, prepared.bias.clone().or_else(|| inputs.optional(2))),
            None => {
                let w = inputs.take(1, "W")?;
                // Sizes that do not fit are found before the weights are looked at.
                self.sizes(x.shape(), w.shape())?;
                let weight = Weight::new(&w, self.groups, inputs.is_constant(1), context.options)?;
                made = Prepared { shape: w.shape().to_vec(), weight, bias: None };
                (&made, inputs.optional(2))
            }
        };
        let (sizes, shape) = self.sizes(x.shape(), &prepared.shape)?;
        let shape = result_shape(shape, context)?;
        let bias = bias.as_ref().map(|bias| of_channels(bias, sizes.o)).transpose()?;
        let values = x.slice::<f32>("input 0 (X)")?;
        let mut y = vec![0.0; shape.iter().product()];
        let inner = shape[2..].iter().product();
        // Without an input there is nothing to add up.
        let nothing = y.is_empty() || values.is_empty() || prepared.shape.contains(&0);
        let factor = match &prepared.weight {
            _ if nothing => Factor::One(1.0),
            Weight::Canonical(forms) => {
                let x = left(values, x.shape(), x.grid());
                let (w, accumulation, factor) = choose(&x, forms);
                conv2d(&x.values, &w.values, &mut y, &sizes, accumulation);
                factor
            }
            Weight::Reference(groups) => {
                conv2d_f64(values, groups, &mut y, &sizes, inner);
                Factor::One(1.0)
            }
        };
        finish(&mut y, inner, &factor, bias);
        Ok(one(shape, y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let prepared = self.prepared.as_ref().filter(|_| site.only_first())?;
        let Weight::Canonical(forms) = &prepared.weight else { return None };
        let (sizes, _) = self.sizes(site.shape, &prepared.shape).ok()?;
        let bias = prepared.bias.as_ref().or(site.constants.get(2).copied().flatten());
        let bias =
            bias.map(|bias| bias.slice("input 2 (B)").ok().filter(|_| bias.shape() == [sizes.o]));
        let bias = match bias {
            Some(bias) => Some(bias?),
            None => None,
        };
        let one = Conv2dShape { n: 1, ..sizes };
        (sizes.groups == 1).then(|| product::planned(site, forms, one, bias))
    }

    fn specialize(
        &self,
        constants: &[Option<&Tensor>],
        options: Options,
    ) -> Option<Box<dyn Operator>> {
        let w = (*constants.get(1)?)?;
        let whole = matches!(w.shape().len(), 3 | 4) && w.shape()[0].is_multiple_of(self.groups);
        let weight = whole.then(|| Weight::new(w, self.groups, true, options).ok()).flatten()?;
        let (windows, groups) = (self.windows.clone(), self.groups);
        let bias = constants.get(2).copied().flatten().cloned();
        let prepared = Prepared { shape: w.shape().to_vec(), weight, bias };
        Some(Box::new(Conv { windows, groups, prepared: Some(prepared) }))
    }
}

/// The convolution with sums in f64, in the order of the weights in memory, each rounded once.
fn conv2d_f64(x: &[f32], w: &[WideWeights], y: &mut [f32], shape: &Conv2dShape, outputs: usize) {
    let channels = shape.c / shape.groups;
    let (k, rows) = (channels * shape.kh * shape.kw, shape.o / shape.groups);
    let plane = shape.h * shape.w;
    y.par_chunks_mut(rows * outputs).enumerate().for_each(|(i, y)| {
        let group = i % shape.groups;
        let x = &x[i * channels * plane..][..channels * plane];
        let mut product = vec![0.0; outputs.min(PATCHES) * rows];
        let mut patches = Vec::with_capacity(outputs.min(PATCHES) * k);
        let mut first = 0;
        while first < outputs {
            let count = PATCHES.min(outputs - first);
            patches.clear();
            (first..first + count)
                .for_each(|output| patch(x, shape, channels, output, &mut patches));
            let product = &mut product[..count * rows];
            w[group].multiply(&patches, product);
            for (j, product) in product.chunks_exact(rows).enumerate() {
                product.iter().enumerate().for_each(|(o, &v)| y[o * outputs + first + j] = v);
            }
            first += count;
        }
    });
}

/// Outputs whose inputs are gathered at once.
const PATCHES: usize = 128;

/// What one output sees of the channels of its group, in the order of a kernel's weights; zero outside.
fn patch(x: &[f32], shape: &Conv2dShape, channels: usize, output: usize, patch: &mut Vec<f32>) {
    let (_, columns) = shape.output_size().unwrap_or((1, 1));
    let (oy, ox) = (output / columns, output % columns);
    let inside = |at: usize, tap: usize, stride: usize, dilation: usize, pad: usize, len: usize| {
        (at * stride + tap * dilation).checked_sub(pad).filter(|&place| place < len)
    };
    // Most windows lie inside: then a row of taps is a row of pixels.
    let first = (ox * shape.stride.1).checked_sub(shape.pad.left);
    let run = first.filter(|&x| shape.dilation.1 == 1 && x + shape.kw <= shape.w);
    for c in 0..channels {
        for ky in 0..shape.kh {
            let iy = inside(oy, ky, shape.stride.0, shape.dilation.0, shape.pad.top, shape.h);
            let Some(iy) = iy else {
                patch.resize(patch.len() + shape.kw, 0.0);
                continue;
            };
            let row = &x[(c * shape.h + iy) * shape.w..][..shape.w];
            if let Some(run) = run {
                patch.extend_from_slice(&row[run..run + shape.kw]);
                continue;
            }
            for kx in 0..shape.kw {
                let ix = inside(ox, kx, shape.stride.1, shape.dilation.1, shape.pad.left, shape.w);
                patch.push(ix.map_or(0.0, |ix| row[ix]));
            }
        }
    }
}
