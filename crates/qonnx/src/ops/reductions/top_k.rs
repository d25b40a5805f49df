//! TopK.

use std::cmp::Ordering;

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes};
use crate::tensor::Tensor;
use crate::value::Data;

/// The `k` largest (or smallest) elements along an axis with their indices, sorted; of equals the first one first.
#[derive(Debug)]
struct TopK {
    axis: i64,
    largest: bool,
    /// Before version 10 the number is an attribute.
    k: Option<i64>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let k = if attributes.version() < 10 { Some(attributes.required_int("k")?) } else { None };
    let largest = attributes.flag("largest", true)?;
    // Unsorted would be allowed to come in any order, so sorted, too.
    attributes.ignore("sorted");
    Ok(Box::new(TopK { axis: attributes.int("axis")?.unwrap_or(-1), largest, k }))
}

impl Operator for TopK {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.k.is_some() { 1 } else { 2 })?;
        let x = inputs.take(0, "X")?;
        let k = match self.k {
            Some(k) => k,
            None => inputs.scalar::<i64>(1, "K")?,
        };
        let axis = axes::axis(self.axis, x.shape().len(), "attribute \"axis\"")?;
        let along = axes::Along::new(x.shape(), axis);
        let k = usize::try_from(k)
            .ok()
            .filter(|&k| k <= along.len)
            .ok_or_else(|| Fault::value("K", k, format_args!("0 to {}", along.len)))?;
        let places = match x.value().data() {
            Data::F32(x) => {
                self.places(along, k, |a, b| x[a].total_cmp(&x[b]).then_zero(x[a] == x[b]))
            }
            Data::F64(x) => {
                self.places(along, k, |a, b| x[a].total_cmp(&x[b]).then_zero(x[a] == x[b]))
            }
            Data::I64(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::I32(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::I16(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::I8(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::U64(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::U32(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::U16(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            Data::U8(x) => self.places(along, k, |a, b| x[a].cmp(&x[b])),
            _ => return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype()))),
        };
        let mut shape = x.shape().to_vec();
        shape[axis] = k;
        let data = x.value().data();
        let values = data
            .pick(places.iter().map(|&(_, place)| Some(place)), data)
            .ok_or_else(|| Fault::Malformed("an index leaves the tensor".to_owned()))?;
        let indices: Vec<i64> = places.iter().map(|&(index, _)| index as i64).collect();
        Ok(vec![Tensor::of(shape.clone(), values), Tensor::of(shape, indices)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axes::axis(self.axis, inputs[0].shape.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}

impl TopK {
    /// Index along the axis and place in the tensor of each element of the result.
    fn places(
        &self,
        along: axes::Along,
        k: usize,
        compare: impl Fn(usize, usize) -> Ordering,
    ) -> Vec<(usize, usize)> {
        let mut out = vec![(0, 0); along.outer * k * along.inner];
        for lane in 0..along.lanes() {
            let mut order: Vec<(usize, usize)> = along.lane(lane).enumerate().collect();
            order.sort_by(|&(_, a), &(_, b)| {
                let order = compare(a, b);
                if self.largest { order.reverse() } else { order }
            });
            let first = lane / along.inner * k * along.inner + lane % along.inner;
            for (rank, &found) in order[..k].iter().enumerate() {
                out[first + rank * along.inner] = found;
            }
        }
        out
    }
}

trait ThenZero {
    /// Both zeros are equal.
    fn then_zero(self, equal: bool) -> Self;
}

impl ThenZero for Ordering {
    fn then_zero(self, equal: bool) -> Self {
        if equal { Self::Equal } else { self }
    }
}
