//! Quantizers of activations.

use fewbit_formats::{Format, IntegerFormat};

use super::learned::LearnedScale;
use super::restriction::Restriction;
use super::running::RunningScale;
use super::{Granularity, Mode, rule};
use crate::error::{Error, ErrorKind};
use crate::network::Parameter;
use crate::ops::{self, Grid, MinifloatGradient, Outside, Quantized, Rule, Scale, Statistic};
use crate::tensor::Tensor;

/// Describes how an activation is quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActQuantizerConfig {
    /// It is not.
    None,
    /// To bipolar numbers (one bit) or to integers symmetric around zero, with the constant scale that
    /// takes the largest of them to 1.
    ///
    /// # Gradient
    /// Straight through where the rounded value is inside the range, else zero.
    Common {
        /// Bits of a code.
        bit_width: u32,
    },
    /// To any format.
    ///
    /// # Gradient
    /// As for `Common`; of minifloats as `gradient` says.
    Format {
        /// The format.
        format: Format,
        /// Where the scale comes from.
        scale: ActScale,
        /// The gradient, if the format is a minifloat.
        gradient: MinifloatGradient,
    },
}

/// Where the scale of an activation comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActScale {
    /// It is this number.
    Constant(f32),
    /// It is learned: a threshold, divided by what the format reaches.
    Learned {
        /// The threshold before the first step, if it is not collected.
        start: f32,
        /// How many training passes measure the threshold before it is learned.
        steps: u32,
        /// What they measure.
        statistic: Statistic,
        /// One for all, or one for each channel.
        granularity: Granularity,
        /// Whether the threshold is moved to a power of two.
        restriction: Restriction,
    },
    /// It is measured in every training pass; evaluation takes the mean of what was measured, divided by
    /// what the format reaches.
    Measured {
        /// What is measured.
        statistic: Statistic,
        /// Whether the threshold is moved to a power of two.
        restriction: Restriction,
    },
}

/// Number of training passes that measure a threshold, unless a description says otherwise.
pub(crate) const COLLECTION_STEPS: u32 = 300;

/// The percentile of magnitudes that integer activations measure.
const PERCENTILE: f64 = 99.999;

impl ActQuantizerConfig {
    /// The quantizer of the fully connected networks and CNV.
    ///
    /// # Source
    /// quantizers.md 2.3.
    pub fn common(bit_width: u32) -> Self {
        Self::Common { bit_width }
    }

    /// The 8 bits of CNV's images: multiples of 1/128 from -1 to 127/128.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if there are no such integers.
    /// # Source
    /// quantizers.md 2.3, variant for the input of CNV.
    pub fn pixels(bit_width: u32) -> Result<Self, Error> {
        let integer = IntegerFormat::new(bit_width)?;
        Ok(Self::Format {
            format: Format::Integer(integer),
            scale: ActScale::Constant(1.0 / -integer.min_value()),
            gradient: MinifloatGradient::default(),
        })
    }

    /// A format with the scale one and the default gradient.
    pub fn unscaled(format: Format) -> Self {
        let (scale, gradient) = (ActScale::Constant(1.0), MinifloatGradient::default());
        Self::Format { format, scale, gradient }
    }

    /// A format with a learned scale that starts from the magnitudes of 300 training passes.
    ///
    /// # Source
    /// quantizers.md 2.5 and 2.9: integers measure the percentile 99.999, minifloats the maximum.
    pub fn learned(format: Format) -> Self {
        let statistic = match format {
            Format::Float(_) => Statistic::AbsMax,
            _ => Statistic::AbsPercentile(PERCENTILE),
        };
        let scale = ActScale::Learned {
            start: 1.0,
            steps: COLLECTION_STEPS,
            statistic,
            granularity: Granularity::PerTensor,
            restriction: Restriction::None,
        };
        Self::Format { format, scale, gradient: MinifloatGradient::default() }
    }

    /// Measures so many training passes before it learns, if the scale is a learned one.
    pub fn with_collection_steps(mut self, passes: u32) -> Self {
        if let Self::Format { scale: ActScale::Learned { steps, .. }, .. } = &mut self {
            *steps = passes;
        }
        self
    }
}

/// Quantizes activations.
#[derive(Debug)]
pub struct ActQuantizer {
    config: ActQuantizerConfig,
    built: Option<Built>,
}

#[derive(Debug)]
struct Built {
    format: Format,
    rule: Rule,
    scale: Source,
}

#[derive(Debug)]
enum Source {
    Constant(f32),
    Learned(Box<LearnedScale>),
    Measured(RunningScale),
}

