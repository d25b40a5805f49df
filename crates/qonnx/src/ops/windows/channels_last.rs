//! Operators of ONNX itself on tensors with channels last.

use super::max_pool;
use crate::Options;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::normalization::batch_normalization;
use crate::ops::products::conv as convolution;
use crate::ops::shapes::transpose::permuted;
use crate::ops::{Context, Input, Inputs, Operator};
use crate::tensor::Tensor;
use crate::value::Value;

/// An operator between two transposes.
struct ChannelsLast {
    inner: Box<dyn Operator>,
    /// How many of the first inputs have their channels last.
    turned: usize,
}

pub(crate) fn conv(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    // The kernels are stored with channels last, too.
    Ok(Box::new(ChannelsLast { inner: convolution::new(attributes)?, turned: 2 }))
}

pub(crate) fn max_pool(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(ChannelsLast { inner: max_pool::new(attributes)?, turned: 1 }))
}

/// The same, of QONNX's general domain.
pub(crate) fn max_pool_nhwc(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    max_pool(attributes)
}

pub(crate) fn batch_normalization(
    attributes: &mut Attributes<'_>,
) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(ChannelsLast { inner: batch_normalization::new(attributes)?, turned: 1 }))
}

/// The axes with the last one second, or the second one last.
fn order(rank: usize, to_second: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        if to_second { order[1..].rotate_right(1) } else { order[1..].rotate_left(1) }
    }
    order
}

fn turned(tensor: Tensor, to_second: bool) -> Result<Tensor, Fault> {
    let order = order(tensor.shape().len(), to_second);
    let (value, grid) = tensor.into_parts();
    let shape = order.iter().map(|&axis| value.shape()[axis]).collect();
    let data = permuted(value.data(), value.shape(), &order)?;
    let grid = grid.and_then(|grid| grid.transposed(&order));
    Ok(Tensor::new(Value::of(shape, data)).with_grid(grid))
}

/// A shape in the order of the operator inside.
fn turned_shape(shape: &[usize], to_second: bool) -> Vec<usize> {
    order(shape.len(), to_second).into_iter().map(|axis| shape[axis]).collect()
}

impl ChannelsLast {
    fn first<T>(
        &self,
        inputs: Vec<Option<T>>,
        f: impl Fn(T) -> Result<T, Fault>,
    ) -> Result<Vec<Option<T>>, Fault> {
        let turn = |(i, input): (usize, Option<T>)| match input {
            Some(input) if i < self.turned => f(input).map(Some),
            other => Ok(other),
        };
        inputs.into_iter().enumerate().map(turn).collect()
    }
}

impl Operator for ChannelsLast {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let constant = (0..inputs.count()).map(|i| inputs.is_constant(i)).collect();
        let tensors = (0..inputs.count()).map(|i| inputs.optional(i)).collect();
        let tensors = self.first(tensors, |tensor| turned(tensor, true))?;
        let mut given = Inputs::new(tensors, constant, inputs.batched());
        let results = self.inner.run(&mut given, context)?;
        results.into_iter().map(|tensor| turned(tensor, false)).collect()
    }

    fn specialize(
        &self,
        constants: &[Option<&Tensor>],
        options: Options,
    ) -> Option<Box<dyn Operator>> {
        let owned = constants.iter().map(|tensor| tensor.cloned()).collect();
        let owned = self.first(owned, |tensor| turned(tensor, true)).ok()?;
        let constants: Vec<Option<&Tensor>> = owned.iter().map(Option::as_ref).collect();
        let inner = self.inner.specialize(&constants, options)?;
        Some(Box::new(ChannelsLast { inner, turned: self.turned }))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let shapes: Vec<Vec<usize>> = inputs
            .iter()
            .enumerate()
            .map(|(i, input)| {
                if i < self.turned { turned_shape(input.shape, true) } else { input.shape.to_vec() }
            })
            .collect();
        let inputs: Vec<Input<'_>> =
            inputs.iter().zip(&shapes).map(|(input, shape)| Input { shape, ..*input }).collect();
        self.inner.keeps_batch(&inputs, &turned_shape(output, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_undo_each_other() {
        assert_eq!(order(4, true), [0, 3, 1, 2]);
        assert_eq!(order(4, false), [0, 2, 3, 1]);
        assert_eq!(order(2, true), [0, 1]);
        let tensor = || Tensor::of(vec![1, 2, 2, 3], (0..12).map(|i| i as f32).collect::<Vec<_>>());
        let there = turned(tensor(), true).unwrap();
        assert_eq!(there.shape(), [1, 3, 2, 2]);
        assert_eq!(turned(there, false).unwrap().value(), tensor().value());
    }
}
