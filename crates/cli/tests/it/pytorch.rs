//! Files of PyTorch wherever a checkpoint is taken.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{contents, fewbit, only_entry, trained};

const DATA: &str = "--dataset glyphs --limit 600";

/// The best network of the trained run as a state dict, and the folder that it was written into.
fn state_dict() -> (TempDir, PathBuf) {
    let best = trained().checkpoint("best.safetensors");
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("best.safetensors");
    fs::copy(best, &copy).unwrap();
    let line = "train --state_dict_to_pth --resume best.safetensors --json";
    let json = fewbit(folder.path(), line).expect(0).json();
    let run = only_entry(&folder.path().join("experiments"));
    let file = only_entry(&run.join("checkpoints"));
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let hash = json["sha256"].as_str().unwrap();
    assert_eq!(name, format!("tfc_2w2a-{}.pth", &hash[..8]));
    assert_eq!((&json["tensors"], &json["network"]), (&23.into(), &"TFC_2W2A".into()));
    let weights = folder.path().join("w.pth");
    fs::rename(file, &weights).unwrap();
    fs::remove_dir_all(folder.path().join("experiments")).unwrap();
    (folder, weights)
}

#[test]
fn state_dicts_come_back() {
    let (folder, _) = state_dict();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let (ours, theirs) = ("best.safetensors", "w.pth --network tfc_2w2a");
    let [ours, theirs] =
        [ours, theirs].map(|file| fewbit(&format!("eval {file} {DATA} --json")).expect(0).json());
    for key in ["network", "images", "top1_right", "top5_right", "loss"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let text = fewbit(&format!("eval w.pth --network TFC_2W2A {DATA}")).expect(0).stdout;
    assert!(text.starts_with("TFC_2W2A, on 600 test images of glyphs:"), "{text}");

    fewbit("export w.pth --network TFC_2W2A -o w.onnx").expect(0);
    fewbit("export best.safetensors -o best.onnx").expect(0);
    for line in [
        format!("verify w.pth w.onnx --network TFC_2W2A {DATA}"),
        format!("verify w.pth best.onnx --network TFC_2W2A {DATA}"),
        format!("verify best.safetensors w.onnx {DATA}"),
        format!("verify best.safetensors w.onnx --network TFC_2W2A {DATA}"),
    ] {
        let run = fewbit(&line).expect(0);
        assert!(run.stdout.contains("IDENTICAL"), "{}", run.stdout);
    }
    // A file of PyTorch has no recipe that could be noted.
    let [noted, plain] = ["best.onnx", "w.onnx"].map(|file| {
        let model = fewbit_onnx::read_model(&folder.path().join(file)).unwrap();
        model.metadata_props.iter().map(|note| note.key().to_owned()).collect::<Vec<_>>()
    });
    assert!(noted.contains(&"recipe".to_owned()), "{noted:?}");
    assert_eq!(plain, ["network"]);

    let line = format!("train --evaluate --resume w.pth --network TFC_2W2A {DATA} --json");
    assert_eq!(fewbit(&line).expect(0).json()["top1_right"], ours["top1_right"]);
}

#[test]
fn trainings_start_from_files_of_pytorch() {
    let (folder, weights) = state_dict();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let settings = format!("--network TFC_2W2A {DATA} --epochs 1 --lr 0.001");
    let run = fewbit(&format!("train --resume w.pth {settings} --json")).expect(0);
    assert!(run.stderr.contains("w.pth"), "{}", run.stderr);
    let from_file = run.json();

    // Weights in the documented place, under both names of the network.
    fs::create_dir_all(folder.path().join("data/pretrained")).unwrap();
    fs::copy(&weights, folder.path().join("data/pretrained/TFC_2W2A.pth")).unwrap();
    let pretrained = fewbit(&format!("train --pretrained {settings} --json")).expect(0).json();
    for key in ["top1_percent", "top5_percent", "steps", "epochs_finished"] {
        assert_eq!(from_file[key], pretrained[key], "{key}");
    }
    let fresh = fewbit(&format!("train {settings} --json --dry_run")).expect(0).json();
    assert_ne!(fresh["top1_percent"], pretrained["top1_percent"]);
    let line = format!("train --pretrained --evaluate --network TFC_2W2A {DATA} --json");
    let evaluated = fewbit(&line).expect(0).json();
    let own = fewbit(&format!("eval w.pth --network TFC_2W2A {DATA} --json")).expect(0).json();
    assert_eq!(evaluated["top1_right"], own["top1_right"]);

    // --resume comes first.
    let line = format!("train --pretrained --evaluate --resume best.safetensors {DATA} --json");
    assert_eq!(fewbit(&line).expect(0).json()["epochs_finished"], 2);
    // A run that started so goes on as any other.
    let runs = fs::read_dir(folder.path().join("experiments")).unwrap().count();
    assert_eq!(runs, 2);
    fewbit("train --resume experiments --epochs 2").expect(0);
    assert_eq!(fs::read_dir(folder.path().join("experiments")).unwrap().count(), 2);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let (folder, weights) = state_dict();
    let bytes = fs::read(&weights).unwrap();
    fs::write(folder.path().join("cut.pth"), &bytes[..bytes.len() / 2]).unwrap();
    let before = contents(folder.path());
    for (line, words) in [
        ("eval w.pth", &["w.pth", "hint: add --network"][..]),
        ("export w.pth -o w.onnx", &["w.pth", "--network"]),
        ("verify w.pth w.onnx", &["w.pth", "--network"]),
        ("train --resume w.pth", &["w.pth", "--network"]),
        ("train --evaluate --resume w.pth", &["w.pth", "--network"]),
        ("eval w.pth --network TFC_2W2", &["TFC_2W2", "did you mean TFC_2W2A"]),
        ("eval w.pth --network SFC_2W2A", &["w.pth", "features.", "256"]),
        ("eval cut.pth --network TFC_2W2A", &["cut.pth"]),
        ("eval best.safetensors --network SFC_2W2A", &["best.safetensors", "TFC_2W2A", "SFC_2W2A"]),
        ("train --evaluate --export_qonnx --resume w.pth --network TFC_2W2A", &["run folder"]),
    ] {
        let run = fewbit(folder.path(), line).expect(2);
        for word in words {
            assert!(run.stderr.contains(word), "{line}: {word:?} is not in: {}", run.stderr);
        }
    }
    assert!(contents(folder.path()) == before);
}

/// A checkpoint of Brevitas with its optimizer, which was trained on other images.
#[test]
fn a_training_of_brevitas_goes_on() {
    let Some(shared) = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from) else {
        return eprintln!("skipped: FEWBIT_SHARED is not set");
    };
    let folder = TempDir::new().unwrap();
    let checkpoints = folder.path().join("theirs/checkpoints");
    fs::create_dir_all(&checkpoints).unwrap();
    let file = checkpoints.join("best.tar");
    fs::copy(shared.join("golden/f_ckpt_tfc_2w2a_best.tar"), &file).unwrap();
    let before = contents(&folder.path().join("theirs"));
    let line = format!(
        "train --resume theirs/checkpoints/best.tar --network TFC_2W2A {DATA} --epochs 3 --lr 0.5 \
         --strict --export_qonnx --json"
    );
    let run = fewbit(folder.path(), &line).expect(0);
    assert!(run.stderr.contains("lr 0.02 instead of 0.5"), "{}", run.stderr);
    assert!(run.stderr.contains("best accuracy of 100.00 %"), "{}", run.stderr);
    let json = run.json();
    assert_eq!((&json["epochs_finished"], &json["steps"]), (&3.into(), &18.into()));
    assert!(contents(&folder.path().join("theirs")) == before, "their folder stays as it is");
    let run = fewbit(folder.path(), "eval theirs").expect(2);
    assert!(run.stderr.contains("best.tar") && run.stderr.contains("--network"), "{}", run.stderr);
}

