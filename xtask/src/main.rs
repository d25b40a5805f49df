//! Tasks of the workshop: proofs that take minutes, and house rules that no lint knows.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tasks are programs, and print")]

mod certify;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the workshop.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Round every one of the 2^32 f32 numbers to a format, compare with an oracle, write a certificate.
    ///
    /// Exit code 1 if a number is rounded differently.
    ///
    /// Example: cargo xtask certify e4m3 --implementation kernel
    Certify(certify::Args),
    /// Check the house rules that compiler and clippy do not know.
    ///
    /// Exit code 1 if one is broken.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Certify(args) => certify::run(&args),
        Task::Tidy => tidy::run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
