//! Bad input and hostile circumstances end in a clear error, and what was there before is still there.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use fewbit_onnx::proto::{ModelProto, NodeProto};
use tempfile::TempDir;

use crate::harness::{Run, SMALL_RUN, clean, contents, fewbit, finish, program, trained};

/// A clear refusal: exit code 2, `error:` with the words, nothing on standard output, no panic.
#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, 2, "stdout:\n{}\nstderr:\n{}", run.stdout, run.stderr);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in: {}", run.stderr);
    }
}

#[test]
fn mistyped_names() {
    let folder = TempDir::new().unwrap();
    let cases: [(&str, &[&str]); 22] = [
        ("trian", &["trian", "train"]),
        ("train --netwrk TFC_2W2A", &["--netwrk", "--network"]),
        ("train --network TFC_2W2", &["TFC_2W2", "did you mean TFC_2W2A", "fewbit networks"]),
        ("train --recipe missing.toml", &["missing.toml", "fewbit recipes NAME"]),
        ("run . --dataset glyphs", &[". is a folder", "run folder"]),
        ("prove .", &[". is a folder", "run folder"]),
        ("train --network RESNET18_5W5A_FLOAT_E3M2", &["RESNET18_5W5A_FLOAT_E3M2"]),
        ("train --network TFC_2W2A --dataset glyhps", &["glyhps", "glyphs"]),
        ("train --network TFC_2W2A --optim ADM", &["ADM", "ADAM"]),
        ("train --network TFC_2W2A --loss SqHinge", &["SqHinge", "SqrHinge"]),
        ("train --network TFC_2W2A --scheduler STOP", &["STOP", "STEP"]),
        ("train --network TFC_2W2A --epochs -3", &["-3", "--epochs"]),
        ("train --network TFC_2W2A --lr -1", &["lr is -1"]),
        ("train --network TFC_2W2A --milestones 1,x --scheduler STEP", &["1,x"]),
        ("train --network TFC_2W2A --gpus 999", &["--gpus 999", "CPU", "--gpus None"]),
        ("train --network TFC_2W2A --device vulkan:999", &["vulkan:999", "--device cpu"]),
        ("eval experiments --device gpu", &["\"gpu\"", "--device cpu"]),
        ("train --pretrained", &["--pretrained", "--network"]),
        ("train --network TFC_3W3A --pretrained", &["TFC_3W3A", "TFC_2W2A", "TFC_3W3A.pth"]),
        (
            "train --network TFC_2W2A --state_dict_to_pth --dry_run",
            &["--state_dict_to_pth", "--dry_run"],
        ),
        ("formats e3m", &["e3m", "e3m1"]),
        ("data check glyhps", &["glyhps", "glyphs"]),
    ];
    for (line, words) in cases {
        refused(&fewbit(folder.path(), line), words);
    }
    assert!(contents(folder.path()).is_empty(), "a refused command writes nothing");
}

#[test]
fn the_instruction_level_is_checked() {
    let folder = TempDir::new().unwrap();
    let run = finish(program(folder.path()).args(["formats"]).env("FEWBIT_ISA", "mmx"));
    refused(&run, &["FEWBIT_ISA", "mmx", "scalar"]);
    let run = finish(program(folder.path()).args(["formats"]).env("FEWBIT_ISA", "scalar"));
    run.expect(0);
}

