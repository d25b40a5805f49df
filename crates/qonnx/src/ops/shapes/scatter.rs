//! ScatterElements and ScatterND.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// Writes updates over elements of a tensor, or adds, multiplies or compares them with what is there.
#[derive(Debug)]
struct Scatter {
    kind: Kind,
    reduction: Reduction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Elements at other indices along an axis.
    Elements(i64),
    /// Runs that whole index vectors point at.
    Nd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

pub(crate) fn elements(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let kind = Kind::Elements(attributes.int("axis")?.unwrap_or(0));
    Ok(Box::new(Scatter { kind, reduction: reduction(attributes)? }))
}

pub(crate) fn nd(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Scatter { kind: Kind::Nd, reduction: reduction(attributes)? }))
}

fn reduction(attributes: &mut Attributes<'_>) -> Result<Reduction, Fault> {
    Ok(match attributes.string("reduction")? {
        None | Some("none") => Reduction::None,
        Some("add") => Reduction::Add,
        Some("mul") => Reduction::Mul,
        Some("max") => Reduction::Max,
        Some("min") => Reduction::Min,
        Some(other) => {
            let found = format_args!("{other:?}");
            let expected = "none, add, mul, max or min";
            return Err(Fault::value("attribute \"reduction\"", found, expected));
        }
    })
}

impl Reduction {
    fn apply<T>(self, old: &mut T, new: T)
    where
        T: Copy + PartialOrd + std::ops::Add<Output = T> + std::ops::Mul<Output = T>,
    {
        match self {
            Self::None => *old = new,
            Self::Add => *old = *old + new,
            Self::Mul => *old = *old * new,
            Self::Max if new > *old => *old = new,
            Self::Min if new < *old => *old = new,
            Self::Max | Self::Min => {}
        }
    }
}

impl Operator for Scatter {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let data = inputs.take(0, "data")?;
        let indices = inputs.take(1, "indices")?;
        let updates = inputs.take(2, "updates")?;
        let (first, run) = match self.kind {
            Kind::Elements(axis) => {
                let axis = axes::axis(axis, data.shape().len(), "attribute \"axis\"")?;
                (super::gather_elements::places(data.shape(), &indices, axis)?, 1)
            }
            Kind::Nd => super::gather_nd::runs(data.shape(), &indices, 0)?,
        };
        if updates.len() != first.len() * run {
            let expected = format!("{} elements", first.len() * run);
            return Err(Fault::shape("input 2 (updates)", updates.shape(), expected));
        }
        // A copy of its own, written in place.
        let places = first.iter().flat_map(|&first| first..first + run);
        macro_rules! by_type {
            ($($variant:ident)*) => {
                match (data.value().data(), updates.value().data()) {
                    $((Data::$variant(old), Data::$variant(new)) => {
                        let mut out = old.to_vec();
                        places.zip(new.iter()).for_each(|(place, &new)| {
                            self.reduction.apply(&mut out[place], new);
                        });
                        out.into()
                    })*
                    (old, new) if old.dtype() == new.dtype() && self.reduction == Reduction::None => {
                        let mut picked: Vec<usize> = (0..old.len()).collect();
                        places.enumerate().for_each(|(i, place)| picked[place] = old.len() + i);
                        Data::concat(&[old, new])
                            .and_then(|both| both.pick(picked.into_iter().map(Some), &both))
                            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?
                    }
                    (old, new) if old.dtype() == new.dtype() => {
                        return Err(Fault::unsupported(format_args!("a reduction of {}", old.dtype())));
                    }
                    (old, new) => {
                        return Err(Fault::dtype("input 2 (updates)", new.dtype(), old.dtype()));
                    }
                }
            };
        }
        let result: Data = by_type!(F32 F64);
        Ok(one(data.shape().to_vec(), result))
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}
