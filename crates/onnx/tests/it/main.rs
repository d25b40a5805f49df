//! Tests of the crate from outside.

mod damage;
mod external_data;
mod files;
mod round_trip;
