//! Suggestions for names that were mistyped.

/// The candidate that looks most like `typed`, if any looks like it at all.
///
/// Upper and lower case count as equal, `-` and `_` too.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let typed = plain(typed);
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&typed, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

/// `did you mean X?`, if something is near.
pub fn suggestion<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(typed, candidates).map(|name| format!("did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_and_nothing_far() {
        let names = ["TFC_1W1A", "TFC_1W2A", "TFC_2W2A", "SFC_2W2A"];
        assert_eq!(nearest("tfc-2w2a", names), Some("TFC_2W2A"));
        assert_eq!(nearest("TCF_2W2A", names), Some("TFC_2W2A"));
        assert_eq!(nearest("TFC_1W2", names), Some("TFC_1W2A"));
        assert_eq!(nearest("zebra", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
