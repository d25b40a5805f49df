//! MaxPool, GlobalMaxPool.

use fewbit_kernels::pool::{self, Pool2dShape};
use fewbit_kernels::program;
use rayon::prelude::*;

use super::pooling::{self, Pooling};
use crate::attributes::Attributes;
use crate::broadcast::PARALLEL;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Data;

/// The largest value of each window; NaN counts as larger than everything. Padding is never taken.
#[derive(Debug)]
struct MaxPool {
    pooling: Pooling,
    /// Where the values were found, if that is asked for.
    indices: Option<Indices>,
}

/// How the places in the whole input are counted.
#[derive(Clone, Copy, Debug)]
struct Indices {
    /// The last axis but one runs fastest.
    columns_first: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let columns_first = attributes.flag("storage_order", false)?;
    let indices = (attributes.output_count() > 1).then_some(Indices { columns_first });
    Ok(Box::new(MaxPool { pooling: Pooling::new(attributes)?, indices }))
}

pub(crate) fn global(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(MaxPool { pooling: Pooling::Global, indices: None }))
}

impl Operator for MaxPool {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "X")?.into_parts();
        let planes = self.pooling.planes(value.shape(), context)?;
        let out = planes.output_shape(value.shape());
        let fast = planes.plain_2d().filter(|_| self.indices.is_none());
        if let (Data::F32(x), Some(shape)) = (value.data(), fast)
            && x.len() < u32::MAX as usize
        {
            let grid = grid.and_then(|grid| grid.if_per_tensor());
            return Ok(vec![Tensor::of(out, max_2d(x, &shape)).with_grid(grid)]);
        }
        macro_rules! by_type {
            ($($float:ident)*; $($integer:ident)*) => {
                match value.data() {
                    $(Data::$float(x) => places(x, &planes, |a, b| {
                        a > b || (a.is_nan() && !b.is_nan())
                    }),)*
                    $(Data::$integer(x) => places(x, &planes, |a, b| a > b),)*
                    _ => {
                        let what = format_args!("an input of type {}", value.dtype());
                        return Err(Fault::unsupported(what));
                    }
                }
            };
        }
        let picked = by_type!(F32 F64; I8 I16 I32 I64 U8 U16 U32 U64);
        let data = value
            .data()
            .pick(picked.iter().copied().map(Some), value.data())
            .ok_or_else(|| Fault::Malformed("a window leaves the tensor".to_owned()))?;
        let indices = self.indices.map(|indices| {
            let counted: Vec<i64> =
                picked.iter().map(|&place| indices.count(place, value.shape())).collect();
            Tensor::of(out.clone(), counted)
        });
        // Values are chosen, none is made; channels stay where they are.
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok([Tensor::of(out, data).with_grid(grid)].into_iter().chain(indices).collect())
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        if self.indices.is_some() {
            None
        } else {
            self.pooling.planned(site, program::Pooling::Max, false)
        }
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

impl Indices {
    /// The number of a place of a tensor in row-major order.
    fn count(self, place: usize, shape: &[usize]) -> i64 {
        let &[.., rows, columns] = shape else { return place as i64 };
        if !self.columns_first || shape.len() < 4 {
            return place as i64;
        }
        let (plane, row, column) =
            (place / (rows * columns), place / columns % rows, place % columns);
        (plane * rows * columns + column * rows + row) as i64
    }
}

/// Where the largest value of each window is.
fn places<T: Copy + Send + Sync>(
    x: &[T],
    planes: &pooling::Planes,
    larger: impl Fn(T, T) -> bool + Sync,
) -> Vec<usize> {
    let mut y = vec![0; planes.count * planes.outputs()];
    let plane = |(p, y): (usize, &mut [usize])| {
        let first = p * planes.inputs();
        let x = &x[first..][..planes.inputs()];
        planes.windows(|window, places| {
            let best = places
                .iter()
                .copied()
                .reduce(|best, i| if larger(x[i], x[best]) { i } else { best });
            if let Some(best) = best {
                y[window] = first + best;
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
