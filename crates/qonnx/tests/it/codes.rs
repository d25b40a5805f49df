//! Codes of weights: every one comes back.

use fewbit_formats::Format;
use fewbit_qonnx::codes::Codes;
use fewbit_qonnx::facts::Facts;
use fewbit_qonnx::{ErrorKind, Model, Options};

use crate::graphs::{Graph, info, int, node, string};
use crate::shared;

const QONNX: &str = "qonnx.custom_op.general";

/// Scales for each channel, along an axis that a transpose moves.
#[test]
fn scales_follow_their_axis() {
    let model = Graph::new()
        .input(info("x", &[1, 3]))
        .stored("w", &[2, 3], vec![-1.0_f32, 0.4, 1.2, 10.0, -30.0, 0.0])
        .stored("s", &[2, 1], vec![0.3_f32, 10.0])
        .stored("z", &[], vec![0.0_f32])
        .stored("b", &[], vec![4.0_f32])
        .node(
            node(QONNX, "Quant", &["w", "s", "z", "b"], &["wq"]),
            vec![int("narrow", 0), string("rounding_mode", "ROUND"), int("signed", 1)],
        )
        .node(node("", "Transpose", &["wq"], &["wt"]), vec![])
        .node(node("", "MatMul", &["x", "wt"], &["y"]), vec![])
        .output("y")
        .done();
    let codes = Codes::of(&Facts::new(&model).unwrap()).unwrap();
    let [tensor] = codes.tensors.as_slice() else { panic!("one tensor") };
    assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("wt", &[3, 2][..]));
    assert_eq!((tensor.scales.as_slice(), tensor.scale_axis), (&[0.3_f32, 10.0][..], Some(1)));
    // -3, 1, 4 and 1, -3, 0 as four bits of two's complement.
    assert_eq!(tensor.codes, [13, 1, 1, 13, 4, 0]);
    assert_eq!(tensor.packed(), [0x1d, 0xd1, 0x04]);
    assert_eq!(codes.decode["int4"][13], -3.0);
    let header = codes.to_c_header("a */ file");
    assert!(
        header.contains("static const uint8_t wt_packed[3] = {\n    0x1d, 0xd1, 0x04,"),
        "{header}"
    );
    assert!(
        header.contains("return decode_int4[fewbit_code(wt_packed, 4, i)] * wt_scale[i / 1 % 2];")
    );
    assert_eq!(header.matches("*/").count(), 4);
    let image = codes.to_mem("m");
    assert!(image.ends_with("@0\nd\n1\n1\nd\n4\n0\n"), "{image}");
}

#[test]
fn what_has_no_codes_is_said() {
    let bare = Graph::new()
        .input(info("x", &[1, 2]))
        .stored("w", &[2, 1], vec![0.1_f32, 0.7])
        .node(node("", "MatMul", &["x", "w"], &["y"]), vec![])
        .output("y")
        .done();
    let error = Codes::of(&Facts::new(&bare).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("\"w\": its numbers are of no format"), "{error}");
}

/// Decoding gives the weights that the executor uses, in every format.
#[test]
fn codes_of_real_files() {
    let Some(folder) = shared() else { return };
    let (mut weights, mut seen) = (0, std::collections::BTreeSet::new());
    for name in [
        "golden/d_nets/tfc_1w1a.onnx",
        "golden/d_nets/tfc_2w2a.onnx",
        "golden/e_traj_tiny_e3m1.end.onnx",
        "golden/e_traj_tiny_e4m3.end.onnx",
        "golden/e_traj_tiny_4w4a.end.onnx",
        "golden/nets/resnet18w16_e4m3.onnx",
        "golden/nets/resnet18_e3m1_clean.onnx",
        "models/qonnx/floatquant_exec/qonnx_act_weight_fp8.onnx",
        "golden/g_zoo/qkeras_jettagging.onnx",
    ] {
        let proto = fewbit_onnx::read_model(&folder.join(name)).unwrap();
        let facts = Facts::new(&proto).unwrap();
        let codes = Codes::of(&facts).unwrap();
        assert!(codes.left_out.is_empty(), "{name}: {:?}", codes.left_out);
        let model = Model::from_proto(&proto, Options::default()).unwrap();
        for tensor in &codes.tensors {
            let stored = model.constant(&tensor.name).unwrap().as_slice::<f32>().unwrap();
            let format: Format = tensor.format.parse().unwrap();
            assert_eq!(format.bit_width(), tensor.bit_width);
            let table = &codes.decode[&tensor.format];
            let again = tensor
                .codes
                .iter()
                .enumerate()
                .map(|(i, &code)| (table[code as usize] - tensor.zero_point) * tensor.scale(i));
            assert!(again.eq(stored.iter().copied()), "{name}: {}", tensor.name);
            weights += stored.len();
            seen.insert(tensor.format.clone());
        }
    }
    assert!(weights > 11_000_000, "{weights}");
    for format in ["bipolar", "int2-narrow", "int4-narrow", "e3m1", "e4m3"] {
        assert!(seen.contains(format), "{format}: {seen:?}");
    }
}
