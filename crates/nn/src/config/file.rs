//! Networks in files: a description of one's own, in TOML or in the INI files of the published examples.

mod ini;
mod place;
mod toml_file;

use std::path::Path;

use super::{Architecture, NetworkConfig};
use crate::error::{Error, ErrorKind};
use place::{Place, suggestion};

/// A network from a file, and what its author may not expect.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The network.
    pub network: NetworkConfig,
    /// What has no effect.
    pub warnings: Vec<String>,
}

impl NetworkConfig {
    /// Reads a description: TOML if the name of `file` ends in `.toml`, else an INI file of the published
    /// examples.
    ///
    /// A TOML file has the keys of [`NetworkConfig::to_toml`], of which it may leave out those that it takes
    /// over from the network `base`, and the `name`, which is then that of the file. Bit widths of
    /// minifloats follow from their formats.
    ///
    /// # Errors
    /// [`ErrorKind::Description`] with line, what is there and what would be right.
    /// # Examples
    /// ```
    /// use fewbit_nn::config::NetworkConfig;
    ///
    /// let text = r#"
    ///     base = "RESNET18_5W5A_FLOAT_E3M1"
    ///     [architecture]
    ///     widths = [16, 32, 64, 128]
    ///     [architecture.quantizers]
    ///     act_format = "e3m2"
    ///     weight_scaling = "per_channel"
    /// "#;
    /// let network = NetworkConfig::from_file(text, "narrow.toml".as_ref())?.network;
    /// assert_eq!((network.name.as_str(), network.act_bit_width), ("NARROW", 6));
    ///
    /// let text = text.replace("widths", "width");
    /// let error = NetworkConfig::from_file(&text, "narrow.toml".as_ref()).unwrap_err();
    /// assert!(error.to_string().starts_with("narrow.toml, line 4: unknown key \"width\""));
    /// assert_eq!(error.hint().unwrap(), "did you mean widths?");
    /// # Ok::<(), fewbit_nn::Error>(())
    /// ```
    /// # Source
    /// networks.md 3.1 for INI files.
    pub fn from_file(text: &str, file: &Path) -> Result<Described, Error> {
        let place = Place { text, file };
        let is_toml = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
        let described = if is_toml { toml_file::read(place)? } else { ini::read(place)? };
        described.network.validate().map_err(|error| place.of_field(&error))?;
        Ok(described)
    }

    /// The description as a TOML file that [`NetworkConfig::from_file`] reads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if a number has no place in TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| {
            Error::new(ErrorKind::InvalidConfig {
                field: "the network",
                value: format!("no TOML ({error})"),
                expected: "numbers below 2^63",
            })
        })
    }
}

/// The name of a network whose file does not say it: that of the file.
fn name_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().to_ascii_uppercase()
}

/// A named network that a description starts from.
fn base(name: &str, place: Place<'_>, key: &str) -> Result<NetworkConfig, Error> {
    NetworkConfig::named(name).map_err(|_| {
        let known = NetworkConfig::shipped_names();
        place.error(
            place.line_of(key),
            format!("{key} is {name:?}, expected the name of a network, such as TFC_2W2A"),
            suggestion(name, known.iter().map(String::as_str)),
        )
    })
}

/// Bit widths that follow from formats, unless the file gives them.
fn take_widths_from_formats(network: &mut NetworkConfig, given: impl Fn(&str) -> bool) {
    let Architecture::Resnet18 { quantizers, .. } = &network.architecture else { return };
    let (weights, activations) = (quantizers.weight_format.0, quantizers.act_format.0);
    if !given("weight_bit_width") {
        network.weight_bit_width = weights.bit_width();
    }
    if !given("act_bit_width") {
        network.act_bit_width = activations.bit_width();
    }
    if !given("input_bit_width") {
        network.input_bit_width = network.act_bit_width;
    }
}

#[cfg(test)]
mod tests;
