//! Quantities of several things side by side, as bars: a picture that stands alone.

use crate::markup::Markup;
use crate::numbers::measure;

/// A picture of bars: a row for each thing, a column for each quantity.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What the picture shows.
    pub title: String,
    /// The quantities, with their units.
    pub columns: Vec<String>,
    /// The things.
    pub rows: Vec<BarRow>,
}

/// One thing and its quantities.
#[derive(Clone, Debug)]
pub struct BarRow {
    /// Its name.
    pub name: String,
    /// One number for each column; what is no number is left out.
    pub values: Vec<f64>,
}

const LABELS: f64 = 190.0;
const COLUMN: f64 = 190.0;
const BAR: f64 = 110.0;
const ROW: f64 = 20.0;
const TOP: f64 = 64.0;
const LONGEST: usize = 26;

const STYLE: &str = "<style>text{font:12px system-ui,sans-serif;fill:#1c2733}.title{font-size:15px;font-weight:600}\
.head{font-weight:600}.bar{fill:#2f6f9f}.rail{fill:#e8edf2}.paper{fill:#ffffff}\
@media (prefers-color-scheme:dark){text{fill:#e4e9ef}.bar{fill:#6fb0dd}.rail{fill:#2a333d}.paper{fill:#14191f}}</style>";

/// Draws the picture as SVG. Bars of a column have one scale, the longest is the largest number.
pub fn render_bars(bars: &Bars) -> String {
    let width = LABELS + COLUMN * bars.columns.len() as f64 + 16.0;
    let height = TOP + ROW * bars.rows.len() as f64 + 16.0;
    let mut svg = Markup::default();
    svg.raw("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 ");
    svg.coordinate(width).raw(" ").coordinate(height).raw("\"");
    svg.length("width", width).length("height", height).raw(" aria-label=\"").text(&bars.title);
    svg.raw("\">").raw(STYLE);
    svg.raw("<rect class=\"paper\" x=\"0\" y=\"0\"")
        .length("width", width)
        .length("height", height);
    svg.raw("/><text class=\"title\" x=\"12\" y=\"24\">").text(&bars.title).raw("</text>");
    for (index, column) in bars.columns.iter().enumerate() {
        svg.raw("<text class=\"head\" y=\"50\"").length("x", left(index)).raw(">");
        svg.text(column).raw("</text>");
    }
    for (place, row) in bars.rows.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        svg.raw("<text text-anchor=\"end\"").length("x", LABELS - 10.0).length("y", y + 12.0);
        svg.raw("><title>").text(&row.name).raw("</title>").text(short(&row.name)).raw("</text>");
        for (index, _) in bars.columns.iter().enumerate() {
            let value = row.values.get(index).copied().unwrap_or(f64::NAN);
            if value.is_finite() {
                bar(left(index), y, value, largest(bars, index), &mut svg);
            }
        }
    }
    svg.raw("</svg>\n");
    svg.into_string()
}

fn left(column: usize) -> f64 {
    LABELS + COLUMN * column as f64
}

fn largest(bars: &Bars, column: usize) -> f64 {
    let values = bars.rows.iter().filter_map(|row| row.values.get(column).copied());
    values.filter(|value| value.is_finite()).fold(0.0, f64::max)
}

fn bar(x: f64, y: f64, value: f64, largest: f64, svg: &mut Markup) {
    let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
    svg.raw("<rect class=\"rail\" height=\"12\"").length("x", x).length("y", y + 2.0);
    svg.length("width", BAR).raw("/><rect class=\"bar\" height=\"12\"").length("x", x);
    svg.length("y", y + 2.0).length("width", BAR * share).raw("/><text");
    svg.length("x", x + BAR + 6.0).length("y", y + 12.0).raw(">").text(short_number(value));
    svg.raw("</text>");
}

/// `1.25 G`: numbers of any size in few characters.
fn short_number(value: f64) -> String {
    let units = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(size, _)| value.abs() >= *size) {
        Some((size, unit)) => format!("{} {unit}", measure(value / size)),
        None => measure(value),
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let end: Vec<char> = name.chars().rev().take(LONGEST - 1).collect();
    std::iter::once('…').chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_short() {
        let cases = [(0.0, "0"), (12.0, "12"), (1500.0, "1.5 k"), (13_738_844_160.0, "13.74 G")];
        for (value, text) in cases {
            assert_eq!(short_number(value), text);
        }
        assert_eq!(short(&"x".repeat(40)).chars().count(), LONGEST);
    }
}
