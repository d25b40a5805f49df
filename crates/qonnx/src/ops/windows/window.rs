//! Sliding windows: where convolutions and poolings look.

use std::ops::Range;

use crate::attributes::Attributes;
use crate::error::Fault;

/// What the attributes say about the windows of a node.
#[derive(Clone, Debug)]
pub(crate) struct WindowAttributes {
    pub(crate) kernel: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    auto_pad: AutoPad,
    ceil: bool,
}

/// What `auto_pad` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AutoPad {
    NotSet,
    Valid,
    /// Outputs for every stride; an odd zero goes behind.
    SameUpper,
    /// The same, an odd zero goes in front.
    SameLower,
}

impl AutoPad {
    /// Reads `auto_pad`.
    pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        Ok(match attributes.string("auto_pad")? {
            None | Some("NOTSET" | "") => Self::NotSet,
            Some("VALID") => Self::Valid,
            Some("SAME_UPPER") => Self::SameUpper,
            Some("SAME_LOWER") => Self::SameLower,
            Some(other) => {
                let found = format_args!("{other:?}");
                let expected = "NOTSET, VALID, SAME_UPPER or SAME_LOWER";
                return Err(Fault::value("attribute \"auto_pad\"", found, expected));
            }
        })
    }
}

/// Reads `group`, the number of groups of channels of a convolution.
pub(crate) fn groups(attributes: &mut Attributes<'_>) -> Result<usize, Fault> {
    let groups = attributes.int("group")?.unwrap_or(1);
    usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| Fault::value("attribute \"group\"", groups, "1 or more"))
}

