//! Which network: a name of the published examples, or the description it stands for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The layers. Last, because TOML wants tables after plain values.
    pub architecture: Architecture,
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
    },
}

/// The widths of the hidden layers behind each family name.
const FC_FAMILIES: [(&str, usize); 3] = [("TFC", 64), ("SFC", 256), ("LFC", 1024)];

/// The bit widths that the published examples ship, as (family, weights, activations).
const SHIPPED: [(&str, u32, u32); 8] = [
    ("TFC", 1, 1),
    ("TFC", 1, 2),
    ("TFC", 2, 2),
    ("SFC", 1, 1),
    ("SFC", 1, 2),
    ("SFC", 2, 2),
    ("LFC", 1, 1),
    ("LFC", 1, 2),
];

/// The widest weights and activations of a fully connected network.
const MAX_FC_BITS: u32 = 8;

impl NetworkConfig {
    /// Looks a network up by its name, upper or lower case.
    ///
    /// Every name of the pattern `TFC_<W>W<A>A` (also `SFC`, `LFC`) is known, with 1 to 8 bits.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownNetwork`] if the name has another pattern; the message lists the known ones.
    pub fn named(name: &str) -> Result<Self, Error> {
        let upper = name.to_ascii_uppercase();
        let unknown = || {
            Error::new(ErrorKind::UnknownNetwork {
                name: name.to_owned(),
                known: Self::shipped_names(),
            })
        };
        let (family, bits) = upper.split_once('_').ok_or_else(unknown)?;
        let &(_, width) =
            FC_FAMILIES.iter().find(|(known, _)| *known == family).ok_or_else(unknown)?;
        let (weight_bit_width, act_bit_width) = parse_bit_widths(bits).ok_or_else(unknown)?;
        Ok(Self {
            name: format!("{family}_{weight_bit_width}W{act_bit_width}A"),
            weight_bit_width,
            act_bit_width,
            input_bit_width: act_bit_width,
            quantization: Quantization::On,
            classes: 10,
            image_shape: [1, 28, 28],
            architecture: Architecture::Fc { hidden: vec![width; 3], dropout: 0.2 },
        })
    }

    /// The names of the published examples that this program builds.
    pub fn shipped_names() -> Vec<String> {
        SHIPPED.iter().map(|(family, w, a)| format!("{family}_{w}W{a}A")).collect()
    }

    /// Checks what a description from a file may get wrong.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the field, its value and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |field: &'static str, value: String, expected: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig { field, value, expected }))
        };
        for (field, bits) in [
            ("weight_bit_width", self.weight_bit_width),
            ("act_bit_width", self.act_bit_width),
            ("input_bit_width", self.input_bit_width),
        ] {
            if !(1..=MAX_FC_BITS).contains(&bits) {
                return invalid(field, bits.to_string(), "1 to 8 bits");
            }
        }
        if self.classes < 2 {
            return invalid("classes", self.classes.to_string(), "at least 2");
        }
        if self.image_shape.contains(&0) {
            return invalid("image_shape", format!("{:?}", self.image_shape), "no zero");
        }
        match &self.architecture {
            Architecture::Fc { hidden, dropout } => {
                if hidden.is_empty() || hidden.contains(&0) {
                    return invalid("hidden", format!("{hidden:?}"), "one or more widths above 0");
                }
                if !(0.0..1.0).contains(dropout) {
                    return invalid("dropout", dropout.to_string(), "from 0 to below 1");
                }
            }
        }
        Ok(())
    }
}

/// Reads `2W2A`.
fn parse_bit_widths(text: &str) -> Option<(u32, u32)> {
    let (weights, rest) = text.split_once('W')?;
    let activations = rest.strip_suffix('A')?;
    let bits = |digits: &str| {
        let plain = digits.len() == 1 && digits.as_bytes()[0].is_ascii_digit();
        let value = plain.then(|| digits.parse::<u32>().ok()).flatten()?;
        (1..=MAX_FC_BITS).contains(&value).then_some(value)
    };
    Some((bits(weights)?, bits(activations)?))
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
    fn every_shipped_name_builds_itself() {
        let names = NetworkConfig::shipped_names();
        assert_eq!(names.len(), 8);
        for name in names {
            let config = NetworkConfig::named(&name.to_lowercase()).unwrap();
            assert_eq!(config.name, name);
            config.validate().unwrap();
        }
    }

    #[test]
    fn other_names_are_refused_with_the_known_ones() {
        for name in
            ["", "TFC", "TFC_2W", "TFC_0W1A", "TFC_9W1A", "TFC_+1W1A", "XFC_1W1A", "TFC_2W2A "]
        {
            let error = NetworkConfig::named(name).unwrap_err();
            assert!(error.to_string().contains("TFC_2W2A"), "{name:?}: {error}");
        }
    }

    #[test]
    fn invalid_descriptions_name_the_field() {
        let good = NetworkConfig::named("TFC_1W1A").unwrap();
        let cases: [(fn(&mut NetworkConfig), &str); 5] = [
            (|c| c.weight_bit_width = 0, "weight_bit_width"),
            (|c| c.classes = 1, "classes"),
            (|c| c.image_shape = [1, 0, 28], "image_shape"),
            (|c| c.architecture = Architecture::Fc { hidden: vec![], dropout: 0.2 }, "hidden"),
            (|c| c.architecture = Architecture::Fc { hidden: vec![8], dropout: 1.0 }, "dropout"),
        ];
        for (spoil, field) in cases {
            let mut config = good.clone();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
