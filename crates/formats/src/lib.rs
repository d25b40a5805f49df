//! The numbers of few-bit networks: minifloats eXmY, integers, fixed point, bipolar, ternary.
//!
//! A format is a finite set of values. This crate names it, rounds an `f32` to it, converts values to bit codes and back, and says
//! what the exact arithmetic of the kernels has to know. Exponents come from the bits of a number, never from a logarithm.
//!
//! ```
//! use fewbit_formats::Format;
//!
//! let format: Format = "e3m1".parse()?;
//! assert_eq!(format.quantize(0.3), 0.25);
//! assert_eq!(format.max_value(), 24.0);
//! assert_eq!(format.encode(-1.5), Some(0b1_011_1));
//! # Ok::<(), fewbit_formats::Error>(())
//! ```

#![forbid(unsafe_code)]

mod format;

mod e8m0;
mod fixed_point;
mod float;
mod integer;
mod ternary;

mod counter_rng;
mod error;
mod integer_grid;
mod rounding;

pub use counter_rng::CounterRng;
pub use e8m0::E8m0;
pub use error::{Error, ErrorKind};
pub use fixed_point::FixedPointFormat;
pub use float::{FloatFormat, FloatQuantizer, ReservedCodes};
pub use format::Format;
pub use integer::IntegerFormat;
pub use integer_grid::IntegerGrid;
pub use rounding::{Overflow, RoundingMode};
pub use ternary::{TERNARY_THRESHOLD, quantize_bipolar, quantize_ternary};
