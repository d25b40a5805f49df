//! Files that are wrong: errors with words, never a panic, never much memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fewbit_onnx::proto::{AttributeProto, FunctionProto, ModelProto, NodeProto};
use fewbit_onnx::{decode, encode};
use fewbit_qonnx::{ErrorKind, Mode, Model, Options, Value};

use crate::graphs::{Graph, float, info, int, ints, node, string, untyped};

const DOMAIN: &str = "qonnx.custom_op.general";

/// Seeded numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) % end as u64) as usize
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// A small network with quantizers, a convolution, pooling, and a linear layer.
fn network() -> ModelProto {
    let quant = || vec![int("signed", 1), int("narrow", 0), string("rounding_mode", "ROUND")];
    Graph::new()
        .input(info("x", &[1, 2, 6, 5]))
        .stored("scale", &[], vec![0.25f32])
        .stored("zero", &[], vec![0.0f32])
        .stored("bits", &[], vec![4.0f32])
        .stored(
            "kernel",
            &[3, 2, 3, 3],
            (0..54).map(|i| (i % 7) as f32 / 4.0 - 0.75).collect::<Vec<_>>(),
        )
        .stored("target", &[2], vec![1i64, -1])
        .stored("weight", &[6, 4], (0..24).map(|i| (i % 5) as f32 - 2.0).collect::<Vec<_>>())
        .stored("bias", &[4], vec![0.5f32, -0.5, 0.0, 1.0])
        .node(node(DOMAIN, "Quant", &["x", "scale", "zero", "bits"], &["q"]), quant())
        .node(node("", "Conv", &["q", "kernel"], &["c"]), vec![ints("pads", &[1, 1, 1, 1])])
        .node(node("", "Relu", &["c"], &["r"]), vec![])
        .node(
            node("", "MaxPool", &["r"], &["p"]),
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[3, 3])],
        )
        .node(node("", "Reshape", &["p", "target"], &["f"]), vec![])
        .node(node("", "Gemm", &["f", "weight", "bias"], &["y"]), vec![])
        .output("y")
        .done()
}

fn image() -> Value {
    Value::new(vec![2, 2, 6, 5], (0..120).map(|i| (i % 13) as f32 / 6.0 - 1.0).collect::<Vec<_>>())
        .unwrap()
}

/// Loads and runs whatever the bytes are; true if that works.
fn survives(bytes: Vec<u8>, what: &str) -> bool {
    let attempt = || {
        let Ok(decoded) = decode(bytes) else { return false };
        let Ok(model) = Model::from_proto(&decoded.model, Options::default()) else { return false };
        let Some(input) = model.inputs().first().map(|input| input.name().to_owned()) else {
            return false;
        };
        let names: Vec<&str> = model.tensor_names().collect();
        model.run(&[(&input, image())], &names).is_ok()
    };
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| panic!("{what} makes it panic"))
}

#[test]
fn cut_at_every_byte() {
    let bytes = encode(&network());
    assert!(survives(bytes.clone(), "the whole file"));
    let runs = (0..bytes.len())
        .filter(|&end| survives(bytes[..end].to_vec(), &format!("cut at {end}")))
        .count();
    // Only what comes behind the graph may be missing: the versions of the operator sets.
    assert!(runs <= 2, "{runs} cut files run");
}

#[test]
fn changed_bytes() {
    let bytes = encode(&network());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut runs = 0;
    for round in 0..6000 {
        let mut changed = bytes.clone();
        for _ in 0..1 + round % 3 {
            let place = random.below(changed.len());
            changed[place] = match random.below(3) {
                0 => changed[place] ^ (1 << random.below(8)),
                1 => random.of(&[0, 1, 0x7f, 0x80, 0xff]),
                _ => random.below(256) as u8,
            };
        }
        runs += usize::from(survives(changed, &format!("change {round}")));
    }
    assert!((500..6000).contains(&runs), "{runs} changed files run");
}

