//! Intervals, element by element.

use std::collections::BTreeMap;

use super::operand;
use crate::Options;
use crate::ops::{Context, Inputs};
use crate::prove::InputValues;
use crate::prove::graph::{Graph, Node, Operand};
use crate::tensor::Tensor;
use crate::value::{DType, Data};

/// What stands for "any number": quantizers saturate far below, and products with it stay finite.
pub(super) const HUGE: f32 = 1e30;

/// The bounds of the elements of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// From, to.
    Between(Tensor, Tensor),
    /// The same for every input: sizes and what is computed from them.
    Fixed(Tensor),
    /// Nothing is known but the shape.
    Unknown(Vec<usize>),
}

impl Bounds {
    pub(super) fn of_input(dtype: Option<DType>, shape: Vec<usize>, inputs: &InputValues) -> Self {
        if dtype.is_some_and(|dtype| dtype != DType::F32) {
            return Self::Unknown(shape);
        }
        let fold = |values: &[f32], first: f32, f: fn(f32, f32) -> f32| {
            values.iter().copied().fold(first, f)
        };
        let (low, high) = match inputs {
            InputValues::Any => (-HUGE, HUGE),
            InputValues::Pixels => (0.0, 1.0),
            InputValues::Range(low, high) => (*low, *high),
            InputValues::Values(values) => {
                (fold(values, f32::INFINITY, f32::min), fold(values, f32::NEG_INFINITY, f32::max))
            }
        };
        Self::constant(shape, low, high)
    }

    fn constant(shape: Vec<usize>, low: f32, high: f32) -> Self {
        let count = shape.iter().product();
        let all = |value: f32| Tensor::of(shape.clone(), vec![value; count]);
        Self::Between(all(low), all(high))
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Between(low, _) => low.shape(),
            Self::Fixed(tensor) => tensor.shape(),
            Self::Unknown(shape) => shape,
        }
    }

    /// The two ends as numbers.
    pub(super) fn ends(&self) -> Option<(&[f32], &[f32])> {
        match self {
            Self::Between(low, high) => low.slice("").ok().zip(high.slice("").ok()),
            Self::Fixed(tensor) => tensor.slice("").ok().map(|values| (values, values)),
            Self::Unknown(_) => None,
        }
    }

    /// The bounds of each channel along an axis; of all elements together without one.
    pub(super) fn channels(&self, axis: Option<usize>) -> Option<Vec<(f32, f32)>> {
        let (low, high) = self.ends()?;
        let shape = self.shape();
        let (channels, inner) = match axis {
            Some(axis) => (shape[axis], shape[axis + 1..].iter().product::<usize>()),
            None => (1, low.len()),
        };
        let mut bounds = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
        for (i, (&low, &high)) in low.iter().zip(high).enumerate() {
            let channel = &mut bounds[i / inner.max(1) % channels.max(1)];
            *channel = (channel.0.min(low), channel.1.max(high));
        }
        Some(bounds)
    }
}

/// The bounds of all outputs of a node.
pub(super) fn results(
    graph: &Graph<'_>,
    node: &Node<'_>,
    known: &BTreeMap<String, Bounds>,
) -> Vec<Bounds> {
    let unknown = || {
        let shape = |name: &String| Bounds::Unknown(graph.shape(name).to_vec());
        node.proto.output.iter().map(shape).collect::<Vec<_>>()
    };
    let fixed = node.inputs.iter().all(|input| {
        !matches!(input, Operand::Computed(_))
            || matches!(operand(input, known), Some(Bounds::Fixed(_)))
    });
    let found = match node.operator_name() {
        _ if fixed => run(node, &pick(node, known, |_| End::Low))
            .map(|all| all.into_iter().map(Bounds::Fixed).collect()),
        "Shape" => run(node, &pick(node, known, |_| End::Low))
            .map(|all| all.into_iter().map(Bounds::Fixed).collect()),
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => {
            product(node, known).map(|bounds| vec![bounds])
        }
        "Softmax" => Some(vec![Bounds::constant(graph.shape(node.output()).to_vec(), 0.0, 1.0)]),
        "Where" => chosen(node, known).map(|bounds| vec![bounds]),
        operator => follow(operator).and_then(|follow| ends(node, known, follow)),
    };
    found.filter(|found| found.len() >= node.proto.output.len()).unwrap_or_else(unknown)
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Low,
    High,
}

/// How a result follows its inputs.
#[derive(Clone, Copy)]
enum Follow {
    /// Element by element it rises, or it falls, with the one input that varies; with several it rises with all.
    Same,
    /// It rises with the first and falls with the second input.
    Opposite,
    /// It is a product of both.
    Product,
}

