mod qcdq;

use fewbit_formats::{FloatFormat, Format, IntegerFormat, ReservedCodes};
use fewbit_onnx::proto::{ModelProto, NodeProto};
use fewbit_onnx::tensor::TensorValue;

use super::{ExportConfig, Exporter, INPUT, OUTPUT, to_qonnx, to_qonnx_with};
use crate::config::{Architecture, FormatName, NetworkConfig};
use crate::device::Device;
use crate::error::ErrorKind;
use crate::network::{Clipping, Linear, Network, Parameter, Pass, Taps};
use crate::quantizer::{
    ActQuantizer, ActQuantizerConfig, Granularity, WeightQuantizer, WeightQuantizerConfig,
};
use crate::tensor::Tensor;

fn network(name: &str) -> Network {
    Network::new(&NetworkConfig::named(name).unwrap(), 3, &Device::cpu()).unwrap()
}

fn stored(model: &ModelProto, name: &str) -> TensorValue {
    let tensors = &model.graph.as_ref().unwrap().initializer;
    let tensor = tensors.iter().find(|tensor| tensor.name() == name);
    TensorValue::from_proto(tensor.unwrap_or_else(|| panic!("no tensor {name}"))).unwrap()
}

fn annotation<'a>(model: &'a ModelProto, tensor: &str) -> Option<&'a str> {
    let notes = &model.graph.as_ref().unwrap().quantization_annotation;
    let note = notes.iter().find(|note| note.tensor_name() == tensor)?;
    Some(note.quant_parameter_tensor_names[0].value())
}

#[test]
fn every_tensor_of_the_network_has_its_name_and_shape_in_the_file() {
    let small = NetworkConfig::shipped_names();
    let small = small.iter().filter(|name| name.contains("FC_")).map(String::as_str);
    for name in small.chain(["CNV_2W2A", "RESNET18_5W5A_FLOAT_E3M1", "RESNET18_4W4A"]) {
        let mut network = network(name);
        let config = ExportConfig { batch: 2, ..ExportConfig::default() };
        let model = to_qonnx_with(&network, &config).unwrap();
        let graph = model.graph.unwrap();
        let shapes: Vec<(&str, Vec<usize>)> = graph
            .value_info
            .iter()
            .map(|value| {
                let Some(fewbit_onnx::proto::type_proto::Value::TensorType(tensor)) =
                    value.r#type.as_ref().and_then(|t| t.value.as_ref())
                else {
                    panic!("{name}: {} has no tensor type", value.name())
                };
                let dims = tensor.shape.as_ref().unwrap().dim.iter().map(|dim| match dim.value {
                    Some(fewbit_onnx::proto::tensor_shape_proto::dimension::Value::DimValue(n)) => {
                        n as usize
                    }
                    _ => panic!("{name}: {} has no static shape", value.name()),
                });
                (value.name(), dims.collect())
            })
            .collect();
        let [channels, height, width] = network.config().image_shape;
        let images = Tensor::full(0.5, &[2, channels, height, width], &Device::cpu());
        let mut taps = Taps::all();
        network.forward_tapped(&images, Pass::Evaluation, &mut taps).unwrap();
        let mut tensors = taps.into_tensors();
        // The logits are the output of the file.
        let (last, _) = tensors.pop().unwrap();
        let (logits, count) = match &name[..3] {
            "CNV" => ("linear_features.7.add.out", 2 + 6 * 4 + 2 + 1 + 2 * 4 + 2),
            "RES" if name.ends_with("_4W4A") => ("linear.gemm.out", 20 * 5 + 8 * 3 + 3 + 2),
            "RES" => ("linear.gemm.out", 1 + 20 * 6 + 8 * 3 + 3 + 1),
            _ => ("features.15.add.out", 3 + 3 * 4 + 2),
        };
        assert_eq!(last, logits, "{name}");
        assert_eq!(tensors.len(), count, "{name}");
        for (tensor, value) in tensors {
            assert!(
                shapes.contains(&(&tensor, value.shape())),
                "{name}: {tensor} {:?}",
                value.shape()
            );
        }
        assert_eq!(graph.input.iter().map(|input| input.name()).collect::<Vec<_>>(), [INPUT]);
        assert_eq!(graph.output.iter().map(|output| output.name()).collect::<Vec<_>>(), [OUTPUT]);
        assert_eq!(graph.value_info.len() + 1, graph.node.len(), "{name}: all are typed");
    }
}

