//! Tensors in other files: only when asked for, only in the model's folder.

use std::fs;

use fewbit_onnx::ErrorKind;
use fewbit_onnx::proto::tensor_proto::{DataLocation, DataType};
use fewbit_onnx::proto::{StringStringEntryProto, TensorProto};
use fewbit_onnx::tensor::{ModelFolder, TensorValue};
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
