//! A page under construction: whatever is not written in this crate is escaped, by type.

use std::fmt::{self, Display, Write};

/// Markup. Only literals of this crate get in as they are.
///
/// What comes out is XML as well as HTML: every element is closed, every attribute quoted.
#[derive(Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// Appends markup written in this crate.
    pub(crate) fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Appends text, escaped for elements and quoted attributes alike.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        write!(Escape(&mut self.0), "{text}").expect("writing to a string");
        self
    }

    /// Appends an attribute that is a length in a picture.
    ///
    /// # Panics
    /// If it is not finite: the charts leave out what they cannot draw.
    pub(crate) fn length(&mut self, name: &'static str, length: f64) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").coordinate(length).raw("\"")
    }

    /// Appends a number of a path.
    pub(crate) fn coordinate(&mut self, x: f64) -> &mut Self {
        assert!(x.is_finite(), "a coordinate must be finite, not {x}");
        // Tenths are finer than any screen; -0.0 would be a needless surprise.
        let tenths = (x * 10.0).round_ties_even() / 10.0 + 0.0;
        write!(self.0, "{tenths}").expect("writing to a string");
        self
    }

    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                // Control characters, and those that turn the direction of what follows: a name must not look like another one.
                _ if character.is_control() || is_invisible(character) => {
                    write!(self.0, "\u{27e8}U+{:04X}\u{27e9}", u32::from(character))?;
                }
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let cases = [
            ("plain", "plain"),
            ("<b a=\"x\" b='y'>&amp;", "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;"),
            ("a\u{0}b\u{1b}[31m", "a⟨U+0000⟩b⟨U+001B⟩[31m"),
            ("\u{202e}gpj.exe", "⟨U+202E⟩gpj.exe"),
            ("tab\tline\n", "tab\tline\n"),
            ("größer 漢字 🙂", "größer 漢字 🙂"),
        ];
        for (text, expected) in cases {
            let mut markup = Markup::default();
            markup.text(text);
            assert_eq!(markup.into_string(), expected);
        }
    }

    #[test]
    fn coordinates_are_short() {
        let cases = [(0.0, "0"), (-0.01, "0"), (1.25, "1.2"), (1.0 / 3.0, "0.3"), (640.0, "640")];
        for (x, expected) in cases {
            let mut markup = Markup::default();
            markup.coordinate(x);
            assert_eq!(markup.into_string(), expected, "{x}");
        }
    }
}