/// Writes the four files of a tiny dataset in idx format.
fn write_idx(folder: &Path) {
    for (name, count) in [("train", 20_u32), ("t10k", 10)] {
        let mut images = vec![0, 0, 8, 3];
        for size in [count, 28, 28] {
            images.extend(size.to_be_bytes());
        }
        images.extend(vec![7; count as usize * 28 * 28]);
        let mut labels = vec![0, 0, 8, 1];
        labels.extend(count.to_be_bytes());
        labels.extend((0..count).map(|i| (i % 10) as u8));
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
fn broken_idx_files() {
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(&str, Spoil); 5] = [
        ("t10k-images-idx3-ubyte", |bytes| bytes.truncate(5000)),
        ("t10k-images-idx3-ubyte", |bytes| bytes.truncate(7)),
        ("t10k-images-idx3-ubyte", |bytes| bytes[2] = 9),
        ("t10k-labels-idx1-ubyte", |bytes| bytes.truncate(10)),
        ("t10k-labels-idx1-ubyte", |bytes| bytes[12] = 200),
    ];
    for (name, spoil) in cases {
        let folder = TempDir::new().unwrap();
        write_idx(folder.path());
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let before = contents(folder.path());
        for line in [
            "data check mnist --datadir .",
            "train --network TFC_1W1A --dataset mnist --datadir . --epochs 1",
        ] {
            refused(&fewbit(folder.path(), line), &[name]);
        }
        assert!(contents(folder.path()) == before);
    }
}

#[test]
fn no_files_of_the_dataset() {
    let folder = TempDir::new().unwrap();
    let run = fewbit(folder.path(), "train --network TFC_1W1A --dataset mnist");
    refused(&run, &["not found", "hint: ", "fewbit data fetch mnist"]);
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn a_file_cut_anywhere() {
    let trained = trained();
    let bytes = fs::read(trained.model()).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.onnx");
    let step = bytes.len() / 23;
    let mut cuts = 0;
    for end in (0..bytes.len()).step_by(step).chain([1, 2, 3, bytes.len() - 1]) {
        fs::write(&path, &bytes[..end]).unwrap();
        let run = fewbit(folder.path(), "run cut.onnx --dataset glyphs --limit 10");
        refused(&run, &["cut.onnx"]);
        cuts += 1;
    }
    assert!(cuts >= 27, "{cuts}");
}

#[test]
fn files_with_broken_graphs() {
    let trained = trained();
    let folder = TempDir::new().unwrap();
    type Spoil = fn(&mut ModelProto);
    fn nodes(model: &mut ModelProto) -> &mut Vec<NodeProto> {
        &mut model.graph.as_mut().unwrap().node
    }
    let cases: [(&str, Spoil); 8] = [
        ("cyclic", |model| {
            let last = nodes(model).last().unwrap().output[0].clone();
            nodes(model)[0].input[0] = last;
        }),
        ("missing tensor", |model| nodes(model)[2].input[0] = "nowhere".into()),
        ("missing initializer", |model| {
            model.graph.as_mut().unwrap().initializer.remove(0);
        }),
        ("mistyped initializer", |model| {
            // FLOAT becomes INT64: the sizes do not fit any more.
            let mut tensors = model.graph.as_mut().unwrap().initializer.iter_mut();
            tensors.find(|tensor| tensor.data_type() == 1).unwrap().data_type = Some(7);
        }),
        ("unknown operator", |model| nodes(model)[1].op_type = Some("Quantt".into())),
        ("missing attribute", |model| {
            let quant = nodes(model).iter_mut().find(|node| node.op_type() == "Quant").unwrap();
            quant.attribute.clear();
        }),
        ("no graph", |model| model.graph = None),
        ("two tensors of one name", |model| {
            let name = nodes(model)[0].output[0].clone();
            nodes(model)[1].output[0] = name;
        }),
    ];
    for (name, spoil) in cases {
        let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
        spoil(&mut model);
        fs::write(folder.path().join("broken.onnx"), fewbit_onnx::encode(&model)).unwrap();
        let run = fewbit(folder.path(), "run broken.onnx --dataset glyphs --limit 10");
        assert_eq!(run.code, 2, "{name}: {}{}", run.stdout, run.stderr);
        refused(&run, &["broken.onnx"]);
    }
}

#[test]
fn names_from_files_cannot_move_the_cursor() {
    let trained = trained();
    let folder = TempDir::new().unwrap();
    let mut model = fewbit_onnx::read_model(&trained.model()).unwrap();
    model.graph.as_mut().unwrap().node[1].op_type = Some("\u{1b}[2JQuant".into());
    fs::write(folder.path().join("evil.onnx"), fewbit_onnx::encode(&model)).unwrap();
    let run = fewbit(folder.path(), "run evil.onnx --dataset glyphs --limit 10");
    refused(&run, &["[2JQuant"]);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn a_checkpoint_of_another_network() {
    let trained = trained();
    let checkpoint = trained.checkpoint("best.safetensors");
    let path = checkpoint.display();
    let before = contents(trained.folder());
    let line = format!("train --network SFC_2W2A --dataset glyphs --evaluate --resume {path}");
    refused(&fewbit(trained.folder(), &line), &["TFC_2W2A", "SFC_2W2A"]);
    let line = format!("train --network SFC_2W2A --dataset glyphs --resume {path}");
    refused(&fewbit(trained.folder(), &line), &["TFC_2W2A", "SFC_2W2A"]);

    let folder = TempDir::new().unwrap();
    let bytes = fs::read(&checkpoint).unwrap();
    let cut = folder.path().join("cut.safetensors");
    for end in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&cut, &bytes[..end]).unwrap();
        refused(&fewbit(folder.path(), "eval cut.safetensors"), &["cut.safetensors"]);
        refused(&fewbit(folder.path(), "export cut.safetensors -o out.onnx"), &["cut.safetensors"]);
        refused(&fewbit(folder.path(), "train --resume cut.safetensors"), &["cut.safetensors"]);
    }
    // Something else altogether.
    let model = trained.model();
    refused(&fewbit(folder.path(), &format!("eval {}", model.display())), &["TFC_2W2A_qonnx.onnx"]);
    refused(&fewbit(folder.path(), &format!("run {path} --dataset glyphs")), &["best.safetensors"]);
    assert!(unchanged(trained.folder(), &before));
}

/// Whether every file of `before` still has its bytes; other tests may have added files.
fn unchanged(folder: &Path, before: &[(std::path::PathBuf, Vec<u8>)]) -> bool {
    let run_folder = folder.join("experiments");
    before
        .iter()
        .filter(|(path, _)| path.starts_with(&run_folder))
        .all(|(path, bytes)| fs::read(path).is_ok_and(|now| now == *bytes))
}

#[test]
fn folders_that_cannot_be_written() {
    let trained = trained();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "a regular file").unwrap();
    let before = contents(folder.path());
    let checkpoint = trained.checkpoint("best.safetensors");
    let checkpoint = checkpoint.display();
    for line in [
        "train --network TFC_1W1A --dataset glyphs --limit 100 --epochs 1 --experiments file/x"
            .to_owned(),
        "train --network TFC_1W1A --dataset glyphs --limit 100 --epochs 1 --experiments /proc/x"
            .to_owned(),
        format!("export {checkpoint} -o file/out.onnx"),
        format!("export {checkpoint} -o nowhere/out.onnx"),
        format!("export {checkpoint} -o ."),
        format!(
            "run {} --dataset glyphs --limit 10 --output file/out.npy",
            trained.model().display()
        ),
    ] {
        refused(&fewbit(folder.path(), &line), &[]);
    }
    // What was found out is told all the same.
    let model = trained.model();
    let line = format!("verify {checkpoint} {} --limit 10 --report file/x.json", model.display());
    let run = fewbit(folder.path(), &line).expect(2);
    assert!(run.stdout.contains("IDENTICAL") && run.stderr.contains("file/x.json"));
    assert!(contents(folder.path()) == before);
}

