//! The `fewbit` program: trains few-bit networks, exports them to QONNX, runs QONNX files, and
//! proves that file and network compute the same.

#![forbid(unsafe_code)]

mod checkpoints;
mod clock;
mod command_line;
mod commands;
mod console;
mod devices;
mod environment;
mod executor;
mod failure;
mod files;
mod interrupt;
mod nearest;
mod networks;
mod program;
mod progress;
mod runs;
mod tensors;
mod verification;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(std::env::args_os().collect())
}
