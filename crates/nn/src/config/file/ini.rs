//! The INI files of the published examples.
//!
//! `key: value` and `key = value`; keys in any case, sections in upper case.

use std::collections::BTreeMap;

use fewbit_formats::{FloatFormat, Format};

use super::place::{Place, suggestion};
use super::{Described, name_of};
use crate::config::{Architecture, FormatName, NetworkConfig, Quantization};
use crate::error::Error;

/// What is read, and what has no effect on the network.
const KNOWN: [(&str, &[&str]); 4] = [
    (
        MODEL,
        &[
            "ARCH",
            "DATASET",
            "NUM_CLASSES",
            "IN_CHANNELS",
            "OUT_FEATURES",
            "PRETRAINED_URL",
            "EVAL_LOG",
        ],
    ),
    (
        QUANT,
        &[
            "TYPE",
            "WEIGHT_BIT_WIDTH",
            "ACT_BIT_WIDTH",
            "IN_BIT_WIDTH",
            "WEIGHT_EXPONENT_BITS",
            "WEIGHT_MANTISSA_BITS",
            "ACT_EXPONENT_BITS",
            "ACT_MANTISSA_BITS",
        ],
    ),
    (FIRST_LAYER, OUTER_LAYER_KEYS),
    (LAST_LAYER, OUTER_LAYER_KEYS),
];

const MODEL: &str = "MODEL";
const QUANT: &str = "QUANT";
const FIRST_LAYER: &str = "FIRST_LAYER_QUANT";
const LAST_LAYER: &str = "LAST_LAYER_QUANT";
const OUTER_LAYER_KEYS: &[&str] = &[
    "TYPE",
    "WEIGHT_BIT_WIDTH",
    "WEIGHT_EXPONENT_BITS",
    "WEIGHT_MANTISSA_BITS",
    "ACT_BIT_WIDTH",
    "ACT_EXPONENT_BITS",
    "ACT_MANTISSA_BITS",
];

/// A value and its line, from 1.
type Entry<'a> = (&'a str, usize);

/// The sections of a file.
struct Ini<'a> {
    place: Place<'a>,
    entries: BTreeMap<(&'static str, &'static str), Entry<'a>>,
}

pub fn read(place: Place<'_>) -> Result<Described, Error> {
    let ini = Ini::parse(place)?;
    let mut network = match ini.word(MODEL, "ARCH", &["FC", "CNV", "RESNET18"])? {
        "FC" => ini.fully_connected()?,
        "CNV" => ini.convolutional()?,
        _ => ini.residual()?,
    };
    network.name = name_of(place.file);
    network.image_shape = match ini.word(MODEL, "DATASET", &["MNIST", "CIFAR10"])? {
        "MNIST" => [1, 28, 28],
        _ => [3, 32, 32],
    };
    // The published fully connected networks read it and do not use it.
    if let Some((channels, line)) = ini.optional(MODEL, "IN_CHANNELS")?
        && channels != network.image_shape[0] as u64
        && !matches!(network.architecture, Architecture::Fc { .. })
    {
        let expected = network.image_shape[0];
        let problem = format!("IN_CHANNELS is {channels}, expected the dataset's, {expected}");
        return Err(place.error(Some(line), problem, None));
    }
    network.classes = usize::try_from(ini.number(MODEL, "NUM_CLASSES")?.0).unwrap_or(usize::MAX);
    Ok(Described { network, warnings: ini.warnings()? })
}

