//! Numbers as people read them, and the round numbers of an axis.

/// Writes a whole number with thousands separated: `59,210`.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a whole number and its noun: `1 epoch`, `12 epochs`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(number), if number == 1 { one } else { many })
}

/// Writes a share: `96.60 %`, with a space that does not break.
pub(crate) fn percent(number: f64) -> String {
    if number.is_finite() { format!("{number:.2}\u{a0}%") } else { "no number".to_owned() }
}

/// Writes a measurement with four significant digits: `0.001`, `0.01234`, `12,350`.
pub(crate) fn measure(number: f64) -> String {
    if !number.is_finite() {
        return "no number".to_owned();
    }
    let size = number.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return trim(&format!("{number:.3e}"));
    }
    if size >= 1000.0 {
        let sign = if number < 0.0 { "\u{2212}" } else { "" };
        return format!("{sign}{}", whole(size.round_ties_even() as u64));
    }
    let before = if size >= 1.0 { size.log10().floor() as usize + 1 } else { 0 };
    let after = match size {
        0.0 => 0,
        size if size >= 1.0 => 4 - before.min(4),
        size => 3 + (-size.log10()).ceil() as usize,
    };
    trim(&format!("{number:.after$}"))
}

/// Removes the zeros at the end of a fraction.
fn trim(text: &str) -> String {
    let (number, exponent) = text.split_at(text.find('e').unwrap_or(text.len()));
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number}{exponent}").replace('-', "\u{2212}")
}

/// Round numbers, about `wanted` of them, that lie between two others; the step is 1, 2 or 5 times a power of ten.
pub(crate) fn round_numbers(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![low];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|x| x * power).find(|&step| step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 100.0) as usize;
    (0..=count).map(|index| (first + index as f64) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let cases =
            [(0, "0"), (999, "999"), (1000, "1,000"), (59_210, "59,210"), (1_234_567, "1,234,567")];
        for (number, expected) in cases {
            assert_eq!(whole(number), expected);
        }
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.02, "0.02"),
            (0.00125, "0.00125"),
            (0.123_456, "0.1235"),
            (2.345_67, "2.346"),
            (12.5, "12.5"),
            (99.994, "99.99"),
            (999.96, "1000"),
            (1234.5, "1,234"),
            (97_123.4, "97,123"),
            (-0.5, "\u{2212}0.5"),
            (-2000.0, "\u{2212}2,000"),
            (1e-6, "1e\u{2212}6"),
            (1.5e20, "1.5e20"),
            (f64::NAN, "no number"),
            (f64::INFINITY, "no number"),
        ];
        for (number, expected) in cases {
            assert_eq!(measure(number), expected, "{number}");
        }
        assert_eq!(counted(1, "epoch", "epochs"), "1 epoch");
        assert_eq!(counted(1200, "epoch", "epochs"), "1,200 epochs");
        assert_eq!(
            (percent(96.6), percent(f64::NAN)),
            ("96.60\u{a0}%".to_owned(), "no number".to_owned())
        );
    }

    #[test]
    fn axes_have_round_numbers() {
        let cases = [
            (0.0, 100.0, 5, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (83.1, 97.2, 5, vec![85.0, 90.0, 95.0]),
            (0.0, 1.0, 4, vec![0.0, 0.5, 1.0]),
            (1.0, 12.0, 6, vec![2.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
            (5.0, 5.0, 5, vec![5.0]),
        ];
        for (low, high, wanted, expected) in cases {
            let found = round_numbers(low, high, wanted);
            assert_eq!(found.len(), expected.len(), "{low} {high}: {found:?}");
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        }
        for (low, high) in [(f64::NAN, 1.0), (0.0, f64::INFINITY), (1e308, -1e308), (0.0, 1e-320)] {
            assert!(round_numbers(low, high, 5).len() <= 101);
        }
    }
}
