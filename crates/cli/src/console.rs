//! The two channels to the user: data on standard output, words on standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Whether words that are not errors are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Everything.
    Normal,
    /// Errors only (`--quiet`).
    Quiet,
}

/// Writes to the user. Never panics: a closed pipe is not an error of ours.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    verbosity: Verbosity,
}

impl Console {
    /// A console that says as much as `verbosity` allows.
    pub fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// Says a line, unless the user wants quiet.
    pub fn say(&self, line: impl AsRef<str>) {
        if self.verbosity == Verbosity::Normal {
            say_always(line.as_ref());
        }
    }

    /// Whether a progress bar can be drawn.
    pub fn draws(&self) -> bool {
        self.verbosity == Verbosity::Normal
            && io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }
}

/// Says a line on standard error.
pub fn say_always(line: &str) {
    write_stderr(&format!("{line}\n"));
}

/// Writes to standard error and ignores that nobody may listen.
pub fn write_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Writes data to standard output.
///
/// # Errors
/// Anything but a closed pipe: whoever closed it has read enough.
pub fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Makes text that came from a file or a flag safe for a terminal: control characters, escape
/// sequences and text-direction marks become `\u{..}`.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let direction = matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        );
        if character.is_control() || direction {
            let _ = write!(escaped, "{}", character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Like [`escape`], but keeps line ends: for messages of several lines.
pub fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// A count with separators: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 image`, `2 images`, `10,000 images`.
pub fn counted(count: u64, singular: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {singular}{ending}", grouped(count))
}

/// A time span for people: `0.4 s`, `59 s`, `3 min 12 s`, `2 h 05 min`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round_ties_even() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// What stands in a column of numbers where there is none.
const NO_NUMBERS: [&str; 5] = ["-", "none", "nan", "inf", "-inf"];

/// Lines up columns, texts to the left and numbers to the right, readable without colour.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let is_number = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let mut cells = cells.filter(|cell| !NO_NUMBERS.contains(&cell.as_str())).peekable();
        cells.peek().is_some()
            && cells
                .all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+'))
    };
    let numeric: Vec<bool> = (0..header.len()).map(is_number).collect();
    let mut text = String::new();
    let mut push_row = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from(" ");
        for (column, cell) in cells.enumerate() {
            let fill = widths[column].saturating_sub(cell.chars().count());
            line.push(' ');
            if numeric[column] {
                line.extend(std::iter::repeat_n(' ', fill));
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', fill));
            }
            line.push(' ');
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    push_row(&mut header.iter().copied());
    for row in rows {
        push_row(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_move_the_cursor() {
        assert_eq!(escape("plain é 漢"), "plain é 漢");
        assert_eq!(escape("a\x1b[31mb\r\n"), "a\\u{1b}[31mb\\u{d}\\u{a}");
        assert_eq!(escape("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escape_lines("a\nb\x07"), "a\nb\\u{7}");
    }

    #[test]
    fn numbers_for_people() {
        let cases =
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")];
        for (count, text) in cases {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(counted(1, "image"), "1 image");
        assert_eq!(counted(1500, "image"), "1,500 images");
        let spans = [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (59.4, "59 s"),
            (59.6, "1 min 00 s"),
            (192.0, "3 min 12 s"),
            (7500.0, "2 h 05 min"),
            (f64::NAN, "?"),
        ];
        for (span, text) in spans {
            assert_eq!(seconds(span), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["e3m1".to_owned(), "5".to_owned()],
            vec!["e4m3".to_owned(), "-12".to_owned()],
        ];
        assert_eq!(table(&["name", "bits"], &rows), "  name  bits\n  e3m1     5\n  e4m3   -12\n");
        let rows = [["1.5"], ["-inf"], ["none"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&["x"], &rows), "     x\n   1.5\n  -inf\n  none\n");
    }
}
