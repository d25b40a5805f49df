//! One operator at a time, with anything: errors, never a panic; and a batch gives what its items give.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fewbit_onnx::proto::{AttributeProto, ModelProto, NodeProto};
use fewbit_qonnx::{ErrorKind, Mode, Model, Options, Value};

use super::{DOMAIN, Random};
use crate::graphs::{Graph, float, info, int, ints, node, string, untyped};

const OPERATORS: &[(&str, &str)] = &[
    ("", "Abs"),
    ("", "Add"),
    ("", "ArgMax"),
    ("", "AveragePool"),
    ("", "BatchNormalization"),
    ("", "Cast"),
    ("", "Clip"),
    ("", "Concat"),
    ("", "Conv"),
    ("", "DequantizeLinear"),
    ("", "Div"),
    ("", "Dropout"),
    ("", "Flatten"),
    ("", "Gather"),
    ("", "Gemm"),
    ("", "GlobalAveragePool"),
    ("", "GlobalMaxPool"),
    ("", "Identity"),
    ("", "MatMul"),
    ("", "MaxPool"),
    ("", "Mul"),
    ("", "Neg"),
    ("", "Pad"),
    ("", "Pow"),
    ("", "QuantizeLinear"),
    ("", "ReduceMean"),
    ("", "Relu"),
    ("", "Reshape"),
    ("", "Shape"),
    ("", "Sigmoid"),
    ("", "Slice"),
    ("", "Softmax"),
    ("", "Sqrt"),
    ("", "Squeeze"),
    ("", "Sub"),
    ("", "Tanh"),
    ("", "TopK"),
    ("", "Transpose"),
    ("", "Unsqueeze"),
    ("", "DepthToSpace"),
    ("", "SpaceToDepth"),
    ("", "Resize"),
    ("", "Upsample"),
    ("", "And"),
    ("", "ArgMin"),
    ("", "Ceil"),
    ("", "Celu"),
    ("", "ConstantOfShape"),
    ("", "ConvInteger"),
    ("", "ConvTranspose"),
    ("", "CumSum"),
    ("", "DynamicQuantizeLinear"),
    ("", "Einsum"),
    ("", "Elu"),
    ("", "Equal"),
    ("", "Erf"),
    ("", "Exp"),
    ("", "Expand"),
    ("", "GatherElements"),
    ("", "GatherND"),
    ("", "Gelu"),
    ("", "Greater"),
    ("", "GroupNormalization"),
    ("", "HardSigmoid"),
    ("", "HardSwish"),
    ("", "Hardmax"),
    ("", "InstanceNormalization"),
    ("", "IsInf"),
    ("", "IsNaN"),
    ("", "LayerNormalization"),
    ("", "LeakyRelu"),
    ("", "Less"),
    ("", "LessOrEqual"),
    ("", "Log"),
    ("", "LogSoftmax"),
    ("", "MatMulInteger"),
    ("", "Max"),
    ("", "Mean"),
    ("", "Min"),
    ("", "Mish"),
    ("", "Mod"),
    ("", "Not"),
    ("", "OneHot"),
    ("", "PRelu"),
    ("", "QLinearConv"),
    ("", "QLinearMatMul"),
    ("", "RMSNormalization"),
    ("", "Range"),
    ("", "Reciprocal"),
    ("", "ReduceL1"),
    ("", "ReduceLogSumExp"),
    ("", "ReduceMax"),
    ("", "ReduceProd"),
    ("", "ReduceSum"),
    ("", "ScatterElements"),
    ("", "ScatterND"),
    ("", "Selu"),
    ("", "Shrink"),
    ("", "Sign"),
    ("", "Size"),
    ("", "Softplus"),
    ("", "Split"),
    ("", "Sum"),
    ("", "Swish"),
    ("", "Tile"),
    ("", "Trilu"),
    ("", "Where"),
    (DOMAIN, "BipolarQuant"),
    (DOMAIN, "FloatQuant"),
    (DOMAIN, "MultiThreshold"),
    (DOMAIN, "Quant"),
    (DOMAIN, "Im2Col"),
    (DOMAIN, "MaxPoolNHWC"),
    (DOMAIN, "QuantAvgPool2d"),
    (DOMAIN, "Trunc"),
    (DOMAIN, "XnorPopcountMatMul"),
    (LAST, "BatchNormalization"),
    (LAST, "Conv"),
    (LAST, "MaxPool"),
];

