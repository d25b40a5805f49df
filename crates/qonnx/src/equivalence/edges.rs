//! Quantizers at the edges of their formats.

use fewbit_formats::Format;
use fewbit_onnx::proto::{GraphProto, ModelProto, NodeProto};

use super::Equivalence;
use crate::error::Error;
use crate::facts::{Facts, Rules};
use crate::value::{DType, Value};
use crate::{Mode, Model, Options};

/// Executes each quantizer of activations alone, and what has taken its place, at the edges of its format: the largest
/// value, ties, the smallest ones, their neighbours in `f32`, and a million. Networks need not reach them with the inputs of
/// [`compare`](super::compare).
///
/// Tensors have to have the same names in both files. What is not in both is left out.
///
/// # Errors
/// As [`compare`](super::compare).
pub fn at_edges(before: &ModelProto, after: &ModelProto, mode: Mode) -> Result<Equivalence, Error> {
    let facts = Facts::new(before)?;
    let mut found = Equivalence::default();
    let options = Options { mode, ..Options::default() };
    for quantizer in quantizers(&facts) {
        let Quantizer { input, output, scales, scale_shape, steps } = quantizer;
        let Some(real) = facts.shape(input) else { continue };
        let (Some(first), Some(second)) = (part(before, input, output), part(after, input, output))
        else {
            continue;
        };
        // Items for the first axis, channels and scales as they are, one place each.
        let mut shape: Vec<usize> = real.clone();
        let skipped = real.len().saturating_sub(scale_shape.len());
        for (axis, extent) in shape.iter_mut().enumerate().skip(2) {
            let scale = axis.checked_sub(skipped).map_or(1, |axis| scale_shape[axis]);
            *extent = scale.max(1);
        }
        let along_items = scale_shape.len() == real.len() && scale_shape.first() != Some(&1);
        if shape.is_empty() || along_items && !scale_shape.is_empty() {
            continue;
        }
        let channels: usize = shape[1..].iter().product();
        let mut places = shape.clone();
        places[0] = 1;
        let strides = crate::broadcast::strides(&scale_shape, &places);
        let scale_of = |mut place: usize| {
            let mut index = 0;
            for axis in (1..places.len()).rev() {
                index += place % places[axis] * strides[axis];
                place /= places[axis];
            }
            scales[index]
        };
        let of_channel: Vec<Vec<f32>> =
            (0..channels).map(|place| around(&steps, scale_of(place))).collect();
        let Some(items) = of_channel.iter().map(Vec::len).max() else { continue };
        shape[0] = items;
        let values: Vec<f32> = (0..items * channels)
            .map(|index| {
                let edges = &of_channel[index % channels];
                edges[index / channels % edges.len()]
            })
            .collect();
        let value = Value::new(shape, values)?;
        let run = |part: &ModelProto| {
            Model::from_proto(part, options)?.run(&[(input, value.clone())], &[])
        };
        let (a, b) = (run(&first)?, run(&second)?);
        found.count(output, a.first(), b.first())?;
        found.items += items;
    }
    Ok(found)
}

/// The edges of all quantizers of a file, for its inputs.
pub(super) fn of_file(model: &ModelProto) -> Result<Vec<f32>, Error> {
    let facts = Facts::new(model)?;
    let mut all: Vec<f32> = Vec::new();
    for quantizer in quantizers(&facts) {
        all.extend(around(&quantizer.steps, quantizer.scales[0]));
    }
    all.sort_by(f32::total_cmp);
    all.dedup();
    Ok(all)
}

/// A quantizer of activations.
struct Quantizer<'a> {
    input: &'a str,
    output: &'a str,
    scales: Vec<f32>,
    scale_shape: Vec<usize>,
    /// Where something happens, before it is multiplied by the scale.
    steps: Vec<f64>,
}

