//! Transpose.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// Permutes the axes; without a permutation it reverses them.
#[derive(Debug)]
struct Transpose {
    perm: Option<Vec<i64>>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Transpose { perm: attributes.ints("perm")?.map(<[i64]>::to_vec) }))
}

impl Transpose {
    fn perm(&self, rank: usize) -> Result<Vec<usize>, Fault> {
        let Some(perm) = &self.perm else { return Ok((0..rank).rev().collect()) };
        if perm.len() != rank {
            let found = format_args!("{perm:?}");
            return Err(Fault::value("attribute \"perm\"", found, format_args!("{rank} axes")));
        }
        axes::distinct(perm, rank, "attribute \"perm\"")
    }
}

impl Operator for Transpose {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "data")?.into_parts();
        let perm = self.perm(value.shape().len())?;
        let shape: Vec<usize> = perm.iter().map(|&axis| value.shape()[axis]).collect();
        let data = permuted(value.data(), value.shape(), &perm)?;
        let grid = grid.and_then(|grid| grid.transposed(&perm));
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
            && self.perm(inputs[0].shape.len()).is_ok_and(|perm| perm.first() == Some(&0))
    }
}

/// The elements of a tensor of this shape, with axis `perm[i]` as axis `i`.
pub(crate) fn permuted(data: &Data, shape: &[usize], perm: &[usize]) -> Result<Data, Fault> {
    let old = axes::row_major(shape);
    let shape: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
    let strides: Vec<usize> = perm.iter().map(|&axis| old[axis]).collect();
    let mut picked = Vec::with_capacity(data.len());
    axes::indices(&shape, |index| {
        picked.push(Some(index.iter().zip(&strides).map(|(i, stride)| i * stride).sum()));
    });
    data.pick(picked.into_iter(), data)
        .ok_or_else(|| Fault::Malformed("a permutation leaves the tensor".to_owned()))
}
