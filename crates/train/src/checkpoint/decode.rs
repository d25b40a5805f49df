//! From bytes to a checkpoint, believing nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use fewbit_nn::network::{StateData, StateTensor};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::Deserialize;

use super::encode::{Metadata, Raw, checksum};
use super::{
    Checkpoint, FIRST_MOMENT, FORMAT, METADATA, MODEL, Moments, SECOND_MOMENT, STEPS, TRAINING,
    VELOCITY,
};
use crate::config::Optim;
use crate::error::{Error, ErrorKind};

pub(super) fn decode(bytes: &[u8], file: &Path) -> Result<Checkpoint, Error> {
    let no_safetensors =
        |error| Error::malformed(file, "header", format!("\"{error}\""), "a safetensors file");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(no_safetensors)?;
    let parsed = SafeTensors::deserialize(bytes).map_err(no_safetensors)?;
    let entry = header.metadata().as_ref().and_then(|entries| entries.get(METADATA));
    let metadata = metadata(file, entry)?;
    let mut tensors: BTreeMap<String, Raw<'_>> = BTreeMap::new();
    for (name, view) in parsed.iter() {
        let bytes = Cow::Borrowed(view.data());
        tensors.insert(
            name.to_owned(),
            Raw { dtype: view.dtype(), shape: view.shape().to_vec(), bytes },
        );
    }
    let found = checksum(&metadata, &tensors);
    if found != metadata.crc32c {
        return Err(Error::malformed(file, "checksum", found, metadata.crc32c));
    }
    metadata.recipe.validate().map_err(|error| in_file(error, file))?;
    let mut model = BTreeMap::new();
    let mut training = BTreeMap::new();
    let mut parts = Parts::default();
    for (name, raw) in tensors {
        if let Some(own) = name.strip_prefix(MODEL) {
            model.insert(own.to_owned(), state_tensor(file, &name, &raw)?);
        } else if let Some(own) = name.strip_prefix(TRAINING) {
            if metadata.recipe.ema_decay.is_none() {
                let place = format!("tensor {name:?}");
                let expected = "nothing, as the weights are not averaged";
                return Err(Error::malformed(file, place, "a tensor", expected));
            }
            training.insert(own.to_owned(), state_tensor(file, &name, &raw)?);
        } else if let Some(own) = name.strip_prefix(STEPS) {
            parts.steps.insert(own.to_owned(), counter(file, &name, &raw)?);
        } else if let Some((part, own)) = parts.of(&name) {
            part.insert(own, state_tensor(file, &name, &raw)?);
        } else {
            let place = format!("tensor {name:?}");
            return Err(Error::malformed(
                file,
                place,
                "a name without meaning",
                "model.*, training.* or optimizer.*",
            ));
        }
    }
    let optimizer = parts.join(file, metadata.recipe.optim)?;
    let Metadata { version, recipe, progress, .. } = metadata;
    Ok(Checkpoint {
        recipe,
        progress,
        model,
        training: (!training.is_empty()).then_some(training),
        optimizer,
        version,
        file: file.to_owned(),
        foreign: false,
    })
}

/// Says in which file the setting is that cannot be.
pub(crate) fn in_file(error: Error, file: &Path) -> Error {
    use fewbit_nn::ErrorKind::InvalidConfig as InvalidNetwork;

    match error.kind() {
        ErrorKind::InvalidConfig { field, value, expected } => {
            Error::malformed(file, field, value, expected)
        }
        ErrorKind::Network(cause) => match cause.kind() {
            InvalidNetwork { field, value, expected } => {
                Error::malformed(file, format_args!("network.{field}"), value, expected)
            }
            _ => error,
        },
        _ => error,
    }
}

fn metadata(file: &Path, entry: Option<&String>) -> Result<Metadata, Error> {
    /// Read first, because newer files may have other fields.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }

    let place = format!("metadata {METADATA:?}");
    let ours = "a checkpoint of this program";
    let Some(text) = entry else { return Err(Error::malformed(file, place, "nothing", ours)) };
    let unreadable = |error| Error::malformed(file, &place, error, ours);
    let Format { format } = serde_json::from_str(text).map_err(unreadable)?;
    if format != FORMAT {
        return Err(Error::malformed(
            file,
            place,
            format!("format {format}"),
            format!("format {FORMAT}"),
        ));
    }
    serde_json::from_str(text).map_err(unreadable)
}

/// The tensors of the optimizer by kind, then by parameter.
#[derive(Default)]
struct Parts {
    first: BTreeMap<String, StateTensor>,
    second: BTreeMap<String, StateTensor>,
    velocity: BTreeMap<String, StateTensor>,
    steps: BTreeMap<String, u64>,
}

impl Parts {
    fn of(&mut self, name: &str) -> Option<(&mut BTreeMap<String, StateTensor>, String)> {
        let kinds = [
            (FIRST_MOMENT, &mut self.first),
            (SECOND_MOMENT, &mut self.second),
            (VELOCITY, &mut self.velocity),
        ];
        kinds
            .into_iter()
            .find_map(|(prefix, part)| Some((part, name.strip_prefix(prefix)?.to_owned())))
    }

    fn join(mut self, file: &Path, optim: Optim) -> Result<BTreeMap<String, Moments>, Error> {
        let mut joined = BTreeMap::new();
        for (name, steps) in std::mem::take(&mut self.steps) {
            let mut take = |prefix: &str| {
                let tensor =
                    self.of(&format!("{prefix}{name}")).and_then(|(part, own)| part.remove(&own));
                let place = format!("tensor \"{prefix}{name}\"");
                tensor.ok_or_else(|| Error::malformed(file, place, "nothing", "a tensor"))
            };
            let moments = match optim {
                Optim::Adam | Optim::AdamW => Moments::Adam {
                    steps,
                    first: take(FIRST_MOMENT)?,
                    second: take(SECOND_MOMENT)?,
                },
                Optim::Sgd => Moments::Sgd { steps, velocity: take(VELOCITY)? },
            };
            joined.insert(name, moments);
        }
        let kinds =
            [(FIRST_MOMENT, self.first), (SECOND_MOMENT, self.second), (VELOCITY, self.velocity)];
        for (prefix, part) in kinds {
            if let Some(name) = part.keys().next() {
                let place = format!("tensor \"{prefix}{name}\"");
                let expected =
                    format!("nothing without \"{STEPS}{name}\", with the optimizer {optim}");
                return Err(Error::malformed(file, place, "a tensor", expected));
            }
        }
        Ok(joined)
    }
}

fn state_tensor(file: &Path, name: &str, raw: &Raw<'_>) -> Result<StateTensor, Error> {
    let data = match raw.dtype {
        Dtype::F32 => {
            let values = raw.bytes.as_chunks().0;
            StateData::F32(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        Dtype::I64 => {
            let values = raw.bytes.as_chunks().0;
            StateData::I64(values.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
        }
        other => return Err(wrong_type(file, name, other, "F32 or I64")),
    };
    Ok(StateTensor { shape: raw.shape.clone(), data })
}

fn counter(file: &Path, name: &str, raw: &Raw<'_>) -> Result<u64, Error> {
    match (raw.dtype, <[u8; 8]>::try_from(&*raw.bytes)) {
        (Dtype::U64, Ok(bytes)) if raw.shape.is_empty() => Ok(u64::from_le_bytes(bytes)),
        (other, _) => Err(wrong_type(file, name, other, "U64 of shape []")),
    }
}

fn wrong_type(file: &Path, name: &str, found: Dtype, expected: &str) -> Error {
    Error::malformed(file, format!("tensor {name:?}"), format!("{found:?}"), expected)
}
