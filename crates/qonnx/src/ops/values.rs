//! Values out of nothing, copies, and the same numbers in another type.

pub(super) mod cast;
mod constant;
mod constant_of_shape;
mod identity;
mod one_hot;
mod range;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("Cast", cast::cast),
    ("CastLike", cast::cast_like),
    ("Constant", constant::new),
    ("ConstantOfShape", constant_of_shape::new),
    ("Dropout", identity::dropout),
    ("Identity", identity::new),
    ("OneHot", one_hot::new),
    ("Range", range::new),
];

/// Those of QONNX.
pub(super) const QUANTIZED: Table = &[("DebugMarker", identity::debug_marker)];
