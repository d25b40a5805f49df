//! Scales that are measured for as long as a network is trained.

use fewbit_formats::Format;

use super::learned::SMALLEST_THRESHOLD;
use super::restriction::Restriction;
use super::{Mode, rule};
use crate::error::{Error, ErrorKind};
use crate::ops::{self, Scale, Statistic};
use crate::tensor::Tensor;

/// A scale `s = t / n`: in training `t` is the magnitude of the tensor itself, in evaluation the mean of
/// those that training met, with decaying weights. `n` is what the format reaches.
///
/// # Source
/// Brevitas 0.12.1, `RuntimeStatsScaling`. It forgets in a checkpoint that it has measured; here the
/// number of passes is part of the state.
#[derive(Debug)]
pub struct RunningScale {
    divisor: f32,
    restriction: Restriction,
    statistic: Statistic,
    passes: u64,
    mean: f32,
}

/// Weight of a new measurement in the mean.
pub(super) const MOMENTUM: f32 = 0.1;

impl RunningScale {
    pub(super) fn new(
        format: Format,
        statistic: Statistic,
        restriction: Restriction,
    ) -> Result<Self, Error> {
        check_statistic("with a measured scale", statistic)?;
        let divisor = rule::divisor(format, restriction);
        Ok(Self { divisor, restriction, statistic, passes: 0, mean: 1.0 })
    }

    /// Training passes so far.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// The threshold that evaluation uses; 1 before the first training pass.
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// Continues where another training stood.
    pub(crate) fn restore(&mut self, passes: u64, mean: f32) {
        (self.passes, self.mean) = (passes, mean);
    }

    pub(super) fn evaluation_scale(&self) -> Scale {
        let threshold = self.mean.max(SMALLEST_THRESHOLD);
        Scale::PerTensor(self.restriction.apply(threshold) / self.divisor)
    }

    /// The scale for `x`, `[1]`.
    pub(super) fn scale(&mut self, x: &Tensor, mode: Mode) -> Tensor {
        let threshold = match mode {
            Mode::Evaluation => Tensor::full(self.mean, &[1], &x.device()),
            Mode::Training => {
                let measured = ops::statistic(x, self.statistic);
                let new = measured.read(|measured| measured[0]);
                self.mean = if self.passes == 0 {
                    new
                } else {
                    (1.0 - MOMENTUM) * self.mean + MOMENTUM * new
                };
                self.passes += 1;
                measured
            }
        };
        let (restriction, divisor) = (self.restriction, self.divisor);
        ops::threshold_to_scale(threshold, SMALLEST_THRESHOLD, restriction, divisor)
    }
}

/// Checks a statistic from a description.
pub(super) fn check_statistic(quantizer: &'static str, statistic: Statistic) -> Result<(), Error> {
    match statistic {
        Statistic::AbsPercentile(percentile) if !(percentile > 0.0 && percentile <= 100.0) => {
            Err(Error::new(ErrorKind::InvalidQuantizer {
                quantizer,
                field: "percentile",
                value: percentile.to_string(),
                expected: "above 0, at most 100",
            }))
        }
        Statistic::AbsPercentile(_) | Statistic::AbsMax => Ok(()),
    }
}
