//! `report.html`.

use std::collections::BTreeMap;

use fewbit_formats::Format;
use fewbit_nn::config::Quantization;
use fewbit_nn::network::{Layer, NamedLayer, Parameter, Taps, tensor_name};
use fewbit_nn::{Device, Network, Pass, Tensor};
use fewbit_report::{
    BestEpoch, EpochMetrics, Fact, FileRow, LayerRow, RunReport, ValueCount, render_html,
};
use fewbit_train::{Checkpoint, EpochRecord, Recipe, RunFolder, read_metrics};

use super::summary::{Summary, files};
use crate::environment::Environment;
use crate::failure::Outcome;

/// Writes the report of a run.
pub fn write(
    summary: &Summary<'_>,
    best: &Checkpoint,
    folder: &RunFolder,
    environment: &Environment,
) -> Outcome<()> {
    let (recipe, progress) = (&summary.config.recipe, &summary.progress);
    let network = &recipe.network;
    let files = files(summary)
        .into_iter()
        .map(|(name, contents)| FileRow { path: name, contents: contents.to_owned() })
        .collect();
    let layers = layers(&mut best.network(&Device::cpu())?)?;
    let report = RunReport {
        network: network.name.clone(),
        dataset: recipe.dataset.to_string(),
        weight_format: every(&layers, |layer| &layer.weight_format),
        activation_format: every(&layers, |layer| &layer.activation_format),
        command: environment.command.clone(),
        seed: recipe.random_seed,
        version: environment.version.to_owned(),
        facts: facts(summary, environment),
        files,
        parameters: summary.parameters,
        train_images: progress.train_images,
        test_images: progress.test_images,
        epochs: read_metrics(&folder.metrics())?.iter().map(metrics).collect(),
        best: progress
            .best
            .map(|best| BestEpoch { epoch: best.epoch, test_top1_percent: best.test_top1_percent }),
        verification: summary.proof.as_ref().map(|proof| proof.findings.summary()),
        layers,
    };
    crate::files::write(&folder.report(), render_html(&report).as_bytes())
}

fn facts(summary: &Summary<'_>, environment: &Environment) -> Vec<Fact> {
    let recipe = &summary.config.recipe;
    let facts = [
        ("optimizer", optimizer(recipe)),
        ("schedule", recipe.scheduler.to_string()),
        ("loss", loss(recipe)),
        ("augmentation", recipe.augment.of(recipe.dataset).to_string()),
        ("batch size", recipe.batch_size.to_string()),
        ("all settings", "config.toml, which `fewbit train --recipe` takes".to_owned()),
        ("device", environment.device.clone()),
        ("processor", environment.cpu.clone()),
        ("threads", format!("{} on {} cores", environment.threads, environment.cores)),
        ("instructions", environment.instruction_set.to_owned()),
    ];
    let warnings = summary.warnings.iter().map(|warning| ("warning", warning.clone()));
    let facts = facts.into_iter().chain(warnings);
    facts.map(|(name, value)| Fact { name: name.to_owned(), value }).collect()
}

fn optimizer(recipe: &Recipe) -> String {
    let mut text = format!("{}, learning rate {}", recipe.optim, recipe.lr);
    if recipe.nesterov {
        text.push_str(", Nesterov momentum");
    }
    if recipe.weight_decay > 0.0 {
        let (decay, what) = (recipe.weight_decay, recipe.weight_decay_on);
        text.push_str(&format!(", weight decay {decay} on {what}"));
    }
    if let Some(decay) = recipe.ema_decay {
        text.push_str(&format!(", weights averaged with decay {decay}"));
    }
    text
}

fn loss(recipe: &Recipe) -> String {
    match recipe.label_smoothing {
        0.0 => recipe.loss.to_string(),
        smoothing => format!("{}, label smoothing {smoothing}", recipe.loss),
    }
}

fn metrics(record: &EpochRecord) -> EpochMetrics {
    EpochMetrics {
        epoch: record.epoch,
        learning_rate: record.learning_rate,
        train_loss: record.train_loss,
        train_top1_percent: record.train_top1_percent,
        test_loss: record.test_loss,
        test_top1_percent: record.test_top1_percent,
        test_top5_percent: record.test_top5_percent,
        images_per_second: record.images_per_second,
    }
}

