use super::{GraphBuilder, Node, QONNX_DOMAIN};
use crate::ErrorKind;
use crate::proto::ModelProto;
use crate::tensor::TensorValue;

/// A quantized weight times an input.
fn built() -> ModelProto {
    let mut graph = GraphBuilder::new("g");
    graph.input("x", &[1, 3]).unwrap();
    graph.initializer("fc.weight", &TensorValue::new([2, 3], vec![0.5_f32; 6]).unwrap()).unwrap();
    let one = graph.constant(&TensorValue::scalar(1.0_f32)).unwrap();
    let zero = graph.constant(&TensorValue::scalar(0.0_f32)).unwrap();
    let two = graph.constant(&TensorValue::scalar(2.0_f32)).unwrap();
    let quant = Node::qonnx("fc_weight_quant", "Quant")
        .inputs(["fc.weight", &one, &zero, &two])
        .int("signed", 1)
        .string("rounding_mode", "ROUND")
        .int("narrow", 1)
        .output("fc.weight_quant.out", &[2, 3]);
    graph.add(quant).unwrap();
    let product = Node::standard("fc_gemm", "Gemm")
        .inputs(["x", "fc.weight_quant.out"])
        .int("transB", 1)
        .output("y", &[1, 2]);
    graph.add(product).unwrap();
    graph.annotate("fc.weight_quant.out", "INT2").unwrap();
    graph.output("y").unwrap();
    graph.metadata("a", "1");
    graph.metadata("b", "2");
    graph.metadata("a", "3");
    graph.finish("fewbit", "9.9").unwrap()
}

#[test]
fn a_model_is_what_readers_want() {
    let model = built();
    assert_eq!(
        (model.ir_version(), model.producer_name(), model.producer_version()),
        (8, "fewbit", "9.9")
    );
    let sets: Vec<_> = model.opset_import.iter().map(|set| (set.domain(), set.version())).collect();
    assert_eq!(sets, [("", 13), (QONNX_DOMAIN, 1)]);
    let notes: Vec<_> =
        model.metadata_props.iter().map(|note| (note.key(), note.value())).collect();
    assert_eq!(notes, [("b", "2"), ("a", "3")]);
    let graph = model.graph.unwrap();
    let inputs: Vec<_> = graph.input.iter().map(|input| input.name()).collect();
    assert_eq!(inputs, ["x"], "stored tensors are no inputs");
    for tensor in &graph.initializer {
        assert!(tensor.raw_data.is_some() && tensor.float_data.is_empty(), "{}", tensor.name());
    }
    let typed: Vec<_> = graph.value_info.iter().map(|value| value.name()).collect();
    assert_eq!(typed, ["fc.weight_quant.out"], "all that is neither input, output nor stored");
    let order: Vec<_> = graph.node[0].attribute.iter().map(|attribute| attribute.name()).collect();
    assert_eq!(order, ["narrow", "rounding_mode", "signed"]);
    let note = &graph.quantization_annotation[0];
    assert_eq!(note.tensor_name(), "fc.weight_quant.out");
    assert_eq!(note.quant_parameter_tensor_names[0].value(), "INT2");
}

#[test]
fn the_operator_sets_are_the_lowest_that_have_all_operators() {
    let mut graph = GraphBuilder::new("g");
    graph.input("x", &[1]).unwrap();
    let node = |name: &str, version| {
        Node::qonnx(name, "Trunc").since(version).inputs(["x"]).output(name, &[1])
    };
    for (name, version) in [("a", 1), ("b", 2), ("c", 1)] {
        graph.add(node(name, version)).unwrap();
    }
    graph.add(Node::standard("d", "Op").since(17).inputs(["x"]).output("d", &[1])).unwrap();
    graph.output("d").unwrap();
    let sets = graph.finish("p", "1").unwrap().opset_import;
    let sets: Vec<_> = sets.iter().map(|set| (set.domain(), set.version())).collect();
    assert_eq!(sets, [("", 17), (QONNX_DOMAIN, 2)]);
}