/// The domain of operators with channels last.
const LAST: &str = "qonnx.custom_op.channels_last";

const NUMBERS: [i64; 12] = [0, 1, -1, 2, 3, -2, 1 << 31, -(1 << 31), i64::MAX, i64::MIN, 5, 7];

/// An attribute that the operator mostly knows, with any value.
fn attribute(random: &mut Random, operator: &str) -> AttributeProto {
    let windows = ["kernel_shape", "strides", "dilations", "pads"];
    let (lists, numbers): (&[&str], &[&str]) = match operator {
        "Conv" | "ConvInteger" | "QLinearConv" => (&windows, &["group"]),
        "ConvTranspose" => (
            &["kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"],
            &["group"],
        ),
        "Im2Col" => (&["kernel_size", "stride", "dilations", "pad_amount"], &["pad_value"]),
        "QuantAvgPool2d" => (&[], &["kernel", "stride", "ibits", "obits", "signed"]),
        "Split" => (&["split"], &["axis", "num_outputs"]),
        "Resize" => (&["axes"], &["antialias", "exclude_outside"]),
        "CumSum" => (&[], &["exclusive", "reverse"]),
        "GatherND" => (&[], &["batch_dims"]),
        "Add" | "Mul" | "Equal" | "Pow" => (&[], &["broadcast", "axis"]),
        "MaxPool" => (&windows, &["ceil_mode"]),
        "AveragePool" => (&windows, &["ceil_mode", "count_include_pad"]),
        "Gemm" => (&[], &["transA", "transB"]),
        "Transpose" => (&["perm"], &[]),
        "Squeeze" | "Unsqueeze" | "ReduceMean" | "ReduceSum" | "ReduceMax" => {
            (&["axes"], &["keepdims"])
        }
        "Slice" => (&["starts", "ends", "axes"], &[]),
        "Pad" => (&["pads", "paddings"], &[]),
        "Reshape" => (&["shape"], &["allowzero"]),
        "TopK" => (&[], &["axis", "k", "largest"]),
        "Shape" => (&[], &["start", "end"]),
        "Cast" => (&[], &["to"]),
        "DepthToSpace" | "SpaceToDepth" => (&[], &["blocksize"]),
        "Quant" | "Trunc" => (&[], &["signed", "narrow"]),
        _ => (&[], &["axis"]),
    };
    match random.below(8) {
        0 if operator.ends_with("Pool") || operator == "Conv" => {
            string("auto_pad", random.of(&["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]))
        }
        1 => float(
            random.of(&["epsilon", "alpha", "beta", "out_scale", "min"]),
            random.of(&[0.0, -1.0, f32::NAN, 1e30]),
        ),
        2..5 if !lists.is_empty() => {
            let len = random.below(6);
            ints(random.of(lists), &(0..len).map(|_| small(random)).collect::<Vec<_>>())
        }
        _ if !numbers.is_empty() => int(random.of(numbers), small(random)),
        _ => ints(random.of(lists), &[small(random), small(random)]),
    }
}

/// Mostly numbers that make sense.
fn small(random: &mut Random) -> i64 {
    if random.below(6) == 0 { random.of(&NUMBERS) } else { random.below(4) as i64 }
}

/// Often one that fits the operand before.
fn shape(random: &mut Random, before: &[usize]) -> Vec<usize> {
    match random.below(6) {
        0 | 1 => return before.to_vec(),
        2 => return before.get(1).copied().into_iter().collect(),
        3 => return before.iter().rev().copied().collect(),
        _ => {}
    }
    let rank = random.of(&[0, 1, 1, 2, 2, 3, 4, 4, 5]);
    (0..rank).map(|_| random.of(&[0, 1, 1, 1, 2, 2, 3, 3, 4, 5])).collect()
}

/// An input of a node: stored, given, or left out.
fn operand(
    random: &mut Random,
    graph: Graph,
    before: &mut Vec<usize>,
    given: &mut Vec<(String, Value)>,
    node: &mut NodeProto,
) -> Graph {
    let name = format!("t{}", node.input.len());
    let shape = shape(random, before);
    before.clone_from(&shape);
    let count: usize = shape.iter().product();
    if random.below(24) == 0 {
        node.input.push(String::new());
        return graph;
    }
    node.input.push(name.clone());
    let float = |random: &mut Random| {
        random.of(&[0.0, 1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 8.0, f32::INFINITY, f32::NAN, 1e-40])
    };
    match random.below(8) {
        0 => graph.stored(&name, &shape, (0..count).map(|_| small(random)).collect::<Vec<_>>()),
        1 => graph.stored(
            &name,
            &shape,
            (0..count).map(|_| random.below(256) as u8).collect::<Vec<_>>(),
        ),
        2 | 3 => graph.stored(&name, &shape, (0..count).map(|_| float(random)).collect::<Vec<_>>()),
        4 => {
            // Parameters of quantizers and lists of axes are small.
            let shape = random.of(&[vec![], vec![1]]);
            graph.stored(&name, &shape, vec![random.of(&[1.0f32, 2.0, 3.0, 4.0, 7.0, 448.0])])
        }
        _ => {
            let value =
                Value::new(shape, (0..count).map(|_| float(random)).collect::<Vec<_>>()).unwrap();
            given.push((name.clone(), value));
            graph.input(untyped(&name))
        }
    }
}

/// An operator with random inputs and attributes; the first input has this shape and is given, if there is one.
fn random_case(
    random: &mut Random,
    first: Option<&[usize]>,
) -> (ModelProto, Vec<(String, Value)>, Mode) {
    let (domain, operator) = random.of(OPERATORS);
    let mut node = node(domain, operator, &[], &["y"]);
    let mut graph =
        Graph::new().version("", random.of(&[1, 5, 6, 8, 9, 11, 13, 18, 20, 25])).output("y");
    let mut given = Vec::new();
    let inputs = match operator {
        "FloatQuant" => 6,
        "Trunc" => random.of(&[5, 6]),
        "BatchNormalization" => 5,
        "Quant" => 4,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "MatMul" | "Gather" | "Reshape"
        | "MultiThreshold" => 2,
        "And" | "CumSum" | "Einsum" | "Equal" | "Expand" | "GatherElements" | "GatherND"
        | "Greater" | "Less" | "LessOrEqual" | "Mod" | "PRelu" | "RMSNormalization" | "Tile"
        | "XnorPopcountMatMul" => 2,
        "GroupNormalization"
        | "InstanceNormalization"
        | "OneHot"
        | "Range"
        | "ScatterElements"
        | "ScatterND"
        | "Where" => 3,
        "ConvInteger" | "MatMulInteger" => random.of(&[2, 3, 4]),
        "QLinearConv" | "QLinearMatMul" => random.of(&[8, 9]),
        "Max" | "Mean" | "Min" | "Sum" => random.of(&[1, 2, 3, 4]),
        "Conv" | "ConvTranspose" | "Gemm" | "LayerNormalization" => random.of(&[2, 3]),
        "Concat" | "Clip" | "Slice" | "Pad" | "TopK" | "DequantizeLinear" | "QuantizeLinear" => {
            random.of(&[1, 2, 3, 4])
        }
        "Resize" => random.of(&[3, 4]),
        "BipolarQuant" | "Upsample" | "Squeeze" | "Unsqueeze" => random.of(&[1, 2]),
        _ => random.of(&[1, 1, 1, 2]),
    };
    let mut before = Vec::new();
    if let Some(shape) = first {
        let extents: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        graph = graph.input(info("t0", &extents));
        node.input.push("t0".to_owned());
        before = shape.to_vec();
    }
    for _ in node.input.len()..inputs {
        graph = operand(random, graph, &mut before, &mut given, &mut node);
    }
    let mut attributes = match operator {
        "FloatQuant" => {
            ["has_inf", "has_nan", "has_subnormal", "saturation"].map(|name| int(name, 1)).to_vec()
        }
        "Quant" => vec![int("signed", 1)],
        "Trunc" => vec![string("rounding_mode", "FLOOR")],
        "MultiThreshold" => vec![string("out_dtype", "UINT2")],
        "Einsum" => {
            let equations = ["ij,jk->ik", "...i,...i->...", "i,j", "ijk,k->ji", "bij,bjk->bik"];
            vec![string("equation", random.of(&equations))]
        }
        "GroupNormalization" => vec![int("num_groups", random.of(&[1, 1, 2, 3, 0]))],
        "Im2Col" => vec![ints("kernel_size", &[2, 1]), ints("stride", &[1, 1])],
        "QuantAvgPool2d" => {
            let numbers = [("kernel", 2), ("stride", 1), ("ibits", 4), ("obits", 3), ("signed", 0)];
            numbers.map(|(name, value)| int(name, value)).to_vec()
        }
        "Pad" => vec![string("mode", random.of(&["constant", "edge", "reflect", "wrap"]))],
        "Resize" => vec![
            string("mode", random.of(&["nearest", "linear", "cubic"])),
            string(
                "coordinate_transformation_mode",
                random.of(&["half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]),
            ),
        ],
        _ => vec![],
    };
    for _ in 0..random.of(&[0, 0, 1, 1, 2]) {
        attributes.push(attribute(random, operator));
    }
    if random.below(20) == 0 {
        node.output.push("z".to_owned());
    }
    let mode = random.of(&[Mode::Canonical, Mode::Canonical, Mode::Reference]);
    (graph.node(node, attributes).done(), given, mode)
}

fn rounds(default: u64) -> u64 {
    std::env::var("FEWBIT_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Every operator with inputs, shapes, types and attributes that mostly make no sense.
#[test]
fn operators_with_anything() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let rounds = rounds(40_000);
    let (mut runs, mut refused) = (0, 0);
    for round in 0..rounds {
        let seed = random.0;
        let (model, given, mode) = random_case(&mut random, None);
        let attempt = || {
            let model = Model::from_proto(&model, Options { mode, ..Options::default() })?;
            let inputs: Vec<(&str, Value)> =
                given.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            model.run(&inputs, &[])
        };
        match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(Ok(_)) => runs += 1,
            Ok(Err(_)) => refused += 1,
            Err(_) => {
                let node = &model.graph.as_ref().unwrap().node[0];
                let shapes: Vec<_> =
                    given.iter().map(|(name, value)| (name, value.shape())).collect();
                panic!("round {round}, seed {seed:#x}, {mode:?}: {node:?}\n{shapes:?}");
            }
        }
    }
    assert!(runs > rounds / 10 && refused > rounds / 10, "{runs} run, {refused} are refused");
}

/// A batch gives the same as its items alone, whatever the operator and its parameters are.
#[test]
fn batches_of_anything() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let rounds = rounds(40_000);
    let mut compared = 0;
    for round in 0..rounds {
        let seed = random.0;
        let mut item = shape(&mut random, &[]);
        item.retain(|&extent| extent > 0);
        let first = [&[1], &item[..]].concat();
        let (model, given, mode) = random_case(&mut random, Some(&first));
        // What asks for sizes is about the whole batch.
        if ["Shape", "Size"].contains(&model.graph.as_ref().unwrap().node[0].op_type()) {
            continue;
        }
        let Ok(model) = Model::from_proto(&model, Options { mode, ..Options::default() }) else {
            continue;
        };
        let size: usize = item.iter().product();
        let x: Vec<f32> = (0..3 * size).map(|i| ((i * 29) % 23) as f32 / 4.0 - 2.5).collect();
        let what = || format!("round {round}, seed {seed:#x}: {model:?} {first:?} {given:?}");
        let run = |items: usize, x: &[f32]| {
            let x = Value::new([&[items], &item[..]].concat(), x.to_vec()).unwrap();
            let others = given.iter().map(|(name, value)| (name.as_str(), value.clone()));
            let inputs: Vec<_> = others.chain([("t0", x)]).collect();
            model.run(&inputs, &[]).map(|outputs| outputs.first().clone())
        };
        let alone: Result<Vec<Value>, _> = x.chunks(size).map(|x| run(1, x)).collect();
        let (Ok(alone), batch) = (alone, run(3, &x)) else { continue };
        match batch {
            Ok(batch) => {
                let numbers = |value: &Value| format!("{:?}", value.data());
                let joined: Vec<String> = (0..3)
                    .map(|i| {
                        let part = batch.len() / 3;
                        let floats =
                            batch.as_slice::<f32>().map(|v| v[i * part..][..part].to_vec());
                        floats.map_or_else(String::new, |v| {
                            numbers(&Value::new(vec![part], v).unwrap())
                        })
                    })
                    .collect();
                if batch.as_slice::<f32>().is_some() {
                    let alone: Vec<String> = alone.iter().map(numbers).collect();
                    assert_eq!(joined, alone, "{}", what());
                    compared += 1;
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}\n{}", what()),
        }
    }
    assert!(compared > rounds / 10, "{compared} compared");
}
