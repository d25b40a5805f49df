//! The quantizers of a ResNet18: formats are data.

use std::fmt;
use std::str::FromStr;

use fewbit_formats::Format;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, ErrorKind};
use crate::quantizer::{
    ActQuantizerConfig, ActScale, COLLECTION_STEPS, Granularity, MinifloatGradient, Restriction,
    Statistic, WeightQuantizerConfig, WeightScale,
};

/// Which formats, and where their scales come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetQuantizers {
    /// The format of weights.
    pub weight_format: FormatName,
    /// The format of the image, of convolutions' results and of what the last layer gets.
    pub act_format: FormatName,
    /// The format behind rectifiers, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rectified_format: Option<FormatName>,
    /// The format of the first convolution's weights, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_layer_format: Option<FormatName>,
    /// The format of the last layer's weights, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_layer_format: Option<FormatName>,
    /// Scales of weights.
    #[serde(default)]
    pub weight_scaling: WeightScaling,
    /// Scales of activations.
    #[serde(default)]
    pub act_scaling: ActScaling,
    /// What scales of activations are made from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub act_statistic: ActStatistic,
    /// Training passes of a quantizer that measure where a learned scale starts.
    #[serde(default = "collection_steps", skip_serializing_if = "is_usual")]
    pub collection_steps: u32,
    /// Whether scales are powers of two.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_restriction: Restriction,
    /// The gradient of minifloat quantizers.
    #[serde(default)]
    pub gradient: MinifloatGradient,
}

/// Where the scales of weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightScaling {
    /// They are one.
    #[default]
    Unscaled,
    /// From the largest magnitude of each weight.
    PerTensor,
    /// From the largest magnitude of each output channel.
    PerChannel,
}

/// Where the scales of activations come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActScaling {
    /// They are one.
    #[default]
    Unscaled,
    /// They are learned, from what the first steps of training measure.
    Learned,
    /// They are measured in every step of training; evaluation takes a running mean.
    Statistics,
}

/// What scales of activations are made from: `absmax`, or `percentile:99.9`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ActStatistic {
    /// The largest magnitude.
    #[default]
    AbsMax,
    /// The magnitude that so many percent of all do not exceed.
    Percentile(f64),
}

impl fmt::Display for ActStatistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AbsMax => f.write_str("absmax"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
        }
    }
}

impl FromStr for ActStatistic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let percent = text.strip_prefix("percentile:").and_then(|number| number.parse().ok());
        match percent.filter(|percent| *percent > 0.0 && *percent <= 100.0) {
            Some(percent) => Ok(Self::Percentile(percent)),
            None if text == "absmax" => Ok(Self::AbsMax),
            None => Err(Error::new(ErrorKind::InvalidConfig {
                field: "act_statistic",
                value: format!("{text:?}"),
                expected: "absmax, or a percentile as in percentile:99.9",
            })),
        }
    }
}

impl Serialize for ActStatistic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActStatistic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn collection_steps() -> u32 {
    COLLECTION_STEPS
}

pub(super) fn is_usual(steps: &u32) -> bool {
    *steps == COLLECTION_STEPS
}

impl ResnetQuantizers {
    /// The same format everywhere with the scale one.
    pub fn unscaled(weight_format: Format, act_format: Format) -> Self {
        Self {
            weight_format: FormatName(weight_format),
            act_format: FormatName(act_format),
            rectified_format: None,
            first_layer_format: None,
            last_layer_format: None,
            weight_scaling: WeightScaling::default(),
            act_scaling: ActScaling::default(),
            act_statistic: ActStatistic::default(),
            collection_steps: COLLECTION_STEPS,
            scale_restriction: Restriction::default(),
            gradient: MinifloatGradient::default(),
        }
    }

