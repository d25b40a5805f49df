//! Which network: a name of the published examples, or the description it stands for.

mod file;
mod names;
mod resnet;
mod size;
mod stages;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use file::Described;
pub use resnet::{ActScaling, ActStatistic, FormatName, ResnetQuantizers, WeightScaling};
pub(crate) use stages::Block;
pub use stages::Stages;

use crate::error::{Error, ErrorKind};

/// Describes a network completely: the same description and seed build the same network.
///
/// # Examples
/// ```
/// use fewbit_nn::config::NetworkConfig;
/// let config: NetworkConfig = "tfc_2w2a".parse()?;
/// assert_eq!(config.name, "TFC_2W2A");
/// assert_eq!(config.weight_bit_width, 2);
/// # Ok::<(), fewbit_nn::Error>(())
/// ```
/// # Source
/// networks.md 3.1 and 3.2 of the specification: the INI files of the published examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The name, upper case, as it appears in folder and file names.
    pub name: String,
    /// Bits of a weight; 1 means bipolar.
    pub weight_bit_width: u32,
    /// Bits of an activation; 1 means bipolar.
    pub act_bit_width: u32,
    /// Bits of the image after its quantizer; 1 means bipolar.
    pub input_bit_width: u32,
    /// Whether the quantizers do anything.
    #[serde(default)]
    pub quantization: Quantization,
    /// Number of logits.
    pub classes: usize,
    /// Channels, height and width of an image.
    pub image_shape: [usize; 3],
    /// What is done to the pixels before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// The layers. Last, because TOML wants tables after plain values.
    pub architecture: Architecture,
}

/// Pixels minus a mean, divided by a deviation, each of its channel: part of the network and of its file.
///
/// ```toml
/// [normalization]
/// mean = [0.4914, 0.4822, 0.4465]
/// std = [0.2470, 0.2435, 0.2616]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// What is subtracted, for each channel, in units of pixels from 0 to 1; rounded to `f32`.
    pub mean: Vec<f64>,
    /// What it is divided by then, above 0.
    pub std: Vec<f64>,
}

/// Whether the quantizers of a network are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// Weights and activations are quantized.
    #[default]
    On,
    /// Every quantizer passes its input through: the floating-point baseline.
    Off,
}

/// The families of networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "family", deny_unknown_fields)]
pub enum Architecture {
    /// Fully connected layers with batch normalization, a quantizer and dropout between them.
    Fc {
        /// Width of each hidden layer.
        hidden: Vec<usize>,
        /// Probability with which training sets an activation to zero.
        dropout: f64,
        /// What makes the loss of the logits well scaled.
        #[serde(default, skip_serializing_if = "resnet::is_default")]
        output_norm: OutputNorm,
    },
    /// Convolutions of 3 x 3 pixels without padding, then fully connected layers.
    Cnv {
        /// The hidden fully connected layers.
        hidden: Vec<usize>,
        /// What makes the loss of the logits well scaled.
        #[serde(default, skip_serializing_if = "resnet::is_default")]
        output_norm: OutputNorm,
        /// The convolutions.
        convolutions: Vec<Convolution>,
    },
    /// Stages of residual blocks of two convolutions each: ResNet18, if four stages have two blocks.
    Resnet18 {
        /// Channels of each stage.
        widths: Vec<usize>,
        /// Residual blocks of each stage.
        #[serde(default = "stages::two_each", skip_serializing_if = "stages::is_two_each")]
        blocks: Vec<usize>,
        /// By how many pixels the first convolution moves on.
        #[serde(default = "stages::one", skip_serializing_if = "stages::is_one")]
        stem_stride: usize,
        /// The formats. Last, because TOML wants tables after plain values.
        quantizers: Box<ResnetQuantizers>,
    },
    /// The same with integers: weights with a scale per channel, activations with learned scales.
    Resnet18Integer {
        /// Channels of each stage.
        widths: Vec<usize>,
        /// Residual blocks of each stage.
        #[serde(default = "stages::two_each", skip_serializing_if = "stages::is_two_each")]
        blocks: Vec<usize>,
        /// By how many pixels the first convolution moves on.
        #[serde(default = "stages::one", skip_serializing_if = "stages::is_one")]
        stem_stride: usize,
        /// How often a scale is measured in training before it is learned.
        #[serde(default = "resnet::collection_steps", skip_serializing_if = "resnet::is_usual")]
        collection_steps: u32,
    },
}

