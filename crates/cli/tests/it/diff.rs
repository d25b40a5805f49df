//! `fewbit diff`: what it says, and its exit codes.

use std::fs;

use crate::harness::{fewbit, trained};

#[test]
fn a_model_is_what_it_is() {
    let trained = trained();
    let folder = trained.folder();
    fewbit(folder, "export experiments -o diff_a.onnx --quiet").expect(0);
    let run = fewbit(folder, "diff diff_a.onnx diff_a.onnx --other-mode reference").expect(0);
    assert!(run.stdout.contains(", 0 differ"), "{}", run.stdout);
    // In batches, with stored tensors, and with one of them.
    let stored = "run diff_a.onnx --dataset glyphs --limit 50 --quiet --tensor * -o diff.npz";
    fewbit(folder, stored).expect(0);
    let run = fewbit(
        folder,
        "diff diff_a.onnx diff.npz --dataset glyphs --limit 50 --batch 7 --json --quiet",
    );
    let json = run.expect(0).json();
    assert_eq!(json["values_differ"], 0);
    assert_eq!(json["items"], 50);
    assert!(json["tensors_compared"].as_u64().unwrap() > 10, "{json}");
    // Its inputs are in the archive, too.
    fewbit(folder, "diff diff_a.onnx diff.npz").expect(0);
    fewbit(folder, "run diff_a.onnx --dataset glyphs --limit 50 --quiet -o diff.npy").expect(0);
    fewbit(folder, "diff diff_a.onnx diff.npy --dataset glyphs --limit 50").expect(0);
}

#[test]
fn differences_are_named() {
    let trained = trained();
    let folder = trained.folder();
    fewbit(folder, "export experiments -o diff_b.onnx --quiet").expect(0);
    let other = "train --network TFC_2W2A --dataset glyphs --limit 600 --epochs 1 --random_seed 9 \
                 --experiments other --export_qonnx --quiet";
    fewbit(folder, other).expect(0);
    fewbit(folder, "export other -o diff_c.onnx --quiet").expect(0);
    let run = fewbit(folder, "diff diff_b.onnx diff_c.onnx --seed 3 --items 5").expect(1);
    assert!(run.stdout.contains("the first tensor that differs is"), "{}", run.stdout);
    assert!(run.stdout.contains("5 items: values from seed 3"), "{}", run.stdout);
    let json = fewbit(folder, "diff diff_b.onnx diff_c.onnx --json --quiet").expect(1).json();
    let tensors = json["tensors"].as_array().unwrap();
    let first = tensors.iter().find(|tensor| tensor["values_differ"] != 0).unwrap();
    assert_eq!(json["first_difference"]["tensor"], first["name"]);
    let bins: u64 = first["ulp_histogram"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| bin["values"].as_u64().unwrap())
        .sum();
    assert_eq!(first["values_differ"], bins);
    // Another file's logits under the name of these.
    fewbit(folder, "run diff_c.onnx --dataset glyphs --limit 9 --quiet -o diff_c.npy").expect(0);
    let run = fewbit(folder, "diff diff_b.onnx diff_c.npy --dataset glyphs --limit 9").expect(1);
    assert!(run.stdout.contains("1 tensor compared, 90 values"), "{}", run.stdout);
    let fewer = fewbit(folder, "diff diff_b.onnx diff_c.npy --dataset glyphs --limit 8").expect(1);
    assert!(fewer.stdout.contains("shape [8, 10] and [9, 10]"), "{}", fewer.stdout);
}

#[test]
fn bad_input() {
    let trained = trained();
    let folder = trained.folder();
    fewbit(folder, "export experiments -o diff_d.onnx --quiet").expect(0);
    fewbit(folder, "data save glyphs --limit 3 -o diff_images.npy --quiet").expect(0);
    fs::write(folder.join("broken.npz"), b"PK nothing").unwrap();
    let cases = [
        ("diff diff_d.onnx nothing.onnx", "nothing.onnx"),
        ("diff diff_d.onnx broken.npz", "broken.npz"),
        ("diff diff_d.onnx diff_images.npy", "it is not said what the stored tensors"),
        ("diff diff_d.onnx diff_d.onnx --tensor Qant_0", "A has no tensor of this name"),
        ("diff diff_d.onnx diff_d.onnx --tensor zzz*", "no tensor has such a name"),
        ("diff diff_d.onnx diff_images.npy --other-mode reference", "B is no model"),
        ("diff diff_d.onnx diff_d.onnx --input diff_images.npy --seed 3", "cannot be used with"),
    ];
    for (line, words) in cases {
        let run = fewbit(folder, line).expect(2);
        assert!(run.stderr.contains(words), "{line}: {}", run.stderr);
    }
}
