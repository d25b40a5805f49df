//! Whole networks against stored outputs and inner tensors.

use std::path::Path;

use fewbit_data::npz::NpzArchive;
use fewbit_onnx::proto::TensorProto;
use fewbit_onnx::tensor::TensorValue;
use fewbit_qonnx::{BatchNorm, Data, Mode, Model, Options, Value};

use crate::{array, difference, floats, npy, predictions, shared};

const MODES: [Mode; 2] = [Mode::Canonical, Mode::Reference];

fn load(path: &Path, mode: Mode) -> Model {
    Model::load(path, Options { mode, ..Options::default() }).unwrap()
}

/// Item `i` of a batch.
fn item(value: &Value, i: usize) -> Value {
    let mut shape = value.shape().to_vec();
    let size = value.len() / shape[0];
    shape[0] = 1;
    Value::new(shape, floats(value)[i * size..][..size].to_vec()).unwrap()
}

/// Compares a whole batch at once, and each inner tensor that is stored, for all images at once.
fn compare(model: &Model, archive: &NpzArchive, images: &str, logits: &str) -> usize {
    let x = array(archive, images);
    let input = model.inputs()[0].name();
    let stored: Vec<(usize, &str, &str)> = archive
        .names()
        .filter_map(|key| {
            let (image, rest) = key.strip_prefix("qonnx_img")?.split_once('.')?;
            let name = rest.splitn(3, '.').nth(2)?;
            Some((image.parse().ok()?, name, key))
        })
        .collect();
    let names: Vec<&str> = stored.iter().map(|(_, name, _)| *name).collect();
    let outputs = model.run(&[(input, x.clone())], &names).unwrap();
    let expected = array(archive, logits);
    assert_eq!(outputs.first().shape(), expected.shape());
    assert_eq!(difference(floats(outputs.first()), floats(&expected)).differ, 0, "{logits}");
    for (image, name, key) in &stored {
        let found = item(outputs.get(name).unwrap(), *image);
        let expected = array(archive, key);
        assert_eq!(found.shape(), expected.shape(), "{key}");
        let difference = difference(floats(&found), floats(&expected));
        assert_eq!(difference.differ, 0, "{key}: {difference:?}");
    }
    for key in archive.names().filter(|key| key.starts_with("qonnx_weight.")) {
        let name = key.splitn(4, '.').nth(3).unwrap();
        let found = model.constant(name).unwrap();
        assert_eq!(difference(floats(found), floats(&array(archive, key))).differ, 0, "{key}");
    }
    // One by one and in another order gives the same.
    for i in (0..x.shape()[0]).rev().step_by(5) {
        let alone = model.run(&[(input, item(&x, i))], &[]).unwrap();
        let logits = item(outputs.first(), i);
        assert_eq!(floats(alone.first()), floats(&logits), "image {i} alone");
    }
    stored.len()
}

#[test]
fn fully_connected_networks() {
    let Some(folder) = shared().map(|shared| shared.join("golden/d_nets")) else { return };
    let mut tensors = 0;
    for name in ["sfc_1w1a", "sfc_1w2a", "sfc_2w2a", "tfc_1w1a", "tfc_1w2a", "tfc_2w2a"] {
        let archive = NpzArchive::open(&folder.join(format!("{name}_golden.npz"))).unwrap();
        for mode in MODES {
            let clean = load(&folder.join(format!("{name}_clean.onnx")), mode);
            tensors += compare(&clean, &archive, "x8", "qonnx_out8");
            let exported = load(&folder.join(format!("{name}.onnx")), mode);
            let x = array(&archive, "x8");
            let outputs = exported.run(&[(exported.inputs()[0].name(), x)], &[]).unwrap();
            let expected = array(&archive, "qonnx_out8");
            assert_eq!(difference(floats(outputs.first()), floats(&expected)).differ, 0, "{name}");
        }
    }
    assert_eq!(tensors, 2 * 6 * 18, "inner tensors");
}

#[test]
fn convolutional_networks() {
    let Some(folder) = shared().map(|shared| shared.join("golden/nets")) else { return };
    let mut tensors = 0;
    for name in ["cnv_1w1a", "cnv_2w2a", "resnet18w16_e4m3", "resnet18_e3m1"] {
        let archive = NpzArchive::open(&folder.join(format!("{name}_golden.npz"))).unwrap();
        for mode in MODES {
            let clean = load(&folder.join(format!("{name}_clean.onnx")), mode);
            tensors += compare(&clean, &archive, "x", "qonnx_logits");
        }
    }
    assert_eq!(tensors, 2 * 616, "inner tensors");
}

