//! Reports: self-contained HTML pages with SVG pictures.

#![forbid(unsafe_code)]