#[test]
fn wrong_graphs() {
    let relu = |input: &str, output: &str| node("", "Relu", &[input], &[output]);
    let graph = || Graph::new().input(info("x", &[1, 3]));
    let cases: Vec<(&str, Graph, &str)> = vec![
        (
            "a cycle",
            graph().node(relu("b", "a"), vec![]).node(relu("a", "b"), vec![]).output("a"),
            "circle",
        ),
        (
            "a missing tensor",
            graph().node(relu("w", "y"), vec![]).output("y"),
            "`w`, which nothing defines",
        ),
        (
            "a missing output",
            graph().node(relu("x", "y"), vec![]).output("z"),
            "`z`, which nothing defines",
        ),
        (
            "two definitions",
            graph().node(relu("x", "y"), vec![]).node(relu("x", "y"), vec![]).output("y"),
            "defines already",
        ),
        ("no output", graph().node(relu("x", "y"), vec![]), "the graph has no output"),
        (
            "an unknown operator",
            graph().node(node("", "Rellu", &["x"], &["y"]), vec![]).output("y"),
            "node 0 (Rellu): the operator is not supported in version 18 of its operator set",
        ),
        (
            "a version of the future",
            graph().version("", 99).node(relu("x", "y"), vec![]).output("y"),
            "node 0 (Relu): the operator is not supported in version 99",
        ),
        (
            "an unknown domain",
            graph().node(node("com.example", "Relu", &["x"], &["y"]), vec![]).output("y"),
            "(Relu of com.example)",
        ),
        (
            "an unknown attribute",
            graph().node(relu("x", "y"), vec![int("slope", 1)]).output("y"),
            "attribute \"slope\" is not supported",
        ),
        (
            "an attribute of another type",
            graph().node(node("", "Flatten", &["x"], &["y"]), vec![float("axis", 1.0)]).output("y"),
            "attribute",
        ),
        (
            "integers where floats must be",
            graph()
                .stored("w", &[3, 2], vec![1i64; 6])
                .node(node("", "MatMul", &["x", "w"], &["y"]), vec![])
                .output("y"),
            "input 1 (B) is of type int64, expected float32",
        ),
        (
            "a weight of another size",
            graph()
                .stored("w", &[4, 2], vec![1f32; 8])
                .node(node("", "MatMul", &["x", "w"], &["y"]), vec![])
                .output("y"),
            "input 0 (A) has shape [1, 3], expected 4 elements along the last axis",
        ),
        (
            "more outputs than there are",
            graph().node(node("", "Relu", &["x"], &["y", "z"]), vec![]).output("y"),
            "there are 2 outputs, expected at most 1",
        ),
    ];
    for (what, graph, expected) in cases {
        let attempt = Model::from_proto(&graph.done(), Options::default());
        let x = Value::new(vec![1, 3], vec![1.0f32, -2.0, 0.5]).unwrap();
        let error = attempt.and_then(|model| model.run(&[("x", x)], &[])).unwrap_err();
        assert!(error.to_string().contains(expected), "{what}: {error}\nexpected {expected}");
    }
}

/// What a file says that an operator does is done, also where the operator is known.
#[test]
fn operators_that_the_file_defines() {
    let function = |domain: &str, name: &str| FunctionProto {
        name: Some(name.to_owned()),
        domain: Some(domain.to_owned()),
        input: vec!["x".to_owned(), "_".to_owned(), "__".to_owned(), "___".to_owned()],
        output: vec!["y".to_owned()],
        node: vec![node("", "Neg", &["x"], &["y"])],
        ..FunctionProto::default()
    };
    let nodes = |functions: Vec<FunctionProto>| {
        let model = ModelProto { functions, ..network() };
        let model = Model::from_proto(&model, Options::default()).unwrap();
        model.run(&[("x", image())], &["r"]).unwrap().get("r").unwrap().clone()
    };
    let positive = |value: &Value| value.as_slice::<f32>().unwrap().iter().all(|&v| v >= 0.0);
    let relu = nodes(vec![function(DOMAIN, "Relu"), function("", "Unused")]);
    assert!(positive(&relu));
    for (domain, name) in [("", "Relu"), ("ai.onnx", "Relu")] {
        assert!(!positive(&nodes(vec![function(domain, name)])), "{domain}");
    }
    let endless =
        FunctionProto { node: vec![node("", "Relu", &["x"], &["y"])], ..function("", "Relu") };
    let model = ModelProto { functions: vec![endless], ..network() };
    let error = Model::from_proto(&model, Options::default()).unwrap_err();
    assert!(error.to_string().contains("the function calls itself"), "{error}");
}