impl Architecture {
    /// Fully connected layers as the published ones.
    pub fn fc(hidden: Vec<usize>, dropout: f64) -> Self {
        Self::Fc { hidden, dropout, output_norm: OutputNorm::TensorNorm }
    }

    /// The published residual network with integers, with other widths.
    pub fn resnet18_integer(widths: [usize; 4]) -> Self {
        Self::Resnet18Integer {
            widths: widths.to_vec(),
            blocks: stages::two_each(),
            stem_stride: stages::one(),
            collection_steps: resnet::collection_steps(),
        }
    }

    /// The published residual network with formats of any kind, with other widths.
    pub fn resnet18(widths: [usize; 4], quantizers: ResnetQuantizers) -> Self {
        Self::Resnet18 {
            widths: widths.to_vec(),
            blocks: stages::two_each(),
            stem_stride: stages::one(),
            quantizers: Box::new(quantizers),
        }
    }

    /// What follows the logits, of the networks that can tell.
    pub fn output_norm_mut(&mut self) -> Option<&mut OutputNorm> {
        match self {
            Self::Fc { output_norm, .. } | Self::Cnv { output_norm, .. } => Some(output_norm),
            Self::Resnet18 { .. } | Self::Resnet18Integer { .. } => None,
        }
    }

    /// The residual blocks, of the networks that have some.
    pub fn stages(&self) -> Option<Stages<'_>> {
        match self {
            Self::Fc { .. } | Self::Cnv { .. } => None,
            Self::Resnet18 { widths, blocks, stem_stride, .. }
            | Self::Resnet18Integer { widths, blocks, stem_stride, .. } => {
                Some(Stages { widths, blocks, stem_stride: *stem_stride })
            }
        }
    }
}

/// What follows the last layer of the fully connected networks and CNV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputNorm {
    /// One mean and one variance for all logits.
    #[default]
    TensorNorm,
    /// One for each class, as in the first releases of Brevitas.
    BatchNorm,
}

/// A convolution of CNV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Its outputs.
    pub channels: usize,
    /// What follows its quantizer.
    #[serde(default)]
    pub pooling: Pooling,
}

/// What makes an image smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Nothing.
    #[default]
    None,
    /// The largest of 2 x 2 pixels.
    Max,
}

/// The widest weights and activations with a constant scale.
const MAX_COMMON_BITS: u32 = 8;

impl NetworkConfig {
    /// Looks a network up by its name, upper or lower case.
    ///
    /// Known are all names of these patterns, with `<W>` and `<A>` bits of weights and activations:
    /// `TFC_<W>W<A>A` (also `SFC`, `LFC`, `CNV`) with 1 to 8 bits, `RESNET18_<W>W<A>A` with 2 to 8; `RESNET18_<W>W<A>A_FLOAT`,
    /// followed by nothing (e4m3, e3m2, e2m1 for 8, 6 and 4 bits), a format as in `_E3M1`, or one for
    /// weights and one for activations; between `A` and `_FLOAT` may be `_8W8A_FIRST_LAYER`,
    /// `_LAST_LAYER` or `_FIRST_LAST_LAYER`: the weights of those layers are e4m3 (6 bits: e3m2).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownNetwork`] if the name has another pattern; it holds the known ones.
    pub fn named(name: &str) -> Result<Self, Error> {
        names::parse(&name.to_ascii_uppercase()).ok_or_else(|| {
            Error::new(ErrorKind::UnknownNetwork {
                name: name.to_owned(),
                known: Self::shipped_names(),
            })
        })
    }

    /// The names of the published examples that this program builds.
    pub fn shipped_names() -> Vec<String> {
        names::SHIPPED.iter().map(|&name| name.to_owned()).collect()
    }

