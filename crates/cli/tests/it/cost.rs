//! What `fewbit cost` counts and writes.

use crate::harness::{fewbit, trained};

#[test]
fn a_trained_network() {
    let folder = trained().folder();
    let model = trained().model();
    let line = format!("cost {} --csv c.csv --markdown c.md --svg c.svg", model.display());
    let shown = fewbit(folder, &line).expect(0);
    assert!(shown.stdout.contains("total for one item: "), "{}", shown.stdout);
    assert!(shown.stdout.contains("int2"), "{}", shown.stdout);
    let dense =
        fewbit(folder, &format!("cost {} --dense --json", model.display())).expect(0).json();
    let macs = 784 * 64 + 2 * 64 * 64 + 64 * 10;
    assert_eq!(dense["total_macs"], f64::from(macs));
    assert_eq!(dense["total_bops"], f64::from(4 * macs));
    assert_eq!(dense["total_mem_w_bits"], f64::from(2 * macs));
    assert_eq!(dense["qonnx"]["op_mac_INT2_INT2"], f64::from(macs));
    assert_eq!(dense["layers"].as_array().unwrap().len(), 4);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("c.csv").lines().count(), 5);
    assert_eq!(read("c.md").lines().count(), 7);
    assert!(read("c.svg").starts_with("<svg "));
    assert_eq!(read("c.svg").matches("class=\"bar\"").count(), 16);
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::TempDir::new().unwrap();
    fewbit(folder.path(), "cost nothing.onnx").expect(2);
    std::fs::write(folder.path().join("bad.onnx"), [7_u8; 40]).unwrap();
    let run = fewbit(folder.path(), "cost bad.onnx --json").expect(2);
    assert!(run.json()["error"].as_str().unwrap().contains("bad.onnx"));
}