#[test]
fn wrong_inputs() {
    let model = Model::from_proto(&network(), Options::default()).unwrap();
    let fails = |inputs: &[(&str, Value)], keep: &[&str]| {
        let error = model.run(inputs, keep).unwrap_err();
        (error.kind(), error.to_string(), error.hint())
    };
    let (kind, message, _) = fails(&[], &[]);
    assert_eq!(
        (kind, message.as_str()),
        (ErrorKind::MissingInput, "input \"x\" was not given; the model needs \"x\"")
    );
    let (kind, _, hint) = fails(&[("X", image())], &[]);
    assert_eq!((kind, hint.as_deref()), (ErrorKind::UnknownName, Some("the model has \"x\"")));
    assert_eq!(fails(&[("x", image())], &["pp"]).0, ErrorKind::UnknownName);
    let flat = Value::new(vec![2, 60], vec![0.0f32; 120]).unwrap();
    let (kind, message, _) = fails(&[("x", flat)], &[]);
    assert_eq!(kind, ErrorKind::ShapeMismatch);
    assert_eq!(message, "input \"x\": the value has shape [2, 60], expected [any, 2, 6, 5]");
    let bytes = Value::new(vec![1, 2, 6, 5], vec![0u8; 60]).unwrap();
    assert_eq!(fails(&[("x", bytes)], &[]).0, ErrorKind::TypeMismatch);
    let none = Value::new(vec![0, 2, 6, 5], vec![0.0f32; 0]).unwrap();
    assert_eq!(fails(&[("x", none)], &[]).0, ErrorKind::ShapeMismatch);
    assert_eq!(fails(&[("x", image()), ("x", image())], &[]).0, ErrorKind::Malformed);
}

/// Small files that ask for results of terabytes.
#[test]
fn huge_results_are_refused() {
    let x = || Value::new(vec![1, 1, 1, 1], vec![1.0f32]).unwrap();
    let graph = || Graph::new().input(info("x", &[1, 1, 1, 1]));
    let pads = vec![ints("pads", &[1 << 30, 1 << 30, 1 << 30, 1 << 30])];
    let mut doubling = graph().stored("d0", &[1024], vec![1.0f32; 1024]);
    for i in 0..40 {
        let (from, to) = (format!("d{i}"), format!("d{}", i + 1));
        doubling = doubling.node(node("", "Concat", &[&from, &from], &[&to]), vec![int("axis", 0)]);
    }
    let ones = |count: usize| vec![1.0f32; count];
    let cases = vec![
        (
            "a sum",
            graph()
                .stored("a", &[100_000, 1], ones(100_000))
                .stored("b", &[1, 100_000], ones(100_000))
                .node(node("", "Add", &["a", "b"], &["s"]), vec![])
                .node(node("", "Add", &["x", "s"], &["y"]), vec![]),
        ),
        (
            "a product",
            graph()
                .stored("a", &[200_000, 1], ones(200_000))
                .stored("b", &[1, 200_000], ones(200_000))
                .node(node("", "Mul", &["a", "x"], &["ax"]), vec![])
                .node(node("", "MatMul", &["ax", "b"], &["y"]), vec![]),
        ),
        (
            "a convolution",
            graph()
                .stored("w", &[1, 1, 1, 1], ones(1))
                .node(node("", "Conv", &["x", "w"], &["y"]), pads),
        ),
        (
            "padding",
            graph()
                .stored("pads", &[8], vec![0i64, 0, 1 << 20, 1 << 20, 0, 0, 1 << 20, 1 << 20])
                .node(node("", "Pad", &["x", "pads"], &["y"]), vec![]),
        ),
        (
            "a choice",
            graph()
                .stored("data", &[1, 65_536], ones(65_536))
                .stored("indices", &[65_536], vec![0i64; 65_536])
                .node(node("", "Gather", &["data", "indices"], &["g"]), vec![])
                .node(node("", "Add", &["x", "g"], &["y"]), vec![]),
        ),
        ("doubling", doubling.node(node("", "Add", &["x", "d40"], &["y"]), vec![])),
    ];
    for (what, graph) in cases {
        let model = Model::from_proto(&graph.output("y").done(), Options::default());
        let error = model.and_then(|model| model.run(&[("x", x())], &[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShapeMismatch, "{what}: {error}");
        assert!(error.to_string().contains("node"), "{what}: {error}");
    }
}

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
