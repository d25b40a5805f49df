//! Tensors in other files: only when asked for, only in the model's folder.

use std::fs;

use fewbit_onnx::proto::tensor_proto::{DataLocation, DataType};
use fewbit_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use fewbit_onnx::tensor::{ModelFolder, TensorValue};
use fewbit_onnx::{ErrorKind, embed_external};
use tempfile::TempDir;

fn external(entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    TensorProto {
        name: Some("w".to_owned()),
        dims: vec![2],
        data_type: Some(DataType::Float as i32),
        data_location: Some(DataLocation::External as i32),
        external_data: entries.iter().map(entry).collect(),
        ..TensorProto::default()
    }
}

fn folder() -> (TempDir, ModelFolder) {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    let values: Vec<u8> = [0.0_f32, 1.5, -2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(folder.path().join("models/data.bin"), &values).unwrap();
    fs::write(folder.path().join("secret.bin"), &values).unwrap();
    let models = ModelFolder::of_model(&folder.path().join("models/m.onnx")).unwrap();
    (folder, models)
}

#[test]
fn it_is_read_if_asked_for() {
    let (_keep, models) = folder();
    let tensor = external(&[("location", "data.bin"), ("offset", "4"), ("length", "8")]);
    let value = TensorValue::from_proto_in(&tensor, &models).unwrap();
    assert_eq!(value.as_f32().unwrap(), [1.5, -2.0]);
    let refused = TensorValue::from_proto(&tensor).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ExternalData);
    assert!(refused.hint().is_some());
}

#[test]
fn everything_else_is_refused() {
    let (folder, models) = folder();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.bin", folder.path().join("models/link.bin")).unwrap();
    let absolute = folder.path().join("secret.bin").display().to_string();
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "without a location"),
        (&[("location", "")], "is no file name"),
        (&[("location", "../secret.bin")], "leads out of the model's folder"),
        (&[("location", "a/../../secret.bin")], "leads out of the model's folder"),
        (&[("location", &absolute)], "leads out of the model's folder"),
        #[cfg(unix)]
        (&[("location", "link.bin")], "is a link out of the model's folder"),
        (&[("location", ".")], "is not a regular file"),
        (&[("location", "missing.bin")], "cannot open"),
        (&[("location", "data.bin")], "16 bytes, expected 8"),
        (&[("location", "data.bin"), ("location", "data.bin")], "two values of location"),
        (&[("location", "data.bin"), ("length", "-1")], "the length `-1`, expected a number"),
        (&[("location", "data.bin"), ("length", "9")], "9 bytes, expected 8"),
        (
            &[("location", "data.bin"), ("length", "8"), ("offset", "9")],
            "8 bytes at 9 of a file of 16 bytes",
        ),
        (
            &[("location", "data.bin"), ("length", "8"), ("offset", "18446744073709551615")],
            "of a file of 16 bytes",
        ),
    ];
    for (entries, expected) in cases {
        let error =
            TensorValue::from_proto_in(&external(entries), &models).unwrap_err().to_string();
        assert!(error.contains("tensor `w`: ") && error.contains(expected), "{error} ({expected})");
    }
}

#[test]
fn a_huge_shape_allocates_nothing() {
    let (_keep, models) = folder();
    let mut tensor = external(&[("location", "data.bin")]);
    tensor.dims = vec![1 << 40, 1 << 10];
    let error = TensorValue::from_proto_in(&tensor, &models).unwrap_err().to_string();
    assert!(error.contains("16 bytes, expected 4503599627370496"), "{error}");
}

/// A model becomes whole, and says the same as before.
#[test]
fn a_model_takes_its_data_in() {
    let (_kept, folder) = folder();
    let stored = || TensorProto {
        doc_string: Some("words".to_owned()),
        ..external(&[("location", "data.bin"), ("offset", "4"), ("length", "8")])
    };
    let attribute = AttributeProto { t: Some(Box::new(stored())), ..AttributeProto::default() };
    let node = NodeProto { attribute: vec![attribute], ..NodeProto::default() };
    let graph = GraphProto {
        initializer: vec![stored(), TensorValue::scalar(1.0_f32).to_proto("one")],
        node: vec![node],
        ..GraphProto::default()
    };
    let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    assert_eq!(embed_external(&mut model, &folder).unwrap(), 2);
    assert_eq!(embed_external(&mut model, &folder).unwrap(), 0);
    let graph = model.graph.unwrap();
    let tensors = [&graph.initializer[0], graph.node[0].attribute[0].t.as_ref().unwrap()];
    for tensor in tensors {
        assert_eq!(TensorValue::from_proto(tensor).unwrap().as_f32().unwrap(), [1.5, -2.0]);
        assert_eq!((tensor.name(), tensor.doc_string()), ("w", "words"));
    }
    let outside =
        TensorProto { ..external(&[("location", "../models/data.bin"), ("length", "8")]) };
    let graph = GraphProto { initializer: vec![outside], ..GraphProto::default() };
    let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    assert_eq!(embed_external(&mut model, &folder).unwrap_err().kind(), ErrorKind::ExternalData);
}
