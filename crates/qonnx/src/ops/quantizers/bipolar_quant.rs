//! BipolarQuant.

use fewbit_kernels::program::Step;

use super::quantizer::{self, Parameters};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::step;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, one};
use crate::tensor::{Grid, Tensor};

/// The scale where `x >= 0`, both zeros included, else its negative; NaN, too, gives the negative.
#[derive(Debug)]
struct BipolarQuant;

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(BipolarQuant))
}

impl Operator for BipolarQuant {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (x, scale) = (inputs.take(0, "X")?, inputs.take(1, "scale")?);
        let parameters = Parameters::new(x.shape(), [(&scale, "input 1 (scale)")])?;
        let y = parameters.apply(x.slice("input 0 (X)")?, |[scale], x, y| {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x >= 0.0 { scale } else { -scale });
        });
        let grid = parameters.scale(0).and_then(|scale| Grid::integer(scale, 1.0));
        Ok(one(x.shape().to_vec(), y).into_iter().map(|y| y.with_grid(grid.clone())).collect())
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        step(Step::Bipolar(site.lanes(1).filter(|_| site.only_first())?))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        quantizer::keeps_batch(inputs)
    }
}