impl<'a> Ini<'a> {
    fn parse(place: Place<'a>) -> Result<Self, Error> {
        let mut entries = BTreeMap::new();
        let mut section: Option<(&'static str, &'static [&'static str])> = None;
        for (number, line) in place.text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            let error = |problem: String, near| Err(place.error(Some(number), problem, near));
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let known = KNOWN.iter().find(|(known, _)| *known == name);
                let Some(&known) = known else {
                    let names = KNOWN.map(|(known, _)| known);
                    let problem =
                        format!("unknown section [{name}], expected one of {}", names.join(", "));
                    return error(problem, suggestion(name, names));
                };
                section = Some(known);
                continue;
            }
            let Some((key, value)) = line.split_once(['=', ':']) else {
                return error(format!("{line:?} is neither [SECTION] nor KEY = VALUE"), None);
            };
            let Some((section, keys)) = section else {
                return error(format!("{:?} stands before the first section", key.trim()), None);
            };
            let key = key.trim();
            let Some(&known) = keys.iter().find(|known| known.eq_ignore_ascii_case(key)) else {
                let problem = format!(
                    "unknown key {key:?} in [{section}], expected one of {}",
                    keys.join(", ")
                );
                return error(problem, suggestion(key, keys.iter().copied()));
            };
            if entries.insert((section, known), (value.trim(), number)).is_some() {
                return error(format!("{known} in [{section}] is given twice"), None);
            }
        }
        Ok(Self { place, entries })
    }

