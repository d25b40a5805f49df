//! Operations with their gradients: one backend extension, one file each.
//!
//! Every operation has a default in ordinary tensor operations, which runs on any backend, and an
//! implementation on plain slices for the processor, which calls `fewbit-kernels`.

mod activation;
mod batch_norm;
mod convolution;
mod dropout;
mod fake_quantize;
mod linear;
mod loss;
mod optimizer;
mod pool;
mod quantized;
mod relu;
mod scale_shift;
mod statistic;
mod tensor_norm;
mod threshold;
mod truncate;

mod bits;
mod extension;
mod portable;
mod selection;
pub(crate) mod storage;
mod value;

pub use activation::{Activation, Scales, activate_inference, activate_training};
pub use batch_norm::{
    Affine, BatchStatistics, Formula, Normalized, batch_norm_inference, batch_norm_training,
};
pub use convolution::{Window, conv2d};
pub use dropout::dropout;
pub use fake_quantize::{MinifloatGradient, Outside, Rule, fake_quantize, fake_quantize_scaled};
pub use linear::linear;
pub use loss::{cross_entropy_loss, smoothed_cross_entropy_loss, square_hinge_loss};
pub use optimizer::{Adam, AdamMoments, Clip, Sgd, SgdMomentum, adam_step, average, sgd_step};
pub use pool::{average_pool, max_pool};
pub use quantized::{Grid, Quantized, Scale};
pub use relu::relu;
pub use scale_shift::scale_shift;
pub use statistic::{Statistic, channel_absmax, statistic};
pub use tensor_norm::{tensor_norm_inference, tensor_norm_training};
pub use threshold::threshold_to_scale;
pub use truncate::{Truncation, truncate, truncate_scaled};