#[test]
fn tfc_2w2a_node_by_node() {
    // export.md 5.5.
    let layer = ["Quant", "Transpose", "MatMul", "BatchNormalization", "Quant"];
    let mut expected = vec!["Reshape", "Mul", "Sub", "Quant"];
    (0..3).for_each(|_| expected.extend(layer));
    expected.extend(["Quant", "Transpose", "MatMul", "Sub", "Pow", "Div", "Mul", "Add"]);
    let model = to_qonnx(&network("TFC_2W2A")).unwrap();
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(graph.node.iter().map(NodeProto::op_type).collect::<Vec<_>>(), expected);
    let quant = &graph.node[4];
    assert_eq!(quant.name(), "features_2_weight_quant");
    assert_eq!(quant.domain(), "qonnx.custom_op.general");
    assert_eq!(quant.input, ["features.2.weight", "const_1", "const_0", "const_2"]);
    assert_eq!(quant.output, ["features.2.weight_quant.out"]);
    let attributes: Vec<_> = quant.attribute.iter().map(|attribute| attribute.name()).collect();
    assert_eq!(attributes, ["narrow", "rounding_mode", "signed"]);
    assert_eq!(annotation(&model, "features.2.weight_quant.out"), Some("INT2"));
    assert_eq!(stored(&model, "const_2").dims(), [0_usize; 0]);
    assert_eq!(stored(&model, "const_1_shape_1").dims(), [1]);
    let sets: Vec<_> = model.opset_import.iter().map(|set| (set.domain(), set.version())).collect();
    assert_eq!(sets, [("", 13), ("qonnx.custom_op.general", 1)]);
    // The weights are the float ones, bit for bit.
    let network = network("TFC_2W2A");
    let state = network.state();
    let crate::network::StateData::F32(weight) = &state["features.2.weight"].data else {
        panic!("the weight is f32")
    };
    assert_eq!(stored(&model, "features.2.weight").as_f32().unwrap(), weight);
    assert_eq!(stored(&model, "features.15.running_var_eps").as_f32().unwrap(), [1.0_f32 + 1e-4]);
    // Four weights, four numbers of each normalization, six constants.
    assert_eq!(graph.initializer.len(), 4 + 3 * 4 + 4 + 6);
}

#[test]
fn one_bit_is_bipolar() {
    let model = to_qonnx(&network("TFC_1W2A")).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let count = |op_type| graph.node.iter().filter(|node| node.op_type() == op_type).count();
    assert_eq!((count("BipolarQuant"), count("Quant")), (4, 4));
    let bipolar = graph.node.iter().find(|node| node.op_type() == "BipolarQuant").unwrap();
    assert_eq!(bipolar.input, ["features.2.weight", "const_1_shape_1"]);
    assert_eq!(bipolar.attribute, []);
    assert_eq!(annotation(&model, "features.2.weight_quant.out"), Some("BIPOLAR"));
    assert_eq!(annotation(&model, "features.4.act_quant.out"), Some("INT2"));
}

#[test]
fn scales_of_wider_integers() {
    let model = to_qonnx(&network("TFC_4W3A")).unwrap();
    let scale = |tensor: &str| {
        let nodes = &model.graph.as_ref().unwrap().node;
        let node = nodes.iter().find(|node| node.output[0] == tensor).unwrap();
        stored(&model, &node.input[1]).f32_scalar().unwrap()
    };
    assert_eq!(scale("features.2.weight_quant.out"), 1.0 / 7.0);
    assert_eq!(scale("features.4.act_quant.out"), 1.0 / 3.0);
    assert_eq!(annotation(&model, "features.2.weight_quant.out"), Some("SCALEDINT<4>"));
}

