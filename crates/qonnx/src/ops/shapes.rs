//! The same elements, or some of them, in another arrangement; sizes.

mod concat;
mod depth_to_space;
mod expand;
mod flatten;
mod gather;
mod gather_elements;
mod gather_nd;
mod pad;
mod reshape;
mod resize;
mod scatter;
mod shape;
mod slice;
mod split;
mod squeeze;
mod tile;
pub(super) mod transpose;
mod trilu;

use super::Table;
use crate::error::Fault;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("Concat", concat::new),
    ("DepthToSpace", depth_to_space::depth_to_space),
    ("Expand", expand::new),
    ("Flatten", flatten::new),
    ("Gather", gather::new),
    ("GatherElements", gather_elements::new),
    ("GatherND", gather_nd::new),
    ("Pad", pad::new),
    ("Reshape", reshape::new),
    ("Resize", resize::resize),
    ("ScatterElements", scatter::elements),
    ("ScatterND", scatter::nd),
    ("Shape", shape::shape),
    ("Size", shape::size),
    ("Slice", slice::new),
    ("SpaceToDepth", depth_to_space::space_to_depth),
    ("Split", split::new),
    ("Squeeze", squeeze::squeeze),
    ("Tile", tile::new),
    ("Transpose", transpose::new),
    ("Trilu", trilu::new),
    ("Unsqueeze", squeeze::unsqueeze),
    ("Upsample", resize::upsample),
];

/// Extents that are given as numbers.
pub(super) fn extents(shape: &[i64], what: &str) -> Result<Vec<usize>, Fault> {
    let whole = |&extent: &i64| usize::try_from(extent).ok();
    let found = || format!("{shape:?}");
    shape
        .iter()
        .map(whole)
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(|| Fault::value(what, found(), "extents of 0 or more"))
}

/// The place of an index, counted from the end if negative, along an axis of so many elements.
pub(super) fn place(index: i64, len: usize) -> Result<usize, Fault> {
    let found = if index < 0 { index.saturating_add(len as i64) } else { index };
    usize::try_from(found).ok().filter(|&found| found < len).ok_or_else(|| {
        Fault::value("an index", index, format_args!("an index into {len} elements"))
    })
}
