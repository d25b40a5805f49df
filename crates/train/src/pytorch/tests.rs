//! Hand-written pickles: what is read, and what is refused where.

mod hostile;
mod starting;
mod values;
mod writing;
mod written;

use std::path::Path;

use super::*;
use crate::error::Error;
use written::{Layout, Pickle};

const FILE: &str = "best.tar";

/// Reads a file.
fn read(bytes: Vec<u8>) -> Result<Contents, Error> {
    Contents::from_bytes(bytes, Path::new(FILE))
}

/// The error that a pickle ends in, in both layouts the same but for the place.
#[track_caller]
fn refusal(pickle: &Pickle) -> String {
    refusal_with(pickle, &[])
}

#[track_caller]
fn refusal_with(pickle: &Pickle, storages: &[(&str, Vec<u8>)]) -> String {
    let [zip, legacy] = Layout::BOTH.map(|layout| {
        let error = read(layout.file(pickle, storages)).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
        error.to_string()
    });
    let shifted = |text: &str| text.split_once(": found ").map(|(_, rest)| rest.to_owned());
    assert_eq!(shifted(&zip), shifted(&legacy), "both layouts have one machine");
    zip
}