/// The formats of all layers, each named once, in order of the layers.
fn every(layers: &[LayerRow], format: impl Fn(&LayerRow) -> &String) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in layers.iter().map(|layer| format(layer).as_str()) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// `bipolar`, `int2-narrow`, `e4m3`; `float32` without a quantizer.
fn named(format: Option<Format>) -> String {
    format.map_or_else(|| "float32".to_owned(), |format| format.to_string())
}

/// The layers, with the values that the quantized weights take.
fn layers(network: &mut Network) -> Outcome<Vec<LayerRow>> {
    let weights = quantized_weights(network)?;
    let leaves = network.leaves();
    let row = |NamedLayer { name, layer }: &NamedLayer| {
        let norm = |weight: &Parameter, bias: &Parameter| {
            (weight.value().len() + bias.value().len()) as u64
        };
        let (kind, parameters) = match layer {
            Layer::Flatten => ("flatten", 0),
            Layer::ScaleShift { .. } => ("scale and shift", 0),
            Layer::Normalize { .. } => ("normalization of pixels", 0),
            Layer::Quantize(_) | Layer::QuantizeShared(_) => ("quantizer", 0),
            Layer::Dropout(_) => ("dropout", 0),
            Layer::Relu => ("ReLU", 0),
            Layer::MaxPool(_) => ("max pool", 0),
            Layer::AveragePool(_) => ("average pool", 0),
            Layer::TruncatedAveragePool { .. } => ("truncated average pool", 0),
            // Its branches are rows of their own.
            Layer::Residual(_) => ("sum", 0),
            Layer::Linear(linear) => {
                let bias = linear.bias.as_ref().map_or(0, |bias| bias.value.value().len());
                ("linear", (linear.weight.value().len() + bias) as u64)
            }
            Layer::Conv2d(conv) => ("convolution", conv.weight.value().len() as u64),
            Layer::BatchNorm(layer) => ("batch norm", norm(&layer.weight, &layer.bias)),
            Layer::TensorNorm(layer) => ("tensor norm", norm(&layer.weight, &layer.bias)),
        };
        let (weight_format, activation_format, shape) = match layer {
            Layer::Linear(linear) => {
                (named(linear.quantizer.format()), String::new(), linear.weight.value().shape())
            }
            Layer::Conv2d(conv) => {
                (named(conv.quantizer.format()), String::new(), conv.weight.value().shape())
            }
            Layer::Quantize(quantizer) => (String::new(), named(quantizer.format()), vec![]),
            Layer::QuantizeShared(index) => {
                (String::new(), named(network.shared()[*index].format()), vec![])
            }
            _ => (String::new(), String::new(), vec![]),
        };
        LayerRow {
            name: name.clone(),
            kind: kind.to_owned(),
            weight_format,
            activation_format,
            shape: shape.into_iter().map(|extent| extent as u64).collect(),
            parameters,
            weight_values: weights.get(name).cloned().unwrap_or_default(),
        }
    };
    Ok(leaves.into_iter().map(row).collect())
}

/// How often each value occurs among the quantized weights, by layer.
fn quantized_weights(network: &mut Network) -> Outcome<BTreeMap<String, Vec<ValueCount>>> {
    let config = network.config().clone();
    if config.quantization == Quantization::Off {
        return Ok(BTreeMap::new());
    }
    let [channels, height, width] = config.image_shape;
    let image = Tensor::zeros(&[1, channels, height, width], network.device());
    let mut taps = Taps::all();
    network.forward_tapped(&image, Pass::Evaluation, &mut taps)?;
    let tensors = taps.into_tensors();
    let mut counts = BTreeMap::new();
    for NamedLayer { name, .. } in network.leaves() {
        let wanted = tensor_name(name, "weight_quant");
        if let Some((_, tensor)) = tensors.iter().find(|(name, _)| *name == wanted) {
            counts.insert(name.clone(), tensor.read(count));
        }
    }
    Ok(counts)
}

/// The values from the smallest to the largest.
fn count(values: &[f32]) -> Vec<ValueCount> {
    let mut sorted: Vec<f32> = values.iter().map(|&value| value + 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let runs = sorted.chunk_by(|left, right| left == right);
    runs.map(|run| ValueCount { value: run[0], count: run.len() as u64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_in_order() {
        let counted = count(&[0.5, -0.0, 0.0, -1.0, 0.5, 0.5]);
        let expected = [(-1.0, 1), (0.0, 2), (0.5, 3)];
        assert_eq!(counted, expected.map(|(value, count)| ValueCount { value, count }));
    }
}
