//! What networks cost, against qonnx and by hand.

use std::collections::BTreeMap;

use fewbit_onnx::proto::ModelProto;
use fewbit_qonnx::cost::{Accumulator, Cost, Sparsity};
use fewbit_qonnx::facts::{Facts, Rules};
use serde::Deserialize;

use crate::graphs::{Graph, info, int, ints, node, string};
use crate::shared;

const QONNX: &str = "qonnx.custom_op.general";

/// What qonnx-inference-cost says about the shared files (`benches/cost_against_qonnx.py` compares live).
#[derive(Deserialize)]
struct Stored {
    files: BTreeMap<String, Both>,
}

#[derive(Deserialize)]
struct Both {
    sparse: BTreeMap<String, f64>,
    dense: BTreeMap<String, f64>,
}

fn cost(model: &ModelProto, rules: Rules, sparsity: Sparsity) -> Cost {
    Cost::of(&Facts::new(model).unwrap(), rules, sparsity).unwrap()
}

/// All keys and totals, on every file; sums may be added up in another order.
#[test]
fn costs_equal_those_of_qonnx() {
    let Some(folder) = shared() else { return };
    let stored: Stored = serde_json::from_str(include_str!("cost_of_qonnx.json")).unwrap();
    let (mut files, mut numbers, mut wrong) = (0, 0, Vec::new());
    for (name, expected) in &stored.files {
        let model = fewbit_onnx::read_model(&folder.join(name)).unwrap();
        for (sparsity, expected) in
            [(Sparsity::LeftOut, &expected.sparse), (Sparsity::Counted, &expected.dense)]
        {
            let cost = cost(&model, Rules::Qonnx, sparsity);
            let mut found = cost.by_type();
            let total = &cost.total;
            for (key, value) in [
                ("total_macs", total.total_macs),
                ("total_bops", total.total_bops),
                ("total_mem_w_bits", total.total_mem_w_bits),
                ("total_mem_w_elems", total.total_mem_w_elems),
                ("total_mem_o_bits", total.total_mem_o_bits),
                ("total_mem_o_elems", total.total_mem_o_elems),
            ] {
                found.insert(key.to_owned(), value);
            }
            if found.keys().ne(expected.keys()) {
                wrong.push(format!("{name}: {:?}, expected {:?}", found.keys(), expected.keys()));
            }
            for (key, &value) in expected {
                let ours = found.get(key).copied().unwrap_or(-1.0);
                if (ours - value).abs() > 1e-12 * value.abs() {
                    wrong.push(format!("{name}: {key} is {ours}, expected {value}"));
                }
                numbers += 1;
            }
        }
        files += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files, 46);
    assert_eq!(numbers, 882);
}

/// One convolution of e3m1 with scales, which qonnx takes for float32.
fn scaled_minifloats() -> ModelProto {
    let flags = || ["has_inf", "has_nan"].map(|name| int(name, 0)).into_iter();
    let rest =
        || vec![int("has_subnormal", 1), int("saturation", 1), string("rounding_mode", "ROUND")];
    let quantizer = |x: &str, scale: &str, y: &str| {
        node(QONNX, "FloatQuant", &[x, scale, "e", "m", "bias", "max"], &[y])
    };
    let attributes = || flags().chain(rest()).collect::<Vec<_>>();
    Graph::new()
        .input(info("x", &[2, 3, 5, 4]))
        .stored("w", &[4, 3, 3, 3], [[0.0_f32; 27], [1.0; 27], [-3.0; 27], [0.3; 27]].concat())
        .stored("s", &[], vec![0.5_f32])
        .stored("t", &[4, 1, 1, 1], vec![0.5_f32, 1.0, 2.0, 0.3])
        .stored("e", &[], vec![3.0_f32])
        .stored("m", &[], vec![1.0_f32])
        .stored("bias", &[], vec![3.0_f32])
        .stored("max", &[], vec![24.0_f32])
        .node(quantizer("x", "s", "xq"), attributes())
        .node(quantizer("w", "t", "wq"), attributes())
        .node(node("", "Conv", &["xq", "wq"], &["y"]), vec![ints("kernel_shape", &[3, 3])])
        .output("y")
        .done()
}

