//! Gemm.

use super::product::{Linear, Stored, matrix, result_shape, transposed};
use crate::Options;
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Role, Site};
use crate::tensor::Tensor;
use crate::value::Value;

/// `alpha * (A B) + beta * C`, where `A` and `B` may be transposed: one rounding for each factor that is not one, and one for the sum.
#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    trans_a: bool,
    trans_b: bool,
    /// The right side and the summand, if they are constant.
    prepared: Option<(Linear, Option<Tensor>)>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 7 {
        // Before version 7 the bias repeated only if asked for; here it repeats if it has to.
        attributes.ignore("broadcast");
    }
    Ok(Box::new(Gemm {
        alpha: attributes.float("alpha")?.unwrap_or(1.0),
        beta: attributes.float("beta")?.unwrap_or(1.0),
        trans_a: attributes.flag("transA", false)?,
        trans_b: attributes.flag("transB", false)?,
        prepared: None,
    }))
}

impl Gemm {
    fn linear(&self, b: &Tensor, constant: bool, options: Options) -> Result<Linear, Fault> {
        let shape = matrix(b, "input 1 (B)")?;
        let stored = if self.trans_b { Stored::MByK } else { Stored::KByM };
        Ok(Linear::new(b.slice("input 1 (B)")?, shape, stored, b.grid(), constant, options))
    }
}

impl Operator for Gemm {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let a = inputs.take(0, "A")?;
        let [rows, columns] = matrix(&a, "input 0 (A)")?;
        let made;
        let (linear, c) = match &self.prepared {
            Some((linear, c)) => (linear, c.clone().or_else(|| inputs.optional(2))),
            None => {
                let b = inputs.take(1, "B")?;
                made = self.linear(&b, inputs.is_constant(1), context.options)?;
                (&made, inputs.optional(2))
            }
        };
        let (n, k) = if self.trans_a { (columns, rows) } else { (rows, columns) };
        if k != linear.k() {
            let expected =
                format!("{k} elements along the axis that is summed over, as A {:?}", a.shape());
            return Err(Fault::shape("input 1 (B)", &[linear.k(), linear.m()], expected));
        }
        let shape = result_shape(vec![n, linear.m()], context)?;
        let c = match c {
            Some(c) if broadcast_shape(c.shape(), &shape).as_ref() != Some(&shape) => {
                return Err(Fault::shape(
                    "input 2 (C)",
                    c.shape(),
                    format!("a shape that repeats over {shape:?}"),
                ));
            }
            c => c,
        };
        let values = a.slice::<f32>("input 0 (A)")?;
        let x = if self.trans_a { &transposed(values, rows, columns, |v| v)[..] } else { values };
        let grid = a.grid().cloned().and_then(|grid| grid.if_per_tensor());
        let plain = self.alpha == 1.0 && self.beta == 1.0;
        // The usual bias, one for each column.
        let bias = match &c {
            Some(c) if plain && c.len() == linear.m() && c.shape().last() == Some(&linear.m()) => {
                Some(c.slice::<f32>("input 2 (C)")?)
            }
            _ => None,
        };
        let mut y = linear.run(x, &[n, k], grid.as_ref(), bias);
        if self.alpha != 1.0 {
            y.iter_mut().for_each(|y| *y *= self.alpha);
        }
        if let (Some(c), None) = (&c, bias) {
            let beta = self.beta;
            let summand = c.slice::<f32>("input 2 (C)")?;
            y = if beta == 1.0 {
                zip((&y, &shape), (summand, c.shape()), &shape, |y, c| y + c)
            } else {
                zip((&y, &shape), (summand, c.shape()), &shape, |y, c| y + beta * c)
            };
        }
        Ok(vec![Tensor::new(Value::of(shape, y))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let fixed = |input: &Input<'_>| input.role == Role::Fixed;
        let repeated =
            |c: &Input<'_>| fixed(c) && (c.shape.len() < 2 || c.shape.first() == Some(&1));
        !self.trans_a
            && output.len() == 2
            && inputs.first().is_some_and(Input::batched)
            && inputs.get(1).is_some_and(fixed)
            && inputs.get(2).is_none_or(|c| repeated(c) || (c.batched() && c.shape.len() == 2))
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let (linear, c) = self.prepared.as_ref()?;
        if self.trans_a || self.alpha != 1.0 || self.beta != 1.0 {
            return None;
        }
        let bias = match c {
            None if site.constants.len() < 3 => None,
            Some(c) if c.len() == linear.m() && c.shape().last() == Some(&linear.m()) => {
                Some(c.slice::<f32>("input 2 (C)").ok()?)
            }
            _ => return None,
        };
        linear.planned(site, bias)
    }

    fn specialize(
        &self,
        constants: &[Option<&Tensor>],
        options: Options,
    ) -> Option<Box<dyn Operator>> {
        let b = (*constants.get(1)?)?;
        let linear = self.linear(b, true, options).ok()?;
        let c = constants.get(2).copied().flatten().cloned();
        let prepared = Some((linear, c));
        let Gemm { alpha, beta, trans_a, trans_b, .. } = *self;
        Some(Box::new(Gemm { alpha, beta, trans_a, trans_b, prepared }))
    }
}
