//! What other programs refuse in a file, or read in another way, and why.
//!
//! The rules were found in the programs' sources and issue trackers: hls4ml 1.3.0, FINN (main of April 2026), chisel4ml
//! (January 2025), qonnx 1.0.0, onnxruntime 1.32.

mod chisel4ml;
mod finn;
mod hls4ml;
mod ort;
mod qonnx;
mod shared;

use serde::Serialize;

use crate::facts::Facts;

/// A program that reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumer {
    /// FINN, for FPGAs.
    Finn,
    /// hls4ml, for FPGAs.
    Hls4ml,
    /// chisel4ml, for FPGAs and chips.
    Chisel4ml,
    /// The executor and the tools of the package qonnx.
    Qonnx,
    /// onnxruntime without custom operators.
    Ort,
}

/// What a consumer makes of something in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It stops with an error, or computes something else.
    Refuses,
    /// It goes on, with a worse result, or after a change of its own.
    Warns,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the rule.
    pub rule: &'static str,
    /// The node or tensor.
    pub place: String,
    /// What is there, and why it matters.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<&'static str>,
}

/// Looks for what a consumer would refuse; what is worst comes first.
pub fn check(facts: &Facts<'_>, consumer: Consumer) -> Vec<Lint> {
    let mut findings = Findings { lints: Vec::new() };
    shared::runs(facts, &mut findings);
    match consumer {
        Consumer::Finn => finn::check(facts, &mut findings),
        Consumer::Hls4ml => hls4ml::check(facts, &mut findings),
        Consumer::Chisel4ml => chisel4ml::check(facts, &mut findings),
        Consumer::Qonnx => qonnx::check(facts, &mut findings),
        Consumer::Ort => ort::check(facts, &mut findings),
    }
    findings.lints.sort_by_key(|lint| lint.severity);
    findings.lints
}

impl Consumer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Finn, Self::Hls4ml, Self::Chisel4ml, Self::Qonnx, Self::Ort];

    /// The name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finn => "FINN",
            Self::Hls4ml => "hls4ml",
            Self::Chisel4ml => "chisel4ml",
            Self::Qonnx => "qonnx",
            Self::Ort => "onnxruntime",
        }
    }
}

/// The findings so far.
struct Findings {
    lints: Vec<Lint>,
}

impl Findings {
    fn refuse(
        &mut self,
        rule: &'static str,
        place: String,
        message: String,
        fix: Option<&'static str>,
    ) {
        self.lints.push(Lint { severity: Severity::Refuses, rule, place, message, fix });
    }

    fn warn(
        &mut self,
        rule: &'static str,
        place: String,
        message: String,
        fix: Option<&'static str>,
    ) {
        self.lints.push(Lint { severity: Severity::Warns, rule, place, message, fix });
    }
}