fn quantizers<'a>(facts: &Facts<'a>) -> Vec<Quantizer<'a>> {
    let formats = facts.formats(Rules::Complete);
    let one = |node: &'a NodeProto| {
        let known = matches!(node.op_type(), "Quant" | "IntQuant" | "FloatQuant" | "BipolarQuant")
            && crate::ops::QUANTIZATION_DOMAINS.contains(&node.domain());
        let (input, output) = (node.input.first()?, node.output.first()?);
        if !known || facts.is_constant(output) || facts.dtype(input) != Some(DType::F32) {
            return None;
        }
        let format = formats.get(output)?;
        let scale = facts.constant(node.input.get(1)?)?;
        let scales = scale.as_slice::<f32>()?.to_vec();
        let positive = !scales.is_empty() && scales.iter().all(|scale| *scale > 0.0);
        let steps = steps(format.format?, f64::from(format.zero_point));
        positive.then(|| Quantizer {
            input,
            output,
            scales,
            scale_shape: scale.shape().to_vec(),
            steps,
        })
    };
    facts.nodes().filter_map(one).collect()
}

/// Values of a format at which something happens, and ties between them.
fn steps(format: Format, zero_point: f64) -> Vec<f64> {
    let mut steps = vec![0.0];
    match format {
        Format::Float(format) => {
            let largest = f64::from(format.max_value());
            let normal = f64::from(format.smallest_normal());
            let m = f64::from(format.mantissa_bit_width());
            let step = (largest.max(normal).log2().floor() - m).exp2();
            let (floor, smallest) = ((largest / step).floor() * step, normal * (-m).exp2());
            for halves in -3..=3 {
                steps.push(floor + f64::from(halves) * step / 2.0);
                steps.push(normal + f64::from(halves) * smallest / 2.0);
            }
            steps.extend([largest, 2.0 * largest, smallest, smallest / 2.0, 1.5 * smallest]);
            steps.extend(steps.clone().iter().map(|step| -step));
        }
        Format::Integer(format) => {
            for end in [format.min_value(), 0.0, format.max_value()] {
                steps.extend(
                    (-3..=3).map(|halves| f64::from(end) + f64::from(halves) / 2.0 - zero_point),
                );
            }
        }
        _ => steps.extend([-1.0, -0.5, 0.5, 1.0]),
    }
    steps
}

/// Inputs at and around these places whose quotients by the scale are finite.
fn around(steps: &[f64], scale: f32) -> Vec<f32> {
    let at = steps.iter().map(|step| (step * f64::from(scale)) as f32);
    let near = at.flat_map(|x| [x, x.next_up(), x.next_down()]);
    let mut all: Vec<f32> =
        near.chain([1e6, -1e6]).filter(|x| x.is_finite() && (x / scale).is_finite()).collect();
    all.sort_by(f32::total_cmp);
    all.dedup();
    all
}

/// The part of a file that computes one tensor from another one; nothing if it needs more than that.
fn part(model: &ModelProto, input: &str, output: &str) -> Option<ModelProto> {
    let graph = model.graph.as_ref()?;
    let mut nodes: Vec<&NodeProto> = Vec::new();
    let mut stored = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut wanted = vec![output];
    while let Some(name) = wanted.pop() {
        if name.is_empty() || name == input || !seen.insert(name) {
            continue;
        }
        if let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.name() == name) {
            stored.push(tensor.clone());
            continue;
        }
        let node = graph.node.iter().find(|node| node.output.iter().any(|made| made == name))?;
        if !nodes.iter().any(|other| std::ptr::eq(*other, node)) {
            nodes.push(node);
        }
        wanted.extend(node.input.iter().map(String::as_str));
    }
    let named = |name: &str| fewbit_onnx::proto::ValueInfoProto {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let part = GraphProto {
        name: graph.name.clone(),
        node: nodes.into_iter().rev().cloned().collect(),
        initializer: stored,
        input: vec![named(input)],
        output: vec![named(output)],
        ..GraphProto::default()
    };
    Some(ModelProto { graph: Some(part), ..model_without_graph(model) })
}

fn model_without_graph(model: &ModelProto) -> ModelProto {
    ModelProto {
        ir_version: model.ir_version.map(|version| version.max(4)),
        opset_import: model.opset_import.clone(),
        ..ModelProto::default()
    }
}
