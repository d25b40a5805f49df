//! Rust source as far as house rules need it.

/// Blanks comments and the insides of strings; lines stay.
pub fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (kept, skipped) = token(rest);
        code.push_str(&rest[..kept]);
        code.extend(rest[kept..kept + skipped].chars().filter(|&c| c == '\n'));
        rest = &rest[kept + skipped..];
    }
    code
}

/// How many bytes to keep, and how many after them to blank.
fn token(text: &str) -> (usize, usize) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with("//") {
        return (0, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (0, block_comment(text));
    }
    if text.starts_with('"') {
        return (0, string(text));
    }
    if let Some(length) = raw_string(text) {
        return (0, length);
    }
    if text.starts_with('\'') {
        return (0, character(text));
    }
    if first == 1 && (text.as_bytes()[0].is_ascii_alphanumeric() || text.starts_with('_')) {
        // A whole word, so that the end of an identifier is not taken for the prefix of a string.
        let end = |c: char| !(c.is_alphanumeric() || c == '_');
        return (text.find(end).unwrap_or(text.len()), 0);
    }
    (first, 0)
}

/// Comments in comments count.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"..."`, `r#"..."#`, `br"..."`, `cr"..."`.
fn raw_string(text: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - after.len() + hashes + 1;
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// A character in quotes, or the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let after = escaped + c.len_utf8();
            text[after..].find('\'').map_or(text.len(), |at| after + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The lines before the tests at the end of a file, or all.
pub fn lines_before_tests(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank() {
        let table = [
            ("a // b\nc", "a \nc"),
            ("a /* b\n /* c */ d */ e", "a \n e"),
            ("a(\"b // \\\" c\") d", "a() d"),
            ("a(r#\"b \" c\"#) d", "a() d"),
            ("a(br\"b\") var\"x\"", "a() var"),
            ("'\"' a", " a"),
            ("'\\'' a '\\u{1f600}' b", " a  b"),
            ("&'static str \"x\"", "&static str "),
            ("f(b'\\\\', \"unsafe\")", "f(b, )"),
            ("\u{e9} \"\u{e9}\" \u{e9}", "\u{e9}  \u{e9}"),
            ("\"never closed", ""),
            ("'\\\u{e9}' a", " a"),
        ];
        for (text, expected) in table {
            assert_eq!(without_comments_and_strings(text), expected, "{text}");
        }
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        assert_eq!(lines_before_tests("a\nb\n\n#[cfg(test)]\nmod tests {\nc\n}\n"), 3);
        assert_eq!(lines_before_tests("#[cfg(test)]\nuse a;\nb\n"), 3);
        assert_eq!(lines_before_tests("a\n#[cfg(test)]\nmod tests;\n"), 3);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("forbid(unsafe_code)").filter(|w| *w == "unsafe").count(), 0);
        assert_eq!(words("unsafe{a}").filter(|w| *w == "unsafe").count(), 1);
    }
}
