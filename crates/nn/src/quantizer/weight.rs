//! Quantizers of weights.

use fewbit_formats::Format;

use super::restriction::Restriction;
use super::{Granularity, rule};
use crate::error::Error;
use crate::ops::{self, Grid, MinifloatGradient, Outside, Quantized, Rule, Scale, Statistic};
use crate::tensor::Tensor;

/// Describes how a weight is quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightQuantizerConfig {
    /// It is not.
    None,
    /// To bipolar numbers (one bit) or to integers symmetric around zero, with the constant scale that
    /// takes the largest of them to 1.
    ///
    /// # Gradient
    /// Straight through everywhere.
    Common {
        /// Bits of a code.
        bit_width: u32,
    },
    /// To any format.
    ///
    /// # Gradient
    /// Of minifloats as `gradient` says, zero where the rounded value is beyond the range; of integers
    /// straight through everywhere. A scale that is found in the weight passes its gradient on.
    Format {
        /// The format.
        format: Format,
        /// Where the scale comes from.
        scale: WeightScale,
        /// The gradient, if the format is a minifloat.
        gradient: MinifloatGradient,
    },
}

/// Where the scale of a weight comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightScale {
    /// It is this number.
    Constant(f32),
    /// The largest magnitude of the weight, found in every forward pass, divided by what the format
    /// reaches.
    AbsMax {
        /// One for all, or one for each output channel.
        granularity: Granularity,
        /// Whether it is moved to a power of two.
        restriction: Restriction,
    },
}

impl WeightQuantizerConfig {
    /// The quantizer of the fully connected networks and CNV.
    ///
    /// # Source
    /// quantizers.md 2.2.
    pub fn common(bit_width: u32) -> Self {
        Self::Common { bit_width }
    }

    /// A format with the scale one and the default gradient.
    pub fn unscaled(format: Format) -> Self {
        let (scale, gradient) = (WeightScale::Constant(1.0), MinifloatGradient::default());
        Self::Format { format, scale, gradient }
    }

    /// A format whose largest value is the largest magnitude of the weight, with the default gradient.
    ///
    /// # Source
    /// quantizers.md 2.4, formats.md 1.13.
    pub fn absmax(format: Format, granularity: Granularity) -> Self {
        let scale = WeightScale::AbsMax { granularity, restriction: Restriction::None };
        Self::Format { format, scale, gradient: MinifloatGradient::default() }
    }
}

/// Quantizes weights; it keeps no state.
#[derive(Clone, Debug)]
pub struct WeightQuantizer {
    config: WeightQuantizerConfig,
    built: Option<Built>,
}

#[derive(Clone, Copy, Debug)]
struct Built {
    format: Format,
    rule: Rule,
    scale: WeightScale,
}

/// The smallest threshold that a statistic gives.
const SMALLEST_THRESHOLD: f32 = 1e-10;

impl WeightQuantizer {
    /// Builds a quantizer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuantizer`](crate::ErrorKind::InvalidQuantizer) if there is no such format.
    pub fn new(config: &WeightQuantizerConfig) -> Result<Self, Error> {
        const NAME: &str = "of weights";
        let built = match *config {
            WeightQuantizerConfig::None => None,
            WeightQuantizerConfig::Common { bit_width } => {
                let format = rule::common_format(NAME, bit_width)?;
                let rule = rule::rule(NAME, format, MinifloatGradient::default(), Outside::Pass)?;
                let scale = WeightScale::Constant(1.0 / format.max_value());
                Some(Built { format, rule, scale })
            }
            WeightQuantizerConfig::Format { format, scale, gradient } => {
                let rule = rule::rule(NAME, format, gradient, Outside::Pass)?;
                Some(Built { format, rule, scale })
            }
        };
        Ok(Self { config: *config, built })
    }

    /// The description it was built from.
    pub fn config(&self) -> &WeightQuantizerConfig {
        &self.config
    }

    /// The format of the codes, `None` if it does nothing.
    pub fn format(&self) -> Option<Format> {
        self.built.map(|built| built.format)
    }

    /// Quantizes a weight `[outputs, ..]`.
    ///
    /// # Errors
    /// None so far.
    pub fn forward(&self, weight: &Tensor) -> Result<Quantized, Error> {
        let Some(Built { format, rule, scale }) = self.built else {
            return Ok(Quantized::plain(weight.clone()));
        };
        let WeightScale::AbsMax { granularity, .. } = scale else {
            let scale = self.constant();
            let value = ops::fake_quantize(weight.clone(), scale, rule);
            let grid = Grid::Scaled { format, scale: Scale::PerTensor(scale) };
            return Ok(Quantized::constant(value, grid));
        };
        let tensor = self.scale_tensor(weight, granularity);
        let value = ops::fake_quantize_scaled(weight.clone(), &tensor, rule);
        let scale = match granularity {
            Granularity::PerTensor => Scale::PerTensor(tensor.item()),
            Granularity::PerChannel => Scale::PerChannel(tensor.to_vec().into()),
        };
        Ok(Quantized { value, grid: Grid::Scaled { format, scale }, scale: Some(tensor) })
    }

    /// The scale that a weight has: a number, or one for each output channel. `None` without quantizer.
    pub fn scale(&self, weight: &Tensor) -> Option<Scale> {
        let built = self.built?;
        Some(match built.scale {
            WeightScale::Constant(scale) => Scale::PerTensor(scale),
            WeightScale::AbsMax { granularity, .. } => {
                let scale = self.scale_tensor(&weight.clone().detach(), granularity);
                match granularity {
                    Granularity::PerTensor => Scale::PerTensor(scale.item()),
                    Granularity::PerChannel => Scale::PerChannel(scale.to_vec().into()),
                }
            }
        })
    }

    fn constant(&self) -> f32 {
        match self.built {
            Some(Built { scale: WeightScale::Constant(scale), .. }) => scale,
            Some(_) | None => 1.0,
        }
    }

    /// `[1]`, or one per output channel with the rank of the weight.
    fn scale_tensor(&self, weight: &Tensor, granularity: Granularity) -> Tensor {
        let Some(Built { format, scale: WeightScale::AbsMax { restriction, .. }, .. }) = self.built
        else {
            return Tensor::full(1.0, &[1], &weight.device());
        };
        let largest = match granularity {
            Granularity::PerTensor => ops::statistic(weight, Statistic::AbsMax),
            Granularity::PerChannel => ops::channel_absmax(weight, 0),
        };
        let divisor = rule::divisor(format, restriction);
        ops::threshold_to_scale(largest, SMALLEST_THRESHOLD, restriction, divisor)
    }
}
