//! What other programs refuse.

use fewbit_onnx::proto::{ModelProto, NodeProto};
use fewbit_qonnx::facts::Facts;
use fewbit_qonnx::inspect::Inspection;
use fewbit_qonnx::lints::{Consumer, Severity, check};

use crate::graphs::{Graph, info, int, ints, node, string};
use crate::shared;

const QONNX: &str = "qonnx.custom_op.general";

fn refused(model: &ModelProto, consumer: Consumer) -> Vec<&'static str> {
    let facts = Facts::new(model).unwrap();
    let lints = check(&facts, consumer);
    let mut rules: Vec<_> = lints
        .iter()
        .filter(|lint| lint.severity == Severity::Refuses)
        .map(|lint| lint.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn named(name: &str, proto: NodeProto) -> NodeProto {
    NodeProto { name: Some(name.to_owned()), ..proto }
}

/// One thing wrong after the other.
struct Case {
    operator: &'static str,
    scale: f32,
    zero_point: f32,
    bits: f32,
    signed: i64,
    mode: &'static str,
}

const PLAIN: Case =
    Case { operator: "Quant", scale: 0.5, zero_point: 0.0, bits: 4.0, signed: 1, mode: "ROUND" };

fn model(case: &Case) -> ModelProto {
    let attributes =
        vec![int("narrow", 0), string("rounding_mode", case.mode), int("signed", case.signed)];
    Graph::new()
        .version("", 13)
        .input(info("x", &[1, 4]))
        .stored("s", &[], vec![case.scale])
        .stored("z", &[], vec![case.zero_point])
        .stored("b", &[], vec![case.bits])
        .node(named("first", node("", "Add", &["x", "x"], &["y"])), vec![])
        .node(
            named("quantizer", node(QONNX, case.operator, &["y", "s", "z", "b"], &["q"])),
            attributes,
        )
        .output("q")
        .done()
}

#[test]
fn each_rule_finds_what_it_is_about() {
    use Consumer::{Chisel4ml, Finn, Hls4ml, Ort, Qonnx};
    let cases: &[(Case, Consumer, &[&str])] = &[
        (PLAIN, Finn, &["static-shapes"]),
        (PLAIN, Hls4ml, &["shape-of-every-tensor", "static-shapes"]),
        (PLAIN, Chisel4ml, &["static-shapes"]),
        (PLAIN, Qonnx, &["shape-of-every-tensor"]),
        (PLAIN, Ort, &["operator"]),
        (Case { operator: "IntQuant", ..PLAIN }, Finn, &["operator", "static-shapes"]),
        (Case { zero_point: 1.0, ..PLAIN }, Finn, &["static-shapes", "zero-point"]),
        (Case { bits: 9.0, ..PLAIN }, Finn, &["eight-bits", "static-shapes"]),
        (Case { signed: 0, ..PLAIN }, Finn, &["signed-without-relu", "static-shapes"]),
        (
            Case { mode: "CEIL", ..PLAIN },
            Hls4ml,
            &["rounding-mode", "shape-of-every-tensor", "static-shapes"],
        ),
        (Case { scale: 0.3, ..PLAIN }, Chisel4ml, &["power-of-two-scale", "static-shapes"]),
    ];
    for (case, consumer, expected) in cases {
        assert_eq!(refused(&model(case), *consumer), *expected, "{} {:?}", case.operator, consumer);
    }
}

#[test]
fn order_of_attributes_and_windows() {
    let mut model = model(&PLAIN);
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].attribute.reverse();
    graph.node[0].name = Some("quantizer".to_owned());
    assert!(refused(&model, Consumer::Chisel4ml).contains(&"attribute-order"));
    assert!(refused(&model, Consumer::Hls4ml).contains(&"unique-names"));
    let windows = Graph::new()
        .input(info("x", &[1, 1, 4, 4]))
        .stored("w", &[1, 1, 3, 3], vec![1.0_f32; 9])
        .node(
            named("c", node("", "Conv", &["x", "w"], &["y"])),
            vec![string("auto_pad", "SAME_UPPER"), ints("kernel_shape", &[3, 3])],
        )
        .output("y")
        .done();
    let rules = refused(&windows, Consumer::Hls4ml);
    for rule in ["channels-last", "explicit-padding", "explicit-windows"] {
        assert!(rules.contains(&rule), "{rule}: {rules:?}");
    }
}

