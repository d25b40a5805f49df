//! The code that is certified.

use std::fmt;

use fewbit_formats::{Format, TERNARY_THRESHOLD};
use fewbit_kernels::quantize::{self, IntegerQuantizer, Scale};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Implementation {
    /// `Format::quantize` of the crate `formats`, one number after the other.
    Scalar,
    /// The quantizers of the crate `kernels`, with the instructions that this machine has.
    Kernel,
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Kernel => "kernel",
        })
    }
}

impl Implementation {
    pub fn instruction_set(self) -> String {
        match self {
            Self::Scalar => "baseline".to_owned(),
            Self::Kernel => fewbit_kernels::Isa::current().to_string(),
        }
    }

    pub fn quantize(self, format: &Format, x: &[f32], y: &mut [f32]) {
        match self {
            Self::Scalar => {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = format.quantize(x);
                }
            }
            Self::Kernel => kernel(format, x, y),
        }
    }
}

fn kernel(format: &Format, x: &[f32], y: &mut [f32]) {
    let one = Scale::PerTensor(1.0);
    match format {
        Format::Float(format) => quantize::minifloat(x, y, format, one),
        Format::Integer(format) => {
            let quantizer = IntegerQuantizer::new(format.min_value(), format.max_value());
            quantize::integer(x, y, &quantizer, one);
        }
        Format::Bipolar => quantize::bipolar(x, y, one),
        Format::Ternary => quantize::ternary(x, y, TERNARY_THRESHOLD, one),
        Format::FixedPoint(format) => {
            let integer = format.integer();
            let quantizer = IntegerQuantizer::new(integer.min_value(), integer.max_value());
            quantize::integer(x, y, &quantizer, Scale::PerTensor(format.step()));
        }
    }
}