/// The exported file, with everything that cleaning takes out, and with PyTorch's batch normalization.
#[test]
fn a_network_as_it_was_exported() {
    let Some(folder) = shared().map(|shared| shared.join("golden/nets")) else { return };
    let archive = NpzArchive::open(&folder.join("resnet18w16_e4m3_golden.npz")).unwrap();
    for batch_norm in [BatchNorm::TwoRoundings, BatchNorm::Fused] {
        let options = Options { batch_norm, ..Options::default() };
        let model = Model::load(&folder.join("resnet18w16_e4m3.onnx"), options).unwrap();
        // The other 102 are stored.
        assert_eq!(model.inputs().len(), 1);
        let x = array(&archive, "x");
        let outputs = model.run(&[(model.inputs()[0].name(), x)], &[]).unwrap();
        for logits in ["qonnx_logits", "torch_logits_batch20"] {
            let difference = difference(floats(outputs.first()), floats(&array(&archive, logits)));
            assert_eq!(difference.differ, 0, "{batch_norm:?} {logits}");
        }
    }
}

/// Networks after twenty steps of training, against the trainer's logits.
#[test]
fn trained_networks() {
    let Some(folder) = shared().map(|shared| shared.join("golden")) else { return };
    let names = [
        "tiny_e4m3",
        "tiny_e3m1",
        "tiny_e4m3_hinge_lr0.02",
        "tiny_4w4a",
        "tiny_cnv_1w1a",
        "tiny_cnv_2w2a",
    ];
    let names = names.map(|name| ("e_traj_", name));
    for (prefix, name) in names {
        let archive = NpzArchive::open(&folder.join(format!("{prefix}{name}.npz"))).unwrap();
        let Data::U8(pixels) = array(&archive, "batches_u8").data().clone() else {
            panic!("pixels")
        };
        let expected = array(&archive, "end.eval_out0");
        let batch = pixels.len() / 20;
        let x: Vec<f32> = pixels[..batch].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let x = Value::new(vec![16, 3, 32, 32], x).unwrap();
        for mode in MODES {
            let model = load(&folder.join(format!("{prefix}{name}.end.onnx")), mode);
            let outputs = model.run(&[(model.inputs()[0].name(), x.clone())], &[]).unwrap();
            let difference = difference(floats(outputs.first()), floats(&expected));
            eprintln!("{name} {mode:?}: {difference:?}");
            // The scales of 4W4A are no powers of two: sums depend on their order in the original.
            let tolerance = if name == "tiny_4w4a" { 5e-7 } else { 0.0 };
            assert!(difference.largest <= tolerance, "{name} {mode:?}: {difference:?}");
        }
    }
}

/// Files of several groups and years, in old dialects.
#[test]
fn networks_of_others() {
    let Some(folder) = shared().map(|shared| shared.join("golden/g_zoo")) else { return };
    let names = [
        "TFC_1W1A",
        "TFC_1W2A",
        "TFC_2W2A",
        "kwsmlp_w3a3",
        "unsw_nb15-mlp-w2a2",
        "qkeras_jettagging",
    ];
    for name in names {
        let archive = NpzArchive::open(&folder.join(format!("{name}.npz"))).unwrap();
        let (x, y) = (array(&archive, "x"), array(&archive, "y"));
        let flat = |value: &Value| {
            let (mut shape, data) = value.clone().into_parts();
            shape.remove(1);
            Value::new(shape, data).unwrap()
        };
        // Stored as four batches of one item.
        let (x, y) = (flat(&x), flat(&y));
        let classes = y.len() / 4;
        for file in [format!("{name}.onnx"), format!("{name}_clean.onnx")] {
            for mode in MODES {
                let model = load(&folder.join(&file), mode);
                let outputs = model.run(&[(model.inputs()[0].name(), x.clone())], &[]).unwrap();
                let found = outputs.first();
                let difference = difference(floats(found), floats(&y));
                eprintln!("{file} {mode:?}: {difference:?}");
                assert!(difference.largest <= 3e-6, "{file} {mode:?}: {difference:?}");
                assert_eq!(
                    predictions(floats(found), classes),
                    predictions(floats(&y), classes),
                    "{file}"
                );
                // Three items, of which the last batch of two is not full.
                let two = |first: usize| -> Vec<f32> {
                    let items: Vec<Value> =
                        (first..3.min(first + 2)).map(|i| item(&x, i)).collect();
                    let mut shape = x.shape().to_vec();
                    shape[0] = items.len();
                    let data: Vec<f32> =
                        items.iter().flat_map(|item| floats(item).to_vec()).collect();
                    let part = Value::new(shape, data).unwrap();
                    let outputs = model.run(&[(model.inputs()[0].name(), part)], &[]).unwrap();
                    floats(outputs.first()).to_vec()
                };
                assert_eq!(
                    [two(0), two(2)].concat(),
                    floats(found)[..3 * classes],
                    "{file} in parts"
                );
            }
        }
    }
}

