//! Networks that users describe in files: trained, exported, verified, resumed, refused.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::{Run, fewbit, only_entry};

const DATA: &str = "--dataset shapes --limit 30";

/// A narrow ResNet18, with more settings.
fn narrow(base: &str, settings: &str) -> String {
    format!("base = {base:?}\n[architecture]\nwidths = [4, 4, 8, 8]\n{settings}")
}

fn train(folder: &Path, network: &str, flags: &str) -> Run {
    let line = format!(
        "train --network {network} {DATA} --epochs 2 --batch-size 10 --loss CrossEntropy --lr 0.01 \
         --export_qonnx --quiet --json {flags}"
    );
    fewbit(folder, &line)
}

#[test]
fn every_kind_of_scale_is_exported_without_a_difference() {
    let e3m1 = "RESNET18_5W5A_FLOAT_E3M1";
    let quantizers =
        |settings: &str| narrow(e3m1, &format!("[architecture.quantizers]\n{settings}"));
    let cases = [
        (
            "learned",
            quantizers(
                "weight_scaling = \"per_channel\"\nact_scaling = \"learned\"\ncollection_steps = 3\n\
                 rectified_format = \"ue3m1\"",
            ),
        ),
        (
            // Two of six steps: what has been measured so far is exported.
            "measuring",
            quantizers(
                "weight_scaling = \"per_tensor\"\nact_scaling = \"learned\"\nact_format = \"e4m3\"",
            ),
        ),
        (
            "statistics",
            quantizers(
                "weight_scaling = \"per_channel\"\nact_scaling = \"statistics\"\n\
                 act_statistic = \"percentile:99.5\"\nrectified_format = \"ue4m3\"",
            ),
        ),
        (
            "power_of_two",
            quantizers(
                "weight_scaling = \"per_channel\"\nact_scaling = \"statistics\"\n\
                 scale_restriction = \"power_of_two_ceil\"\nlast_layer_format = \"e4m3\"",
            ),
        ),
        // Also behind the image and the convolutions nothing is below zero.
        (
            "no_signs",
            quantizers("act_format = \"ue4m3\"\nact_scaling = \"learned\"\ncollection_steps = 2"),
        ),
        ("floats", narrow("RESNET18_32W32A_FLOAT_E8M23", "")),
        ("integers", narrow("RESNET18_4W4A", "")),
    ];
    let mut count = 0;
    for (name, text) in &cases {
        let folder = TempDir::new().unwrap();
        let file = format!("{name}.toml");
        fs::write(folder.path().join(&file), text).unwrap();
        let json = train(folder.path(), &file, "").expect(0).json();
        assert_eq!(json["network"], name.to_uppercase(), "{name}");
        let found = &json["verification"];
        assert_eq!((&found["values_differ"], &found["images"]), (&0.into(), &30.into()), "{name}");
        assert!(found["tensors_compared"].as_u64().unwrap() > 70, "{name}: {found}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn networks_without_quantizers_are_exported() {
    let folder = TempDir::new().unwrap();
    let text = "base = \"CNV_1W1A\"\nquantization = \"off\"\n[architecture]\nhidden = [16]\n\
                convolutions = [{ channels = 4, pooling = \"max\" }, { channels = 8 }]\n";
    fs::write(folder.path().join("plain.toml"), text).unwrap();
    let json = train(folder.path(), "plain.toml", "--export_qcdq_onnx").expect(0).json();
    for key in ["verification", "qcdq_verification"] {
        assert_eq!(json[key]["identical"], true, "{key}");
    }
    let model = folder.path().join(json["model"].as_str().unwrap());
    let sets = fewbit_onnx::read_model(&model).unwrap().opset_import;
    assert_eq!(sets.iter().map(|set| set.domain()).collect::<Vec<_>>(), [""]);
    let line = "train --network TFC_2W2A --disable_quant --dataset glyphs --limit 600 --epochs 1 \
                --export_qonnx";
    let run = fewbit(folder.path(), line).expect(0);
    assert!(run.stdout.contains("plain ONNX") && run.stdout.contains("0 differ"), "{}", run.stdout);
}

#[test]
fn files_are_taken_wherever_a_network_is_named() {
    let folder = TempDir::new().unwrap();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let settings = "[architecture.quantizers]\nact_scaling = \"statistics\"\n";
    fs::write(folder.path().join("mine.toml"), narrow("RESNET18_6W6A_FLOAT", settings)).unwrap();
    train(folder.path(), "mine.toml", "").expect(0);
    let run = only_entry(&folder.path().join("experiments"));
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("act_scaling = \"statistics\""), "{config}");

    // Goes on, with the same file and without.
    for flags in ["", "--network mine.toml"] {
        let line = format!("train --resume experiments {flags} --epochs 3 --quiet --json");
        assert_eq!(fewbit(&line).expect(0).json()["epochs_finished"], 3);
    }
    fs::write(folder.path().join("mine.toml"), narrow("RESNET18_6W6A_FLOAT", "")).unwrap();
    for line in [
        "train --resume experiments --network mine.toml --epochs 4",
        "eval experiments --network mine.toml",
    ] {
        let refused = fewbit(line).expect(2);
        let words =
            "MINE with act_scaling = \"statistics\", not of MINE with act_scaling = \"unscaled\"";
        assert!(refused.stderr.contains(words), "{line}: {}", refused.stderr);
    }
    let line = "train --resume experiments --act-scaling learned --epochs 4";
    assert!(fewbit(line).expect(2).stderr.contains("act_scaling = \"learned\""));

    // A file of PyTorch, whose network only the description tells.
    fs::write(folder.path().join("mine.toml"), narrow("RESNET18_6W6A_FLOAT", settings)).unwrap();
    fewbit("train --state_dict_to_pth --resume experiments").expect(0);
    let checkpoints = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut files = checkpoints.map(|entry| entry.unwrap().path());
    let weights = files.find(|file| file.extension().is_some_and(|e| e == "pth")).unwrap();
    fs::rename(weights, folder.path().join("w.pth")).unwrap();
    fewbit("export w.pth --network mine.toml -o w.onnx").expect(0);
    let verified = fewbit(&format!("verify w.pth w.onnx --network mine.toml {DATA}")).expect(0);
    assert!(verified.stdout.contains("IDENTICAL"), "{}", verified.stdout);
    let [ours, theirs] = ["experiments", "w.pth --network mine.toml"].map(|of| {
        fewbit(&format!("eval {of} {DATA} --json")).expect(0).json()["top5_right"].clone()
    });
    assert_eq!(ours, theirs);
}

#[test]
fn named_networks_are_printed_as_files() {
    let folder = TempDir::new().unwrap();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let name = "RESNET18_6W6A_8W8A_FIRST_LAYER_FLOAT";
    let printed = fewbit(&format!("networks {name}")).expect(0).stdout;
    fs::write(folder.path().join("copy.toml"), &printed).unwrap();
    assert_eq!(fewbit("networks copy.toml").expect(0).stdout, printed);
    assert_eq!(fewbit("networks copy.toml --json").expect(0).json()["name"], name);
    let list = fewbit("networks").expect(0).stdout;
    assert!(list.contains(name) && list.contains("11,164,352"), "{list}");
    insta::assert_snapshot!(
        "networks_e3m1",
        fewbit("networks RESNET18_5W5A_FLOAT_E3M1").expect(0).stdout
    );
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let folder = TempDir::new().unwrap();
    let long = format!("# {}", "x".repeat(1 << 20));
    let files: [(&str, &[u8], &str, &str); 9] = [
        (
            "a.toml",
            b"base = \"TFC_2W2A\"\nclases = 3\n",
            "a.toml, line 2: unknown key \"clases\"",
            "did you mean classes?",
        ),
        ("b.ini", b"[MODEL]\nARCH: FD\n", "b.ini, line 2: ARCH is \"FD\"", "FC"),
        (
            "c.toml",
            b"base = \"LFC_1W1A\"\narchitecture.hidden = [4294967295, 4294967295]\n",
            "architecture is ",
            "",
        ),
        ("i.toml", b"[MODEL]\nARCH: FC\n", "no TOML", "name the file .ini"),
        ("t.ini", b"base = \"TFC_2W2A\"\n", "before the first section", "name the file .toml"),
        ("r.toml", b"[recipe]\n", "unknown key \"recipe\"", "fewbit train --recipe r.toml"),
        ("d.toml", b"\xff", "d.toml is no UTF-8 text (byte 0)", ""),
        ("e.cfg", long.as_bytes(), "e.cfg is longer than", ""),
        ("f.toml", b"base = \"TFC_2W2A\"\nname = \"a b\"\n", "f.toml, line 2: name is \"a b\"", ""),
    ];
    for (file, text, words, hint) in files {
        fs::write(folder.path().join(file), text).unwrap();
        for command in ["train --dry-run --network", "networks"] {
            let run = fewbit(folder.path(), &format!("{command} {file}")).expect(2);
            assert!(run.stderr.contains(words) && run.stderr.contains(hint), "{}", run.stderr);
        }
    }
    let missing = fewbit(folder.path(), "train --network missing.toml").expect(2);
    assert!(missing.stderr.contains("missing.toml") && missing.stderr.contains("fewbit networks"));
}

#[test]
fn layers_that_do_not_learn_are_named_everywhere() {
    let folder = TempDir::new().unwrap();
    let text = "base = \"RESNET18_5W5A_FLOAT_E3M1\"\n[architecture]\nwidths = [16, 16, 16, 512]\n\
                blocks = [1, 1, 1, 1]\n";
    fs::write(folder.path().join("dead.toml"), text).unwrap();
    let line = format!(
        "train --network dead.toml {DATA} --epochs 1 --batch-size 10 --loss CrossEntropy --lr 0.001"
    );
    let run = fewbit(folder.path(), &format!("{line} --json")).expect(0);
    let words = "no gradient reaches 12 of 13 weights, the first is conv1.weight; linear.weight_quant is \
                 zero everywhere (epoch 1, step 1)";
    assert!(run.stderr.contains(&format!("warning: {words}")), "{}", run.stderr);
    assert!(run.stderr.contains("hint: without scales"), "{}", run.stderr);
    assert_eq!(run.json()["warnings"][0], words);
    let run = only_entry(&folder.path().join("experiments"));
    for file in ["log.txt", "report.html"] {
        let text = fs::read_to_string(run.join(file)).unwrap();
        assert!(text.contains(words), "{file}");
    }
    let scaled = fewbit(
        folder.path(),
        &format!("{line} --act-scaling learned --weight-scaling per_channel --dry-run --json"),
    );
    let scaled = scaled.expect(0);
    assert_eq!(scaled.json()["warnings"].as_array().unwrap().len(), 0);
    assert!(!scaled.stderr.contains("warning"), "{}", scaled.stderr);
}

#[test]
fn parts_of_a_dataset_are_warned_of_by_every_command() {
    let folder = TempDir::new().unwrap();
    let fewbit = |line: &str| fewbit(folder.path(), line);
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for (name, count) in [("train", 40_u32), ("t10k", 30)] {
        let head =
            |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_be_bytes()).collect() };
        let mut images = head(&[2051, count, 28, 28]);
        images.extend((0..count * 784).map(|i| (i * 7 % 251) as u8));
        let mut labels = head(&[2049, count]);
        labels.extend((0..count).map(|i| (i % 10) as u8));
        fs::write(data.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    let run =
        fewbit("train --network TFC_1W1A --batch-size 10 --epochs 1 --export_qonnx").expect(0);
    let train = "warning: mnist is incomplete: 40 of 60000 train images are here";
    let test = "warning: mnist is incomplete: 30 of 10000 test images are here";
    assert!(run.stderr.contains(train) && run.stderr.contains(test), "{}", run.stderr);
    let run = only_entry(&folder.path().join("experiments"));
    let model = run.join("TFC_1W1A_qonnx.onnx").display().to_string();
    for line in ["eval experiments", "verify experiments", &format!("run {model} --dataset mnist")]
    {
        let run = fewbit(line).expect(0);
        assert!(run.stderr.contains(test), "{line}: {}", run.stderr);
        assert!(run.stdout.contains("30"), "{line}: {}", run.stdout);
    }
}
