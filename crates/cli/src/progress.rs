//! The line at the bottom of a terminal that says how far a command is.

use std::time::{Duration, Instant};

use crate::console::{self, Console};

/// Redraws at most this often.
const INTERVAL: Duration = Duration::from_millis(100);

/// Cells of the bar.
const CELLS: usize = 20;

/// One line on standard error that is drawn over and over; nothing at all where no terminal is.
#[derive(Debug)]
pub struct Progress {
    draws: bool,
    drawn_at: Option<Instant>,
}

impl Progress {
    /// A bar that is drawn if standard error is a terminal.
    pub fn new(console: &Console) -> Self {
        Self { draws: console.draws(), drawn_at: None }
    }

    /// Whether anything is drawn.
    pub fn draws(&self) -> bool {
        self.draws
    }

    /// Shows `words` behind a bar that is filled to `done / total`.
    pub fn show(&mut self, done: u64, total: u64, words: impl FnOnce() -> String) {
        let early = self.drawn_at.is_some_and(|at| at.elapsed() < INTERVAL) && done < total;
        if !self.draws || early {
            return;
        }
        self.drawn_at = Some(Instant::now());
        let line = format!("{} {}", bar(done, total), words());
        console::write_stderr(&format!("\r{}\x1b[K", fit(&line, terminal_width())));
    }

    /// Takes the line away, so that something else can be said.
    pub fn clear(&mut self) {
        if self.drawn_at.take().is_some() {
            console::write_stderr("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `[#####---------------]  25 %`
fn bar(done: u64, total: u64) -> String {
    let total = total.max(1);
    let done = done.min(total);
    let filled = (done as f64 / total as f64 * CELLS as f64) as usize;
    let percent = done * 100 / total;
    format!("[{}{}] {percent:>3} %", "#".repeat(filled), "-".repeat(CELLS - filled))
}

/// Cuts a line that would wrap: a wrapped line cannot be drawn over.
fn fit(line: &str, width: usize) -> String {
    line.chars().take(width.saturating_sub(1)).collect()
}

/// Columns of the terminal that standard error is.
fn terminal_width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal_size::terminal_size_of(std::io::stderr())
        .map(|(terminal_size::Width(width), _)| usize::from(width))
        .or(columns)
        .filter(|width| *width > 0)
        .unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0, 10), "[--------------------]   0 %");
        assert_eq!(bar(5, 20), "[#####---------------]  25 %");
        assert_eq!(bar(20, 20), "[####################] 100 %");
        assert_eq!(bar(30, 20), "[####################] 100 %");
        assert_eq!(bar(0, 0), "[--------------------]   0 %");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(fit("abcdef", 4), "abc");
        assert_eq!(fit("abc", 80), "abc");
    }
}
