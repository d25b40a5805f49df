//! Damaged files: whatever the bytes are, the result is a value or an error.

use fewbit_onnx::builder::{GraphBuilder, Node};
use fewbit_onnx::check::validate;
use fewbit_onnx::proto::attribute_proto::AttributeType;
use fewbit_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use fewbit_onnx::tensor::TensorValue;
use fewbit_onnx::{Error, decode, encode};
use proptest::prelude::*;

/// A file with a bit of everything, as this program writes it.
pub fn small_model() -> ModelProto {
    let mut graph = GraphBuilder::new("small");
    graph.input("x", &[1, 3]).unwrap();
    let weight = TensorValue::new([2, 3], vec![0.5_f32, -1.0, 0.25, 1.0, 0.0, -0.75]).unwrap();
    graph.initializer("fc.weight", &weight).unwrap();
    let scale = graph.constant(&TensorValue::scalar(1.0_f32)).unwrap();
    let shape = graph.constant(&TensorValue::vector(vec![1_i64, -1])).unwrap();
    let quant = Node::qonnx("fc_weight_quant", "BipolarQuant")
        .inputs(["fc.weight", &scale])
        .output("fc.weight_quant.out", &[2, 3]);
    graph.add(quant).unwrap();
    let product = Node::standard("fc_gemm", "Gemm")
        .inputs(["x", "fc.weight_quant.out"])
        .float("alpha", 1.0)
        .int("transB", 1)
        .output("t", &[1, 2]);
    graph.add(product).unwrap();
    let reshape = Node::standard("reshape", "Reshape").inputs(["t", &shape]).output("y", &[1, 2]);
    graph.add(reshape).unwrap();
    graph.annotate("fc.weight_quant.out", "BIPOLAR").unwrap();
    graph.output("y").unwrap();
    graph.metadata("configuration", "weight_bit_width = 1");
    let mut model = graph.finish("fewbit", "0.0").unwrap();
    // What the builder does not write: a graph and a tensor inside of a node.
    let inner = GraphProto {
        node: vec![NodeProto {
            op_type: Some("Identity".to_owned()),
            input: vec!["t".to_owned()],
            output: vec!["inside".to_owned()],
            ..NodeProto::default()
        }],
        ..GraphProto::default()
    };
    let attribute = |name: &str, kind: AttributeType| AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    };
    model.graph.as_mut().unwrap().node[2].attribute = vec![
        AttributeProto { g: Some(Box::new(inner)), ..attribute("body", AttributeType::Graph) },
        AttributeProto {
            t: Some(Box::new(weight.to_proto("constant"))),
            ..attribute("value", AttributeType::Tensor)
        },
    ];
    model
}

/// Everything that reading a file does.
fn open(bytes: &[u8]) -> Result<ModelProto, Error> {
    let model = decode(bytes.to_vec())?.model;
    let order = validate(&model)?;
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(order.len(), graph.node.len());
    for tensor in &graph.initializer {
        let value = TensorValue::from_proto(tensor)?;
        assert_eq!(value.dims().iter().product::<usize>(), value.data().len());
    }
    for node in &graph.node {
        for attribute in &node.attribute {
            // Of what type it is decides which of these is right; none may panic.
            let name = attribute.name();
            let _ = (node.int(name), node.float(name), node.string(name), node.ints(name));
            let _ = (node.floats(name), node.strings(name), node.tensor(name), node.graph(name));
        }
    }
    Ok(model)
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_refused() {
    let model = small_model();
    let bytes = encode(&model);
    assert_eq!(open(&bytes).unwrap(), model);
    let mut complete = Vec::new();
    for length in 0..bytes.len() {
        match open(&bytes[..length]) {
            Ok(shorter) => complete.push(shorter),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    // Protobuf cannot tell that a whole entry at the end is missing. There are two such places:
    // behind the standard operator set, and behind that of the quantizers.
    assert_eq!(complete.len(), 2);
    for shorter in complete {
        assert_eq!(shorter.graph, model.graph, "what is computed is complete");
    }
}

#[test]
fn one_wrong_byte_anywhere_is_no_panic() {
    let bytes = encode(&small_model());
    let mut refused = 0;
    for position in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            refused += usize::from(open(&damaged).is_err());
        }
    }
    // Bytes of weights and names may be anything; most others may not.
    assert!(refused > bytes.len(), "{refused} of {}", 5 * bytes.len());
}

proptest! {
    #[test]
    fn flipped_bits_are_no_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..8)) {
        let mut bytes = encode(&small_model());
        for (position, bit) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
        }
        if let Ok(model) = open(&bytes) {
            // What was read can be written and is read as the same.
            prop_assert_eq!(decode(encode(&model)).unwrap().model, model);
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = open(&bytes);
    }

    #[test]
    fn a_part_that_is_taken_out_or_doubled_is_no_panic(
        start in any::<prop::sample::Index>(), length in 1..40_usize, double in any::<bool>(),
    ) {
        let bytes = encode(&small_model());
        let start = start.index(bytes.len());
        let end = (start + length).min(bytes.len());
        let mut damaged = bytes[..if double { end } else { start }].to_vec();
        damaged.extend_from_slice(&bytes[if double { start } else { end }..]);
        let _ = open(&damaged);
    }
}
