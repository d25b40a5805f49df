//! Descriptions in TOML.

use toml::{Table, Value};

use super::place::{Place, suggestion};
use super::{Described, base, name_of, take_widths_from_formats};
use crate::config::NetworkConfig;
use crate::error::Error;

/// The key of the network whose description is taken over.
const BASE: &str = "base";
/// The table of the layers, and the key in it that says of what kind they are.
const ARCHITECTURE: &str = "architecture";
const FAMILY: &str = "family";

/// Complete networks, one of each family: what is valid in them.
const FAMILIES: [&str; 4] = ["TFC_1W1A", "CNV_1W1A", "RESNET18_8W8A_FLOAT", "RESNET18_4W4A"];

pub fn read(place: Place<'_>) -> Result<Described, Error> {
    let mut own: Table = place.text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| place.line_at(span.start));
        place.error(line, format!("no TOML: {}", error.message()), None)
    })?;
    let base = match own.remove(BASE) {
        None => None,
        Some(Value::String(name)) => Some(base(&name, place, BASE)?),
        Some(other) => {
            let problem = format!("{BASE} is {}, expected a name in quotes", shown(&other));
            return Err(place.error(place.line_of(BASE), problem, None));
        }
    };
    own.entry("name").or_insert_with(|| Value::String(name_of(place.file)));
    let base = base.map(|base| table(&base));
    let merged = match &base {
        Some(base) => over(base.clone(), &own),
        None => own.clone(),
    };
    let mut network = match deserialize(&filled(merged)) {
        Ok(network) => network,
        Err(message) => return Err(explained(&message, &own, base.as_ref(), place)),
    };
    take_widths_from_formats(&mut network, |key| own.contains_key(key));
    Ok(Described { network, warnings: vec![] })
}

fn table(network: &NetworkConfig) -> Table {
    Table::try_from(network).expect("named networks are small")
}

fn deserialize(table: &Table) -> Result<NetworkConfig, String> {
    table.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Widths that follow from formats may be missing; they are found later.
fn filled(mut table: Table) -> Table {
    if family(&table) == Some("resnet18") {
        for width in ["weight_bit_width", "act_bit_width", "input_bit_width"] {
            table.entry(width).or_insert(Value::Integer(1));
        }
    }
    table
}

fn family(table: &Table) -> Option<&str> {
    table.get(ARCHITECTURE)?.get(FAMILY)?.as_str()
}

/// One table over another: what only the lower one has stays. Layers of another family replace all.
fn over(lower: Table, upper: &Table) -> Table {
    let mut merged = lower;
    for (key, value) in upper {
        let merged_value = match (merged.get(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if same_family(below, above) => {
                Value::Table(over(below.clone(), above))
            }
            _ => value.clone(),
        };
        merged.insert(key.clone(), merged_value);
    }
    merged
}

fn same_family(below: &Table, above: &Table) -> bool {
    above.get(FAMILY).is_none_or(|family| below.get(FAMILY) == Some(family))
}

/// From what deserialization says to what the author has to change.
fn explained(message: &str, own: &Table, base: Option<&Table>, place: Place<'_>) -> Error {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field")
        && let [key, known @ ..] = names.as_slice()
    {
        let mut known = known.to_vec();
        if known.contains(&"image_shape") {
            known.push(BASE);
        }
        let problem = format!("unknown key {key:?}, expected one of {}", known.join(", "));
        return place.error(place.line_of(key), problem, suggestion(key, known));
    }
    if message.starts_with("missing field")
        && let [key, ..] = names.as_slice()
    {
        let hint = match base {
            Some(_) => None,
            None => {
                Some("base = \"TFC_2W2A\" takes over what is left out from another network".into())
            }
        };
        return place.error(None, format!("{key} is missing"), hint);
    }
    // Deserialization does not say where: the value is looked for that spoils a network without fault.
    let found = spoils(message, own, base);
    let (line, problem) = match &found {
        Some((key, value)) => (place.line_of(key), format!("{key} is {}: {message}", shown(value))),
        None => (None, message.to_owned()),
    };
    let near = match names.as_slice() {
        [word, known @ ..] if message.starts_with("unknown variant") => {
            suggestion(word, known.iter().copied())
        }
        _ => None,
    };
    place.error(line, problem.replace('`', "\""), near)
}

/// The key and value that a valid network cannot have: alone, they give the same message.
fn spoils(message: &str, own: &Table, base: Option<&Table>) -> Option<(String, Value)> {
    let named = |name: &&str| NetworkConfig::named(name).ok().map(|network| table(&network));
    let networks = base.cloned().into_iter().chain(FAMILIES.iter().filter_map(named));
    let mut networks = networks.filter(|network| {
        let (own, of_network) = (family(own), family(network));
        own.is_none_or(|own| !is_family(own) || Some(own) == of_network)
    });
    networks.find_map(|network| {
        leaves(own).into_iter().find_map(|(path, value)| {
            let mut spoilt = network.clone();
            put(&mut spoilt, &path, value.clone());
            let same = deserialize(&spoilt).is_err_and(|found| found == message);
            same.then(|| (path.last().cloned().unwrap_or_default(), value))
        })
    })
}

fn is_family(name: &str) -> bool {
    FAMILIES.iter().filter_map(|name| NetworkConfig::named(name).ok()).any(|network| {
        let table = table(&network);
        family(&table) == Some(name)
    })
}

/// All values that are no tables, with the keys on the way to them.
fn leaves(table: &Table) -> Vec<(Vec<String>, Value)> {
    let mut leaves = vec![];
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves.extend(
                self::leaves(inner)
                    .into_iter()
                    .map(|(path, value)| ([vec![key.clone()], path].concat(), value)),
            ),
            value => leaves.push((vec![key.clone()], value.clone())),
        }
    }
    leaves
}

fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => put(inner, rest, value),
                // In the network there is no table: what the author wrote is one of the faults.
                _ => *inner = Value::Table(Table::new()),
            }
        }
    }
}

/// A value on one line that is not too long.
fn shown(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

const MAX_SHOWN: usize = 60;
