//! A trainable tensor.

use crate::device::Device;
use crate::tensor::{Gradients, Tensor};

/// A trainable tensor, and its handle in the graph of the running step.
#[derive(Debug)]
pub struct Parameter {
    value: Tensor,
    leaf: Option<Tensor>,
    clipping: Clipping,
}

/// Whether a parameter is kept in an interval after every optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clipping {
    /// It may take any value.
    None,
    /// It is clamped to `[low, high]`.
    To {
        /// Smallest value.
        low: f32,
        /// Largest value.
        high: f32,
    },
}

impl Parameter {
    /// Wraps a starting value.
    pub fn new(value: Tensor, clipping: Clipping) -> Self {
        Self { value, leaf: None, clipping }
    }

    /// The value, outside of any graph.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The interval that the optimizer keeps the value in.
    pub fn clipping(&self) -> Clipping {
        self.clipping
    }

    /// Moves the value to a device, if it is not there.
    pub fn move_to(&mut self, device: &Device) {
        if self.value.device() != *device {
            self.leaf = None;
            self.value = self.value.to_device(device);
        }
    }

    /// Enters the value into the graph of a training step.
    ///
    /// A parameter that is used twice in a step is the same leaf both times.
    pub fn enter_graph(&mut self) -> Tensor {
        self.leaf.get_or_insert_with(|| self.value.clone().with_grad()).clone()
    }

    /// The gradient of the running step, which stays where it is.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Tensor> {
        gradients.of(self.leaf.as_ref()?)
    }

    /// Takes the gradient of the running step, and the value out of its graph.
    ///
    /// `None` if the loss does not depend on the parameter, or it took no part in the step.
    pub fn take_gradient(&mut self, gradients: &mut Gradients) -> Option<Tensor> {
        let leaf = self.leaf.take()?;
        gradients.take(&leaf)
    }

    /// Replaces the value: `update` gets the old one, which nothing else holds then, so that it can
    /// be changed in place.
    pub fn update(&mut self, update: impl FnOnce(Tensor) -> Tensor) {
        self.leaf = None;
        let shape = self.value.shape();
        let old = std::mem::replace(&mut self.value, Tensor::empty());
        self.value = update(old);
        assert_eq!(self.value.shape(), shape, "an update keeps the shape");
    }
}