/// A shell in which files cannot grow beyond some blocks of 512 bytes, as on a full disk.
fn on_a_small_disk(folder: &Path, blocks: u32, line: &str) -> Run {
    let script =
        format!("trap '' XFSZ; ulimit -f {blocks}; exec '{}' {line}", env!("CARGO_BIN_EXE_fewbit"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    clean(&mut command, folder);
    finish(&mut command)
}

#[test]
fn a_full_disk() {
    let trained = trained();
    let folder = TempDir::new().unwrap();
    let checkpoint = trained.checkpoint("best.safetensors");
    fs::write(folder.path().join("out.onnx"), "what was there before").unwrap();
    let line = format!("export {} -o out.onnx", checkpoint.display());
    refused(&on_a_small_disk(folder.path(), 20, &line), &["out.onnx"]);
    assert_eq!(contents(folder.path()).len(), 1, "no temporary file is left");
    assert_eq!(fs::read(folder.path().join("out.onnx")).unwrap(), b"what was there before");

    let line =
        format!("run {} --dataset glyphs --limit 2000 --output out.npy", trained.model().display());
    refused(&on_a_small_disk(folder.path(), 20, &line), &["out.npy"]);
    assert_eq!(contents(folder.path()).len(), 1);

    // A run that cannot write its checkpoint stops; with room again it goes on to the same bits.
    let run = on_a_small_disk(folder.path(), 20, SMALL_RUN);
    refused(&run, &["safetensors", "--resume"]);
    let run_folder = crate::harness::only_entry(&folder.path().join("experiments"));
    fewbit(folder.path(), &format!("train --quiet --resume {}", run_folder.display())).expect(0);
    let best = fs::read(run_folder.join("checkpoints/best.safetensors")).unwrap();
    assert!(best == fs::read(&checkpoint).unwrap());
}

#[test]
fn standard_output_that_is_full_or_closed() {
    let folder = TempDir::new().unwrap();
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let output = program(folder.path()).arg("formats").stdout(full).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("error: "), "{words}");
    }
    for line in ["formats e4m3", "--help", "formats e4m3 --json"] {
        let mut child = program(folder.path())
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains("panicked"), "{line}: {words}");
        assert_eq!(output.status.code(), Some(0), "{line}: {words}");
    }
}

