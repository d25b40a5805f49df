//! Resize and its predecessor Upsample.

mod taps;

use taps::{Axis, Coordinates, Filter, Rounding, Sampling, Taps};

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::tensor::{Grid, Tensor};
use crate::value::{Data, Narrowing, Value, narrowed, widened};

/// Each element of the result is the nearest one of the input, or made of several along each axis: sums in f64, rounded once.
#[derive(Debug)]
struct Resize {
    sampling: Sampling,
    scales: Scales,
    /// The axes that scales and sizes are about; all without them.
    axes: Option<Vec<i64>>,
    aspect: Aspect,
    /// What stands where a crop leaves the input.
    outside: f32,
}

/// Where the sizes come from.
#[derive(Clone, Debug, PartialEq)]
enum Scales {
    Attribute(Vec<f32>),
    /// The number of the input with the scales.
    Input(usize),
}

/// What becomes of sizes that would change the ratio of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

fn unknown(name: &str, found: &str, expected: &str) -> Fault {
    Fault::value(format_args!("attribute {name:?}"), format_args!("{found:?}"), expected)
}

pub(crate) fn resize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 11 {
        return upsample(attributes);
    }
    let aspect = match attributes.string("keep_aspect_ratio_policy")? {
        None | Some("stretch") => Aspect::Stretch,
        Some("not_larger") => Aspect::NotLarger,
        Some("not_smaller") => Aspect::NotSmaller,
        Some(other) => {
            let expected = "stretch, not_larger or not_smaller";
            return Err(unknown("keep_aspect_ratio_policy", other, expected));
        }
    };
    let coordinates = match attributes.string("coordinate_transformation_mode")? {
        Some("asymmetric") => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("tf_half_pixel_for_nn") => Coordinates::TfHalfPixel,
        Some("tf_crop_and_resize") => Coordinates::TfCropAndResize,
        Some(other) => {
            let expected = "one of the transformations of the operator";
            return Err(unknown("coordinate_transformation_mode", other, expected));
        }
    };
    let rounding = match attributes.string("nearest_mode")? {
        None | Some("round_prefer_floor") => Rounding::PreferFloor,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some(other) => {
            let expected = "round_prefer_floor, round_prefer_ceil, floor or ceil";
            return Err(unknown("nearest_mode", other, expected));
        }
    };
    let a = attributes.float("cubic_coeff_a")?.unwrap_or(-0.75);
    let filter = match attributes.string("mode")? {
        None | Some("nearest") => Filter::Nearest(rounding),
        Some("linear") => Filter::Linear,
        Some("cubic") => Filter::Cubic(f64::from(a)),
        Some(mode) => return Err(unknown("mode", mode, "nearest, linear or cubic")),
    };
    let nearest = matches!(filter, Filter::Nearest(_));
    let antialias = attributes.flag("antialias", false)?;
    if antialias && nearest {
        return Err(Fault::value("attribute \"antialias\"", 1, "0, as the mode is nearest"));
    }
    let sampling = Sampling {
        coordinates,
        filter,
        antialias,
        exclude_outside: attributes.flag("exclude_outside", false)? && !nearest,
    };
    let axes = attributes.ints("axes")?.map(<[i64]>::to_vec);
    let outside = attributes.float("extrapolation_value")?.unwrap_or(0.0);
    Ok(Box::new(Resize { sampling, scales: Scales::Input(2), axes, aspect, outside }))
}

/// Also what Resize was in version 10.
pub(crate) fn upsample(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let filter = match attributes.string("mode")? {
        None | Some("nearest") => Filter::Nearest(Rounding::Floor),
        Some("linear" | "bilinear") => Filter::Linear,
        Some(mode) => return Err(unknown("mode", mode, "nearest or linear")),
    };
    let sampling = Sampling {
        coordinates: Coordinates::Asymmetric,
        filter,
        antialias: false,
        exclude_outside: false,
    };
    let scales = match attributes.floats("scales")? {
        Some(scales) => Scales::Attribute(scales.to_vec()),
        None => Scales::Input(1),
    };
    let (axes, aspect) = (None, Aspect::Stretch);
    Ok(Box::new(Resize { sampling, scales, axes, aspect, outside: 0.0 }))
}

