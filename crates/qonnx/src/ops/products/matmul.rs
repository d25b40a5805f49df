//! MatMul.

use super::plain;
use super::product::{Linear, Stored, result_shape};
use crate::Options;
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, strides};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Role, Site, one, only_first_batched};
use crate::tensor::Tensor;
use crate::value::DType;

/// NumPy's matrix product: of the last two axes, repeated over those before.
#[derive(Debug)]
struct MatMul {
    /// The right side, if it is a constant matrix.
    prepared: Option<Linear>,
}

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(MatMul { prepared: None }))
}

impl Operator for MatMul {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let a = inputs.take(0, "A")?;
        if let Some(linear) = &self.prepared {
            return prepared(linear, &a, context);
        }
        let b = inputs.take(1, "B")?;
        let constant = inputs.is_constant(1);
        let (mut a_shape, mut b_shape) = (a.shape().to_vec(), b.shape().to_vec());
        if a_shape.is_empty() || b_shape.is_empty() {
            let (name, shape) = if a_shape.is_empty() { ("A", &a_shape) } else { ("B", &b_shape) };
            return Err(Fault::shape(&format!("input {name}"), shape, "one axis or more"));
        }
        // A vector is a row on the left and a column on the right; the axis goes again afterwards.
        let (row, column) = (a_shape.len() == 1, b_shape.len() == 1);
        if row {
            a_shape.insert(0, 1);
        }
        if column {
            b_shape.push(1);
        }
        let unfold = |mut shape: Vec<usize>| {
            if column {
                shape.pop();
            }
            if row {
                shape.remove(shape.len() - if column { 1 } else { 2 });
            }
            shape
        };
        if a.dtype() != DType::F32 || b.dtype() != DType::F32 {
            let product = plain::matmul(&a, (&a_shape, &b_shape), &b, context)?.remove(0);
            let shape = unfold(product.shape().to_vec());
            return Ok(vec![Tensor::new(product.into_value().with_shape(shape))]);
        }
        let (n, k) = (a_shape[a_shape.len() - 2], a_shape[a_shape.len() - 1]);
        let (b_k, m) = (b_shape[b_shape.len() - 2], b_shape[b_shape.len() - 1]);
        if k != b_k {
            let expected =
                format!("{k} elements along the axis that is summed over, as A {:?}", a.shape());
            return Err(Fault::shape("input 1 (B)", b.shape(), expected));
        }
        let (a_outer, b_outer) = (&a_shape[..a_shape.len() - 2], &b_shape[..b_shape.len() - 2]);
        let outer = broadcast_shape(a_outer, b_outer).ok_or_else(|| {
            Fault::shape(
                "input 1 (B)",
                b.shape(),
                format!("a shape that broadcasts with {:?}", a.shape()),
            )
        })?;
        let mut shape = outer.clone();
        shape.extend([n, m]);
        result_shape(shape.clone(), context)?;
        let a_values = a.slice::<f32>("input 0 (A)")?;
        let b_values = b.slice::<f32>("input 1 (B)")?;
        let y = if b_outer.iter().product::<usize>() == 1 {
            // One matrix for all rows.
            let grid = b.grid().filter(|_| b.shape().len() == 2).cloned();
            let grid = grid.or_else(|| b.grid().cloned().and_then(|grid| grid.if_per_tensor()));
            let options = context.options;
            let linear =
                Linear::new(b_values, [k, m], Stored::KByM, grid.as_ref(), constant, options);
            linear.run(a_values, &a_shape, a.grid(), None)
        } else {
            let grid = b.grid().cloned().and_then(|grid| grid.if_per_tensor());
            let (a_strides, b_strides) = (strides(a_outer, &outer), strides(b_outer, &outer));
            let mut y = Vec::with_capacity(shape.iter().product());
            crate::ops::axes::indices(&outer, |index| {
                let place = |strides: &[usize]| -> usize {
                    index.iter().zip(strides).map(|(i, stride)| i * stride).sum()
                };
                let a_part = &a_values[place(&a_strides) * n * k..][..n * k];
                let b_part = &b_values[place(&b_strides) * k * m..][..k * m];
                let options = context.options;
                let linear =
                    Linear::new(b_part, [k, m], Stored::KByM, grid.as_ref(), constant, options);
                let a_grid = a.grid().cloned().and_then(|grid| grid.if_per_tensor());
                y.extend(linear.run(a_part, &[n, k], a_grid.as_ref(), None));
            });
            y
        };
        Ok(one(unfold(shape), y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let [a, b] = inputs else { return false };
        if only_first_batched(inputs) {
            // Rows of a matrix, or matrices that meet the same right side each.
            return a.shape.len() >= 2
                && output.len() == a.shape.len()
                && (b.shape.len() < output.len()
                    || b.shape.first() == Some(&1)
                    || b.shape.len() <= 2);
        }
        // Matrices on both sides, item by item.
        let whole = |input: &Input<'_>| match input.role {
            Role::Batched => input.shape.len() == output.len(),
            Role::Fixed => input.shape.len() < output.len() || input.shape.first() == Some(&1),
            Role::Sizes => false,
        };
        output.len() >= 3 && whole(a) && whole(b)
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        self.prepared.as_ref()?.planned(site, None)
    }

    fn specialize(
        &self,
        constants: &[Option<&Tensor>],
        options: Options,
    ) -> Option<Box<dyn Operator>> {
        let b = (*constants.get(1)?)?;
        let &[k, m] = b.shape() else { return None };
        let values = b.slice::<f32>("B").ok()?;
        let linear = Linear::new(values, [k, m], Stored::KByM, b.grid(), true, options);
        Some(Box::new(MatMul { prepared: Some(linear) }))
    }
}

/// The product with a constant matrix.
fn prepared(linear: &Linear, a: &Tensor, context: &Context) -> Result<Vec<Tensor>, Fault> {
    let shape = a.shape();
    let Some((&k, rows)) = shape.split_last() else {
        return Err(Fault::shape("input 0 (A)", shape, "one axis or more"));
    };
    if k != linear.k() {
        let expected = format!("{} elements along the last axis, as B has rows", linear.k());
        return Err(Fault::shape("input 0 (A)", shape, expected));
    }
    let result = result_shape([rows, &[linear.m()]].concat(), context)?;
    Ok(one(result, linear.run(a.slice::<f32>("input 0 (A)")?, shape, a.grid(), None)))
}
