//! Tests of the number formats against oracles that share no code with them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod oracle;

mod exhaustive_floats;
mod exhaustive_integers;
mod golden;
mod laws;
mod names;
mod stochastic;
mod tables;
mod wide_floats;
