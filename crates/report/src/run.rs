//! What a report of a training is made of: plain data, given by the caller.

use serde::{Deserialize, Deserializer, Serialize};

/// One training, from its settings to its proof.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Name of the network, as `TFC_2W2A`.
    pub network: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Format of the weights, as `int2`.
    pub weight_format: String,
    /// Format of the activations.
    pub activation_format: String,
    /// The command that repeats the run.
    pub command: String,
    /// The seed that was used.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Facts about the machine and the run that the caller wants to be known, in this order.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The files of the run.
    #[serde(default)]
    pub files: Vec<FileRow>,
    /// Number of trained parameters.
    pub parameters: u64,
    /// Images that the network learned from.
    pub train_images: u64,
    /// Images that it was judged by.
    pub test_images: u64,
    /// The epochs, in order.
    #[serde(default)]
    pub epochs: Vec<EpochMetrics>,
    /// The epoch whose network was kept.
    #[serde(default)]
    pub best: Option<BestEpoch>,
    /// What the comparison of trainer and exported file found, if there was one.
    #[serde(default)]
    pub verification: Option<VerificationSummary>,
    /// The layers, from the input to the output.
    #[serde(default)]
    pub layers: Vec<LayerRow>,
}

/// A fact with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What it is about.
    pub name: String,
    /// The fact.
    pub value: String,
}

/// A file of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRow {
    /// Its path, as the reader can use it: from the folder of the page.
    pub path: String,
    /// What is in it.
    pub contents: String,
}

/// The measurements of one epoch. JSON has no word for a loss that is no number: it is `null` there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochMetrics {
    /// Its number, from 1.
    pub epoch: u64,
    /// The learning rate of the epoch.
    #[serde(deserialize_with = "number_or_null")]
    pub learning_rate: f64,
    /// Mean loss over the training images, while learning.
    #[serde(deserialize_with = "number_or_null")]
    pub train_loss: f64,
    /// Share of the training images that were classified correctly, while learning.
    #[serde(deserialize_with = "number_or_null")]
    pub train_top1_percent: f64,
    /// Mean loss over the test images, after the epoch.
    #[serde(deserialize_with = "number_or_null")]
    pub test_loss: f64,
    /// Share of the test images that were classified correctly.
    #[serde(deserialize_with = "number_or_null")]
    pub test_top1_percent: f64,
    /// Share of the test images whose class was among the first five.
    #[serde(deserialize_with = "number_or_null")]
    pub test_top5_percent: f64,
    /// Training speed.
    #[serde(deserialize_with = "number_or_null")]
    pub images_per_second: f64,
}

/// The epoch whose network was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEpoch {
    /// Its number.
    pub epoch: u64,
    /// Share of the test images that were classified correctly.
    #[serde(deserialize_with = "number_or_null")]
    pub test_top1_percent: f64,
}

/// What the comparison of the trainer with the exported file found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationSummary {
    /// Images that both computed.
    pub images: u64,
    /// Tensors that both name.
    pub tensors_compared: u64,
    /// Values in those tensors, over all images.
    pub values_compared: u64,
    /// Values that are not the same to the last bit.
    pub values_differ: u64,
    /// The largest difference between two values.
    #[serde(deserialize_with = "number_or_null")]
    pub largest_difference: f64,
    /// The same in units in the last place.
    pub largest_ulps: u64,
    /// Images for which both predict the same class.
    pub predictions_equal: u64,
    /// Share of the images that the trainer classifies correctly.
    #[serde(deserialize_with = "number_or_null")]
    pub top1_trainer_percent: f64,
    /// Share of the images that the file classifies correctly.
    #[serde(deserialize_with = "number_or_null")]
    pub top1_file_percent: f64,
    /// Where the first difference is, if there is one.
    #[serde(default)]
    pub first_difference: Option<String>,
}

/// One layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRow {
    /// Its name in the network.
    pub name: String,
    /// What it is, as `linear`.
    pub kind: String,
    /// Format of its weights, empty if it has none.
    #[serde(default)]
    pub weight_format: String,
    /// Format of what it puts out.
    #[serde(default)]
    pub activation_format: String,
    /// Shape of its weights.
    #[serde(default)]
    pub shape: Vec<u64>,
    /// Number of its parameters.
    pub parameters: u64,
    /// How often each quantized value occurs among its weights.
    #[serde(default)]
    pub weight_values: Vec<ValueCount>,
}

/// A value and how often it occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueCount {
    /// The value.
    pub value: f32,
    /// How often it occurs.
    pub count: u64,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