#[test]
fn notes_and_batches() {
    let note = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let metadata = vec![note("top1_percent", "97.5"), note("network", "mine")];
    let network = network("TFC_1W1A");
    let model = to_qonnx_with(&network, &ExportConfig { batch: 5, metadata }).unwrap();
    assert_eq!(
        (model.producer_name(), model.producer_version()),
        ("fewbit", env!("CARGO_PKG_VERSION"))
    );
    let notes: Vec<_> =
        model.metadata_props.iter().map(|note| (note.key(), note.value())).collect();
    assert_eq!(notes, [("top1_percent", "97.5"), ("network", "mine")]);
    assert_eq!(stored(&model, "const_i64_5_m1").as_i64().unwrap(), [5, -1]);
    let none = ExportConfig { batch: 0, ..ExportConfig::default() };
    let error = to_qonnx_with(&network, &none).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidConfig { field: "batch", .. }));
    // The same network gives the same bytes.
    let bytes = || fewbit_onnx::encode(&to_qonnx(&network).unwrap());
    assert_eq!(bytes(), bytes());
}

/// A graph with only a quantized weight `[4, 3]` and a quantized activation `[2, 3]`.
fn quantizers(
    act: &ActQuantizerConfig,
    weight: &WeightQuantizerConfig,
) -> Result<ModelProto, crate::Error> {
    let mut graph = fewbit_onnx::builder::GraphBuilder::new("g");
    graph.input(INPUT, &[2, 3]).unwrap();
    let mut exporter = Exporter::new(graph, &[]);
    let values: Vec<f32> = (0..12).map(|i| (i - 6) as f32).collect();
    let linear = Linear {
        weight: Parameter::new(Tensor::from_vec(values, &[4, 3], &Device::cpu()), Clipping::None),
        quantizer: WeightQuantizer::new(weight)?,
        bias: None,
    };
    exporter.act_quantizer("a", &ActQuantizer::new(act)?)?;
    exporter.linear("w", &linear)?;
    exporter.graph.output(&exporter.current)?;
    Ok(exporter.graph.finish("p", "1")?)
}

fn inputs(model: &ModelProto, node: &str) -> Vec<TensorValue> {
    let nodes = &model.graph.as_ref().unwrap().node;
    let node = nodes.iter().find(|other| other.name() == node).unwrap();
    node.input[1..].iter().map(|name| stored(model, name)).collect()
}

