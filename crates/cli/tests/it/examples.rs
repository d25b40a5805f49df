//! Every example of every help page runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{clean, fewbit, finish};
use crate::help::COMMANDS;

#[test]
fn examples_of_the_help_pages_run() {
    let folder = TempDir::new().unwrap();
    let mut examples = 0;
    // `train` comes first in the list, and leaves the run folder that the others use.
    for command in COMMANDS {
        let page = fewbit(folder.path(), &format!("{command} --help")).expect(0).stdout;
        let lines: Vec<String> = lines_of_examples(&page);
        assert!(!lines.is_empty(), "{command} has no example");
        for line in lines {
            let run = finish(&mut shell(folder.path(), &line));
            assert_eq!(run.code, 0, "$ {line}\n{}\n{}", run.stdout, run.stderr);
            examples += 1;
        }
    }
    assert!(examples >= 12, "{examples}");
    for file in ["network.onnx", "copy.onnx", "logits.npy", "out.npy", "images.npy"] {
        assert!(fs::metadata(folder.path().join(file)).unwrap().len() > 0, "{file}");
    }
}

/// The lines behind `$`. None is so long that the help page breaks it.
fn lines_of_examples(page: &str) -> Vec<String> {
    let examples = page.split("Examples:\n").nth(1).unwrap_or_default();
    let block = examples.lines().take_while(|line| !line.is_empty());
    let mut lines = Vec::new();
    for line in block {
        match line.strip_prefix("  $ ") {
            Some(example) => lines.push(example.to_owned()),
            None => assert!(line.starts_with("  # "), "a broken line: {line}"),
        }
    }
    lines
}

/// A shell that knows the program under its name.
fn shell(folder: &Path, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_fewbit")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(program.to_owned()).chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    clean(&mut command, folder);
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command
}
