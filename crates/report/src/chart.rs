//! Curves over epochs, drawn in SVG with axes, units and a legend.

use crate::markup::Markup;
use crate::numbers::{measure, round_numbers};

/// A chart of one or more curves.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// What is drawn upward, with its unit.
    pub(crate) vertical: &'static str,
    pub(crate) scale: Scale,
    pub(crate) curves: Vec<Curve>,
}

/// How values become heights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Linear, but never above 100.
    Percent,
    /// Linear, and down to 0.
    FromZero,
    /// By the logarithm; values that have none are left out.
    Logarithmic,
}

/// A curve over epochs.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// The class that gives it its colour and dashes.
    pub(crate) class: &'static str,
    /// Epoch and value; values that are no numbers are left out.
    pub(crate) points: Vec<(u64, f64)>,
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 468.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 222.0;

impl Chart {
    /// Draws the chart, or nothing if no value can be drawn.
    pub(crate) fn draw(&self) -> Option<Markup> {
        let drawable = |&(_, value): &(u64, f64)| {
            value.is_finite() && (self.scale != Scale::Logarithmic || value > 0.0)
        };
        let curves: Vec<Vec<(f64, f64)>> = self
            .curves
            .iter()
            .map(|curve| {
                let points = curve.points.iter().filter(|point| drawable(point));
                points.map(|&(epoch, value)| (epoch as f64, self.height_of(value))).collect()
            })
            .collect();
        let all = || curves.iter().flatten();
        let epochs = Range::of(all().map(|point| point.0))?;
        let values = Range::of(all().map(|point| point.1))?.padded(self.scale);
        let frame = Frame { epochs: epochs.widened(), values };

        let mut svg = Markup::default();
        svg.raw("<svg class=\"chart\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 480 270\" aria-label=\"");
        svg.text(self.title).raw(": ").text(self.summary()).raw("\">");
        self.axes(&frame, epochs, &mut svg);
        for (curve, points) in self.curves.iter().zip(&curves) {
            line(&frame, curve.class, points, &mut svg);
            self.marks(&frame, curve, &mut svg);
        }
        self.legend(&mut svg);
        svg.raw("</svg>");
        Some(svg)
    }

    fn height_of(&self, value: f64) -> f64 {
        if self.scale == Scale::Logarithmic { value.log10() } else { value }
    }

    /// What the chart shows, for those who do not see it.
    fn summary(&self) -> String {
        let ends = self.curves.iter().filter_map(|curve| {
            let (first, last) = (curve.points.first()?, curve.points.last()?);
            Some(format!("{} from {} to {}", curve.name, measure(first.1), measure(last.1)))
        });
        ends.collect::<Vec<_>>().join(", ")
    }

    fn axes(&self, frame: &Frame, epochs: Range, svg: &mut Markup) {
        for height in self.heights(frame) {
            let y = frame.y(height);
            svg.raw("<line class=\"grid\"").length("x1", LEFT).length("x2", RIGHT);
            svg.length("y1", y).length("y2", y).raw("/><text class=\"tick\" text-anchor=\"end\"");
            svg.length("x", LEFT - 6.0).length("y", y + 4.0).raw(">");
            let value = if self.scale == Scale::Logarithmic { 10f64.powf(height) } else { height };
            svg.text(measure(value)).raw("</text>");
        }
        for epoch in round_numbers(epochs.low, epochs.high, 6) {
            // With few epochs, round numbers can fall between them.
            if epoch.fract() == 0.0 {
                svg.raw("<text class=\"tick\" text-anchor=\"middle\"").length("x", frame.x(epoch));
                svg.length("y", BOTTOM + 17.0).raw(">").text(measure(epoch)).raw("</text>");
            }
        }
        svg.raw("<line class=\"axis\"").length("x1", LEFT).length("x2", RIGHT);
        svg.length("y1", BOTTOM).length("y2", BOTTOM).raw("/>");
        svg.raw("<text class=\"label\" text-anchor=\"middle\"").length("x", (LEFT + RIGHT) / 2.0);
        svg.length("y", BOTTOM + 38.0).raw(">epoch</text>");
        svg.raw("<text class=\"label\" x=\"0\" y=\"18\">").text(self.vertical).raw("</text>");
    }