#[test]
fn minifloats() {
    let e4m3: Format = "e4m3".parse().unwrap();
    let e3m1: Format = "e3m1".parse().unwrap();
    let act = ActQuantizerConfig::unscaled(e4m3);
    let weight = WeightQuantizerConfig::absmax(e3m1, Granularity::PerChannel);
    let model = quantizers(&act, &weight).unwrap();
    let numbers = |node: &str| {
        let inputs = inputs(&model, node).into_iter().skip(1);
        inputs.map(|value| value.f32_scalar().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers("a_act_quant"), [4.0, 3.0, 7.0, 448.0]);
    assert_eq!(numbers("w_weight_quant"), [3.0, 1.0, 3.0, 24.0]);
    assert_eq!(inputs(&model, "a_act_quant")[0], TensorValue::vector(vec![1.0_f32]));
    let scale = TensorValue::new([4, 1], [6.0, 3.0, 2.0, 5.0].map(|v: f32| v / 24.0).to_vec());
    assert_eq!(inputs(&model, "w_weight_quant")[0], scale.unwrap());
    assert_eq!(stored(&model, "w.weight_quant.scale").dims(), [4, 1]);
    let graph = model.graph.as_ref().unwrap();
    let node = graph.node.iter().find(|node| node.name() == "a_act_quant").unwrap();
    let names: Vec<_> = node.attribute.iter().map(|attribute| attribute.name()).collect();
    assert_eq!(names, ["has_inf", "has_nan", "has_subnormal", "rounding_mode", "saturation"]);
    let ints = ["has_inf", "has_nan", "has_subnormal", "saturation"].map(|n| node.int(n).unwrap());
    assert_eq!(ints, [Some(0), Some(1), Some(1), Some(1)]);
    assert_eq!(annotation(&model, "a.act_quant.out"), Some("FLOAT<4,3,7>"));
    assert_eq!(annotation(&model, "w.weight_quant.out"), None);
}

#[test]
fn minifloats_without_a_sign_are_rectified() {
    let unsigned = FloatFormat::new(4, 3).unwrap().unsigned().unwrap();
    let act = ActQuantizerConfig::unscaled(Format::Float(unsigned));
    let model = quantizers(&act, &WeightQuantizerConfig::None).unwrap();
    let nodes = &model.graph.as_ref().unwrap().node;
    let operators: Vec<_> = nodes.iter().map(NodeProto::op_type).collect();
    assert_eq!(operators, ["Relu", "FloatQuant", "Transpose", "MatMul"]);
    assert_eq!(nodes[1].input[0], nodes[0].output[0]);
    assert_eq!(nodes[1].output[0], "a.act_quant.out");
    // The largest value of the format without a sign, not of e4m3.
    assert_eq!(inputs(&model, "a_act_quant")[4].f32_scalar().unwrap(), 480.0);
    assert_eq!(annotation(&model, "a.act_quant.out"), None);
    // Behind a rectifier nothing is added.
    let mut network = NetworkConfig::named("RESNET18_5W5A_FLOAT_E3M1").unwrap();
    let signed = to_qonnx(&Network::new(&network, 1, &Device::cpu()).unwrap()).unwrap();
    let Architecture::Resnet18 { widths, quantizers, .. } = &mut network.architecture else {
        unreachable!("a ResNet")
    };
    (*widths, quantizers.rectified_format) =
        (vec![4; 4], Some(FormatName("ue3m1".parse().unwrap())));
    let unsigned = to_qonnx(&Network::new(&network, 1, &Device::cpu()).unwrap()).unwrap();
    assert_eq!(unsigned.graph.unwrap().node.len(), signed.graph.unwrap().node.len());
}

#[test]
fn a_sign_that_is_not_used_changes_no_value() {
    let mut compared = 0;
    for (exponent, mantissa) in (1..=6).flat_map(|e| (0..=4).map(move |m| (e, m))) {
        let unsigned = FloatFormat::new(exponent, mantissa).unwrap().unsigned().unwrap();
        let (bias, max) = (unsigned.exponent_bias(), unsigned.max_value());
        // What the node says: a sign, the same bits, the largest value that it is told.
        let signed = FloatFormat::new(exponent, mantissa).unwrap();
        let signed = signed.with_exponent_bias(bias).unwrap();
        let signed = signed.with_reserved(ReservedCodes::None).unwrap();
        let signed = signed.with_max_value(max).unwrap();
        let [mut without, mut with] = [unsigned, signed].map(|format| {
            ActQuantizer::new(&ActQuantizerConfig::unscaled(Format::Float(format))).unwrap()
        });
        // Every value, every midpoint, and their neighbours: between them nothing changes.
        let step = 2.0_f32.powi(1 - bias - mantissa as i32);
        let mut grid = vec![0.0_f32];
        let binades = (max / step).log2().ceil() as i32 + 1;
        for binade in 0..=binades {
            let first = if binade == 0 { 0 } else { 1_u32 << mantissa };
            let power = 2.0_f32.powi((binade - 1).max(0));
            let values = (first..2 << mantissa).map(|code| code as f32 * power * step);
            grid.extend(values.filter(|value| value.is_finite()));
        }
        grid.sort_by(f32::total_cmp);
        let midpoints: Vec<f32> =
            grid.windows(2).map(|pair| pair[0] / 2.0 + pair[1] / 2.0).collect();
        grid.extend(midpoints);
        let near = |v: f32| [v, v.next_up(), v.next_down(), -v, -v.next_up()];
        let mut values: Vec<f32> = grid.into_iter().flat_map(near).collect();
        values.extend([
            f32::MAX / 4.0,
            -f32::MAX / 4.0,
            f32::MIN_POSITIVE,
            1e-40,
            -1e-40,
            f32::NAN,
        ]);
        let x = Tensor::from_vec(values.clone(), &[values.len()], &Device::cpu());
        let quantize = |quantizer: &mut ActQuantizer, x: &Tensor| {
            quantizer.forward(x, crate::quantizer::Mode::Evaluation).unwrap().value.to_vec()
        };
        let expected = quantize(&mut without, &x);
        let got = quantize(&mut with, &crate::ops::relu(x));
        for ((value, expected), got) in values.iter().zip(expected).zip(got) {
            let same = expected == got || (expected.is_nan() && got.is_nan());
            assert!(same, "{unsigned} {value:e}: {expected}, {got}");
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn learned_scales_and_ternary_weights() {
    let uint4 = Format::Integer(IntegerFormat::new(4).unwrap().unsigned().unwrap());
    let act = ActQuantizerConfig::learned(uint4);
    let model = quantizers(&act, &WeightQuantizerConfig::unscaled(Format::Ternary)).unwrap();
    assert_eq!(stored(&model, "a.act_quant.scale").as_f32().unwrap(), [1.0 / 15.0]);
    assert_eq!(annotation(&model, "a.act_quant.out"), Some("SCALEDINT<4>"));
    assert_eq!(annotation(&model, "w.weight_quant.out"), Some("TERNARY"));
    let graph = model.graph.as_ref().unwrap();
    let flags = |node: &str| {
        let node = graph.node.iter().find(|other| other.name() == node).unwrap();
        ["narrow", "signed"].map(|name| node.int(name).unwrap().unwrap())
    };
    assert_eq!(flags("a_act_quant"), [0, 0]);
    assert_eq!(flags("w_weight_quant"), [1, 1]);
    assert_eq!(inputs(&model, "w_weight_quant")[2].f32_scalar().unwrap(), 2.0);
}

#[test]
fn without_quantizers_nothing_is_quantized() {
    let model = quantizers(&ActQuantizerConfig::None, &WeightQuantizerConfig::None).unwrap();
    let operators: Vec<_> =
        model.graph.as_ref().unwrap().node.iter().map(NodeProto::op_type).collect();
    assert_eq!(operators, ["Transpose", "MatMul"]);
    assert_eq!(model.opset_import.len(), 1);
}

#[test]
fn truncation_is_the_second_version() {
    let model = to_qonnx(&network("RESNET18_4W4A")).unwrap();
    let sets: Vec<_> = model.opset_import.iter().map(|set| (set.domain(), set.version())).collect();
    assert!(sets.contains(&("qonnx.custom_op.general", 2)), "{sets:?}");
    let graph = model.graph.as_ref().unwrap();
    let trunc = graph.node.iter().find(|node| node.op_type() == "Trunc").unwrap();
    assert_eq!(trunc.input.len(), 6);
    // Nothing is left out of 4 bits times 16 values: one scale for both.
    assert_eq!(trunc.input[1], trunc.input[4]);
    // Before training every threshold is 1: 1 / 15 / 16.
    assert_eq!(stored(&model, &trunc.input[1]).f32_scalar().unwrap(), 1.0 / 15.0 / 16.0);
    assert_eq!(stored(&model, &trunc.input[3]).f32_scalar().unwrap(), 8.0);
    let bias = graph.node.iter().find(|node| node.name() == "linear_bias_quant").unwrap();
    assert_eq!(bias.input[0], "linear.bias");
}
