//! The crate from outside: against numbers of Brevitas and PyTorch.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, their helpers included")]

mod biases_and_pools;
mod fusion;
mod golden;
mod gradients;
mod integers;
mod minifloats;
mod networks;
mod scales;