impl Resize {
    /// Every axis with its extent in the result.
    fn axes(&self, input: &[usize], inputs: &mut Inputs) -> Result<Vec<Axis>, Fault> {
        let rank = input.len();
        let listed = match &self.axes {
            Some(axes) => axes::distinct(axes, rank, "attribute \"axes\"")?,
            None => (0..rank).collect(),
        };
        let crop = match self.scales {
            Scales::Input(2) => inputs.optional(1).filter(|roi| roi.len() > 0),
            _ => None,
        };
        let scales = match &self.scales {
            Scales::Attribute(scales) => Some(scales.clone()),
            Scales::Input(index) => {
                let scales = inputs.optional(*index).filter(|scales| scales.len() > 0);
                scales.map(|scales| scales.slice("the scales").map(<[f32]>::to_vec)).transpose()?
            }
        };
        let wrong = |found: String| {
            let expected = format!("{} numbers above 0 that make bearable extents", listed.len());
            Fault::value("the list of scales or sizes", found, expected)
        };
        let whole = |&len: &usize| Axis { len, out: len, scale: 1.0, crop: (0.0, 1.0) };
        let mut all: Vec<Axis> = input.iter().map(whole).collect();
        if let Some(scales) = scales {
            let fits = scales.len() == listed.len()
                && listed.iter().zip(&scales).all(|(&axis, &scale)| {
                    scale > 0.0 && input[axis] as f64 * f64::from(scale) < 1e15
                });
            if !fits {
                return Err(wrong(format!("{scales:?}")));
            }
            for (&axis, &scale) in listed.iter().zip(&scales) {
                all[axis].scale = f64::from(scale);
                all[axis].out = (input[axis] as f64 * f64::from(scale)).floor() as usize;
            }
        } else {
            let sizes = inputs.take(3, "sizes")?.to_i64("input 3 (sizes)")?;
            let fits = sizes.len() == listed.len() && sizes.iter().all(|&size| size >= 1);
            if !fits || input.contains(&0) {
                return Err(wrong(format!("{sizes:?}")));
            }
            let ratio = |(&axis, &size): (&usize, &i64)| size as f64 / input[axis] as f64;
            let ratios: Vec<f64> = listed.iter().zip(&sizes).map(ratio).collect();
            let common = match self.aspect {
                Aspect::Stretch => None,
                Aspect::NotLarger => ratios.iter().copied().reduce(f64::min),
                Aspect::NotSmaller => ratios.iter().copied().reduce(f64::max),
            };
            for ((&axis, &size), &ratio) in listed.iter().zip(&sizes).zip(&ratios) {
                all[axis].scale = common.unwrap_or(ratio);
                all[axis].out = match common {
                    Some(scale) => (scale * input[axis] as f64 + 0.5).floor() as usize,
                    None => size as usize,
                };
            }
        }
        if self.sampling.coordinates == Coordinates::TfCropAndResize {
            let crop = crop.ok_or_else(|| Fault::missing("input 1 (roi)"))?;
            let places = crop.to_f32("input 1 (roi)")?;
            if places.len() != 2 * listed.len() {
                let expected = format!("[{}]", 2 * listed.len());
                return Err(Fault::shape("input 1 (roi)", crop.shape(), expected));
            }
            for (i, &axis) in listed.iter().enumerate() {
                let last = places[listed.len() + i];
                all[axis].crop = (f64::from(places[i]), f64::from(last));
            }
        }
        Ok(all)
    }

