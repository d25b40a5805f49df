//! A run that is killed at any moment goes on to the same bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{contents, fewbit, only_entry, program};

/// Long enough to be killed in every part, short enough to be run often.
const RUN: &str = "train --network TFC_1W2A --dataset glyphs --limit 2000 --epochs 25 \
                   --export_qonnx --quiet --random_seed 5";

/// What has to be the same, whatever happened on the way.
const RESULTS: [&str; 3] =
    ["checkpoints/best.safetensors", "checkpoints/last.safetensors", "TFC_1W2A_qonnx.onnx"];

/// When the program is killed: so many epochs are done, and so many microseconds have passed since.
/// From before the run folder exists to the export and the verification at the end.
const MOMENTS: [(usize, u64); 9] = [
    (0, 3_000),
    (0, 60_000),
    (1, 0),
    (3, 2_500),
    (8, 7_000),
    (14, 11_000),
    (19, 500),
    (24, 1_500),
    (25, 4_000),
];

fn start(folder: &Path) -> Child {
    let mut command = program(folder);
    command.args(RUN.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn results(run_folder: &Path) -> Vec<Vec<u8>> {
    RESULTS.iter().map(|name| fs::read(run_folder.join(name)).unwrap()).collect()
}

#[test]
fn killed_runs_end_in_the_same_bits() {
    let whole = TempDir::new().unwrap();
    assert!(start(whole.path()).wait().unwrap().success());
    let expected = results(&only_entry(&whole.path().join("experiments")));

    let mut killed = 0;
    for (epochs, microseconds) in MOMENTS {
        let folder = TempDir::new().unwrap();
        let mut child = start(folder.path());
        while epochs_done(folder.path()) < epochs && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(microseconds));
        // SIGKILL: nothing in the program can react to it.
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());

        let run_folder = resume(folder.path());
        assert!(results(&run_folder) == expected, "killed {microseconds} us after epoch {epochs}");
        no_rests(&run_folder);
    }
    assert!(killed >= MOMENTS.len() - 1, "only {killed} runs were killed before they were done");
}

/// The moments that last shortest: each time a file has just appeared.
#[test]
fn killed_as_soon_as_a_file_appears() {
    let whole = TempDir::new().unwrap();
    assert!(start(whole.path()).wait().unwrap().success());
    let expected = results(&only_entry(&whole.path().join("experiments")));
    let mut seen = 0;
    for name in RESULTS.iter().copied().chain(["config.toml", "verification.json"]) {
        let folder = TempDir::new().unwrap();
        let mut child = start(folder.path());
        seen += usize::from(wait_for(&mut child, folder.path(), name));
        child.kill().unwrap();
        child.wait().unwrap();
        let run_folder = resume(folder.path());
        assert!(results(&run_folder) == expected, "killed when {name} appeared");
        no_rests(&run_folder);
    }
    assert!(seen >= 4, "{seen}");
}

/// A run of one epoch, with both exports: most of it is what comes after the training.
const EXPORTS: &str = "train --network TFC_1W2A --dataset glyphs --limit 3000 --epochs 1 --export_qonnx \
                       --export_qcdq_onnx --quiet --random_seed 5";

/// The files of such a run, all of which have to be the same.
const EXPORTED: [&str; 4] = [
    "checkpoints/best.safetensors",
    "checkpoints/last.safetensors",
    "TFC_1W2A_qonnx.onnx",
    "TFC_1W2A_qcdq.onnx",
];

