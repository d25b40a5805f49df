//! The numbers: minifloats, integers, bipolar; round, encode, decode.

#![forbid(unsafe_code)]