    fn nearest(
        &self,
        value: &Value,
        grid: Option<Grid>,
        taps: &[Vec<Option<Taps>>],
        shape: Vec<usize>,
    ) -> Result<Vec<Tensor>, Fault> {
        let strides = axes::row_major(value.shape());
        let place = |(axis, &i): (usize, &usize)| {
            let (element, _) = *taps[axis][i].as_ref()?.first()?;
            Some(element * strides[axis])
        };
        let mut picked = Vec::with_capacity(shape.iter().product());
        axes::indices(&shape, |index| picked.push(index.iter().enumerate().map(place).sum()));
        let cropped = picked.contains(&None);
        let outside = if cropped {
            narrowed(&[self.outside], value.dtype(), Narrowing::default())
                .unwrap_or_else(|| vec![self.outside].into())
        } else {
            value.data().clone()
        };
        let data = value
            .data()
            .pick(picked.into_iter(), &outside)
            .ok_or_else(|| Fault::unsupported(format_args!("a crop of {}", value.dtype())))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor()).filter(|_| !cropped);
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    /// One axis after the other, in f64.
    fn interpolated(
        &self,
        value: &Value,
        taps: &[Vec<Option<Taps>>],
        shape: Vec<usize>,
        context: &Context,
    ) -> Result<Vec<Tensor>, Fault> {
        let mut values: Vec<f64> = match widened(value.data()) {
            Data::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Data::F64(values) => values.to_vec(),
            _ => {
                let what = format_args!("interpolation of {}", value.dtype());
                return Err(Fault::unsupported(what));
            }
        };
        let mut extents = value.shape().to_vec();
        for (axis, taps) in taps.iter().enumerate() {
            if extents[axis] == shape[axis] && is_identity(taps) {
                continue;
            }
            let along = axes::Along::new(&extents, axis);
            extents[axis] = shape[axis];
            context.check_size(&extents)?;
            let mut next = vec![0.0; extents.iter().product()];
            for (outer, plane) in next.chunks_mut((shape[axis] * along.inner).max(1)).enumerate() {
                for (taps, row) in taps.iter().zip(plane.chunks_mut(along.inner.max(1))) {
                    for &(place, weight) in taps.iter().flatten() {
                        let from = (outer * along.len + place) * along.inner;
                        let pairs = row.iter_mut().zip(&values[from..from + along.inner]);
                        pairs.for_each(|(sum, v)| *sum += v * weight);
                    }
                }
            }
            values = next;
        }
        let outside = |(axis, &i): (usize, &usize)| taps[axis][i].is_none();
        let mut next = 0;
        axes::indices(&shape, |index| {
            if index.iter().enumerate().any(outside) {
                values[next] = f64::from(self.outside);
            }
            next += 1;
        });
        if matches!(value.data(), Data::F64(_)) {
            return Ok(one(shape, values));
        }
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        let small = narrowed(&values, value.dtype(), Narrowing::default());
        Ok(one(shape, small.unwrap_or_else(|| values.into())))
    }
}

/// True if every place takes the element of its own index alone.
fn is_identity(taps: &[Option<Taps>]) -> bool {
    taps.iter().enumerate().all(|(i, taps)| {
        let used = taps.iter().flatten().filter(|(_, weight)| *weight != 0.0);
        taps.is_some() && used.copied().eq([(i, 1.0)])
    })
}

impl Operator for Resize {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(4)?;
        let (value, grid) = inputs.take(0, "X")?.into_parts();
        let input = value.shape().to_vec();
        let mut all = self.axes(&input, inputs)?;
        if inputs.batched() {
            // Sizes are written for the batch of the file.
            all[0] = Axis { len: input[0], out: input[0], scale: 1.0, crop: (0.0, 1.0) };
        }
        let shape: Vec<usize> = all.iter().map(|axis| axis.out).collect();
        context.check_size(&shape)?;
        if input.contains(&0) {
            if !shape.contains(&0) {
                return Err(Fault::shape("input 0 (X)", &input, "elements to choose from"));
            }
            return Ok(one(shape, Data::zeros(value.dtype(), 0)));
        }
        let taps: Vec<Vec<Option<Taps>>> =
            all.iter().map(|&axis| self.sampling.taps(axis)).collect();
        if let Filter::Nearest(_) = self.sampling.filter {
            return self.nearest(&value, grid, &taps, shape);
        }
        self.interpolated(&value, &taps, shape, context)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && output.first() == inputs[0].shape.first()
    }
}