fn follow(operator: &str) -> Option<Follow> {
    Some(match operator {
        "Sub" => Follow::Opposite,
        "Mul" | "Div" => Follow::Product,
        "Add" | "Relu" | "Clip" | "Neg" | "Identity" | "Dropout" | "BatchNormalization"
        | "Sigmoid" | "Tanh" | "LeakyRelu" | "Quant" | "IntQuant" | "FloatQuant"
        | "BipolarQuant" | "MultiThreshold" | "Trunc" | "QuantizeLinear" | "DequantizeLinear"
        | "MaxPool" | "AveragePool" | "GlobalMaxPool" | "GlobalAveragePool" | "ReduceMean"
        | "ReduceSum" | "ReduceMax" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"
        | "Transpose" | "Concat" | "Slice" | "Gather" | "Pad" | "Resize" | "Upsample"
        | "DepthToSpace" | "SpaceToDepth" | "Expand" | "Split" | "Tile" | "Sign" | "Sqrt"
        | "Exp" | "Log" | "Floor" | "Ceil" | "Round" | "Max" | "Min" | "QuantAvgPool2d"
        | "MaxPoolNHWC" | "Im2Col" | "Elu" | "Erf" => Follow::Same,
        _ => return None,
    })
}

/// Runs a node on combinations of ends.
fn ends(node: &Node<'_>, known: &BTreeMap<String, Bounds>, follow: Follow) -> Option<Vec<Bounds>> {
    // A cubic interpolation weighs some neighbours negatively.
    if node.proto.string("mode").ok().flatten() == Some("cubic") {
        return None;
    }
    let several = node.computed().count() > 1;
    let combinations: &[[End; 2]] = match follow {
        Follow::Opposite if several => &[[End::Low, End::High], [End::High, End::Low]],
        Follow::Product if several => {
            if node.operator_name() == "Div" {
                return None;
            }
            &[
                [End::Low, End::Low],
                [End::Low, End::High],
                [End::High, End::Low],
                [End::High, End::High],
            ]
        }
        _ => &[[End::Low, End::Low], [End::High, End::High]],
    };
    if follow_needs_constants(node) {
        return None;
    }
    let mut all: Option<Vec<Bounds>> = None;
    for combination in combinations {
        let inputs = pick(node, known, |index| combination[index.min(1)]);
        let results = run(node, &inputs)?;
        all = Some(match all {
            None => {
                results.into_iter().map(|tensor| Bounds::Between(tensor.clone(), tensor)).collect()
            }
            Some(so_far) => so_far
                .into_iter()
                .zip(results)
                .map(|(bounds, tensor)| joined(bounds, tensor))
                .collect(),
        });
    }
    all
}

/// True if a parameter of a node varies, as scales that are computed from the input.
fn follow_needs_constants(node: &Node<'_>) -> bool {
    let first_only =
        !matches!(node.operator_name(), "Add" | "Sub" | "Mul" | "Concat" | "Max" | "Min");
    first_only
        && node.inputs.iter().skip(1).any(|input| matches!(input, Operand::Computed(_)))
        && !matches!(
            node.operator_name(),
            "Reshape" | "Resize" | "Slice" | "Expand" | "Unsqueeze" | "Squeeze" | "Tile" | "Pad"
        )
}

/// The hull of bounds and values.
fn joined(bounds: Bounds, tensor: Tensor) -> Bounds {
    let Bounds::Between(low, high) = bounds else { return bounds };
    let pair = |a: &Tensor, f: fn(f32, f32) -> f32| -> Option<Tensor> {
        let (a, b) = (a.slice::<f32>("").ok()?, tensor.slice::<f32>("").ok()?);
        Some(Tensor::of(
            tensor.shape().to_vec(),
            a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect::<Vec<f32>>(),
        ))
    };
    // No bound where infinities met.
    let lower =
        |a: f32, b: f32| if a.is_nan() || b.is_nan() { f32::NEG_INFINITY } else { a.min(b) };
    let higher = |a: f32, b: f32| if a.is_nan() || b.is_nan() { f32::INFINITY } else { a.max(b) };
    match pair(&low, lower).zip(pair(&high, higher)) {
        Some((low, high)) => Bounds::Between(low, high),
        // Integers: they rise with the input, the first is the lowest.
        None => integers(low, tensor),
    }
}