impl ActQuantizer {
    /// Builds a quantizer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuantizer`] if there is no such format or scale.
    pub fn new(config: &ActQuantizerConfig) -> Result<Self, Error> {
        const NAME: &str = "of activations";
        let built = match *config {
            ActQuantizerConfig::None => None,
            ActQuantizerConfig::Common { bit_width } => {
                let format = rule::common_format(NAME, bit_width)?;
                let rule = rule::rule(NAME, format, MinifloatGradient::default(), Outside::Block)?;
                let scale = Source::Constant(1.0 / format.max_value());
                Some(Built { format, rule, scale })
            }
            ActQuantizerConfig::Format { format, scale, gradient } => {
                let rule = rule::rule(NAME, format, gradient, Outside::Block)?;
                let scale = match scale {
                    ActScale::Constant(scale) if scale > 0.0 && scale.is_finite() => {
                        Source::Constant(scale)
                    }
                    ActScale::Constant(scale) => {
                        return Err(Error::new(ErrorKind::InvalidQuantizer {
                            quantizer: NAME,
                            field: "scale",
                            value: scale.to_string(),
                            expected: "a positive number",
                        }));
                    }
                    ActScale::Learned { .. } => {
                        Source::Learned(Box::new(LearnedScale::new(format, scale)?))
                    }
                    ActScale::Measured { statistic, restriction } => {
                        Source::Measured(RunningScale::new(format, statistic, restriction)?)
                    }
                };
                Some(Built { format, rule, scale })
            }
        };
        Ok(Self { config: *config, built })
    }

    /// The description it was built from.
    pub fn config(&self) -> &ActQuantizerConfig {
        &self.config
    }

    /// The format of the codes, `None` if it does nothing.
    pub fn format(&self) -> Option<Format> {
        self.built.as_ref().map(|built| built.format)
    }

    /// The scale that evaluation uses, `None` if it does nothing.
    pub fn scale(&self) -> Option<Scale> {
        self.built.as_ref().map(|built| match &built.scale {
            Source::Constant(scale) => Scale::PerTensor(*scale),
            Source::Learned(learned) => learned.evaluation_scale(),
            Source::Measured(running) => running.evaluation_scale(),
        })
    }

    /// The scale that is learned, if one is.
    pub fn learned(&self) -> Option<&LearnedScale> {
        match &self.built {
            Some(Built { scale: Source::Learned(learned), .. }) => Some(learned),
            Some(_) | None => None,
        }
    }

    /// The scale that is learned, if one is.
    pub fn learned_mut(&mut self) -> Option<&mut LearnedScale> {
        match &mut self.built {
            Some(Built { scale: Source::Learned(learned), .. }) => Some(learned),
            Some(_) | None => None,
        }
    }

    /// The scale that is measured, if one is.
    pub fn measured(&self) -> Option<&RunningScale> {
        match &self.built {
            Some(Built { scale: Source::Measured(running), .. }) => Some(running),
            Some(_) | None => None,
        }
    }

    /// The scale that is measured, if one is.
    pub(crate) fn measured_mut(&mut self) -> Option<&mut RunningScale> {
        match &mut self.built {
            Some(Built { scale: Source::Measured(running), .. }) => Some(running),
            Some(_) | None => None,
        }
    }

    /// The parameter behind a learned scale.
    pub fn parameter(&self) -> Option<&Parameter> {
        self.learned().map(LearnedScale::parameter)
    }

    /// Whether the scale is one number that does not depend on what is quantized; also if it does nothing.
    pub(crate) fn scale_is_known(&self, mode: Mode) -> bool {
        self.built.as_ref().is_none_or(|built| match &built.scale {
            Source::Constant(_) => true,
            Source::Learned(learned) => learned.is_known(mode),
            Source::Measured(_) => mode == Mode::Evaluation,
        })
    }

    /// The rule and the scale for `x`; `None` if it does nothing.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub(crate) fn known(&mut self, x: &Tensor, mode: Mode) -> Result<Option<Known>, Error> {
        let Some(Built { format, rule, scale }) = &mut self.built else { return Ok(None) };
        let (format, rule) = (*format, *rule);
        let (scale, number, is_constant) = match scale {
            Source::Constant(scale) => {
                let tensor = Tensor::full(*scale, &[1], &x.device());
                (tensor, Scale::PerTensor(*scale), true)
            }
            Source::Learned(learned) => {
                let tensor = learned.scale(x, mode)?;
                let number = learned.as_numbers(&tensor);
                (tensor, number, false)
            }
            Source::Measured(running) => {
                let tensor = running.scale(x, mode);
                let number = Scale::PerTensor(tensor.item());
                (tensor, number, false)
            }
        };
        Ok(Some(Known { rule, scale, grid: Grid::Scaled { format, scale: number }, is_constant }))
    }

    /// Quantizes an activation.
    ///
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`] if `x` has another number of channels than the scale.
    pub fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Quantized, Error> {
        let Some(Known { rule, scale, grid, is_constant }) = self.known(x, mode)? else {
            return Ok(Quantized::plain(x.clone()));
        };
        if let (true, Grid::Scaled { scale: Scale::PerTensor(scale), .. }) = (is_constant, &grid) {
            let value = ops::fake_quantize(x.clone(), *scale, rule);
            return Ok(Quantized::constant(value, grid));
        }
        let value = ops::fake_quantize_scaled(x.clone(), &scale, rule);
        Ok(Quantized { value, grid, scale: Some(scale) })
    }
}

/// A quantizer whose scale has been found.
pub(crate) struct Known {
    pub rule: Rule,
    /// The scale as a tensor: gradients flow to it unless it is a constant.
    pub scale: Tensor,
    pub grid: Grid,
    pub is_constant: bool,
}