    /// Checks what a description from a file may get wrong.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the field, its value and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |field: &'static str, value: String, expected: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig { field, value, expected }))
        };
        if self.classes < 2 {
            return invalid("classes", self.classes.to_string(), "at least 2");
        }
        if self.image_shape.contains(&0) {
            return invalid("image_shape", format!("{:?}", self.image_shape), "no zero");
        }
        if let Some(stages) = self.architecture.stages() {
            stages.validate()?;
        }
        if let Some(Normalization { mean, std }) = &self.normalization {
            let channels = self.image_shape[0];
            if mean.len() != channels || !mean.iter().all(|&mean| (mean as f32).is_finite()) {
                return invalid("mean", format!("{mean:?}"), "a finite number for each channel");
            }
            let divides = |&std: &f64| (std as f32) > 0.0 && (std as f32).is_finite();
            if std.len() != channels || !std.iter().all(divides) {
                return invalid("std", format!("{std:?}"), "a number above 0 for each channel");
            }
        }
        self.validate_size()?;
        match &self.architecture {
            Architecture::Fc { hidden, dropout, .. } => {
                self.validate_bits()?;
                if hidden.is_empty() || hidden.contains(&0) {
                    return invalid("hidden", format!("{hidden:?}"), "one or more widths above 0");
                }
                if !(0.0..1.0).contains(dropout) {
                    return invalid("dropout", dropout.to_string(), "from 0 to below 1");
                }
            }
            Architecture::Cnv { hidden, convolutions, .. } => {
                self.validate_bits()?;
                if hidden.contains(&0) {
                    return invalid("hidden", format!("{hidden:?}"), "widths above 0");
                }
                let [_, height, width] = self.image_shape;
                let left = convolutions.iter().try_fold(height.min(width), |size, convolution| {
                    let size = size.checked_sub(2).filter(|&size| size > 0)?;
                    let size = if convolution.pooling == Pooling::Max { size / 2 } else { size };
                    (size > 0 && convolution.channels > 0).then_some(size)
                });
                if left.is_none() {
                    let value = format!("{convolutions:?}");
                    return invalid("convolutions", value, "channels, and an image that is left");
                }
            }
            Architecture::Resnet18Integer { .. } => {
                self.validate_bits()?;
                if self.weight_bit_width == 1 {
                    return invalid("weight_bit_width", "1".to_owned(), "2 to 8 bits");
                }
            }
            Architecture::Resnet18 { quantizers, .. } => {
                quantizers.validate()?;
                let bits = [
                    ("weight_bit_width", self.weight_bit_width, quantizers.weight_format),
                    ("act_bit_width", self.act_bit_width, quantizers.act_format),
                ];
                for (field, bits, format) in bits {
                    if bits != format.0.bit_width() {
                        return invalid(field, bits.to_string(), "the bits of the format");
                    }
                }
            }
        }
        Ok(())
    }

    fn validate_bits(&self) -> Result<(), Error> {
        for (field, bits) in [
            ("weight_bit_width", self.weight_bit_width),
            ("act_bit_width", self.act_bit_width),
            ("input_bit_width", self.input_bit_width),
        ] {
            if !(1..=MAX_COMMON_BITS).contains(&bits) {
                return Err(Error::new(ErrorKind::InvalidConfig {
                    field,
                    value: bits.to_string(),
                    expected: "1 to 8 bits",
                }));
            }
        }
        Ok(())
    }
}

impl FromStr for NetworkConfig {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::named(name)
    }
}

impl fmt::Display for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_descriptions_name_the_field() {
        let good = NetworkConfig::named("TFC_1W1A").unwrap();
        type Spoil = fn(&mut NetworkConfig);
        let cases: [(Spoil, &str); 5] = [
            (|c| c.weight_bit_width = 0, "weight_bit_width"),
            (|c| c.classes = 1, "classes"),
            (|c| c.image_shape = [1, 0, 28], "image_shape"),
            (|c| c.architecture = Architecture::fc(vec![], 0.2), "hidden"),
            (|c| c.architecture = Architecture::fc(vec![8], 1.0), "dropout"),
        ];
        for (spoil, field) in cases {
            let mut config = good.clone();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
