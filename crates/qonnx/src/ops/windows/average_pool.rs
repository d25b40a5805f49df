//! AveragePool, GlobalAveragePool.

use fewbit_kernels::pool;
use fewbit_kernels::program;
use rayon::prelude::*;

use super::pooling::{Planes, Pooling};
use crate::Mode;
use crate::attributes::Attributes;
use crate::broadcast::PARALLEL;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, one, only_first_batched};
use crate::tensor::Tensor;

/// The sum of each window in scan order divided by its size: in f32, in reference mode in f64 and rounded once.
#[derive(Debug)]
struct AveragePool {
    pooling: Pooling,
    /// The size of a window includes what lies on padding.
    count_padding: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let count_padding = if attributes.version() >= 7 {
        attributes.flag("count_include_pad", false)?
    } else {
        false
    };
    Ok(Box::new(AveragePool { pooling: Pooling::new(attributes)?, count_padding }))
}

pub(crate) fn global(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(AveragePool { pooling: Pooling::Global, count_padding: false }))
}

impl Operator for AveragePool {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let tensor = inputs.take(0, "X")?;
        let planes = self.pooling.planes(tensor.shape(), context)?;
        let x = tensor.slice::<f32>("input 0 (X)")?;
        let mut y = vec![0.0; planes.count * planes.outputs()];
        if !y.is_empty() {
            match (context.options.mode, planes.plain_2d()) {
                (Mode::Canonical, Some(shape)) => pool::average(x, &mut y, &shape),
                (mode, _) => self.average(x, &mut y, &planes, mode),
            }
        }
        Ok(one(planes.output_shape(tensor.shape()), y))
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        self.pooling.planned(site, program::Pooling::Average, self.count_padding)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

impl AveragePool {
    fn average(&self, x: &[f32], y: &mut [f32], planes: &Planes, mode: Mode) {
        let sizes: Option<Vec<usize>> = self.count_padding.then(|| planes.padded_sizes());
        let plane = |(p, y): (usize, &mut [f32])| {
            let x = &x[p * planes.inputs()..][..planes.inputs()];
            planes.windows(|window, places| {
                let count = sizes.as_ref().map_or(places.len(), |sizes| sizes[window]);
                y[window] = match mode {
                    Mode::Canonical => {
                        places.iter().fold(0.0f32, |sum, &i| sum + x[i]) / count as f32
                    }
                    Mode::Reference => {
                        let sum: f64 = places.iter().map(|&i| f64::from(x[i])).sum();
                        (sum / count as f64) as f32
                    }
                };
            });
        };
        if x.len() >= PARALLEL {
            y.par_chunks_mut(planes.outputs()).enumerate().for_each(plane);
        } else {
            y.chunks_mut(planes.outputs()).enumerate().for_each(plane);
        }
    }
}
