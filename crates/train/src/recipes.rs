//! Recipes: plans in files, of which some are part of the program.
//!
//! A recipe file is a `config.toml` in which only the network has to be said. What it leaves out is the
//! default of the network; what it says of a table, such as the network's quantizers, replaces what is there
//! and leaves the rest. So the `config.toml` of any run is a recipe, too.

use std::path::Path;

use fewbit_nn::config::NetworkConfig;
use toml::{Table, Value};

use crate::checkpoint::in_file;
use crate::config::TrainConfig;
use crate::error::{Error, ErrorKind};
use crate::run_folder::settings_text;

/// A recipe that is part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name: that of the file.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// The file of each name; a test compares the folder with them.
macro_rules! built_in {
    ($($name:literal)*) => {
        &[$(BuiltIn {
            name: $name,
            text: include_str!(concat!("../recipes/", $name, ".toml")),
        }),*]
    };
}

impl BuiltIn {
    /// All of them: a published row, then what aims higher.
    pub const ALL: &'static [Self] = built_in! {
        "e4m3" "e4m3-modern"
        "e3m1" "e3m1-modern"
        "fp32" "fp32-modern"
        "resnet18-4w4a" "resnet18-4w4a-modern"
        "cnv-1w1a" "cnv-1w1a-modern"
        "cnv-1w2a" "cnv-1w2a-modern"
        "cnv-2w2a" "cnv-2w2a-modern"
        "tfc-1w1a" "tfc-1w1a-modern"
        "tfc-1w2a" "tfc-1w2a-modern"
        "tfc-2w2a" "tfc-2w2a-modern"
        "sfc-1w1a" "sfc-1w1a-modern"
        "sfc-1w2a" "sfc-1w2a-modern"
        "sfc-2w2a" "sfc-2w2a-modern"
        "lfc-1w1a" "lfc-1w1a-modern"
        "lfc-1w2a" "lfc-1w2a-modern"
    };

    /// Finds one by its name, in upper or lower case, with `-` or `_`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownName`] with all names.
    pub fn named(name: &str) -> Result<Self, Error> {
        let plain = name.to_ascii_lowercase().replace('_', "-");
        let found = Self::ALL.iter().find(|recipe| recipe.name == plain);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|recipe| recipe.name).collect();
            let (what, name, known) = ("recipe", name.to_owned(), names.join(", "));
            ErrorKind::UnknownName { what, name, known }.into()
        })
    }

    /// What it is for: the first line of the file.
    pub fn purpose(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// The plan.
    pub fn config(&self) -> TrainConfig {
        let config = TrainConfig::from_recipe(self.text, self.name.as_ref());
        config.expect("a test reads every recipe that is part of the program")
    }
}

impl TrainConfig {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, and those of [`TrainConfig::from_recipe`].
    pub fn read_recipe(path: &Path) -> Result<Self, Error> {
        Self::from_recipe(&settings_text(path)?, path)
    }

    /// Reads the text of a recipe file; `file` is named in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it is no TOML or a value is of the wrong kind,
    /// [`ErrorKind::UnknownKey`] for a key that means nothing, and what [`TrainConfig::validate`] returns.
    ///
    /// # Examples
    /// ```
    /// use fewbit_train::TrainConfig;
    /// let text = "[recipe]\nnetwork = \"TFC_2W2A\"\nepochs = 5";
    /// let config = TrainConfig::from_recipe(text, "mine.toml".as_ref())?;
    /// assert_eq!((config.recipe.epochs, config.recipe.lr), (5, 0.02));
    /// # Ok::<(), fewbit_train::Error>(())
    /// ```
    pub fn from_recipe(text: &str, file: &Path) -> Result<Self, Error> {
        let mut given: Table = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let place = format!("line {}", before.matches('\n').count() + 1);
            Error::malformed(file, place, error.message(), "TOML")
        })?;
        let mut all = defaults(&mut given, file)?;
        merge(&mut all, given);
        let config: Self =
            Value::Table(all).try_into().map_err(|error| unfit(&error, text, file))?;
        config.validate().map_err(|error| in_file(error, file))?;
        Ok(config)
    }
}

/// The plan of the network alone. Where the file has only its name, the description takes its place.
fn defaults(given: &mut Table, file: &Path) -> Result<Table, Error> {
    let missing = |found: &str| {
        let expected = "the name of a network, as in network = \"TFC_2W2A\"";
        Error::malformed(file, "recipe.network", found, expected)
    };
    let network = match given.get_mut("recipe") {
        Some(Value::Table(recipe)) => recipe.get_mut("network"),
        Some(_) | None => None,
    };
    let network = network.ok_or_else(|| missing("nothing"))?;
    let name = match network {
        Value::String(name) => name.clone(),
        Value::Table(network) => match network.get("name") {
            Some(Value::String(name)) => name.clone(),
            Some(_) | None => return Err(missing("no name")),
        },
        other => return Err(missing(other.type_str())),
    };
    let described = match NetworkConfig::named(&name) {
        Ok(described) => described,
        // A network of another kind is described by the file alone.
        Err(_) if network.as_table().is_some_and(|network| network.len() > 1) => {
            return Ok(base(&TrainConfig::new(some_network()?))).map(|mut base| {
                if let Some(Value::Table(recipe)) = base.get_mut("recipe") {
                    recipe.remove("network");
                    recipe.remove("dataset");
                }
                base
            });
        }
        Err(error) => return Err(error.into()),
    };
    let base = base(&TrainConfig::new(described));
    if network.is_str()
        && let Some(description) = base.get("recipe").and_then(|recipe| recipe.get("network"))
    {
        *network = description.clone();
    }
    Ok(base)
}

/// Any network: for the defaults that do not depend on it.
fn some_network() -> Result<NetworkConfig, Error> {
    Ok(NetworkConfig::named("TFC_1W1A")?)
}

fn base(config: &TrainConfig) -> Table {
    Table::try_from(config).expect("a plan without paths of the user is TOML")
}

/// The key that says of what kind a network is.
const FAMILY: &str = "family";

/// Puts what is given over what is there, table by table.
fn merge(all: &mut Table, given: Table) {
    for (key, value) in given {
        match (all.get_mut(&key), value) {
            (Some(Value::Table(all)), Value::Table(given))
                if !given.contains_key(FAMILY) || given.get(FAMILY) == all.get(FAMILY) =>
            {
                merge(all, given);
            }
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
}

/// Says what in the file is not as it should be. The values have lost their places, but not their names.
fn unfit(error: &toml::de::Error, text: &str, file: &Path) -> Error {
    let message = error.message();
    let mut names = message.split('`').skip(1).step_by(2).map(str::to_owned);
    if message.starts_with("unknown field")
        && let Some(key) = names.next()
    {
        let line = text.lines().position(|line| {
            let word = line.trim_start_matches([' ', '\t', '[']);
            let rest = word.strip_prefix(key.as_str());
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.', ']']))
        });
        let place = line.map_or_else(|| "a table".to_owned(), |line| format!("line {}", line + 1));
        let (file, known) = (file.to_owned(), names.collect());
        return ErrorKind::UnknownKey { file, place, key, known }.into();
    }
    let text = error.to_string();
    let place = text.lines().find_map(|line| line.trim().strip_prefix("in `")?.strip_suffix('`'));
    Error::malformed(file, place.unwrap_or("recipe"), message, "the settings of a training")
}

#[cfg(test)]
mod tests;