    fn entry(&self, section: &'static str, key: &'static str) -> Result<Entry<'a>, Error> {
        self.entries.get(&(section, key)).copied().ok_or_else(|| {
            self.place.error(None, format!("{key} is missing from section [{section}]"), None)
        })
    }

    /// One of a few words.
    fn word(
        &self,
        section: &'static str,
        key: &'static str,
        known: &[&'static str],
    ) -> Result<&'static str, Error> {
        let (value, line) = self.entry(section, key)?;
        known.iter().copied().find(|word| *word == value).ok_or_else(|| {
            let problem = format!("{key} is {value:?}, expected {}", known.join(" or "));
            self.place.error(Some(line), problem, suggestion(value, known.iter().copied()))
        })
    }

    fn number(&self, section: &'static str, key: &'static str) -> Result<(u64, usize), Error> {
        let (value, line) = self.entry(section, key)?;
        let number = value.parse().map_err(|_| {
            self.place.error(
                Some(line),
                format!("{key} is {value:?}, expected a whole number"),
                None,
            )
        })?;
        Ok((number, line))
    }

    fn optional(
        &self,
        section: &'static str,
        key: &'static str,
    ) -> Result<Option<(u64, usize)>, Error> {
        let given = self.entries.contains_key(&(section, key));
        given.then(|| self.number(section, key)).transpose()
    }

    fn bits(&self, section: &'static str, key: &'static str) -> Result<u32, Error> {
        Ok(u32::try_from(self.number(section, key)?.0).unwrap_or(u32::MAX))
    }

    fn fully_connected(&self) -> Result<NetworkConfig, Error> {
        let mut network = NetworkConfig::named("TFC_1W1A")?;
        let (list, line) = self.entry(MODEL, "OUT_FEATURES")?;
        let inner = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let parts =
            inner.map(|list| list.split(',').map(str::trim).filter(|part| !part.is_empty()));
        let widths = parts.and_then(|parts| parts.map(|part| part.parse().ok()).collect());
        let Some(widths) = widths else {
            let problem = format!("OUT_FEATURES is {list:?}, expected a list such as [64, 64, 64]");
            return Err(self.place.error(Some(line), problem, None));
        };
        if let Architecture::Fc { hidden, .. } = &mut network.architecture {
            *hidden = widths;
        }
        self.common(network)
    }

    fn convolutional(&self) -> Result<NetworkConfig, Error> {
        self.common(NetworkConfig::named("CNV_1W1A")?)
    }

    /// The bit widths of quantizers with a constant scale.
    fn common(&self, network: NetworkConfig) -> Result<NetworkConfig, Error> {
        Ok(NetworkConfig {
            weight_bit_width: self.bits(QUANT, "WEIGHT_BIT_WIDTH")?,
            act_bit_width: self.bits(QUANT, "ACT_BIT_WIDTH")?,
            input_bit_width: self.bits(QUANT, "IN_BIT_WIDTH")?,
            ..network
        })
    }

    fn residual(&self) -> Result<NetworkConfig, Error> {
        let weight_bit_width = self.bits(QUANT, "WEIGHT_BIT_WIDTH")?;
        let act_bit_width = self.bits(QUANT, "ACT_BIT_WIDTH")?;
        let is_float = self.entries.contains_key(&(QUANT, "TYPE"))
            && self.word(QUANT, "TYPE", &["FIXED", "FLOAT"])? == "FLOAT";
        let start = if is_float { "RESNET18_8W8A_FLOAT" } else { "RESNET18_4W4A" };
        let mut network = NetworkConfig {
            weight_bit_width,
            act_bit_width,
            input_bit_width: act_bit_width,
            ..NetworkConfig::named(start)?
        };
        if let Architecture::Resnet18 { quantizers, .. } = &mut network.architecture {
            quantizers.weight_format = self.format(QUANT, "WEIGHT")?;
            quantizers.act_format = self.format(QUANT, "ACT")?;
            quantizers.first_layer_format = self.outer_layer(FIRST_LAYER)?;
            quantizers.last_layer_format = self.outer_layer(LAST_LAYER)?;
            let whole = |format: FormatName| matches!(format.0, Format::Float(f) if f.mantissa_bit_width() == 23);
            if whole(quantizers.weight_format) && whole(quantizers.act_format) {
                network.quantization = Quantization::Off;
            }
        }
        Ok(network)
    }

    /// The weights of the first or the last layer.
    fn outer_layer(&self, section: &'static str) -> Result<Option<FormatName>, Error> {
        if !self.entries.keys().any(|(of, _)| *of == section) {
            return Ok(None);
        }
        self.word(section, "TYPE", &["FLOAT"])?;
        self.format(section, "WEIGHT").map(Some)
    }

    /// The format of `WEIGHT` or `ACT`.
    fn format(&self, section: &'static str, of: &str) -> Result<FormatName, Error> {
        let [bits, exponent, mantissa] = match of {
            "WEIGHT" => ["WEIGHT_BIT_WIDTH", "WEIGHT_EXPONENT_BITS", "WEIGHT_MANTISSA_BITS"],
            _ => ["ACT_BIT_WIDTH", "ACT_EXPONENT_BITS", "ACT_MANTISSA_BITS"],
        };
        let (width, line) = self.number(section, bits)?;
        let [exponent, mantissa] = [self.bits(section, exponent)?, self.bits(section, mantissa)?];
        let format = FloatFormat::new(exponent, mantissa)
            .map_err(|error| self.place.error(self.line(section, of), error.to_string(), None))?;
        if u64::from(format.bit_width()) != width {
            let problem = format!(
                "{bits} is {width}, expected {}: a sign, {exponent} exponent bits, {mantissa} mantissa bits",
                format.bit_width()
            );
            return Err(self.place.error(Some(line), problem, None));
        }
        Ok(FormatName(Format::Float(format)))
    }

    fn line(&self, section: &'static str, of: &str) -> Option<usize> {
        let key = if of == "WEIGHT" { "WEIGHT_EXPONENT_BITS" } else { "ACT_EXPONENT_BITS" };
        self.entries.get(&(section, key)).map(|(_, line)| *line)
    }

    /// What the published example does not read either (discrepancies.md D-21).
    fn warnings(&self) -> Result<Vec<String>, Error> {
        let mut warnings = vec![];
        for ((section, key), (value, line)) in &self.entries {
            if ![FIRST_LAYER, LAST_LAYER].contains(section) || !key.starts_with("ACT_") {
                continue;
            }
            let common = self.entries.get(&(QUANT, key)).map(|(value, _)| *value);
            if common != Some(value) {
                warnings.push(format!(
                    "{}, line {line}: {key} in [{section}] has no effect, as in the published example; \
                     activations have the format of [{QUANT}]",
                    self.place.file.display()
                ));
            }
        }
        Ok(warnings)
    }
}
