//! From a checkpoint to bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use fewbit_nn::network::{StateData, StateTensor};
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::{
    Checkpoint, FIRST_MOMENT, FORMAT, METADATA, MODEL, Moments, SECOND_MOMENT, STEPS, TRAINING,
    VELOCITY,
};
use crate::config::Recipe;
use crate::progress::Progress;

/// The JSON document of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub format: u32,
    pub version: String,
    pub recipe: Recipe,
    pub progress: Progress,
    /// Eight hexadecimal digits, see [`checksum`].
    pub crc32c: String,
}

/// A tensor as it lies in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raw<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Cow<'a, [u8]>,
}

impl View for &Raw<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let tensors = tensors(checkpoint);
    let mut metadata = Metadata {
        format: FORMAT,
        version: checkpoint.version.clone(),
        recipe: checkpoint.recipe.clone(),
        progress: checkpoint.progress,
        crc32c: String::new(),
    };
    metadata.crc32c = checksum(&metadata, &tensors);
    let entries = HashMap::from([(METADATA.to_owned(), json(&metadata))]);
    safetensors::serialize(&tensors, Some(entries)).expect("sizes and shapes of tensors agree")
}

/// CRC-32C of the metadata without its checksum, and of every tensor's name, type, shape and values.
///
/// It is taken of what is meant, not of the bytes of the file: a file that another program has
/// written anew stays valid.
pub(super) fn checksum(metadata: &Metadata, tensors: &BTreeMap<String, Raw<'_>>) -> String {
    let Metadata { format, version, recipe, progress, crc32c: _ } = metadata;
    let blank = Metadata {
        format: *format,
        version: version.clone(),
        recipe: recipe.clone(),
        progress: *progress,
        crc32c: String::new(),
    };
    let mut crc = crc32c::crc32c(json(&blank).as_bytes());
    for (name, Raw { dtype, shape, bytes }) in tensors {
        let described = format!("{name:?} {dtype:?} {shape:?} {}", bytes.len());
        crc = crc32c::crc32c_append(crc, described.as_bytes());
        crc = crc32c::crc32c_append(crc, bytes);
    }
    format!("{crc:08x}")
}

fn json(metadata: &Metadata) -> String {
    serde_json::to_string(metadata).expect("settings and counters are JSON")
}

fn tensors(checkpoint: &Checkpoint) -> BTreeMap<String, Raw<'_>> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in &checkpoint.model {
        tensors.insert(format!("{MODEL}{name}"), raw(tensor));
    }
    for (name, tensor) in checkpoint.training.iter().flatten() {
        tensors.insert(format!("{TRAINING}{name}"), raw(tensor));
    }
    for (name, moments) in &checkpoint.optimizer {
        let count = match moments {
            Moments::Adam { steps, first, second } => {
                tensors.insert(format!("{FIRST_MOMENT}{name}"), raw(first));
                tensors.insert(format!("{SECOND_MOMENT}{name}"), raw(second));
                steps
            }
            Moments::Sgd { steps, velocity } => {
                tensors.insert(format!("{VELOCITY}{name}"), raw(velocity));
                steps
            }
        };
        let bytes = Cow::Owned(count.to_le_bytes().to_vec());
        tensors.insert(format!("{STEPS}{name}"), Raw { dtype: Dtype::U64, shape: vec![], bytes });
    }
    tensors
}

fn raw(tensor: &StateTensor) -> Raw<'_> {
    let (dtype, bytes) = match &tensor.data {
        StateData::F32(values) => (Dtype::F32, joined(values.iter().map(|v| v.to_le_bytes()))),
        StateData::I64(values) => (Dtype::I64, joined(values.iter().map(|v| v.to_le_bytes()))),
    };
    Raw { dtype, shape: tensor.shape.clone(), bytes: Cow::Owned(bytes) }
}

/// Much faster than `flat_map` and `collect`.
fn joined<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * N);
    values.for_each(|value| bytes.extend_from_slice(&value));
    bytes
}
