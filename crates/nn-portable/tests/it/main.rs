//! `fewbit-nn` against itself: the default of every operation, which GPUs run, against the processor's
//! own implementation; and where there is a GPU, that against the processor.

#![allow(
    clippy::print_stderr,
    reason = "a test that is skipped says so, and short trainings how near they are"
)]

mod agreement;
mod computations;
mod defaults;
mod gpus;