/// Minifloats are read by nobody but qonnx.
#[test]
fn real_files() {
    let Some(folder) = shared() else { return };
    let e3m1 = fewbit_onnx::read_model(&folder.join("golden/e_traj_tiny_e3m1.end.onnx")).unwrap();
    for consumer in Consumer::ALL {
        let expected = consumer != Consumer::Qonnx;
        assert_eq!(refused(&e3m1, consumer).contains(&"operator"), expected, "{consumer:?}");
    }
    let facts = Facts::new(&e3m1).unwrap();
    let found = Inspection::of(&facts);
    let formats: Vec<&str> = found
        .nodes
        .iter()
        .filter(|node| node.operator == "FloatQuant")
        .map(|node| node.outputs[0].format.as_str())
        .collect();
    assert!(formats.len() > 10 && formats.iter().all(|format| *format == "e3m1"), "{formats:?}");
    let conv = found.nodes.iter().find(|node| node.operator == "Conv").unwrap();
    assert_eq!(conv.outputs[0].layout, Some("NCHW"));
    let last = fewbit_onnx::read_model(&folder.join("golden/d_nets/tfc_1w1a.onnx")).unwrap();
    let facts = Facts::new(&last).unwrap();
    let found = Inspection::of(&facts);
    assert_eq!((found.stored.weights, found.stored.weight_bits), (59_008, 59_008));
}

/// A file with an operator that cannot be run is shown all the same.
#[test]
fn files_that_cannot_be_run() {
    let model = Graph::new()
        .input(info("x", &[1, 4]))
        .node(named("strange", node("my.own", "Strange", &["x"], &["y"])), vec![])
        .output("y")
        .done();
    let facts = Facts::new(&model).unwrap();
    let found = Inspection::of(&facts);
    assert!(found.not_run.unwrap().contains("Strange"));
    assert_eq!(found.inputs[0].shape, Some(vec![1, 4]));
    assert_eq!(found.nodes[0].outputs[0].shape, None);
}

/// What contradicts itself is refused by all; what only fewbit does not know is not.
#[test]
fn files_that_contradict_themselves() {
    let conv = |attributes| {
        Graph::new()
            .input(info("x", &[1, 1, 4, 4]))
            .stored("w", &[1, 1, 3, 3], vec![1.0_f32; 9])
            .node(named("conv", node("", "Conv", &["x", "w"], &["y"])), attributes)
            .output("y")
            .done()
    };
    let shapes = Graph::new()
        .input(info("x", &[1, 3]))
        .stored("w", &[4, 2], vec![1.0_f32; 8])
        .node(named("product", node("", "MatMul", &["x", "w"], &["y"])), vec![])
        .output("y")
        .done();
    for model in [
        conv(vec![ints("strides", &[0, 1])]),
        conv(vec![ints("pads", &[-1, 0, 0, 0])]),
        conv(vec![int("group", 0)]),
        shapes,
    ] {
        for consumer in Consumer::ALL {
            let rules = refused(&model, consumer);
            assert!(rules.contains(&"valid-model"), "{consumer:?}: {rules:?}");
        }
        let lints = check(&Facts::new(&model).unwrap(), Consumer::Ort);
        let found = lints.iter().find(|lint| lint.rule == "valid-model").unwrap();
        assert!(found.place.starts_with("conv") || found.place.starts_with("product"), "{found:?}");
    }
    assert!(!refused(&conv(vec![]), Consumer::Ort).contains(&"valid-model"));
    let strange = Graph::new()
        .input(info("x", &[1, 4]))
        .node(named("strange", node("my.own", "Strange", &["x"], &["y"])), vec![])
        .output("y")
        .done();
    assert!(!refused(&strange, Consumer::Qonnx).contains(&"valid-model"));
    // No tensor in between has a shape.
    assert!(refused(&model(&PLAIN), Consumer::Qonnx).contains(&"shape-of-every-tensor"));
}