/// The published networks of the first releases of Brevitas, with their published accuracy.
#[test]
fn releases_of_brevitas() {
    let Some(shared) = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from) else {
        return eprintln!("skipped: FEWBIT_SHARED is not set");
    };
    let folder = TempDir::new().unwrap();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let data = format!("--dataset mnist --datadir {}", shared.join("data").display());
    for (name, right, epochs) in [("TFC_1W1A", 9317, 838), ("TFC_2W2A", 9660, 925)] {
        let file = shared.join(format!("models/brevitas_checkpoints/{name}_best.tar"));
        let theirs = format!("{} --network {name}", file.display());
        let json = fewbit(&format!("eval {theirs} {data} --json")).expect(0).json();
        assert_eq!(
            (&json["top1_right"], &json["epochs_finished"]),
            (&right.into(), &epochs.into())
        );
        let line = format!("train --evaluate --resume {theirs} {data} --json");
        assert_eq!(fewbit(&line).expect(0).json()["top1_right"], json["top1_right"]);

        fewbit(&format!("export {theirs} -o {name}.onnx")).expect(0);
        let line = format!("verify {} {name}.onnx --network {name} {data} --json", file.display());
        let verified = fewbit(&line).expect(0).json();
        assert_eq!((&verified["images"], &verified["values_differ"]), (&10_000.into(), &0.into()));
        let ran = fewbit(&format!("run {name}.onnx {data} --json")).expect(0).json();
        assert_eq!(ran["top1_percent"], json["top1_percent"]);

        let last = epochs + 1;
        let line =
            format!("train --resume {theirs} {data} --limit 1000 --epochs {last} --export_qonnx");
        let run = fewbit(&format!("{line} --experiments {name}")).expect(0);
        assert!(run.stderr.contains("normalized by class"), "{}", run.stderr);
        fewbit(&format!("eval {name} --network {name} {data} --limit 1000")).expect(0);
        fewbit(&format!("verify {name} {data} --limit 1000")).expect(0);
    }
}
