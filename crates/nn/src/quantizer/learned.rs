//! Scales that are learned, starting from what the first training passes meet.

use fewbit_formats::Format;

use super::act::ActScale;
use super::restriction::Restriction;
use super::running::{MOMENTUM, check_statistic};
use super::{Granularity, Mode, rule};
use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::network::{Clipping, Parameter};
use crate::ops::{self, Scale, Statistic};
use crate::tensor::Tensor;

/// A scale `s = |v| / n`: `v` is a parameter, `n` what the format reaches.
///
/// The first training passes measure the magnitudes of what they quantize and use them at once; a mean
/// of them with decaying weights becomes the start of `v`.
///
/// # Source
/// quantizers.md 2.9; `|v|` also in training (discrepancies.md D-12), and what has been collected is
/// part of the state (D-14).
#[derive(Debug)]
pub struct LearnedScale {
    parameter: Parameter,
    divisor: f32,
    restriction: Restriction,
    granularity: Granularity,
    statistic: Statistic,
    steps: u32,
    collection: Collection,
}

/// How far the measuring is.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Training passes so far; one more than there are to be when the parameter has taken over.
    pub passes: u32,
    /// The mean of what was measured, one number or one per channel; empty before the first pass of a
    /// scale per channel.
    pub buffer: Vec<f32>,
}

/// The smallest threshold.
pub(super) const SMALLEST_THRESHOLD: f32 = 1e-10;

impl LearnedScale {
    pub(super) fn new(format: Format, scale: ActScale) -> Result<Self, Error> {
        let ActScale::Learned { start, steps, statistic, granularity, restriction } = scale else {
            unreachable!("other scales are not learned")
        };
        let invalid = |field, value: String, expected| {
            let quantizer = "with a learned scale";
            Err(Error::new(ErrorKind::InvalidQuantizer { quantizer, field, value, expected }))
        };
        if !(start > 0.0 && start.is_finite()) {
            return invalid("start", start.to_string(), "a positive number");
        }
        check_statistic("with a learned scale", statistic)?;
        if granularity == Granularity::PerChannel && statistic != Statistic::AbsMax {
            return invalid(
                "statistic",
                format!("{statistic:?}"),
                "AbsMax for a scale per channel",
            );
        }
        if granularity == Granularity::PerChannel && steps == 0 {
            return invalid("steps", steps.to_string(), "at least 1 for a scale per channel");
        }
        let passes = if steps == 0 { 1 } else { 0 };
        let parameter = Tensor::full(start, &[1], &Device::cpu());
        Ok(Self {
            parameter: Parameter::new(parameter, Clipping::None),
            divisor: rule::divisor(format, restriction),
            restriction,
            granularity,
            statistic,
            steps,
            collection: Collection { passes, buffer: vec![1.0] },
        })
    }

    /// The parameter `v`.
    pub fn parameter(&self) -> &Parameter {
        &self.parameter
    }

    /// The parameter `v`, to be changed.
    pub fn parameter_mut(&mut self) -> &mut Parameter {
        &mut self.parameter
    }

    /// How far the measuring is.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Whether the parameter has taken over.
    pub fn is_collected(&self) -> bool {
        self.collection.passes > self.steps
    }

    /// Whether the scale is one number that does not depend on what is quantized.
    pub(super) fn is_known(&self, mode: Mode) -> bool {
        self.granularity == Granularity::PerTensor
            && (mode == Mode::Evaluation || self.collection.passes >= self.steps)
    }

    /// The threshold that evaluation uses.
    pub fn threshold(&self) -> Vec<f32> {
        if self.is_collected() {
            self.parameter.value().to_vec()
        } else {
            self.collection.buffer.clone()
        }
    }

    /// Continues where another training stood.
    pub(crate) fn restore(&mut self, parameter: Tensor, collection: Collection) {
        self.parameter = Parameter::new(parameter, Clipping::None);
        self.collection = collection;
    }

    /// Takes over a threshold; the measuring ends.
    pub(crate) fn finish_with(&mut self, threshold: Tensor) {
        let (passes, buffer) = (self.steps + 1, threshold.to_vec());
        self.restore(threshold, Collection { passes, buffer });
    }

