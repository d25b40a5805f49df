//! MaxPool, GlobalMaxPool.

use fewbit_kernels::pool::{self, Pool2dShape};
use fewbit_kernels::program;
use rayon::prelude::*;

use super::pooling::{self, Pooling};
use super::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::attributes::Attributes;
use crate::broadcast::PARALLEL;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::Data;

/// The largest value of each window; NaN counts as larger than everything. Padding is never taken.
#[derive(Debug)]
struct MaxPool(Pooling);

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.output_count() > 1 {
        return Err(Fault::unsupported("the output for indices"));
    }
    // Concerns the indices only.
    attributes.ignore("storage_order");
    Ok(Box::new(MaxPool(Pooling::new(attributes)?)))
}

pub(super) fn global(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(MaxPool(Pooling::Global)))
}

impl Operator for MaxPool {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "X")?.into_parts();
        let planes = self.0.planes(value.shape(), context)?;
        let out = planes.output_shape(value.shape());
        let data: Data = match value.data() {
            Data::F32(x) => match planes.plain_2d() {
                Some(shape) if x.len() < u32::MAX as usize => max_2d(x, &shape).into(),
                _ => max(x, &planes, |a, b| a > b || (a.is_nan() && !b.is_nan())).into(),
            },
            Data::F64(x) => max(x, &planes, |a, b| a > b || (a.is_nan() && !b.is_nan())).into(),
            Data::U8(x) => max(x, &planes, |a, b| a > b).into(),
            Data::I8(x) => max(x, &planes, |a, b| a > b).into(),
            _ => {
                return Err(Fault::unsupported(format_args!("an input of type {}", value.dtype())));
            }
        };
        // Values are chosen, none is made; channels stay where they are.
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::of(out, data).with_grid(grid)])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        self.0.planned(site, program::Pooling::Max)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

fn max_2d(x: &[f32], shape: &Pool2dShape) -> Vec<f32> {
    let (h, w) = shape.output_size().unwrap_or((0, 0));
    let mut y = vec![0.0; shape.planes * h * w];
    if !y.is_empty() {
        pool::max(x, &mut y, shape);
    }
    y
}

fn max<T: Copy + Default + Send + Sync>(
    x: &[T],
    planes: &pooling::Planes,
    larger: impl Fn(T, T) -> bool + Sync,
) -> Vec<T> {
    let mut y = vec![T::default(); planes.count * planes.outputs()];
    let plane = |(p, y): (usize, &mut [T])| {
        let x = &x[p * planes.inputs()..][..planes.inputs()];
        planes.windows(|window, places| {
            let best = places
                .iter()
                .copied()
                .reduce(|best, i| if larger(x[i], x[best]) { i } else { best });
            if let Some(best) = best {
                y[window] = x[best];
            }
        });
    };
    if y.is_empty() {
        return y;
    }
    if x.len() >= PARALLEL {
        y.par_chunks_mut(planes.outputs()).enumerate().for_each(plane);
    } else {
        y.chunks_mut(planes.outputs()).enumerate().for_each(plane);
    }
    y
}
