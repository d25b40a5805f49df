//! What the commands print for people, as snapshots; times, hashes and paths are masked.

use tempfile::TempDir;

use crate::harness::{fewbit, trained};

/// Masks what differs from run to run, from machine to machine, and whenever training changes a bit.
fn masked() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-f]{64}", "[sha256]");
    settings.add_filter(r"\d{8}_\d{6}", "[time]");
    settings.add_filter(r"[\d,.]+ images/s", "[n] images/s");
    settings.add_filter(r"[\d.]+ %", "[p] %");
    settings.add_filter(r"\([\d,]+ right\)", "([n] right)");
    settings.add_filter(r"loss   [\d.]+", "loss   [x]");
    settings.add_filter(r"[\d,]+ bytes", "[n] bytes");
    settings.add_filter(r" +-?\d+\.\d{4,}\b", "  [x]");
    settings.add_filter(r"\d+\.\d s\b", "[t] s");
    settings.add_filter(r"\d+ s\b", "[t] s");
    settings.add_filter(r"/\S*/experiments", "experiments");
    // Widths of columns follow the numbers in them.
    settings.add_filter(r"(\S) {2,}", "$1  ");
    settings
}

#[test]
fn formats() {
    let folder = TempDir::new().unwrap();
    for (name, line) in [
        ("formats", "formats"),
        ("formats_e3m1", "formats e3m1"),
        (
            "formats_e4m3_encode",
            "formats e4m3 --encode 1.3 -1000 0.0009765625 nan --decode 0x7f 0x12",
        ),
        ("formats_int4", "formats int4 --decode 0x8 0xf --encode 3.5"),
        ("formats_bipolar", "formats bipolar"),
        ("formats_e8m7", "formats e8m7"),
    ] {
        insta::assert_snapshot!(name, fewbit(folder.path(), line).expect(0).stdout);
    }
}

#[test]
fn commands_on_a_trained_network() {
    let trained = trained();
    masked().bind(|| {
        for (name, line) in [
            ("eval", "eval experiments --limit 200"),
            ("export", "export experiments -o shown.onnx"),
            ("verify", "verify experiments shown.onnx --limit 200 --report shown.json"),
            ("run", "run shown.onnx --dataset glyphs --limit 200 --output shown.npy"),
            ("data_check", "data check glyphs"),
            ("data_list", "data list --datadir nowhere"),
        ] {
            insta::assert_snapshot!(name, fewbit(trained.folder(), line).expect(0).stdout);
        }
    });
}

#[test]
fn quiet_is_quiet_and_words_go_to_standard_error() {
    let trained = trained();
    let quiet = fewbit(trained.folder(), "eval experiments --limit 100 --quiet").expect(0);
    assert_eq!(quiet.stderr, "");
    let normal = fewbit(trained.folder(), "eval experiments --limit 100").expect(0);
    assert!(normal.stderr.contains("best.safetensors"), "{}", normal.stderr);
    assert_eq!(
        normal.stdout.replace(char::is_numeric, ""),
        quiet.stdout.replace(char::is_numeric, "")
    );
}

#[test]
fn nothing_depends_on_threads_batches_or_instructions() {
    let trained = trained();
    let model = trained.model();
    let logits = |name: &str, flags: &str, isa: &str| {
        let line =
            format!("run {} --dataset glyphs --limit 321 --output {name} {flags}", model.display());
        let mut command = crate::harness::program(trained.folder());
        command.args(line.split_whitespace()).env("FEWBIT_ISA", isa);
        crate::harness::finish(&mut command).expect(0);
        std::fs::read(trained.folder().join(name)).unwrap()
    };
    let one = logits("one.npy", "--threads 1 --batch 1", "scalar");
    assert_eq!(one.len(), 128 + 321 * 10 * 4);
    assert!(one == logits("two.npy", "--threads 2", "avx2"));
    assert!(one == logits("three.npy", "--threads 3 --batch 321", "avx2"));
    assert!(one == logits("four.npy", "--threads 2 --batch 64 --mode reference", "avx2"));
}

#[test]
fn training_does_not_depend_on_threads() {
    let folders = ["1", "2", "3"].map(|threads| {
        let folder = TempDir::new().unwrap();
        let line =
            "train --network TFC_1W1A --dataset glyphs --limit 300 --epochs 2 --quiet --threads";
        fewbit(folder.path(), &format!("{line} {threads}")).expect(0);
        let run = crate::harness::only_entry(&folder.path().join("experiments"));
        std::fs::read(run.join("checkpoints/last.safetensors")).unwrap()
    });
    assert!(folders[0] == folders[1] && folders[1] == folders[2]);
}

#[test]
fn dry_runs_and_evaluations_write_nothing() {
    let folder = TempDir::new().unwrap();
    let line = "train --network TFC_1W1A --dataset glyphs --limit 200 --epochs 1 --dry_run";
    fewbit(folder.path(), line).expect(0);
    assert!(crate::harness::contents(folder.path()).is_empty());
    assert!(!folder.path().join("experiments").exists());
    let checkpoint = trained().checkpoint("best.safetensors");
    let line = format!(
        "train --network TFC_2W2A --dataset glyphs --limit 200 --evaluate --resume {}",
        checkpoint.display()
    );
    let run = fewbit(folder.path(), &line).expect(0);
    assert!(run.stdout.contains("top-1"), "{}", run.stdout);
    assert!(crate::harness::contents(folder.path()).is_empty());
}