#[test]
fn an_output_gets_its_name_last() {
    let mut graph = GraphBuilder::new("g");
    graph.input("x", &[1]).unwrap();
    graph.add(Node::standard("a", "Relu").inputs(["x"]).output("last", &[1])).unwrap();
    graph.add(Node::standard("b", "Relu").inputs(["last"]).output("more", &[2])).unwrap();
    graph.annotate("last", "INT2").unwrap();
    graph.rename("last", "out").unwrap();
    for (tensor, name) in [("last", "other"), ("x", "other"), ("out", "x"), ("out", "more")] {
        assert_eq!(graph.rename(tensor, name).unwrap_err().kind(), ErrorKind::Graph);
    }
    graph.output("out").unwrap();
    let graph = graph.finish("p", "1").unwrap().graph.unwrap();
    assert_eq!((&graph.node[0].output[0], &graph.node[1].input[0]), (&"out".into(), &"out".into()));
    assert_eq!(graph.output[0].name(), "out");
    assert_eq!(graph.quantization_annotation[0].tensor_name(), "out");
}

#[test]
fn constants_are_stored_once_and_named_by_their_value() {
    let mut graph = GraphBuilder::new("g");
    let cases = [
        (TensorValue::scalar(1.0_f32), "const_1"),
        (TensorValue::scalar(-0.5_f32), "const_m0p5"),
        (TensorValue::scalar(0.0_f32), "const_0"),
        (TensorValue::scalar(-0.0_f32), "const_m0"),
        (TensorValue::scalar(f32::INFINITY), "const_inf"),
        (TensorValue::scalar(1_i64), "const_i64_1"),
        (TensorValue::vector(vec![1.0_f32]), "const_1_shape_1"),
        (TensorValue::vector(vec![1_i64, -1]), "const_i64_1_m1"),
        (TensorValue::new([1, 1], vec![1.0_f32]).unwrap(), "const_1_shape_1_1"),
        (TensorValue::new([2, 1], vec![1.0_f32, 2.0]).unwrap(), "const_1_2_shape_2_1"),
        (TensorValue::vector(vec![1.0_f32, 2.0]), "const_1_2"),
    ];
    for _ in 0..2 {
        for (value, name) in &cases {
            assert_eq!(graph.constant(value).unwrap(), *name);
        }
        assert_eq!(graph.graph.initializer.len(), cases.len());
    }
    for value in [
        TensorValue::vector(vec![0_i64; 9]),
        TensorValue::vector(Vec::<f32>::new()),
        TensorValue::scalar(1.0_f64),
    ] {
        assert_eq!(graph.constant(&value).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn what_readers_would_stumble_over_is_refused() {
    let node = |name: &str| Node::standard(name, "Op").inputs(["x"]);
    type Step = Box<dyn Fn(&mut GraphBuilder) -> Result<(), crate::Error>>;
    let cases: [(&str, Step); 13] = [
        ("the name ``", Box::new(move |g| g.add(node("").output("y", &[])))),
        ("the name `1x`", Box::new(move |g| g.add(node("1x").output("y", &[])))),
        ("the name `features.2`", Box::new(move |g| g.add(node("features.2").output("y", &[])))),
        (
            "node `a` (`Op`): the name is in use",
            Box::new(move |g| g.add(node("a").output("y", &[]))),
        ),
        (
            "`t`: there is a tensor of this name",
            Box::new(move |g| g.add(node("b").output("t", &[]))),
        ),
        ("a tensor without a name", Box::new(move |g| g.add(node("b").output("", &[])))),
        (
            "node `b` (`Op`): input 1 is `no`, which nothing defines",
            Box::new(move |g| g.add(node("b").inputs(["no"]).output("y", &[]))),
        ),
        (
            "attribute `k` is there twice",
            Box::new(move |g| g.add(node("b").int("k", 1).float("k", 1.0).output("y", &[]))),
        ),
        ("`x`: there is a tensor of this name", Box::new(|g| g.input("x", &[1]))),
        ("`x`: it is an input of the graph", Box::new(|g| g.output("x"))),
        ("`w`: it is a stored tensor", Box::new(|g| g.output("w"))),
        ("`no`: nothing defines this output", Box::new(|g| g.output("no"))),
        ("`no`: there is no tensor to annotate", Box::new(|g| g.annotate("no", "INT2"))),
    ];
    let mut graph = GraphBuilder::new("g");
    graph.input("x", &[1]).unwrap();
    graph.initializer("w", &TensorValue::scalar(1.0_f32)).unwrap();
    graph.add(node("a").output("t", &[1])).unwrap();
    for (expected, step) in cases {
        let error = step(&mut graph.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, but expected {expected}");
    }
    let error = graph.clone().finish("p", "1").unwrap_err().to_string();
    assert_eq!(error, "the graph has no output");
    graph.output("t").unwrap();
    assert_eq!(graph.finish("p", "1").unwrap_err().to_string(), "tensor `w`: no node uses it");
}
