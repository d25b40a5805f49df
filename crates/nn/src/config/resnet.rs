//! The quantizers of a ResNet18: formats are data.

use fewbit_formats::Format;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::quantizer::{ActQuantizerConfig, Granularity, MinifloatGradient, WeightQuantizerConfig};

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
            gradient: MinifloatGradient::default(),
        }
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
        let quantizer = match self.weight_scaling {
            WeightScaling::Unscaled => WeightQuantizerConfig::unscaled(format),
            WeightScaling::PerTensor => {
                WeightQuantizerConfig::absmax(format, Granularity::PerTensor)
            }
            WeightScaling::PerChannel => {
                WeightQuantizerConfig::absmax(format, Granularity::PerChannel)
            }
        };
        quantizer.with_gradient(self.gradient)
    }

    fn of_activations(&self, FormatName(format): FormatName) -> ActQuantizerConfig {
        let quantizer = match self.act_scaling {
            ActScaling::Unscaled => ActQuantizerConfig::unscaled(format),
            ActScaling::Learned => ActQuantizerConfig::learned(format),
        };
        quantizer.with_gradient(self.gradient)
    }
}

/// A number format that files spell by its name: `e3m1`, `int4-narrow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatName(pub Format);

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
