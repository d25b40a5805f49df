//! The machine and the program, as run folders and reports name them.

use std::fs;

use fewbit_kernels::Isa;
use fewbit_nn::DeviceName;
use serde::Serialize;

/// What `env.json` holds.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The version of the program.
    pub version: &'static str,
    /// The command line that started the run.
    pub command: String,
    /// Name of the processor.
    pub cpu: String,
    /// Its cores, as far as this process may use them.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// The instruction set that the kernels use.
    pub instruction_set: &'static str,
    /// The device that computes: the processor, or a GPU.
    pub device: String,
    /// The operating system.
    pub os: &'static str,
    /// The processor's architecture.
    pub architecture: &'static str,
}

impl Environment {
    /// Looks around; `device` computes.
    pub fn here(device: DeviceName) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            command: command_line(),
            cpu: cpu().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            threads: rayon::current_num_threads(),
            instruction_set: Isa::current().name(),
            device: device.to_string(),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        }
    }
}

/// The command line as one would type it again.
fn command_line() -> String {
    let arguments = std::env::args_os().skip(1);
    let words = arguments.map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("fewbit".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Puts what a shell would change between quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The processor's name, where the system tells it.
fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, expected) in [
            ("--lr=0.1", "--lr=0.1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