    /// The heights of the horizontal lines.
    fn heights(&self, frame: &Frame) -> Vec<f64> {
        let Range { low, high } = frame.values;
        if self.scale != Scale::Logarithmic {
            return round_numbers(low, high, 5);
        }
        // Over more than a decade, its powers of ten; within one, round values.
        let powers: Vec<f64> =
            (low.ceil() as i64..=high.floor() as i64).map(|x| x as f64).collect();
        match powers.len() {
            0 | 1 => {
                let values = round_numbers(10f64.powf(low), 10f64.powf(high), 4);
                values.into_iter().filter(|&value| value > 0.0).map(f64::log10).collect()
            }
            count => powers.into_iter().step_by(count.div_ceil(6)).collect(),
        }
    }

    /// Marks at the points that tell their values when they are pointed at; on long curves only some.
    fn marks(&self, frame: &Frame, curve: &Curve, svg: &mut Markup) {
        let step = curve.points.len().div_ceil(60).max(1);
        let last = curve.points.len().saturating_sub(1);
        for (index, &(epoch, value)) in curve.points.iter().enumerate() {
            let height = self.height_of(value);
            if !height.is_finite() || (index % step != 0 && index != last) {
                continue;
            }
            svg.raw("<circle class=\"")
                .raw(curve.class)
                .raw("\"")
                .length("cx", frame.x(epoch as f64));
            svg.length("cy", frame.y(height)).length("r", if last < 40 { 2.6 } else { 1.8 });
            svg.raw("><title>").text(format_args!(
                "epoch {epoch}, {}: {}",
                curve.name,
                measure(value)
            ));
            svg.raw("</title></circle>");
        }
    }

    fn legend(&self, svg: &mut Markup) {
        if self.curves.len() < 2 {
            return;
        }
        let mut right = RIGHT;
        for curve in self.curves.iter().rev() {
            let left = right - 7.2 * curve.name.len() as f64;
            svg.raw("<text class=\"label\"").length("x", left).raw(" y=\"18\">");
            svg.text(curve.name)
                .raw("</text><line class=\"")
                .raw(curve.class)
                .raw("\" y1=\"14\" y2=\"14\"");
            svg.length("x1", left - 28.0).length("x2", left - 6.0).raw("/>");
            right = left - 42.0;
        }
    }
}

fn line(frame: &Frame, class: &'static str, points: &[(f64, f64)], svg: &mut Markup) {
    if points.len() < 2 {
        return;
    }
    svg.raw("<polyline class=\"").raw(class).raw("\" points=\"");
    for &(epoch, height) in points {
        svg.coordinate(frame.x(epoch)).raw(",").coordinate(frame.y(height)).raw(" ");
    }
    svg.raw("\"/>");
}

#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// The range of some finite numbers.
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        numbers.fold(None, |range: Option<Self>, x| {
            let Self { low, high } = range.unwrap_or(Self { low: x, high: x });
            Some(Self { low: low.min(x), high: high.max(x) })
        })
    }

    /// Room for a single epoch.
    fn widened(self) -> Self {
        if self.low < self.high {
            self
        } else {
            Self { low: self.low - 0.5, high: self.high + 0.5 }
        }
    }

    /// Air above and below, within what the values can be.
    fn padded(self, scale: Scale) -> Self {
        let Self { low, high } = self;
        // Halves: the sum of two large numbers could overflow.
        let air = ((high / 2.0 - low / 2.0) * 0.12).max(match scale {
            Scale::Percent => 0.5,
            Scale::Linear | Scale::FromZero => low.abs().max(1e-9) * 0.02,
            Scale::Logarithmic => 0.15,
        });
        let floor = if low >= 0.0 && scale != Scale::Logarithmic { 0.0 } else { f64::MIN };
        let ceiling = if high <= 100.0 && scale == Scale::Percent { 100.0 } else { f64::MAX };
        let low = if scale == Scale::FromZero { low.min(air) } else { low };
        Self { low: (low - air).max(floor), high: (high + air).min(ceiling) }
    }

    /// Where a number lies in the range, 0 at its lower end and 1 at its upper end.
    fn share(self, x: f64) -> f64 {
        (x / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
    }
}

struct Frame {
    epochs: Range,
    values: Range,
}

impl Frame {
    fn x(&self, epoch: f64) -> f64 {
        LEFT + 8.0 + self.epochs.share(epoch) * (RIGHT - LEFT - 16.0)
    }

    fn y(&self, height: f64) -> f64 {
        BOTTOM - self.values.share(height) * (BOTTOM - TOP)
    }
}

const _: () = assert!(WIDTH == 480.0 && HEIGHT == 270.0, "the sizes of the view box");
