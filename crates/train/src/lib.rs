//! The training loop: optimizers, schedules, checkpoints, run folders.

#![forbid(unsafe_code)]