    pub(super) fn evaluation_scale(&self) -> Scale {
        let scales = self.threshold().into_iter().map(|threshold| {
            let threshold = threshold.abs().max(SMALLEST_THRESHOLD);
            self.restriction.apply(threshold) / self.divisor
        });
        numbers(scales.collect())
    }

    pub(super) fn as_numbers(&self, scale: &Tensor) -> Scale {
        numbers(scale.to_vec())
    }

    /// The scale for `x`, as a tensor that broadcasts against it.
    pub(super) fn scale(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor, Error> {
        let threshold = match mode {
            Mode::Evaluation => {
                let threshold = self.threshold();
                let shape = [threshold.len()];
                let threshold = Tensor::from_vec(threshold, &shape, &x.device());
                self.spread(threshold, x)?
            }
            Mode::Training if self.collection.passes < self.steps => self.measure(x)?,
            Mode::Training => {
                self.take_over();
                let parameter = self.parameter.enter_graph();
                self.spread(parameter, x)?
            }
        };
        let (restriction, divisor) = (self.restriction, self.divisor);
        Ok(ops::threshold_to_scale(threshold, SMALLEST_THRESHOLD, restriction, divisor))
    }

    /// A pass that measures: its own magnitudes are the threshold.
    fn measure(&mut self, x: &Tensor) -> Result<Tensor, Error> {
        let measured = match self.granularity {
            Granularity::PerTensor => ops::statistic(x, self.statistic),
            Granularity::PerChannel => ops::channel_absmax(x, 1),
        };
        let channels = measured.len();
        if self.parameter.value().len() != channels && self.collection.passes == 0 {
            let start = self.parameter.value().read(|values| values[0]);
            let start = Tensor::full(start, &[channels], &x.device());
            self.parameter = Parameter::new(start, Clipping::None);
        }
        let collection = &mut self.collection;
        measured.read(|measured| {
            let floor = |v: f32| v.max(SMALLEST_THRESHOLD);
            if collection.passes == 0 {
                collection.buffer = measured.iter().map(|&v| floor(v)).collect();
            } else {
                for (mean, &new) in collection.buffer.iter_mut().zip(measured) {
                    *mean = (1.0 - MOMENTUM) * *mean + MOMENTUM * floor(new);
                }
            }
        });
        collection.passes += 1;
        // The parameter takes part with a gradient of zero: optimizers count its steps from the start.
        let nothing = self.parameter.enter_graph().mul_scalar(0.0);
        let nothing = self.spread(nothing, x)?;
        Ok(measured.add(&nothing))
    }

    /// After the last pass that measures, the parameter becomes what was measured.
    fn take_over(&mut self) {
        if self.collection.passes != self.steps {
            return;
        }
        let buffer = &self.collection.buffer;
        self.parameter.update(|mut value| {
            value.update(|values| {
                values.iter_mut().zip(buffer).for_each(|(value, measured)| *value *= measured);
            });
            value
        });
        self.collection.passes += 1;
    }

    /// Gives a threshold the rank of `x`.
    fn spread(&self, threshold: Tensor, x: &Tensor) -> Result<Tensor, Error> {
        if self.granularity == Granularity::PerTensor {
            return Ok(threshold);
        }
        let x_shape = x.shape();
        if x_shape.get(1) != Some(&threshold.len()) && threshold.len() != 1 {
            return Err(Error::new(ErrorKind::ShapeMismatch {
                operation: "quantizer",
                operand: "x",
                got: x_shape,
                expected: format!("[N, {}, ..]", threshold.len()),
            }));
        }
        let mut shape = vec![1; x_shape.len()];
        shape[1.min(x_shape.len() - 1)] = threshold.len();
        Ok(threshold.reshape(&shape))
    }
}

fn numbers(scales: Vec<f32>) -> Scale {
    match scales.as_slice() {
        [scale] => Scale::PerTensor(*scale),
        _ => Scale::PerChannel(scales.into()),
    }
}
