//! Windows that slide over images: poolings, patches, and operators with channels last.

mod average_pool;
mod channels_last;
mod im2col;
mod max_pool;
mod pooling;
mod quant_average_pool;
pub(super) mod window;

use super::Table;

/// The operators by name.
pub(super) const OPERATORS: Table = &[
    ("AveragePool", average_pool::new),
    ("GlobalAveragePool", average_pool::global),
    ("GlobalMaxPool", max_pool::global),
    ("MaxPool", max_pool::new),
];

/// Those of QONNX.
pub(super) const QUANTIZED: Table = &[
    ("Im2Col", im2col::new),
    ("MaxPoolNHWC", channels_last::max_pool_nhwc),
    ("QuantAvgPool2d", quant_average_pool::new),
];

/// Those of ONNX itself on tensors with channels last.
pub(super) const CHANNELS_LAST: Table = &[
    ("BatchNormalization", channels_last::batch_normalization),
    ("Conv", channels_last::conv),
    ("MaxPool", channels_last::max_pool),
];
