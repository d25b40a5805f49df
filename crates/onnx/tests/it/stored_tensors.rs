//! Tensors that are stored by themselves.

use std::fs;

use fewbit_onnx::tensor::TensorValue;
use fewbit_onnx::{ErrorKind, read_tensor};
use prost::Message;
use tempfile::TempDir;

#[test]
fn a_tensor_comes_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.pb");
    let tensor = TensorValue::new([2, 3], vec![1.0_f32, -2.0, 3.5, 0.0, f32::NAN, 7.0]).unwrap();
    fs::write(&path, tensor.to_proto("x").encode_to_vec()).unwrap();
    let (name, found) = read_tensor(&path).unwrap();
    assert_eq!((name.as_str(), found.dims()), ("x", &[2, 3][..]));
    assert_eq!(format!("{:?}", found.data()), format!("{:?}", tensor.data()));
}

#[test]
fn what_is_no_tensor_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.pb");
    let good = TensorValue::vector(vec![1_i64; 100]).to_proto("x").encode_to_vec();
    let mut external = TensorValue::scalar(1.0_f32).to_proto("x");
    (external.raw_data, external.data_location) = (None, Some(1));
    let cases: [(&str, Vec<u8>, ErrorKind); 5] = [
        ("empty", vec![], ErrorKind::Malformed),
        ("cut", good[..good.len() - 1].to_vec(), ErrorKind::Malformed),
        ("text", b"no tensor at all".to_vec(), ErrorKind::Malformed),
        ("a field that tensors lack", [&good[..], &[0xf8, 0x07, 1]].concat(), ErrorKind::Malformed),
        ("external", external.encode_to_vec(), ErrorKind::ExternalData),
    ];
    for (what, bytes, kind) in cases {
        fs::write(&path, bytes).unwrap();
        let error = read_tensor(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(error.to_string().contains("x.pb"), "{what}: {error}");
    }
    assert_eq!(read_tensor(folder.path()).unwrap_err().kind(), ErrorKind::Io);
}
