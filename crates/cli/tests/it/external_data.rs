//! Models whose tensors are in other files: refused, unless that is asked for.

use std::fs;

use fewbit_onnx::proto::StringStringEntryProto;
use tempfile::TempDir;

use crate::harness::{fewbit, sum_model};

#[test]
fn by_explicit_choice_only() {
    let folder = TempDir::new().unwrap();
    let mut model = sum_model();
    let whole = folder.path().join("whole.onnx");
    fewbit_onnx::write_model(&whole, &model).unwrap();
    let stored = &mut model.graph.as_mut().unwrap().initializer[0];
    let data = stored.raw_data.take().unwrap();
    fs::write(folder.path().join("w.bin"), &data).unwrap();
    stored.data_location = Some(1);
    stored.external_data = vec![StringStringEntryProto {
        key: Some("location".to_owned()),
        value: Some("w.bin".to_owned()),
    }];
    fewbit_onnx::write_model(&folder.path().join("parts.onnx"), &model).unwrap();
    let refused = fewbit(folder.path(), "diff whole.onnx parts.onnx").expect(2);
    assert!(refused.stderr.contains("the data is in another file"), "{}", refused.stderr);
    fewbit(folder.path(), "diff whole.onnx parts.onnx --external-data").expect(0);
    let commands = [
        "inspect",
        "cost",
        "prove",
        "clean -o c.onnx",
        "convert --to standard -o d.onnx",
        "codes -o c.json",
    ];
    for line in commands {
        let refused = fewbit(folder.path(), &format!("{line} parts.onnx"));
        let told = refused.code == 0 || refused.stderr.contains("--external-data");
        assert!(told, "{line}: {}", refused.stderr);
        let read = fewbit(folder.path(), &format!("{line} parts.onnx --external-data"));
        // There is nothing quantized to convert, or to write the codes of.
        let done = read.code < 2 || read.stderr.contains("a file without");
        assert!(done, "{line}: {}", read.stderr);
    }
    fewbit(folder.path(), "diff whole.onnx c.onnx").expect(0);
    fs::remove_file(folder.path().join("w.bin")).unwrap();
    let missing = fewbit(folder.path(), "diff whole.onnx parts.onnx --external-data").expect(2);
    assert!(missing.stderr.contains("w.bin"), "{}", missing.stderr);
}