#[test]
fn scaled_minifloats_have_their_bits() {
    let model = scaled_minifloats();
    let macs = f64::from(2 * 4 * 27 * 3 * 2);
    let dense = cost(&model, Rules::Complete, Sparsity::Counted);
    assert_eq!((dense.total.total_macs, dense.total.total_bops), (macs, 25.0 * macs));
    assert_eq!((dense.total.total_mem_w_elems, dense.total.total_mem_w_bits), (108.0, 540.0));
    assert_eq!((dense.total.total_mem_o_elems, dense.batch), (2.0 * 4.0 * 6.0, Some(2)));
    let layer = &dense.layers[0];
    assert_eq!((layer.input.format.as_str(), layer.weight.format.as_str()), ("e3m1", "e3m1"));
    assert_eq!(layer.weight.data_type, "SCALEDFLOAT<3,1,3>");
    let gates = &layer.gates_per_mac;
    // 27 * 192 * 192 = 995,328 has 20 bits.
    assert_eq!(
        (gates.accumulator, gates.accumulator_bits, layer.terms),
        (Accumulator::Exact, 21, 27)
    );
    let sparse = cost(&model, Rules::Complete, Sparsity::LeftOut);
    assert_eq!((sparse.layers[0].weight_density, sparse.total.total_macs), (0.75, 0.75 * macs));
    let qonnx = cost(&model, Rules::Qonnx, Sparsity::Counted);
    assert_eq!(qonnx.total.total_bops, 1024.0 * macs);
    assert_eq!((qonnx.not_counted, dense.not_counted), (vec!["FloatQuant".to_owned()], vec![]));
}

/// Groups, channels behind, and a parameter that a node computes.
#[test]
fn formats_that_a_node_computes() {
    let quant = || vec![int("signed", 1), int("narrow", 0), string("rounding_mode", "ROUND")];
    let model = Graph::new()
        .input(info("x", &[1, 4, 6, 6]))
        .stored("w", &[4, 2, 1, 1], vec![1.0_f32; 8])
        .stored("one", &[], vec![1.0_f32])
        .stored("zero", &[], vec![0.0_f32])
        .stored("two", &[], vec![2.0_f32])
        .node(node("", "Add", &["one", "two"], &["three"]), vec![])
        .node(node(QONNX, "Quant", &["x", "one", "zero", "three"], &["xq"]), quant())
        .node(node(QONNX, "Quant", &["w", "one", "zero", "two"], &["wq"]), quant())
        .node(
            node("", "Conv", &["xq", "wq"], &["y"]),
            vec![int("group", 2), ints("kernel_shape", &[1, 1])],
        )
        .output("y")
        .done();
    let found = cost(&model, Rules::Complete, Sparsity::LeftOut);
    assert_eq!(found.total.total_macs, f64::from(4 * 2 * 36));
    assert_eq!(found.by_type().keys().next().unwrap(), "mem_o_INT32");
    assert_eq!(found.layers[0].input.data_type, "INT3");
    assert_eq!(found.layers[0].weight.data_type, "INT2");
}

#[test]
fn tables() {
    let cost = cost(&scaled_minifloats(), Rules::Complete, Sparsity::Counted);
    let csv = cost.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("y,Conv,1296,\"SCALEDFLOAT<3,1,3>\""), "{}", lines[1]);
    assert_eq!(lines[0].split(',').count(), 15);
    let markdown = cost.to_markdown();
    assert_eq!(markdown.lines().count(), 4);
    assert!(markdown.lines().all(|line| line.matches('|').count() == 11), "{markdown}");
}
