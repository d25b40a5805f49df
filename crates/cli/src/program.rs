//! From arguments to exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches;
use serde_json::{Value, json};

use crate::command_line::{self, Cli, Command, Common};
use crate::commands::{
    clean, codes, convert, cost, data, diff, eval, export, formats, inspect, networks, prove,
    recipes, run as run_command, train, verify,
};
use crate::console::{self, Console, Verbosity};
use crate::failure::{Failure, Hint, Outcome};

/// What a command found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// For people, on standard output.
    pub text: String,
    /// For machines, on standard output instead of the text.
    pub json: Value,
    /// Whether a check found a difference.
    pub verdict: Verdict,
}

/// Whether what was checked is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was checked, or all was right.
    Good,
    /// A check found a difference: exit code 1.
    Different,
}

/// Runs the program on `argv` and tells its exit code.
pub fn run(argv: Vec<OsString>) -> ExitCode {
    let wants_json = argv.iter().take_while(|a| *a != "--").any(|argument| argument == "--json");
    let cli = match parse(argv) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, wants_json),
    };
    let report = prepare(&cli.common).and_then(|console| dispatch(&cli.command, &console));
    match report {
        Ok(report) => {
            let text = if cli.common.json { document(&report.json) } else { report.text };
            match console::write_stdout(&text) {
                Ok(()) if report.verdict == Verdict::Good => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(1),
                Err(error) => {
                    fail(&Failure::from(error).or_hint("standard output is not writable"), false)
                }
            }
        }
        Err(failure) => {
            if let Some(report) = failure.report() {
                let text =
                    if cli.common.json { document(&report.json) } else { report.text.clone() };
                // The document is there: the failure is told in words alone.
                let _ = console::write_stdout(&text);
                return fail(&failure, false);
            }
            fail(&failure, cli.common.json)
        }
    }
}

fn parse(argv: Vec<OsString>) -> Result<Cli, clap::Error> {
    let matches = command_line::definition().try_get_matches_from(command_line::normalise(argv))?;
    Cli::from_arg_matches(&matches)
}

/// Does what the common flags and the environment ask for.
fn prepare(common: &Common) -> Outcome<Console> {
    let verbosity = if common.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = common.threads {
        pool = pool.num_threads(threads.into());
    }
    pool.build_global().context("cannot start the threads")?;
    limit_instructions()?;
    Ok(Console::new(verbosity))
}

/// `FEWBIT_ISA` lowers the level of instructions that the kernels use.
fn limit_instructions() -> Outcome<()> {
    let Some(level) = std::env::var_os("FEWBIT_ISA") else { return Ok(()) };
    let level = level.to_string_lossy();
    let isa = level.parse::<fewbit_kernels::Isa>().context("FEWBIT_ISA")?;
    fewbit_kernels::limit_isa(isa);
    Ok(())
}

fn dispatch(command: &Command, console: &Console) -> Outcome<Report> {
    match command {
        Command::Train(args) => train::run(args, console),
        Command::Recipes(args) => recipes::run(args),
        Command::Eval(args) => eval::run(args, console),
        Command::Export(args) => export::run(args, console),
        Command::Verify(args) => verify::run(args, console),
        Command::Prove(args) => prove::run(args, console),
        Command::Run(args) => run_command::run(args, console),
        Command::Inspect(args) => inspect::run(args),
        Command::Cost(args) => cost::run(args),
        Command::Diff(args) => diff::run(args, console),
        Command::Clean(args) => clean::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Codes(args) => codes::run(args),
        Command::Formats(args) => formats::run(args),
        Command::Networks(args) => networks::run(args, console),
        Command::Data(args) => data::run(args, console),
    }
}

/// Says what went wrong, on standard error, and as JSON on standard output where that is wanted.
fn fail(failure: &Failure, as_json: bool) -> ExitCode {
    let message = console::escape_lines(&failure.message());
    console::say_always(&format!("error: {message}"));
    if let Some(hint) = failure.hint() {
        console::say_always(&format!("hint: {}", console::escape_lines(hint)));
    }
    if as_json {
        let _ = console::write_stdout(&error_document(&message, failure.hint()));
    }
    ExitCode::from(failure.exit_code())
}

/// What clap has to say: help and version on standard output, mistakes on standard error.
fn usage(error: &clap::Error, wants_json: bool) -> ExitCode {
    if wants_json && error.use_stderr() {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = lines.find_map(|line| line.strip_prefix("tip: "));
        let _ = console::write_stdout(&error_document(&message, hint));
    }
    // A closed pipe is nobody's mistake.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn error_document(message: &str, hint: Option<&str>) -> String {
    document(&json!({ "error": message, "hint": hint }))
}

/// One JSON document with a line end.
fn document(value: &Value) -> String {
    format!("{value:#}\n")
}
