//! What `fewbit codes` writes.

use crate::harness::{fewbit, trained};

#[test]
fn every_kind_of_file() {
    let folder = trained().folder();
    let model = trained().model();
    for extension in ["json", "npz", "h", "mem"] {
        let line = format!("codes {} -o w.{extension}", model.display());
        let shown = fewbit(folder, &line).expect(0).stdout;
        assert!(shown.contains("59,008 codes, each of which comes back bit for bit"), "{shown}");
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let document: serde_json::Value = serde_json::from_str(&read("w.json")).unwrap();
    let tensors = document["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 4);
    assert_eq!(tensors[0]["codes"].as_array().unwrap().len(), 784 * 64);
    assert_eq!(document["decode"]["int2-narrow"], serde_json::json!([0.0, 1.0, -2.0, -1.0]));
    // Two bits a code, four codes a byte.
    assert!(read("w.h").contains("_packed[12544] = {"));
    assert_eq!(read("w.mem").lines().filter(|line| line.len() == 1).count(), 59_008);
    let archive = fewbit_data::npz::NpzArchive::open(&folder.join("w.npz")).unwrap();
    assert_eq!(archive.names().len(), 17);
    fewbit(folder, &format!("codes {} -o w.txt", model.display())).expect(2);
    fewbit(folder, &format!("codes {} -o w", model.display())).expect(2);
}