/// What the verifications say, without times and places.
fn verdicts(run_folder: &Path) -> Vec<serde_json::Value> {
    let document = |name: &str| {
        let bytes = fs::read(run_folder.join(name)).unwrap();
        let mut document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for key in ["checkpoint", "model", "seconds", "images_per_second"] {
            assert!(document.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        assert_eq!(document["identical"], true, "{document:#}");
        document
    };
    ["verification.json", "verification_qcdq.json"].map(document).into()
}

/// How much of what comes after the training a killed run had done.
fn parts_done(run_folder: &Path) -> usize {
    let parts = [
        "TFC_1W2A_qonnx.onnx",
        "verification.json",
        "TFC_1W2A_qcdq.onnx",
        "verification_qcdq.json",
        "report.html",
    ];
    parts.iter().filter(|name| run_folder.join(name).exists()).count()
}

/// From the first word about the export to the end: in both exports, in both verifications, and while their
/// files are written.
#[test]
fn killed_while_it_exports_and_verifies() {
    let start = |folder: &Path| {
        let mut command = program(folder);
        command.args(EXPORTS.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let all = |run_folder: &Path| -> Vec<Vec<u8>> {
        EXPORTED.iter().map(|name| fs::read(run_folder.join(name)).unwrap()).collect()
    };
    let exports = |folder: &Path| {
        let runs = fs::read_dir(folder.join("experiments")).into_iter().flatten().flatten();
        let logs = runs.filter_map(|run| fs::read_to_string(run.path().join("log.txt")).ok());
        logs.into_iter().any(|log| log.contains("Exporting "))
    };
    let whole = TempDir::new().unwrap();
    let mut child = start(whole.path());
    while !exports(whole.path()) {
        assert!(child.try_wait().unwrap().is_none_or(|status| status.success()));
        thread::sleep(Duration::from_micros(200));
    }
    let began = Instant::now();
    assert!(child.wait().unwrap().success());
    let lasted = began.elapsed();
    let run_folder = only_entry(&whole.path().join("experiments"));
    let (expected, said) = (all(&run_folder), verdicts(&run_folder));
    assert_eq!(parts_done(&run_folder), 5);

    const KILLS: u32 = 12;
    let mut killed = [0; 6];
    for kill in 0..KILLS {
        let folder = TempDir::new().unwrap();
        let mut child = start(folder.path());
        while !exports(folder.path()) && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(lasted * kill / KILLS);
        child.kill().unwrap();
        let run_folder = only_entry(&folder.path().join("experiments"));
        if !child.wait().unwrap().success() {
            killed[parts_done(&run_folder)] += 1;
        }
        let path = run_folder.to_str().unwrap();
        fewbit(folder.path(), &format!("train --quiet --resume {path}")).expect(0);
        assert!(all(&run_folder) == expected, "killed at {kill}/{KILLS} of the exports");
        assert_eq!(verdicts(&run_folder), said, "killed at {kill}/{KILLS} of the exports");
        no_rests(&run_folder);
    }
    let parts = killed[..5].iter().filter(|count| **count > 0).count();
    assert!(parts >= 2, "all kills met the same part: {killed:?}");
}

/// Ctrl-C is heard: the program ends by itself, and the run goes on later.
#[test]
fn interrupted_runs_end_in_the_same_bits() {
    let whole = TempDir::new().unwrap();
    assert!(start(whole.path()).wait().unwrap().success());
    let expected = results(&only_entry(&whole.path().join("experiments")));

    let folder = TempDir::new().unwrap();
    let mut child = start(folder.path());
    assert!(wait_for(&mut child, folder.path(), RESULTS[1]));
    let signal =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signal.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(results(&resume(folder.path())) == expected);
}

/// What others do with a run folder in the meantime does not disturb the training in it, and a second
/// training there is refused before it changes anything.
#[test]
fn a_folder_in_which_a_training_runs() {
    let folder = TempDir::new().unwrap();
    let line = RUN.replace("--epochs 25", "--epochs 5000").replace("--export_qonnx", "");
    let mut training = program(folder.path());
    training.args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut training = training.spawn().unwrap();
    assert!(wait_for(&mut training, folder.path(), RESULTS[1]));
    let run_folder = only_entry(&folder.path().join("experiments"));
    let config = fs::read(run_folder.join("config.toml")).unwrap();
    for _ in 0..5 {
        fewbit(folder.path(), "eval experiments --limit 10 --quiet").expect(0);
        fewbit(folder.path(), "export experiments -o copy.onnx --quiet").expect(0);
        let verify = "verify experiments copy.onnx --limit 10 --quiet --report copy.json";
        let code = fewbit(folder.path(), verify).code;
        assert!([0, 1].contains(&code), "1: there is a better network by now; not {code}");
        let second = fewbit(folder.path(), "train --resume experiments --epochs 9999").expect(2);
        assert!(second.stderr.contains("is in use by another process"), "{}", second.stderr);
    }
    assert!(training.try_wait().unwrap().is_none(), "the training goes on");
    training.kill().unwrap();
    training.wait().unwrap();
    assert!(fs::read(run_folder.join("config.toml")).unwrap() == config);
}

/// Goes on with the run below `folder`; one that was killed before it had a folder starts again.
fn resume(folder: &Path) -> PathBuf {
    let runs = folder.join("experiments");
    if !runs.is_dir() || fs::read_dir(&runs).unwrap().next().is_none() {
        fewbit(folder, RUN).expect(0);
        return only_entry(&runs);
    }
    let run_folder = only_entry(&runs);
    if !run_folder.join("config.toml").is_file() {
        // The plan is the first file of a run: without it nothing has been computed yet.
        assert!(!run_folder.join(RESULTS[1]).exists());
        fs::remove_dir_all(&run_folder).unwrap();
        fewbit(folder, RUN).expect(0);
        return only_entry(&runs);
    }
    let path = run_folder.to_str().unwrap();
    fewbit(folder, &format!("train --quiet --resume {path}")).expect(0);
    run_folder
}

/// Epochs whose measurements have been written.
fn epochs_done(folder: &Path) -> usize {
    let runs = fs::read_dir(folder.join("experiments")).into_iter().flatten().flatten();
    let metrics = runs.filter_map(|run| fs::read(run.path().join("metrics.jsonl")).ok());
    metrics.map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count()).max().unwrap_or(0)
}

/// Waits until a file of the run folder exists; false if the program was done before that was seen.
fn wait_for(child: &mut Child, folder: &Path, name: &str) -> bool {
    while child.try_wait().unwrap().is_none() {
        let runs = fs::read_dir(folder.join("experiments")).into_iter().flatten();
        if runs.flatten().any(|run| run.path().join(name).exists()) {
            return true;
        }
        thread::sleep(Duration::from_micros(200));
    }
    false
}

/// A finished run leaves no temporary files.
fn no_rests(run_folder: &Path) {
    for (path, _) in contents(run_folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.contains("tmp") && !name.starts_with('.'), "{name} is left over");
    }
}
