//! Clip.

use std::sync::Arc;

use super::unary::map;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::each;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{Data, Element, Value};

/// `min(max(x, min), max)`; NaN stays. Before version 11 the limits are attributes.
#[derive(Debug)]
struct Clip {
    min: Option<f32>,
    max: Option<f32>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() >= 11 {
        return Ok(Box::new(Clip { min: None, max: None }));
    }
    attributes.ignore("consumed_inputs");
    Ok(Box::new(Clip { min: attributes.float("min")?, max: attributes.float("max")? }))
}

fn clip(x: f32, min: Option<f32>, max: Option<f32>) -> f32 {
    let x = min.map_or(x, |min| if x < min { min } else { x });
    max.map_or(x, |max| if x > max { max } else { x })
}

impl Operator for Clip {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "input")?;
        let (min, max) = (inputs.optional(1), inputs.optional(2));
        let dtype = x.dtype();
        let (shape, data) = x.into_value().into_parts();
        let data = match data {
            Data::F32(x) => {
                let min = limit::<f32>(min, "input 1 (min)")?.or(self.min);
                let max = limit::<f32>(max, "input 2 (max)")?.or(self.max);
                map(x, |x: f32| clip(x, min, max))
            }
            Data::F64(x) => {
                let min = limit::<f64>(min, "input 1 (min)")?.or(self.min.map(f64::from));
                let max = limit::<f64>(max, "input 2 (max)")?.or(self.max.map(f64::from));
                map(x, |x: f64| {
                    let x = min.map_or(x, |min| if x < min { min } else { x });
                    max.map_or(x, |max| if x > max { max } else { x })
                })
            }
            Data::I64(x) => integers(x, min, max)?,
            Data::I32(x) => integers(x, min, max)?,
            Data::I8(x) => integers(x, min, max)?,
            Data::I16(x) => integers(x, min, max)?,
            Data::U8(x) => integers(x, min, max)?,
            Data::U16(x) => integers(x, min, max)?,
            Data::U32(x) => integers(x, min, max)?,
            Data::U64(x) => integers(x, min, max)?,
            _ => return Err(Fault::unsupported(format_args!("an input of type {dtype}"))),
        };
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let limit =
            |place: usize, own: Option<f32>| match site.constants.get(place).copied().flatten() {
                Some(tensor) => {
                    limit::<f32>(Some(tensor.clone()), "a limit").ok().map(|limit| limit.or(own))
                }
                None => Some(own),
            };
        let (min, max) = (limit(1, self.min)?, limit(2, self.max)?);
        if !site.only_first() || site.constants.len() > 3 {
            return None;
        }
        each(move |block| block.iter_mut().for_each(|x| *x = clip(*x, min, max)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

fn integers<T: Element + Ord>(
    x: Arc<Vec<T>>,
    min: Option<Tensor>,
    max: Option<Tensor>,
) -> Result<Data, Fault>
where
    Data: From<Vec<T>> + From<Arc<Vec<T>>>,
{
    let (min, max) = (limit(min, "input 1 (min)")?, limit(max, "input 2 (max)")?);
    Ok(map(x, |x: T| {
        let x = min.map_or(x, |min| x.max(min));
        max.map_or(x, |max| x.min(max))
    }))
}

fn limit<T: Element>(tensor: Option<Tensor>, what: &str) -> Result<Option<T>, Fault> {
    tensor.map(|tensor| only(&tensor, tensor.slice::<T>(what)?, what)).transpose()
}
