//! Reports: self-contained HTML pages with SVG pictures.
//!
//! A page needs no network, no script and no other file; it follows the reader's choice of a dark or a light screen, and can be printed.

#![forbid(unsafe_code)]

mod bars;
mod chart;
mod histogram;
mod markup;
mod numbers;
mod page;
mod run;

pub use bars::{BarRow, Bars, render_bars};
pub use page::render_html;
pub use run::{
    BestEpoch, EpochMetrics, Fact, FileRow, LayerRow, RunReport, ValueCount, VerificationSummary,
};
