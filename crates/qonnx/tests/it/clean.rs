//! Files in order: what is done to them, and that they compute the same.

use fewbit_onnx::proto::{ModelProto, NodeProto};
use fewbit_qonnx::clean::{CleanConfig, ConvBias, Quantizers, clean};
use fewbit_qonnx::equivalence::compare;
use fewbit_qonnx::{Mode, Model, Options};

use crate::graphs::{Graph, info, int, ints, node, string};
use crate::shared;

fn nodes(model: &ModelProto) -> &[NodeProto] {
    &model.graph.as_ref().unwrap().node
}

fn operators(model: &ModelProto) -> Vec<&str> {
    nodes(model).iter().map(NodeProto::op_type).collect()
}

/// Weights that are transposed behind their quantizer, a shape that is computed, an identity, something unused.
fn untidy() -> ModelProto {
    let quant = || vec![string("rounding_mode", "ROUND"), int("signed", 1), int("narrow", 1)];
    Graph::new()
        .version("onnx.brevitas", 1)
        .input(info("x", &[1, 2, 3]))
        .input(info("w", &[4, 6]))
        .stored("w", &[4, 6], (0..24).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<f32>>())
        .stored("s", &[4, 1], vec![0.5_f32, 0.25, 1.0, 2.0])
        .stored("z", &[], vec![0.0_f32])
        .stored("b", &[], vec![3.0_f32])
        .stored("unused", &[2], vec![1.0_f32, 2.0])
        .stored("zero", &[], vec![0_i64])
        .stored("axes", &[1], vec![0_i64])
        .stored("minus", &[1], vec![-1_i64])
        .node(node("onnx.brevitas", "Quant", &["w", "s", "z", "b"], &["wq"]), quant())
        .node(node("", "Transpose", &["wq"], &["wt"]), vec![])
        .node(node("", "Shape", &["x"], &["shape"]), vec![])
        .node(node("", "Gather", &["shape", "zero"], &["n"]), vec![])
        .node(node("", "Unsqueeze", &["n", "axes"], &["n1"]), vec![])
        .node(node("", "Concat", &["n1", "minus"], &["flat"]), vec![int("axis", 0)])
        .node(node("", "Reshape", &["x", "flat"], &["r"]), vec![])
        .node(node("", "Identity", &["r"], &["i"]), vec![])
        .node(node("", "Neg", &["i"], &["idle"]), vec![])
        .node(node("onnx.brevitas", "Quant", &["i", "z1", "z", "b"], &["q"]), quant())
        .stored("z1", &[], vec![1.0_f32])
        .node(node("", "MatMul", &["q", "wt"], &["y"]), vec![])
        .output("y")
        .done()
}

#[test]
fn everything_is_in_order() {
    let before = untidy();
    let cleaned = clean(&before, CleanConfig::default()).unwrap();
    assert_eq!(operators(&cleaned.model), ["Quant", "Reshape", "Quant", "MatMul"]);
    let changes = &cleaned.changes;
    assert_eq!((changes.nodes_before, changes.nodes_after), (11, 4));
    assert_eq!((changes.folded_nodes, changes.folded_transposes), (4, 1));
    // The identity, and what nothing uses.
    assert_eq!((changes.removed_nodes, changes.removed_inputs, changes.moved_domains), (2, 1, 2));
    assert_eq!(changes.copied_parameters, 2);
    let graph = cleaned.model.graph.as_ref().unwrap();
    assert_eq!(graph.input.len(), 1);
    let names: Vec<&str> = graph.node.iter().map(NodeProto::name).collect();
    assert_eq!(names, ["Quant_0", "Reshape_0", "Quant_1", "MatMul_0"]);
    assert_eq!(graph.node[3].input, ["Quant_1_out0", "Quant_0_out0"]);
    assert_eq!(graph.node[0].input[0], "Quant_0_param0");
    let attributes: Vec<&str> = graph.node[0].attribute.iter().map(|a| a.name()).collect();
    assert_eq!(attributes, ["narrow", "rounding_mode", "signed"]);
    assert_eq!((graph.input[0].name(), graph.output[0].name()), ("global_in", "global_out"));
    // Each tensor that a node makes, and the one that was listed as an input.
    assert_eq!(graph.value_info.len() + graph.output.len(), 5);
    assert!(graph.initializer.iter().all(|tensor| tensor.name().contains("_param")));
    let found = compare(&before, &cleaned.model, 8, Mode::Canonical).unwrap();
    assert_eq!((found.values, found.values_differ), (32, 0));
    // Once more changes nothing.
    let again = clean(&cleaned.model, CleanConfig::default()).unwrap();
    assert_eq!(again.model, cleaned.model);
}

#[test]
fn quantizers_are_folded_on_demand() {
    let config = CleanConfig { quantizers: Quantizers::Folded, ..CleanConfig::default() };
    let cleaned = clean(&untidy(), config).unwrap();
    assert_eq!(operators(&cleaned.model), ["Reshape", "Quant", "MatMul"]);
    assert!(compare(&untidy(), &cleaned.model, 8, Mode::Reference).unwrap().is_exact());
}

