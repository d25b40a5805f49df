//! Files on a disk: read, and written whole or not at all.

use std::fs;

use fewbit_onnx::proto::{ModelProto, StringStringEntryProto};
use fewbit_onnx::{ErrorKind, decode, encode, read, read_model, write_model};
use tempfile::TempDir;

use crate::damage::small_model;

#[test]
fn what_is_written_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, "an old file").unwrap();
    write_model(&path, &small_model()).unwrap();
    assert_eq!(read_model(&path).unwrap(), small_model());
    assert_eq!(fs::read(&path).unwrap(), encode(&small_model()));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["model.onnx"], "no temporary file is left");
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let folder = TempDir::new().unwrap();
    let nowhere = folder.path().join("missing/model.onnx");
    let error = write_model(&nowhere, &small_model()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("missing/model.onnx: cannot write"), "{error}");
    let error = write_model(folder.path(), &small_model()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_model_is_an_error_with_the_files_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.onnx");
    let cases: [(&[u8], &str); 4] = [
        (b"", "the file is empty, expected an ONNX model"),
        (b"{\"not\": \"onnx\"}", "byte "),
        (b"PK\x03\x04\x14\x00\x00\x00", "byte "),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "byte "),
    ];
    for (bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains(&format!("x.onnx: {expected}")), "{error}");
        assert!(error.hint().is_some());
    }
    let missing = read(&folder.path().join("y.onnx")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(missing.to_string().contains("y.onnx: cannot open"), "{missing}");
    let error = read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn fields_that_are_not_known_are_not_lost_silently() {
    let mut bytes = encode(&small_model());
    // Field 1000 of the model, a number.
    bytes.extend([0xc0, 0x3e, 0x07]);
    let decoded = decode(bytes).unwrap();
    assert_eq!(decoded.unknown_bytes(), 3);
    assert_eq!(decoded.model, small_model());
    let error = decoded.rewritable().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownFields);
    assert!(error.to_string().contains("number 1000 of ModelProto"), "{error}");
}

#[test]
fn presence_survives() {
    // "There, and empty" is not "not there".
    let entry = |value: Option<&str>| StringStringEntryProto {
        key: Some(String::new()),
        value: value.map(str::to_owned),
    };
    let model = ModelProto {
        producer_name: Some(String::new()),
        metadata_props: vec![entry(None), entry(Some(""))],
        ir_version: Some(0),
        ..ModelProto::default()
    };
    let bytes = encode(&model);
    assert_eq!(bytes, [0x08, 0, 0x12, 0, 0x72, 2, 0x0a, 0, 0x72, 4, 0x0a, 0, 0x12, 0]);
    assert_eq!(decode(bytes).unwrap().model, model);
}