/// Codes of `QuantizeLinear` and the like.
fn integers(low: Tensor, high: Tensor) -> Bounds {
    let small = |tensor: &Tensor| {
        matches!(tensor.value().data(), Data::I8(_) | Data::U8(_) | Data::I16(_) | Data::U16(_))
    };
    if small(&low) && small(&high) {
        Bounds::Between(low, high)
    } else {
        Bounds::Unknown(low.shape().to_vec())
    }
}

/// The inputs of a node with one end each.
fn pick(
    node: &Node<'_>,
    known: &BTreeMap<String, Bounds>,
    end: impl Fn(usize) -> End,
) -> Vec<Option<Tensor>> {
    let quantizer = super::quantizes(node.operator_name());
    let clamped = |tensor: &Tensor| match tensor.slice::<f32>("") {
        // A quotient by a small scale must not overflow.
        Ok(values) if quantizer => {
            let values = values.iter().map(|v| v.clamp(-HUGE, HUGE)).collect::<Vec<f32>>();
            Tensor::of(tensor.shape().to_vec(), values)
        }
        _ => tensor.clone(),
    };
    let one = |(index, input): (usize, &Operand)| match input {
        Operand::Absent => None,
        Operand::Constant(tensor) => Some(tensor.clone()),
        Operand::Computed(name) => match known.get(name)? {
            Bounds::Between(low, high) => {
                Some(clamped(if end(index) == End::Low { low } else { high }))
            }
            Bounds::Fixed(tensor) => Some(tensor.clone()),
            Bounds::Unknown(_) => None,
        },
    };
    node.inputs.iter().enumerate().map(one).collect()
}

fn run(node: &Node<'_>, inputs: &[Option<Tensor>]) -> Option<Vec<Tensor>> {
    // An input without bounds is missing here although the node has it.
    let complete = node.inputs.iter().zip(inputs).all(|(operand, tensor)| match operand {
        Operand::Absent => true,
        _ => tensor.is_some(),
    });
    if !complete {
        return None;
    }
    let constant = node.inputs.iter().map(|input| !matches!(input, Operand::Computed(_))).collect();
    let context = Context { options: Options::default(), largest: usize::MAX, batch: None };
    node.operator.run(&mut Inputs::new(inputs.to_vec(), constant, false), &context).ok()
}

/// One of two, whatever the condition is.
fn chosen(node: &Node<'_>, known: &BTreeMap<String, Bounds>) -> Option<Bounds> {
    let ends = |index: usize| -> Option<(f32, f32)> {
        let fold = |low: &[f32], high: &[f32]| {
            (
                low.iter().copied().fold(f32::INFINITY, f32::min),
                high.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            )
        };
        match node.inputs.get(index)? {
            Operand::Constant(tensor) => tensor.slice("").ok().map(|values| fold(values, values)),
            Operand::Computed(name) => known.get(name)?.ends().map(|(low, high)| fold(low, high)),
            Operand::Absent => None,
        }
    };
    let condition = match node.inputs.first()? {
        Operand::Computed(name) => known.get(name)?.shape().to_vec(),
        _ => return None,
    };
    let (a, b) = (ends(1)?, ends(2)?);
    Some(Bounds::constant(condition, a.0.min(b.0), a.1.max(b.1)))
}

