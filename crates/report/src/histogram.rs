//! How often the values of a layer's weights occur, as a small picture.

use crate::markup::Markup;
use crate::numbers::{measure, whole};
use crate::run::ValueCount;

/// More bars than this cannot be told apart.
const MOST_BARS: usize = 64;
const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 44.0;

/// Draws one bar for each value, in order; neighbouring values share a bar where there are too many.
///
/// Bars are as wide as each other, however far apart the values are: it is the codes whose use is to be seen.
pub(crate) fn histogram(values: &[ValueCount]) -> Option<Markup> {
    let mut values: Vec<ValueCount> =
        values.iter().copied().filter(|value| value.value.is_finite()).collect();
    values.sort_by(|a, b| a.value.total_cmp(&b.value));
    let (first, last) = (values.first()?.value, values.last()?.value);
    let group = values.len().div_ceil(MOST_BARS);
    let bars: Vec<&[ValueCount]> = values.chunks(group).collect();
    let count = |bar: &[ValueCount]| bar.iter().map(|value| value.count as f64).sum::<f64>();
    let highest = bars.iter().map(|bar| count(bar)).fold(0.0, f64::max);
    let width = (WIDTH / bars.len() as f64).min(WIDTH / 8.0);
    let start = (WIDTH - width * bars.len() as f64) / 2.0;

    let mut svg = Markup::default();
    svg.raw("<svg class=\"histogram\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 180 46\" aria-label=\"");
    svg.text(whole(values.len() as u64)).raw(" values between ").text(measure(f64::from(first)));
    svg.raw(" and ").text(measure(f64::from(last))).raw("\">");
    for (index, bar) in bars.iter().enumerate() {
        let share = if highest > 0.0 { count(bar) / highest } else { 0.0 };
        // What occurs at all is seen.
        let height = if share > 0.0 { (share * HEIGHT).max(1.0) } else { 0.0 };
        let gap = if width > 4.0 { 1.0 } else { 0.2 };
        svg.raw("<rect").length("x", start + width * index as f64 + gap / 2.0);
        svg.length("y", HEIGHT - height).length("width", width - gap).length("height", height);
        svg.raw("><title>");
        match bar {
            [one] => svg.text(measure(f64::from(one.value))),
            [low, .., high] => {
                let (low, high) = (measure(f64::from(low.value)), measure(f64::from(high.value)));
                svg.text(low).raw(" to ").text(high)
            }
            [] => &mut svg,
        };
        let sum = bar.iter().fold(0u64, |sum, value| sum.saturating_add(value.count));
        svg.raw(": ").text(whole(sum)).raw("</title></rect>");
    }
    svg.raw("<line class=\"axis\" x1=\"0\" x2=\"180\" y1=\"44.5\" y2=\"44.5\"/></svg>");
    svg.raw("<span class=\"ends\"><span>").text(measure(f64::from(first)));
    svg.raw("</span><span>").text(whole(values.len() as u64));
    svg.raw(if values.len() == 1 { " value" } else { " values" });
    svg.raw("</span><span>").text(measure(f64::from(last))).raw("</span></span>");
    Some(svg)
}
