//! Strings from a file, made fit to be shown.

use std::fmt;

/// Shows `text` between backticks: control and invisible characters escaped, long ones cut.
///
/// # Examples
/// ```
/// use fewbit_onnx::text::quoted;
///
/// assert_eq!(quoted("conv1.weight").to_string(), "`conv1.weight`");
/// assert_eq!(quoted("\u{1b}[2Jx").to_string(), r"`\u{1b}[2Jx`");
/// ```
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// What [`quoted`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

/// More characters than this are cut.
const LONGEST: usize = 120;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for character in self.0.chars().take(LONGEST) {
            match character {
                // `escape_debug` also escapes quotes, which are harmless here.
                '"' | '\'' => write!(f, "{character}")?,
                '`' => f.write_str("\\`")?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        let length = self.0.chars().count();
        if length > LONGEST {
            write!(f, "… ({length} characters)")?;
        }
        f.write_str("`")
    }
}

/// Several names, quoted, the first few of them.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let mut text = String::new();
    let mut rest = 0_usize;
    for (index, name) in names.into_iter().enumerate() {
        if index >= SHOWN {
            rest += 1;
        } else {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&quoted(name).to_string());
        }
    }
    if rest > 0 {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{list, quoted};

    #[test]
    fn what_moves_a_cursor_is_escaped() {
        for evil in ["\u{1b}[31m", "\r", "\n", "\u{8}", "\u{7f}", "\u{9b}", "\u{202e}", "\u{200b}"]
        {
            let shown = quoted(evil).to_string();
            assert!(shown.starts_with("`\\"), "{shown:?}");
            assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown:?}");
        }
        assert_eq!(quoted("größe/層 \"x\"").to_string(), "`größe/層 \"x\"`");
    }

    #[test]
    fn long_names_are_cut() {
        let shown = quoted(&"x".repeat(100_000)).to_string();
        assert!(shown.len() < 200, "{} bytes", shown.len());
        assert!(shown.ends_with("… (100000 characters)`"), "{shown}");
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list(["a", "b"]), "`a`, `b`");
        assert_eq!(list(vec!["a"; 9]), "`a`, `a`, `a`, `a`, `a`, `a` and 3 more");
    }
}
