//! The program as a user meets it: arguments in, standard output, standard error and exit code out.

mod bad_input;
mod examples;
mod harness;
mod help;
mod json;
mod killed;
mod output;
mod verify_fails;