impl WindowAttributes {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad`.
    pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        let auto_pad = AutoPad::new(attributes)?;
        let list = |values: Option<&[i64]>| values.map(<[i64]>::to_vec);
        Ok(Self {
            kernel: list(attributes.ints("kernel_shape")?),
            strides: list(attributes.ints("strides")?),
            dilations: list(attributes.ints("dilations")?),
            pads: list(attributes.ints("pads")?),
            auto_pad,
            ceil: false,
        })
    }

    /// Windows with these sizes.
    pub(crate) fn of(strides: Vec<i64>, dilations: Vec<i64>, pads: Vec<i64>) -> Self {
        let (strides, dilations, pads) = (Some(strides), Some(dilations), Some(pads));
        Self { kernel: None, strides, dilations, pads, auto_pad: AutoPad::NotSet, ceil: false }
    }

    /// Reads `ceil_mode`, too: a window that is only partly there counts.
    pub(crate) fn with_ceil_mode(self, attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        Ok(Self { ceil: attributes.flag("ceil_mode", false)?, ..self })
    }

    /// The attribute `kernel_shape` for a tensor of so many spatial axes.
    pub(crate) fn kernel_shape(&self, axes: usize) -> Result<Vec<usize>, Fault> {
        let kernel =
            self.kernel.as_deref().ok_or_else(|| Fault::missing("attribute \"kernel_shape\""))?;
        sizes(Some(kernel), axes, "attribute \"kernel_shape\"")
    }

    /// The windows over a tensor with the spatial extents `lens`.
    pub(crate) fn axes(&self, lens: &[usize], kernel: &[usize]) -> Result<Vec<Axis>, Fault> {
        let count = lens.len();
        let strides = sizes(self.strides.as_deref(), count, "attribute \"strides\"")?;
        let dilations = sizes(self.dilations.as_deref(), count, "attribute \"dilations\"")?;
        let pads = match &self.pads {
            Some(pads) if self.auto_pad == AutoPad::NotSet => {
                let fits =
                    pads.len() == 2 * count && pads.iter().all(|&pad| (0..LONGEST).contains(&pad));
                if !fits {
                    let expected = format_args!("{} numbers of 0 or more", 2 * count).to_string();
                    return Err(Fault::value(
                        "attribute \"pads\"",
                        format_args!("{pads:?}"),
                        expected,
                    ));
                }
                pads.iter().map(|&pad| pad as usize).collect()
            }
            _ => vec![0; 2 * count],
        };
        (0..count)
            .map(|i| {
                let axis = Axis {
                    len: lens[i],
                    kernel: kernel[i],
                    stride: strides[i],
                    dilation: dilations[i],
                    before: pads[i],
                    after: pads[count + i],
                    out: 0,
                };
                self.outputs(axis).ok_or_else(|| {
                    let expected =
                        format!("at least the extent of the window {kernel:?} with its padding");
                    Fault::shape("the windows' input, without batch and channels,", lens, expected)
                })
            })
            .collect()
    }

    /// Fills in the padding that is worked out, and the number of windows; `None` if there is none.
    fn outputs(&self, mut axis: Axis) -> Option<Axis> {
        let extent = (axis.kernel - 1).checked_mul(axis.dilation)?.checked_add(1)?;
        if matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            axis.out = axis.len.div_ceil(axis.stride);
            let needed = (axis.out.checked_sub(1)? * axis.stride).checked_add(extent)?;
            let pad = needed.saturating_sub(axis.len);
            axis.before =
                if self.auto_pad == AutoPad::SameUpper { pad / 2 } else { pad.div_ceil(2) };
            axis.after = pad - axis.before;
            return Some(axis);
        }
        let padded = axis.len.checked_add(axis.before)?.checked_add(axis.after)?;
        let room = padded.checked_sub(extent)?;
        axis.out = if self.ceil { room.div_ceil(axis.stride) } else { room / axis.stride } + 1;
        // A window that would begin behind the tensor and the padding in front of it does not count.
        if self.ceil && (axis.out - 1) * axis.stride >= axis.len + axis.before {
            axis.out -= 1;
        }
        Some(axis)
    }
}

/// What no extent of a window reaches.
const LONGEST: i64 = 1 << 31;

/// Positive numbers, one per axis; without them ones.
fn sizes(values: Option<&[i64]>, axes: usize, what: &str) -> Result<Vec<usize>, Fault> {
    let Some(values) = values else { return Ok(vec![1; axes]) };
    if values.len() != axes || values.iter().any(|value| !(1..LONGEST).contains(value)) {
        let expected = format_args!("{axes} numbers of 1 or more").to_string();
        return Err(Fault::value(what, format_args!("{values:?}"), expected));
    }
    Ok(values.iter().map(|&value| value as usize).collect())
}

/// The windows along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) len: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// How many windows there are.
    pub(crate) out: usize,
}

impl Axis {
    /// The taps of window `i` that lie inside, and the place of tap 0 relative to the input.
    pub(crate) fn taps(self, i: usize) -> (Range<usize>, isize) {
        let first = (i * self.stride) as isize - self.before as isize;
        let inside = self.taps_within(first, 0, self.len as isize);
        (inside, first)
    }

    /// How many taps of window `i` lie on the input or its padding.
    pub(crate) fn padded_taps(self, i: usize) -> usize {
        let first = (i * self.stride) as isize - self.before as isize;
        self.taps_within(first, -(self.before as isize), (self.len + self.after) as isize).len()
    }

    fn taps_within(self, first: isize, from: isize, to: isize) -> Range<usize> {
        let dilation = self.dilation as isize;
        let start = if first >= from { 0 } else { (from - first + dilation - 1) / dilation };
        let end = if first >= to { 0 } else { (to - first + dilation - 1) / dilation };
        let end = (end as usize).min(self.kernel);
        (start as usize).min(end)..end
    }
}

/// Calls `f(window, places)` for each window of one plane: the places of its taps in scan order.
pub(crate) fn windows(axes: &[Axis], mut f: impl FnMut(usize, &[usize])) {
    let out: Vec<usize> = axes.iter().map(|axis| axis.out).collect();
    let mut places = Vec::new();
    let mut next = Vec::new();
    let mut window = 0;
    crate::ops::axes::indices(&out, |index| {
        places.clear();
        places.push(0);
        for (axis, &i) in axes.iter().zip(index) {
            let (taps, first) = axis.taps(i);
            next.clear();
            for place in &places {
                next.extend(taps.clone().map(|tap| {
                    place * axis.len + (first + (tap * axis.dilation) as isize) as usize
                }));
            }
            std::mem::swap(&mut places, &mut next);
        }
        f(window, &places);
        window += 1;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(auto_pad: AutoPad, pads: Option<Vec<i64>>, ceil: bool) -> WindowAttributes {
        WindowAttributes {
            kernel: None,
            strides: Some(vec![2]),
            dilations: None,
            pads,
            auto_pad,
            ceil,
        }
    }

    #[test]
    fn padding_that_is_worked_out() {
        // (auto_pad, length, before, after, windows) for a kernel of 4 and a stride of 2
        let cases = [
            (AutoPad::SameUpper, 5, 1, 2, 3),
            (AutoPad::SameLower, 5, 2, 1, 3),
            (AutoPad::SameUpper, 6, 1, 1, 3),
            (AutoPad::Valid, 7, 0, 0, 2),
        ];
        for (auto_pad, len, before, after, out) in cases {
            let found = attributes(auto_pad, None, false).axes(&[len], &[4]).unwrap()[0];
            assert_eq!(
                (found.before, found.after, found.out),
                (before, after, out),
                "{auto_pad:?} {len}"
            );
        }
        assert!(attributes(AutoPad::Valid, None, false).axes(&[3], &[4]).is_err());
    }

    #[test]
    fn windows_that_are_partly_there() {
        let ceil = attributes(AutoPad::NotSet, Some(vec![1, 1]), true);
        // The last window would begin on the padding behind.
        assert_eq!(ceil.axes(&[2], &[1]).unwrap()[0].out, 2);
        let axis = ceil.axes(&[4], &[3]).unwrap()[0];
        assert_eq!(axis.out, 3);
        let mut seen = Vec::new();
        windows(&[axis], |window, places| seen.push((window, places.to_vec())));
        assert_eq!(seen, [(0, vec![0, 1]), (1, vec![1, 2, 3]), (2, vec![3])]);
        assert_eq!((0..3).map(|i| axis.padded_taps(i)).collect::<Vec<_>>(), [3, 3, 2]);
    }

    #[test]
    fn huge_sizes_are_no_windows() {
        let mut huge = attributes(AutoPad::NotSet, Some(vec![i64::MAX, 0]), false);
        assert!(huge.axes(&[5], &[3]).is_err());
        huge.pads = None;
        huge.dilations = Some(vec![LONGEST - 1]);
        assert!(huge.axes(&[5], &[3]).is_err());
        assert_eq!(huge.axes(&[5], &[1]).unwrap()[0].out, 3);
    }
}
