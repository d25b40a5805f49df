//! Fake quantization: quantize, then dequantize, in one pass; and the gradients.
//!
//! `u = x / s` is a true division, `y = v * s`; with `s = 1` both are left out, which changes no bit.

mod bipolar;
mod codes;
mod integer;
mod minifloat;
mod runs;
mod ternary;

pub use bipolar::{bipolar, bipolar_grad};
pub use codes::codes;
pub use integer::{ClampGradient, IntegerQuantizer, integer, integer_grad, integer_grad_scale};
pub(crate) use minifloat::{Bounds, Fast, Round, fast};
pub use minifloat::{
    MinifloatGradient, MinifloatQuantizer, minifloat, minifloat_grad, minifloat_grad_scale,
    minifloat_with,
};
pub use runs::Scale;
pub use ternary::ternary;
