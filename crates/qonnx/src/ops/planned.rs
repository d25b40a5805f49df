//! What an operator is in a plan: the part of a stage that gives the bits of its own run.

use std::sync::Arc;

use fewbit_kernels::program::{Lanes, Pooling, Step, Windows};
use fewbit_kernels::{Accumulation, Conv2dShape};

use crate::Options;
use crate::tensor::{Grid, Tensor};

/// A node and what is known about its inputs.
pub(crate) struct Site<'a> {
    /// The shape of the input that is not constant; of the first one, if there are two.
    pub(crate) shape: &'a [usize],
    /// The grid of that input.
    pub(crate) grid: Option<&'a Grid>,
    /// Place of that input.
    pub(crate) input: usize,
    /// Inputs that are not the same in every run.
    pub(crate) variable: usize,
    /// All inputs, by place; those that are not constant, or left out, are `None`.
    pub(crate) constants: &'a [Option<&'a Tensor>],
    pub(crate) options: Options,
}

/// What an operator is in a plan.
pub(crate) enum Planned {
    /// Functions of each value and its channel.
    Steps(Vec<Step>),
    /// The sum of two tensors of one shape.
    Sum,
    /// A convolution of one group, or a linear layer: one over images of one pixel.
    Product(PlannedProduct),
    Window(Pooling, Windows),
    /// The same values in another shape.
    Reshape,
}

/// A product of codes.
pub(crate) struct PlannedProduct {
    /// Codes of the weights, `[O, C, KH, KW]`.
    pub(crate) weights: Vec<f32>,
    /// For one image.
    pub(crate) shape: Conv2dShape,
    pub(crate) accumulation: Accumulation,
    /// Scale and bias.
    pub(crate) steps: Vec<Step>,
}

impl Site<'_> {
    /// True if the first input is the only one that is not constant.
    pub(super) fn only_first(&self) -> bool {
        self.input == 0 && self.variable == 1
    }

    /// A constant that repeats over the input, if it is one number, or one for each channel.
    pub(super) fn lanes(&self, place: usize) -> Option<Lanes> {
        let tensor = (*self.constants.get(place)?)?;
        let values = tensor.slice::<f32>("a parameter").ok()?;
        let (shape, rank) = (tensor.shape(), self.shape.len());
        if shape.len() > rank || rank < 2 {
            return None;
        }
        if let [value] = *values {
            return Some(Lanes::one(value));
        }
        let channel_axis = (shape.len() + 1).checked_sub(rank)?;
        let along = |(axis, &extent): (usize, &usize)| {
            if axis == channel_axis { extent == self.shape[1] } else { extent == 1 }
        };
        let fits = channel_axis < shape.len() && shape.iter().enumerate().all(along);
        fits.then(|| Lanes::many(values))
    }
}

/// A step that is the operator's own function.
pub(super) fn each(f: impl Fn(&mut [f32]) + Send + Sync + 'static) -> Option<Planned> {
    Some(Planned::Steps(vec![Step::Each(Arc::new(f))]))
}

/// One step.
pub(super) fn step(step: Step) -> Option<Planned> {
    Some(Planned::Steps(vec![step]))
}
