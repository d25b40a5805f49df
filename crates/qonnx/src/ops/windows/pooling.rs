//! What the poolings share: a tensor as planes, each with its windows.

use fewbit_kernels::pool::Pool2dShape;
use fewbit_kernels::program::{self, Windows};

use super::window::{Axis, WindowAttributes, windows};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Planned, Site};

/// Which windows there are.
#[derive(Debug)]
pub(crate) enum Pooling {
    Windows(WindowAttributes),
    /// One that covers the whole plane.
    Global,
}

/// Places in all windows of an image that a plan takes.
const MOST_PLACES: usize = 1 << 22;

/// The planes of a tensor and their windows.
#[derive(Debug)]
pub(crate) struct Planes {
    /// Items of the batch times channels.
    pub(crate) count: usize,
    axes: Vec<Axis>,
}

impl Pooling {
    pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        Ok(Self::Windows(WindowAttributes::new(attributes)?.with_ceil_mode(attributes)?))
    }

    /// Windows in a plan; `count_padding` if their sizes are to include what lies on padding.
    pub(crate) fn planned(
        &self,
        site: &Site<'_>,
        pooling: program::Pooling,
        count_padding: bool,
    ) -> Option<Planned> {
        let context = Context { options: site.options, largest: usize::MAX, batch: None };
        let planes = self.planes(site.shape, &context).ok().filter(|_| site.only_first())?;
        let size = match *planes.axes.as_slice() {
            [x] => (1, x.out),
            [y, x] => (y.out, x.out),
            _ => return None,
        };
        let taps: usize = planes.axes.iter().map(|axis| axis.kernel).product();
        // Lists of more places would be longer than images.
        if planes.outputs().checked_mul(taps)? > MOST_PLACES {
            return None;
        }
        let mut pixels = vec![Vec::new(); planes.outputs()];
        planes.windows(|window, places| pixels[window] = places.to_vec());
        if pixels.iter().any(Vec::is_empty) {
            return None;
        }
        let sizes = if count_padding {
            planes.padded_sizes()
        } else {
            pixels.iter().map(Vec::len).collect()
        };
        Some(Planned::Window(pooling, Windows { size, pixels, sizes }))
    }

    /// The planes of a tensor of this shape, once their result is known to be of a bearable size.
    pub(crate) fn planes(&self, shape: &[usize], context: &Context) -> Result<Planes, Fault> {
        if shape.len() < 3 {
            return Err(Fault::shape(
                "input 0 (X)",
                shape,
                "batch, channels, and one axis or more",
            ));
        }
        let lens = &shape[2..];
        let axes = match self {
            Self::Windows(attributes) => {
                let kernel = attributes.kernel_shape(lens.len())?;
                attributes.axes(lens, &kernel)?
            }
            Self::Global => lens
                .iter()
                .map(|&len| Axis {
                    len,
                    kernel: len,
                    stride: 1,
                    dilation: 1,
                    before: 0,
                    after: 0,
                    out: 1,
                })
                .collect(),
        };
        // Otherwise there would be windows on nothing but padding.
        if let Some(axis) = axes.iter().find(|axis| axis.before >= axis.kernel || axis.len == 0) {
            let found =
                format_args!("{} in front of {} elements", axis.before, axis.len).to_string();
            let expected =
                format_args!("less than the window's extent {}, in front of some", axis.kernel);
            return Err(Fault::value("the padding", found, expected));
        }
        let planes = Planes { count: shape[0] * shape[1], axes };
        context.check_size(&planes.output_shape(shape))?;
        Ok(planes)
    }
}

impl Planes {
    pub(crate) fn output_shape(&self, input: &[usize]) -> Vec<usize> {
        input[..2].iter().copied().chain(self.axes.iter().map(|axis| axis.out)).collect()
    }

    /// Elements of a plane of the input.
    pub(crate) fn inputs(&self) -> usize {
        self.axes.iter().map(|axis| axis.len).product()
    }

    /// Elements of a plane of the output.
    pub(crate) fn outputs(&self) -> usize {
        self.axes.iter().map(|axis| axis.out).product()
    }

    pub(crate) fn windows(&self, f: impl FnMut(usize, &[usize])) {
        windows(&self.axes, f);
    }

    /// The size of each window, what lies on padding included.
    pub(crate) fn padded_sizes(&self) -> Vec<usize> {
        let out: Vec<usize> = self.axes.iter().map(|axis| axis.out).collect();
        let mut sizes = Vec::with_capacity(self.outputs());
        crate::ops::axes::indices(&out, |index| {
            sizes.push(self.axes.iter().zip(index).map(|(axis, &i)| axis.padded_taps(i)).product());
        });
        sizes
    }

    /// The sizes for the kernels, if there are two axes without padding, and no window is only partly there.
    pub(crate) fn plain_2d(&self) -> Option<Pool2dShape> {
        let &[y, x] = self.axes.as_slice() else { return None };
        let plain = |axis: Axis| {
            axis.dilation == 1
                && axis.before == 0
                && (axis.out - 1) * axis.stride + axis.kernel <= axis.len
        };
        let shape = Pool2dShape {
            planes: self.count,
            h: y.len,
            w: x.len,
            kernel: (y.kernel, x.kernel),
            stride: (y.stride, x.stride),
        };
        (plain(y) && plain(x) && shape.output_size() == Some((y.out, x.out))).then_some(shape)
    }
}
