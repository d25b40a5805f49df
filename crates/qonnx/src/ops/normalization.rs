//! Normalizations: by statistics of a batch, an item or a group, and to a distribution.

pub(super) mod batch_normalization;
mod group_normalization;
mod instance_normalization;
mod layer_normalization;
mod softmax;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("BatchNormalization", batch_normalization::new),
    ("GroupNormalization", group_normalization::new),
    ("Hardmax", softmax::hardmax),
    ("InstanceNormalization", instance_normalization::new),
    ("LayerNormalization", layer_normalization::new),
    ("LogSoftmax", softmax::log_softmax),
    ("RMSNormalization", layer_normalization::root_mean_square),
    ("Softmax", softmax::softmax),
];
