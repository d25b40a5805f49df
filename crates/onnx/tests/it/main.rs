//! Tests of the crate from outside.

#![allow(clippy::unwrap_used, reason = "tests, their helpers included")]

mod damage;
mod external_data;
mod files;
mod round_trip;
mod stored_tensors;
