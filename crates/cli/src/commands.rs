//! One file per command: what may be typed (`Args`), what it comes to (`Plan`), and the doing.

pub mod clean;
pub mod codes;
pub mod convert;
pub mod cost;
pub mod data;
pub mod dataset;
pub mod diff;
pub mod eval;
pub mod export;
pub mod formats;
pub mod inspect;
pub mod networks;
pub mod proof;
pub mod prove;
pub mod recipes;
pub mod run;
pub mod train;
pub mod verify;
