//! What `fewbit clean` writes.

use crate::harness::{fewbit, trained};

#[test]
fn a_trained_network() {
    let folder = trained().folder();
    let model = trained().model();
    let shown = fewbit(folder, &format!("clean {} -o tidy.onnx", model.display())).expect(0).stdout;
    assert!(
        shown.contains("executed before and after on 8 inputs: 80 values, 0 differ"),
        "{shown}"
    );
    let line = "clean tidy.onnx -o folded.onnx --fold-quantizers --batch 3 --json";
    let found = fewbit(folder, line).expect(0).json();
    assert_eq!((&found["written"], &found["proof"]["holds"]), (&true.into(), &true.into()));
    assert!(found["changes"]["folded_nodes"].as_u64().unwrap() >= 4, "{found}");
    let seen = fewbit(folder, "inspect folded.onnx --json").expect(0).json();
    assert_eq!(seen["inputs"][0]["shape"][0], 3);
    assert_eq!(seen["outputs"][0]["name"], "global_out");
    for (original, copy) in
        [("a.npy", model.display().to_string()), ("b.npy", "tidy.onnx".to_owned())]
    {
        fewbit(folder, &format!("run {copy} --dataset glyphs --limit 40 --output {original}"))
            .expect(0);
    }
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(read("a.npy") == read("b.npy"));
}

#[test]
fn nothing_is_written_where_it_must_not_be() {
    let folder = trained().folder();
    let model = trained().model();
    std::fs::create_dir_all(folder.join("a_folder")).unwrap();
    fewbit(folder, &format!("clean {} -o a_folder", model.display())).expect(2);
    fewbit(folder, &format!("clean {} -o x.onnx --batch 0", model.display())).expect(2);
    fewbit(folder, "clean nothing.onnx -o x.onnx").expect(2);
    assert!(!folder.join("x.onnx").exists());
}
