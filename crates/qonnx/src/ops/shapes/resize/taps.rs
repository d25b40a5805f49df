//! Which elements of an axis a place of the result takes, and with which weights.

/// One axis that is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) len: usize,
    pub(super) out: usize,
    pub(super) scale: f64,
    /// First and last place of the crop, as parts of the axis.
    pub(super) crop: (f64, f64),
}

/// Where a place in the result is in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordinates {
    Asymmetric,
    HalfPixel,
    /// The middle stays in the middle where the extent was rounded.
    HalfPixelSymmetric,
    /// The first place if there is only one.
    PytorchHalfPixel,
    AlignCorners,
    TfHalfPixel,
    TfCropAndResize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// How elements between two places are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    Nearest(Rounding),
    Linear,
    /// With the coefficient of the polynomial.
    Cubic(f64),
}

/// How the places of an axis are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    pub(super) coordinates: Coordinates,
    pub(super) filter: Filter,
    /// The filter becomes as wide as the distance of the places, where that is more than one element.
    pub(super) antialias: bool,
    /// What lies outside does not count, instead of being what is at the edge.
    pub(super) exclude_outside: bool,
}

/// Elements with their weights.
pub(super) type Taps = Vec<(usize, f64)>;

impl Sampling {
    /// What each place takes; `None` if it lies outside of the crop's input.
    pub(super) fn taps(&self, axis: Axis) -> Vec<Option<Taps>> {
        let taps = |i: usize| Some(self.around(self.coordinates.source(i, axis)?, axis));
        (0..axis.out).map(taps).collect()
    }

    fn around(&self, place: f64, axis: Axis) -> Taps {
        let first = place.floor();
        let ratio = place - first;
        let narrow = if self.antialias { axis.scale.min(1.0) } else { 1.0 };
        let (reach, weight): (f64, Box<dyn Fn(f64) -> f64>) = match self.filter {
            Filter::Nearest(rounding) => {
                let whole = rounding.apply(place).max(0.0) as usize;
                return vec![(whole.min(axis.len - 1), 1.0)];
            }
            Filter::Linear => (1.0, Box::new(|x: f64| (1.0 - x.abs()).max(0.0))),
            Filter::Cubic(a) => (2.0, Box::new(move |x: f64| cubic(x.abs(), a))),
        };
        let start = (-reach / narrow).floor() as i64 + 1;
        let inside = |i: i64| (0..axis.len as i64).contains(&i);
        let mut taps = Vec::with_capacity((2 - 2 * start) as usize);
        let mut sum = 0.0;
        for step in start..2 - start {
            let (i, weight) = (first as i64 + step, weight((step as f64 - ratio) * narrow));
            if self.exclude_outside && !inside(i) {
                continue;
            }
            sum += weight;
            taps.push((i.clamp(0, axis.len as i64 - 1) as usize, weight));
        }
        if self.antialias || self.exclude_outside {
            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        taps
    }
}

/// The piecewise polynomial of cubic interpolation at a distance.
fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

impl Coordinates {
    /// The place in the input of place `i` in the result; `None` outside of the input of a crop.
    fn source(self, i: usize, axis: Axis) -> Option<f64> {
        let (x, len, scale) = (i as f64, axis.len as f64, axis.scale);
        // What the extent would be if it were not rounded.
        let out = scale * len;
        Some(match self {
            Self::Asymmetric => x / scale,
            Self::PytorchHalfPixel if axis.out <= 1 => 0.0,
            Self::HalfPixel | Self::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Self::HalfPixelSymmetric => {
                let offset = len / 2.0 * (1.0 - axis.out as f64 / out);
                offset + (x + 0.5) / scale - 0.5
            }
            Self::AlignCorners if out == 1.0 || axis.out <= 1 => 0.0,
            Self::AlignCorners => x * (len - 1.0) / (out - 1.0),
            Self::TfHalfPixel => (x + 0.5) / scale,
            Self::TfCropAndResize => {
                let (first, last) = axis.crop;
                let along = if out == 1.0 {
                    (last - first) * (len - 1.0) / 2.0
                } else {
                    x * (last - first) * (len - 1.0) / (out - 1.0)
                };
                let place = first * (len - 1.0) + along;
                return (0.0..=len - 1.0).contains(&place).then_some(place);
            }
        })
    }
}

impl Rounding {
    fn apply(self, place: f64) -> f64 {
        match self {
            Self::PreferFloor => (place - 0.5).ceil(),
            Self::PreferCeil => (place + 0.5).floor(),
            Self::Floor => place.floor(),
            Self::Ceil => place.ceil(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(coordinates: Coordinates, filter: Filter) -> Sampling {
        Sampling { coordinates, filter, antialias: false, exclude_outside: false }
    }

    #[test]
    fn doubling_by_hand() {
        let axis = Axis { len: 2, out: 4, scale: 2.0, crop: (0.0, 1.0) };
        let taps = sampling(Coordinates::HalfPixel, Filter::Linear).taps(axis);
        let value = |taps: &Option<Taps>| {
            let values = [10.0, 20.0];
            taps.as_ref().unwrap().iter().map(|&(i, w)| values[i] * w).sum::<f64>()
        };
        assert_eq!(taps.iter().map(value).collect::<Vec<_>>(), [10.0, 12.5, 17.5, 20.0]);
        let taps = sampling(Coordinates::AlignCorners, Filter::Linear).taps(axis);
        let corners = taps.iter().map(value).collect::<Vec<_>>();
        assert_eq!((corners[0], corners[3]), (10.0, 20.0));
        let crop = Axis { crop: (-0.5, 1.0), ..axis };
        let taps = sampling(Coordinates::TfCropAndResize, Filter::Linear).taps(crop);
        assert_eq!(taps.iter().filter(|taps| taps.is_none()).count(), 1);
    }

    #[test]
    fn weights_sum_to_one() {
        for filter in [Filter::Linear, Filter::Cubic(-0.75), Filter::Cubic(-0.5)] {
            for (antialias, exclude_outside) in [(false, false), (true, false), (true, true)] {
                for scale in [0.3, 0.6, 1.0, 1.7, 4.0] {
                    let out = (7.0 * scale) as usize;
                    let axis = Axis { len: 7, out, scale, crop: (0.0, 1.0) };
                    let coordinates = Coordinates::HalfPixel;
                    let sampling = Sampling { coordinates, filter, antialias, exclude_outside };
                    for taps in sampling.taps(axis) {
                        let sum: f64 = taps.unwrap().iter().map(|(_, weight)| weight).sum();
                        assert!((sum - 1.0).abs() < 1e-12, "{sampling:?} {scale}: {sum}");
                    }
                }
            }
        }
    }
}