/// A layer with scales that are no powers of two, against Brevitas.
#[test]
fn scaled_minifloats() {
    let Some(folder) = shared().map(|shared| shared.join("models/qonnx/floatquant_exec")) else {
        return;
    };
    let data = folder.join("test_data");
    for mode in MODES {
        let model = load(&folder.join("qonnx_act_weight_fp8.onnx"), mode);
        let x = npy(&data.join("input.npy"));
        let names: Vec<String> = model.tensor_names().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let outputs = model.run(&[(model.inputs()[0].name(), x)], &names).unwrap();
        let archive = NpzArchive::open(&data.join("activation.npz")).unwrap();
        for name in ["input_quant", "weight_quant"] {
            let expected = array(&archive, name);
            let same = outputs.iter().any(|(_, value)| {
                value.as_slice::<f32>().is_some_and(|found| found == floats(&expected))
            });
            assert!(same, "{name} {mode:?}");
        }
        let expected = npy(&data.join("output.npy"));
        let difference = difference(floats(outputs.first()), floats(&expected));
        match mode {
            Mode::Reference => assert_eq!(difference.differ, 0),
            // The scales come after the sum, not before: a last bit of some values moves.
            _ => assert_eq!((difference.differ, difference.largest <= 6e-8), (4, true)),
        }
    }
}

/// A tensor that is stored by itself.
fn pb(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let tensor: TensorProto = prost::Message::decode(&bytes[..]).unwrap();
    let (shape, data) = TensorValue::from_proto(&tensor).unwrap().into_parts();
    let fewbit_onnx::tensor::TensorData::F32(data) = data else { panic!("{}", path.display()) };
    Value::new(shape, data).unwrap()
}

/// A network with convolutions, `auto_pad` and pooling from the first years of ONNX.
#[test]
fn an_old_convolutional_network() {
    let Some(folder) = shared().map(|shared| shared.join("models/qonnx/mnist-conv")) else {
        return;
    };
    let data = folder.join("test_data_set_0");
    for mode in MODES {
        let model = load(&folder.join("model.onnx"), mode);
        let outputs =
            model.run(&[(model.inputs()[0].name(), pb(&data.join("input_0.pb")))], &[]).unwrap();
        let expected = pb(&data.join("output_0.pb"));
        let difference = difference(floats(outputs.first()), floats(&expected));
        // Logits up to 7000 of 32-bit weights, summed in another order.
        assert!(difference.largest <= 4e-3, "{mode:?}: {difference:?}");
        assert_eq!(outputs.first().shape(), expected.shape());
    }
}

/// What qonnx computed for the other files; this text is in the repository, the files are not.
const OTHER_FILES: &str = include_str!("other_files.json");

/// Residual connections, channels last, resizing, and pixels made of channels.
#[test]
fn all_other_files() {
    let Some(folder) = shared().map(|shared| shared.join("models/qonnx")) else { return };
    let stored: serde_json::Value = serde_json::from_str(OTHER_FILES).unwrap();
    let files = stored["files"].as_object().unwrap();
    let mut compared = 0;
    for (file, stored) in files {
        for mode in MODES {
            let model = load(&folder.join(file), mode);
            let input = &model.inputs()[0];
            let shape: Vec<usize> =
                input.shape().unwrap().iter().map(|extent| extent.unwrap()).collect();
            let number = |key: &str| stored[key].as_f64().unwrap() as f32;
            let (divisor, offset) = (number("divisor"), number("offset"));
            let count = shape.iter().product();
            let x: Vec<f32> =
                (0..count).map(|i: usize| (i % 17) as f32 / divisor - offset).collect();
            let outputs = model.run(&[(input.name(), Value::new(shape, x).unwrap())], &[]).unwrap();
            let expected_shape: Vec<u64> = stored["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|extent| extent.as_u64().unwrap())
                .collect();
            let found_shape: Vec<u64> =
                outputs.first().shape().iter().map(|&extent| extent as u64).collect();
            assert_eq!(found_shape, expected_shape, "{file}");
            let found =
                floats(outputs.first()).iter().step_by(stored["step"].as_u64().unwrap() as usize);
            let mut largest = 0.0f32;
            for (&found, expected) in found.zip(stored["values"].as_array().unwrap()) {
                largest = largest.max((found - expected.as_f64().unwrap() as f32).abs());
                compared += 1;
            }
            eprintln!("{file} {mode:?}: {largest:e}");
            // Sums of floats in another order; a quantizer at the end would make a whole step of it.
            assert!(largest <= 2e-6 * number("largest"), "{file} {mode:?}: {largest}");
        }
    }
    assert_eq!((files.len(), compared), (6, 2 * 372));
}
