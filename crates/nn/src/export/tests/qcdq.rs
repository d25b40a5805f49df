//! Quantizers in operators of ONNX alone.

use fewbit_formats::{Format, IntegerFormat};
use fewbit_onnx::proto::ModelProto;
use fewbit_onnx::tensor::TensorValue;

use super::super::qcdq::translate;
use super::{network, quantizers, stored};
use crate::error::ErrorKind;
use crate::export::{ExportConfig, to_qcdq_with};
use crate::quantizer::{ActQuantizerConfig, Granularity, WeightQuantizerConfig};

fn operators(model: &ModelProto) -> Vec<&str> {
    model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type()).collect()
}

fn format(name: &str) -> Format {
    name.parse().unwrap()
}

/// The inputs of a node that are stored, by their place.
fn parameter(model: &ModelProto, node: &str, index: usize) -> TensorValue {
    let nodes = &model.graph.as_ref().unwrap().node;
    let node = nodes.iter().find(|other| other.name() == node).unwrap();
    stored(model, &node.input[index])
}

#[test]
fn activations_are_rounded_clipped_and_scaled() {
    for (name, limits) in [
        ("int4", Some([-8, 7])),
        ("int4-narrow", Some([-7, 7])),
        ("int8-narrow", Some([-127, 127])),
        ("int8", None),
        ("uint3", Some([0, 7])),
        ("uint8", None),
    ] {
        let act = ActQuantizerConfig::learned(format(name));
        let model = quantizers(&act, &WeightQuantizerConfig::None).unwrap();
        let model = translate(&model).unwrap();
        let clip = limits.map(|_| "Clip");
        let expected: Vec<&str> = ["QuantizeLinear"]
            .into_iter()
            .chain(clip)
            .chain(["DequantizeLinear", "Transpose", "MatMul"])
            .collect();
        assert_eq!(operators(&model), expected, "{name}");
        if let Some(limits) = limits {
            let found = [1, 2].map(|index| parameter(&model, "a_act_quant_clip", index));
            let found = found.map(|limit| limit.to_integers().unwrap()[0]);
            assert_eq!(found, limits, "{name}");
        }
        let type_name = if name.starts_with('u') { "UINT8" } else { "INT8" };
        for node in ["a_act_quant_round", "a_act_quant"] {
            let zero_point = parameter(&model, node, 2);
            assert_eq!(zero_point.data_type().as_str_name(), type_name, "{name}");
            assert_eq!(zero_point.to_integers().unwrap(), [0]);
        }
        assert_eq!(
            parameter(&model, "a_act_quant", 1),
            stored(&model, "a.act_quant.scale"),
            "{name}"
        );
    }
}

/// The weights of `quantizers`: four rows, whose largest magnitudes are 6, 3, 2 and 5.
#[test]
fn weights_are_stored_as_codes_along_their_axis() {
    let weight = WeightQuantizerConfig::absmax(format("int4-narrow"), Granularity::PerChannel);
    let old = quantizers(&ActQuantizerConfig::None, &weight).unwrap();
    let new = translate(&old).unwrap();
    assert_eq!(operators(&new), ["DequantizeLinear", "Transpose", "MatMul"]);
    let scales = parameter(&new, "w_weight_quant", 1);
    assert_eq!(scales, TensorValue::vector([6.0, 3.0, 2.0, 5.0].map(|v: f32| v / 7.0).to_vec()));
    let graph = new.graph.as_ref().unwrap();
    assert_eq!(graph.node[0].int("axis").unwrap(), Some(0));
    assert!(!graph.initializer.iter().any(|tensor| tensor.name() == "w.weight"), "floats are gone");

    let (floats, codes) = (stored(&old, "w.weight"), stored(&new, "w.weight.codes"));
    assert_eq!((codes.dims(), codes.data_type().as_str_name()), (floats.dims(), "INT8"));
    let (floats, codes) = (floats.as_f32().unwrap().to_vec(), codes.to_integers().unwrap());
    let columns = floats.len() / 4;
    let scales = scales.as_f32().unwrap().to_vec();
    assert_eq!(codes.iter().map(|code| code.abs()).max(), Some(7));
    for (i, (&float, code)) in floats.iter().zip(codes).enumerate() {
        assert_eq!(code as f32, (float / scales[i / columns]).round_ties_even(), "{i}");
    }
}

#[test]
fn signs_and_thirds() {
    let act = ActQuantizerConfig::common(1);
    let weight = WeightQuantizerConfig::unscaled(Format::Ternary);
    let model = translate(&quantizers(&act, &weight).unwrap()).unwrap();
    assert_eq!(
        operators(&model)[..5],
        ["GreaterOrEqual", "Where", "QuantizeLinear", "DequantizeLinear", "DequantizeLinear"]
    );
    let codes = stored(&model, "w.weight.codes").to_integers().unwrap();
    assert!(codes.iter().all(|code| (-1..=1).contains(code)) && codes.contains(&1), "{codes:?}");
    let weight = WeightQuantizerConfig::unscaled(Format::Bipolar);
    let model = translate(&quantizers(&act, &weight).unwrap()).unwrap();
    let codes = stored(&model, "w.weight.codes").to_integers().unwrap();
    assert!(codes.iter().all(|code| code.abs() == 1), "{codes:?}");
}

#[test]
fn what_onnx_cannot_say_is_refused_by_layer() {
    let wide = Format::Integer(IntegerFormat::new(9).unwrap());
    for (act, words) in [(format("e4m3"), "FloatQuant"), (wide, "9 bits")] {
        let act = ActQuantizerConfig::unscaled(act);
        let model = quantizers(&act, &WeightQuantizerConfig::None).unwrap();
        let error = translate(&model).unwrap_err();
        let ErrorKind::NotExportable { layer, what, .. } = error.kind() else { panic!("{error}") };
        assert!(layer == "a.act_quant" && what.contains(words), "{error}");
    }
    // Wide weights are stored, as integers of 32 bits without a zero point.
    let weight = WeightQuantizerConfig::unscaled(wide);
    let model = translate(&quantizers(&ActQuantizerConfig::None, &weight).unwrap()).unwrap();
    assert_eq!(stored(&model, "w.weight.codes").data_type().as_str_name(), "INT32");
    assert_eq!(model.graph.as_ref().unwrap().node[0].input.len(), 2);
}

#[test]
fn networks_keep_the_names_of_their_tensors() {
    for name in ["TFC_1W1A", "TFC_2W2A", "CNV_1W2A"] {
        let network = network(name);
        let config = ExportConfig { batch: 2, metadata: vec![("a".to_owned(), "b".to_owned())] };
        let [old, new] =
            [super::to_qonnx_with, to_qcdq_with].map(|to| to(&network, &config).unwrap());
        let outputs = |model: &ModelProto| -> Vec<String> {
            let nodes = &model.graph.as_ref().unwrap().node;
            nodes.iter().flat_map(|node| node.output.clone()).collect()
        };
        let (before, after) = (outputs(&old), outputs(&new));
        let kept: Vec<&String> = after.iter().filter(|name| before.contains(name)).collect();
        assert_eq!(kept, before.iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(new.metadata_props, old.metadata_props);
        assert_eq!(new.opset_import.len(), 1, "{name}: no operators of QONNX");
    }
}