#[test]
fn arrays_that_do_not_fit() {
    let trained = trained();
    let model = trained.model();
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let floats = |shape: Vec<usize>| {
        let count = shape.iter().product();
        fewbit_data::npy::NpyArray::new(shape, vec![0.5_f32; count]).unwrap()
    };
    fewbit_data::npy::write(&at("small.npy"), &floats(vec![2, 1, 27, 28])).unwrap();
    fewbit_data::npy::write(&at("good.npy"), &floats(vec![2, 1, 28, 28])).unwrap();
    let doubles = fewbit_data::npy::NpyArray::new(vec![1, 1, 28, 28], vec![0.1_f64; 784]).unwrap();
    fewbit_data::npy::write(&at("doubles.npy"), &doubles).unwrap();
    let bytes = fs::read(at("good.npy")).unwrap();
    fs::write(at("cut.npy"), &bytes[..bytes.len() - 1]).unwrap();
    let model = model.display();
    let cases: [(String, &[&str]); 8] = [
        (format!("run {model}"), &["--input"]),
        (format!("run {model} --input small.npy --output x.npy"), &["27"]),
        (format!("run {model} --input doubles.npy --output x.npy"), &["float64", "float32"]),
        (format!("run {model} --input cut.npy --output x.npy"), &["cut.npy"]),
        (format!("run {model} --input nothing.npy --output x.npy"), &["nothing.npy"]),
        (format!("run {model} --input nothing=good.npy --output x.npy"), &["nothing"]),
        (format!("run {model} --input good.npy --tensor nothing --output x.npz"), &["nothing"]),
        (format!("run {model} --input good.npy --output x.txt"), &["x.txt", ".npy"]),
    ];
    for (line, words) in cases {
        refused(&fewbit(folder.path(), &line), words);
    }
    assert_eq!(contents(folder.path()).len(), 4);
    fewbit(folder.path(), &format!("run {model} --input good.npy --output x.npy")).expect(0);
}
