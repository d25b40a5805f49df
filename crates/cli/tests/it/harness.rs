//! Starts the program and looks at what it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use fewbit_onnx::builder::{GraphBuilder, Node};
use fewbit_onnx::proto::ModelProto;
use fewbit_onnx::tensor::TensorValue;
use serde_json::Value;
use tempfile::TempDir;

/// What the program did.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Standard output as the one JSON document that it has to be.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    /// Fails the test unless the exit code is `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The program, to be started in `folder`, away from the variables of the person who runs the tests.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fewbit"));
    clean(&mut command, folder);
    command
}

/// Takes everything out of the environment that the program looks at.
pub fn clean(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env("TERM", "dumb");
    for name in ["COLUMNS", "LINES", "FEWBIT_ISA", "RUST_BACKTRACE", "RAYON_NUM_THREADS"] {
        command.env_remove(name);
    }
}

/// Runs `fewbit ARGUMENTS` in `folder`; the arguments are separated by spaces.
pub fn fewbit(folder: &Path, arguments: &str) -> Run {
    finish(program(folder).args(arguments.split_whitespace()))
}

/// A model of one node, `y = x + w`, with `w` stored.
pub fn sum_model() -> ModelProto {
    let mut graph = GraphBuilder::new("g");
    graph.input("x", &[2]).unwrap();
    graph.initializer("w", &TensorValue::vector(vec![10.0_f32, 20.0])).unwrap();
    graph.add(Node::standard("sum", "Add").inputs(["x", "w"]).output("y", &[2])).unwrap();
    graph.output("y").unwrap();
    graph.finish("test", "1").unwrap()
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Run {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A small network that was trained, exported and verified once for all tests.
#[derive(Debug)]
pub struct Trained {
    folder: TempDir,
    /// What `train --json` printed.
    pub report: Value,
}

/// Flags of a training run that takes a second or two.
pub const SMALL_RUN: &str =
    "train --network TFC_2W2A --dataset glyphs --limit 600 --epochs 2 --export_qonnx --quiet";

impl Trained {
    /// The folder in which the program was started; runs are in `experiments` below it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The run folder.
    pub fn run_folder(&self) -> PathBuf {
        only_entry(&self.folder().join("experiments"))
    }

    /// A checkpoint by the name of its file.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.run_folder().join("checkpoints").join(name)
    }

    /// The exported file.
    pub fn model(&self) -> PathBuf {
        self.run_folder().join("TFC_2W2A_qonnx.onnx")
    }
}

/// Trains at the first call.
pub fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let run = fewbit(folder.path(), &format!("{SMALL_RUN} --json")).expect(0);
        Trained { folder, report: run.json() }
    })
}

/// The one entry of a folder.
pub fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

/// Every file below a folder with its bytes, in order of names.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
