//! Files that are wrong: errors with words, never a panic, never much memory.

mod operators;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fewbit_onnx::proto::{FunctionProto, ModelProto};
use fewbit_onnx::{decode, encode};
use fewbit_qonnx::{ErrorKind, Model, Options, Value};

use crate::graphs::{Graph, float, info, int, ints, node, string};

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