#[test]
fn the_batch_is_fixed() {
    let config = CleanConfig { batch: Some(5), ..CleanConfig::default() };
    let cleaned = clean(&untidy(), config).unwrap();
    let model = Model::from_proto(&cleaned.model, Options::default()).unwrap();
    assert_eq!(model.inputs()[0].shape(), Some(&[Some(5), Some(2), Some(3)][..]));
    assert_eq!(model.outputs()[0].shape(), Some(&[Some(5), Some(4)][..]));
    assert!(compare(&untidy(), &cleaned.model, 10, Mode::Canonical).unwrap().is_exact());
    assert!(clean(&untidy(), CleanConfig { batch: Some(0), ..config }).is_err());
}

#[test]
fn biases_and_windows() {
    let before = Graph::new()
        .version("", 13)
        .input(info("x", &[1, 1, 4, 4]))
        .stored("w", &[2, 1, 3, 3], (0..18).map(|i| i as f32).collect::<Vec<f32>>())
        .stored("b", &[2], vec![0.5_f32, -1.0])
        .node(node("", "Conv", &["x", "w", "b"], &["y"]), vec![ints("pads", &[1, 1, 1, 1])])
        .output("y")
        .done();
    let config = CleanConfig { conv_bias: ConvBias::Extracted, ..CleanConfig::default() };
    let cleaned = clean(&before, config).unwrap();
    assert_eq!(operators(&cleaned.model), ["Conv", "Add"]);
    let names: Vec<&str> = nodes(&cleaned.model)[0].attribute.iter().map(|a| a.name()).collect();
    assert_eq!(names, ["dilations", "group", "kernel_shape", "pads", "strides"]);
    assert!(compare(&before, &cleaned.model, 8, Mode::Canonical).unwrap().is_exact());
}

/// A difference is seen.
#[test]
fn another_file_is_another_file() {
    let before = untidy();
    let mut after = before.clone();
    let stored = &mut after.graph.as_mut().unwrap().initializer;
    let scale = stored.iter_mut().find(|tensor| tensor.name() == "s").unwrap();
    *scale = fewbit_onnx::tensor::TensorValue::new([4, 1], vec![0.5_f32, 0.25, 1.0, 4.0])
        .unwrap()
        .to_proto("s");
    let found = compare(&before, &after, 8, Mode::Canonical).unwrap();
    assert!(found.values_differ > 0 && found.largest_difference >= 1.0, "{found:?}");
}

/// All shared files compute the same afterwards, and cleaning them again changes nothing.
#[test]
fn real_files() {
    let Some(folder) = shared() else { return };
    let mut files = 0;
    for name in [
        "golden/d_nets/tfc_1w1a.onnx",
        "golden/d_nets/tfc_2w2a.onnx",
        "golden/g_zoo/TFC_1W1A.onnx",
        "golden/g_zoo/TFC_2W2A.onnx",
        "golden/g_zoo/kwsmlp_w3a3.onnx",
        "golden/g_zoo/qkeras_jettagging.onnx",
        "golden/g_zoo/unsw_nb15-mlp-w2a2.onnx",
        "golden/e_traj_tiny_e3m1.end.onnx",
        "golden/e_traj_tiny_e4m3.end.onnx",
        "golden/e_traj_tiny_4w4a.end.onnx",
        "golden/e_traj_tiny_cnv_1w1a.end.onnx",
        "golden/nets/cnv_2w2a_clean.onnx",
        "golden/nets/resnet18w16_e4m3.onnx",
        "models/qonnx/floatquant_exec/qonnx_act_weight_fp8.onnx",
        "models/qonnx/mnist-conv/model.onnx",
    ] {
        let before = fewbit_onnx::read_model(&folder.join(name)).unwrap();
        let cleaned = clean(&before, CleanConfig::default()).unwrap();
        let found = compare(&before, &cleaned.model, 5, Mode::Canonical).unwrap();
        assert_eq!(found.values_differ, 0, "{name}: {found:?}");
        assert!(found.values > 0, "{name}");
        let again = clean(&cleaned.model, CleanConfig::default()).unwrap();
        assert!(again.model == cleaned.model, "{name}");
        files += 1;
    }
    assert_eq!(files, 15);
}

/// Stored tensors that are no inputs are not allowed before version 4 of the format.
#[test]
fn the_version_of_the_format_allows_what_is_written() {
    for (version, written) in [(None, 4), (Some(3), 4), (Some(4), 4), (Some(8), 8)] {
        let mut model = Graph::new()
            .input(info("x", &[1, 4]))
            .stored("c", &[4], vec![1.0_f32, 2.0, 3.0, 4.0])
            .node(node("", "Mul", &["x", "c"], &["y"]), vec![])
            .output("y")
            .done();
        model.ir_version = version;
        // As old files have it.
        model.graph.as_mut().unwrap().input.push(info("c", &[4]));
        let cleaned = clean(&model, CleanConfig::default()).unwrap().model;
        assert_eq!(cleaned.ir_version(), written);
        assert_eq!(cleaned.graph.unwrap().input.len(), 1);
    }
}
