//! DepthToSpace and SpaceToDepth.

use super::transpose::permuted;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Value;

/// Moves channels into blocks of pixels, or blocks of pixels into channels.
#[derive(Debug)]
struct Rearrangement {
    block: usize,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The place in the block is the outer part of the channel.
    DepthColumnRow,
    /// The place in the block is the inner part of the channel.
    ColumnRowDepth,
    /// From blocks to channels.
    SpaceToDepth,
}

pub(crate) fn depth_to_space(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let order = match attributes.string("mode")? {
        None | Some("DCR") => Order::DepthColumnRow,
        Some("CRD") => Order::ColumnRowDepth,
        Some(mode) => {
            return Err(Fault::value("attribute \"mode\"", format_args!("{mode:?}"), "DCR or CRD"));
        }
    };
    Ok(Box::new(Rearrangement { block: block(attributes)?, order }))
}

pub(crate) fn space_to_depth(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Rearrangement { block: block(attributes)?, order: Order::SpaceToDepth }))
}

fn block(attributes: &mut Attributes<'_>) -> Result<usize, Fault> {
    let size = attributes.required_int("blocksize")?;
    let fits = usize::try_from(size).ok().filter(|size| (1..=1 << 15).contains(size));
    fits.ok_or_else(|| Fault::value("attribute \"blocksize\"", size, "1 to 32768"))
}

impl Operator for Rearrangement {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let b = self.block;
        let &[n, c, h, w] = value.shape() else {
            return Err(Fault::shape("input 0 (input)", value.shape(), "four axes"));
        };
        let fits = match self.order {
            Order::SpaceToDepth => h.is_multiple_of(b) && w.is_multiple_of(b),
            _ => c.is_multiple_of(b * b),
        };
        if !fits {
            let expected = format!("extents that blocks of {b} divide");
            return Err(Fault::shape("input 0 (input)", value.shape(), expected));
        }
        let (split, perm, shape) = match self.order {
            Order::DepthColumnRow => {
                let rest = c / (b * b);
                ([n, b, b, rest, h, w], [0, 3, 4, 1, 5, 2], vec![n, rest, h * b, w * b])
            }
            Order::ColumnRowDepth => {
                let rest = c / (b * b);
                ([n, rest, b, b, h, w], [0, 1, 4, 2, 5, 3], vec![n, rest, h * b, w * b])
            }
            Order::SpaceToDepth => {
                ([n, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], vec![n, c * b * b, h / b, w / b])
            }
        };
        let data = permuted(value.data(), &split, &perm)?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