/// `y = x W + b` with constant `W`: lower bounds from lower ends of `x` where weights are positive, upper where negative.
fn product(node: &Node<'_>, known: &BTreeMap<String, Bounds>) -> Option<Bounds> {
    let (x, w, left) = match node.inputs.as_slice() {
        [x @ Operand::Computed(_), Operand::Constant(w), ..] => (x, w, true),
        [Operand::Constant(w), x @ Operand::Computed(_)] => (x, w, false),
        _ => return None,
    };
    if node.inputs.iter().skip(2).any(|input| matches!(input, Operand::Computed(_)))
        || node.float("alpha", 1.0) < 0.0
    {
        return None;
    }
    let Bounds::Between(low, high) = operand(x, known)? else { return None };
    let weights = w.slice::<f32>("").ok()?;
    let part = |f: fn(f32) -> f32| {
        Tensor::of(w.shape().to_vec(), weights.iter().map(|&w| f(w)).collect::<Vec<f32>>())
    };
    let (positive, negative) = (part(|w| w.max(0.0)), part(|w| w.min(0.0)));
    let magnitude = part(f32::abs);
    let reach = |low: &Tensor, high: &Tensor| -> Option<Tensor> {
        let pairs = low.slice::<f32>("").ok()?.iter().zip(high.slice::<f32>("").ok()?);
        Some(Tensor::of(
            low.shape().to_vec(),
            pairs.map(|(a, b)| a.abs().max(b.abs())).collect::<Vec<f32>>(),
        ))
    };
    let multiplied = |x: &Tensor, w: &Tensor, with_bias: bool| -> Option<Vec<f32>> {
        let mut inputs: Vec<Option<Tensor>> = if left {
            vec![Some(x.clone()), Some(w.clone())]
        } else {
            vec![Some(w.clone()), Some(x.clone())]
        };
        for input in node.inputs.iter().skip(2) {
            inputs.push(match input {
                Operand::Constant(bias) if with_bias => Some(bias.clone()),
                // Of the same shape, so that the operator takes it.
                Operand::Constant(bias) => {
                    Some(Tensor::of(bias.shape().to_vec(), vec![0.0_f32; bias.len()]))
                }
                _ => None,
            });
        }
        let constant = vec![false; inputs.len()];
        let context = Context { options: Options::default(), largest: usize::MAX, batch: None };
        let results =
            node.operator.run(&mut Inputs::new(inputs, constant, false), &context).ok()?;
        results.into_iter().next()?.slice::<f32>("").ok().map(<[f32]>::to_vec)
    };
    // Each of the additions and products can be off by half a unit in the last place of the sum of magnitudes.
    let terms = weights.len() as f32 / output_extent(node, w) as f32;
    let scale =
        if on_a_grid(low, high, weights, terms) { 0.0 } else { (terms + 4.0) * f32::EPSILON };
    // The bias and the scale are rounded, too.
    let slack = if scale == 0.0 { 0.0 } else { 2.0 * f32::EPSILON };
    let error: Vec<f32> = match scale {
        0.0 => vec![0.0; multiplied(low, &positive, true)?.len()],
        scale => multiplied(&reach(low, high)?, &magnitude, false)?
            .into_iter()
            .map(|m| m * scale)
            .collect(),
    };
    let sum = |a: Vec<f32>, b: Vec<f32>, error: &[f32], sign: f32| -> Vec<f32> {
        let end = |((a, b), e): ((f32, f32), &f32)| a + b + sign * (e + slack * (a + b).abs());
        a.into_iter().zip(b).zip(error).map(end).collect()
    };
    let lowest =
        sum(multiplied(low, &positive, true)?, multiplied(high, &negative, false)?, &error, -1.0);
    let highest =
        sum(multiplied(high, &positive, true)?, multiplied(low, &negative, false)?, &error, 1.0);
    let shape = shape_of(node, known, lowest.len())?;
    let open = |values: Vec<f32>, end: f32| {
        values.into_iter().map(|v| if v.is_nan() { end } else { v }).collect::<Vec<f32>>()
    };
    Some(Bounds::Between(
        Tensor::of(shape.clone(), open(lowest, f32::NEG_INFINITY)),
        Tensor::of(shape, open(highest, f32::INFINITY)),
    ))
}

/// The number of sums that a weight tensor makes.
fn output_extent(node: &Node<'_>, w: &Tensor) -> usize {
    let shape = w.shape();
    let extent = match node.operator_name() {
        "Conv" => shape.first(),
        "ConvTranspose" => shape.get(1),
        "Gemm" if node.int("transB", 0) != 0 => shape.first(),
        _ => shape.last(),
    };
    extent.copied().unwrap_or(1).max(1)
}

/// True if all sums are small multiples of one power of two, and so exact.
fn on_a_grid(low: &Tensor, high: &Tensor, weights: &[f32], terms: f32) -> bool {
    let integer = |values: &[f32]| crate::tensor::examine(values)?.integer;
    let of = |tensor: &Tensor| integer(tensor.slice::<f32>("").ok()?);
    let (Some(a), Some(b), Some((_, w))) = (of(low), of(high), integer(weights)) else {
        return false;
    };
    // Both ends may have units of their own, each of them a power of two: the finer one counts.
    let unit = f64::from(a.0.min(b.0));
    let reach = [a, b].map(|(unit, multiple)| f64::from(unit) * f64::from(multiple));
    reach[0].max(reach[1]) / unit * f64::from(w) * f64::from(terms) <= f64::from(1 << 24)
}

fn shape_of(node: &Node<'_>, known: &BTreeMap<String, Bounds>, count: usize) -> Option<Vec<usize>> {
    let inputs = pick(node, known, |_| End::Low);
    let shape = run(node, &inputs)?.into_iter().next()?.shape().to_vec();
    (shape.iter().product::<usize>() == count).then_some(shape)
}
