//! The program as a user meets it: arguments in, standard output, standard error and exit code out.

#![allow(clippy::unwrap_used, reason = "tests, their helpers included")]

mod bad_input;
mod clean;
mod codes;
mod convert;
mod cost;
mod diff;
mod examples;
mod external_data;
mod files_kept;
mod harness;
mod help;
mod inspect;
mod json;
mod killed;
mod networks;
mod output;
mod prove;
mod pytorch;
mod qcdq;
mod verify_fails;