    /// Checks what has no meaning beside other settings.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let invalid = |field, value: String, expected| {
            Err(Error::new(ErrorKind::InvalidConfig { field, value, expected }))
        };
        if let ActStatistic::Percentile(percent) = self.act_statistic
            && !(percent > 0.0 && percent <= 100.0)
        {
            return invalid("act_statistic", percent.to_string(), "above 0, at most 100 percent");
        }
        if self.act_scaling == ActScaling::Unscaled && self.act_statistic != ActStatistic::AbsMax {
            let expected = "absmax without act_scaling = learned or statistics";
            return invalid("act_statistic", self.act_statistic.to_string(), expected);
        }
        if self.collection_steps == 0 {
            return invalid("collection_steps", "0".to_owned(), "1 or more");
        }
        if self.collection_steps != COLLECTION_STEPS && self.act_scaling != ActScaling::Learned {
            let expected = "300 without act_scaling = learned";
            return invalid("collection_steps", self.collection_steps.to_string(), expected);
        }
        let unscaled = self.weight_scaling == WeightScaling::Unscaled
            && self.act_scaling == ActScaling::Unscaled;
        if unscaled && self.scale_restriction != Restriction::None {
            let expected = "float without weight_scaling and act_scaling";
            return invalid("scale_restriction", "power_of_two".to_owned(), expected);
        }
        let weights = self.weight_scaling != WeightScaling::Unscaled;
        let activations = self.act_scaling != ActScaling::Unscaled;
        let formats = [
            ("weight_format", weights, Some(self.weight_format)),
            ("first_layer_format", weights, self.first_layer_format),
            ("last_layer_format", weights, self.last_layer_format),
            ("act_format", activations, Some(self.act_format)),
            ("rectified_format", activations, self.rectified_format),
        ];
        for (field, is_scaled, format) in formats {
            if let Some(name) = format.filter(|name| is_scaled && !name.can_be_scaled()) {
                let expected = "at most 6 exponent bits with weight_scaling or act_scaling";
                return invalid(field, name.0.to_string(), expected);
            }
        }
        Ok(())
    }

    pub(crate) fn weights(&self) -> WeightQuantizerConfig {
        self.of_weights(self.weight_format)
    }

    pub(crate) fn first_layer_weights(&self) -> WeightQuantizerConfig {
        self.of_weights(self.first_layer_format.unwrap_or(self.weight_format))
    }

    pub(crate) fn last_layer_weights(&self) -> WeightQuantizerConfig {
        self.of_weights(self.last_layer_format.unwrap_or(self.weight_format))
    }

    pub(crate) fn activations(&self) -> ActQuantizerConfig {
        self.of_activations(self.act_format)
    }

    pub(crate) fn rectified(&self) -> ActQuantizerConfig {
        self.of_activations(self.rectified_format.unwrap_or(self.act_format))
    }

    fn of_weights(&self, FormatName(format): FormatName) -> WeightQuantizerConfig {
        let restriction = self.scale_restriction;
        let absmax = |granularity| WeightScale::AbsMax { granularity, restriction };
        let scale = match self.weight_scaling {
            WeightScaling::Unscaled => WeightScale::Constant(1.0),
            WeightScaling::PerTensor => absmax(Granularity::PerTensor),
            WeightScaling::PerChannel => absmax(Granularity::PerChannel),
        };
        WeightQuantizerConfig::Format { format, scale, gradient: self.gradient }
    }

    fn of_activations(&self, FormatName(format): FormatName) -> ActQuantizerConfig {
        let statistic = match self.act_statistic {
            ActStatistic::AbsMax => Statistic::AbsMax,
            ActStatistic::Percentile(percent) => Statistic::AbsPercentile(percent),
        };
        let restriction = self.scale_restriction;
        let scale = match self.act_scaling {
            ActScaling::Unscaled => ActScale::Constant(1.0),
            ActScaling::Learned => ActScale::Learned {
                start: 1.0,
                steps: self.collection_steps,
                statistic,
                granularity: Granularity::PerTensor,
                restriction,
            },
            ActScaling::Statistics => ActScale::Measured { statistic, restriction },
        };
        ActQuantizerConfig::Format { format, scale, gradient: self.gradient }
    }
}

/// A number format that files spell by its name: `e3m1`, `int4-narrow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatName(pub Format);

impl FormatName {
    /// Whether a scale can bring the largest magnitude to that of the format.
    ///
    /// From 7 exponent bits on, products of such numbers overflow, and the largest of e8m7 is infinite.
    fn can_be_scaled(self) -> bool {
        !matches!(self.0, Format::Float(format) if format.exponent_bit_width() > 6)
    }
}

impl Serialize for FormatName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FormatName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map(Self).map_err(de::Error::custom)
    }
}
