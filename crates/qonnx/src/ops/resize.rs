//! Resize and its predecessor Upsample, to the nearest pixel.

use super::{Context, Input, Inputs, Operator, Role, axes};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::Value;

/// Each element of the result is the one of the input that is nearest to its place.
#[derive(Debug)]
struct Resize {
    coordinates: Coordinates,
    rounding: Rounding,
    scales: Scales,
}

/// Where a place in the result is in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinates {
    Asymmetric,
    HalfPixel,
    /// The first place if there is only one.
    PytorchHalfPixel,
    AlignCorners,
    TfHalfPixel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// Where the sizes come from.
#[derive(Clone, Debug, PartialEq)]
enum Scales {
    Attribute(Vec<f32>),
    /// The number of the input with the scales.
    Input(usize),
}

pub(super) fn resize(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 11 {
        return upsample(attributes);
    }
    nearest_only(attributes)?;
    attributes.only_int("antialias", 0)?;
    attributes.only_int("exclude_outside", 0)?;
    // Concern other modes.
    attributes.ignore("cubic_coeff_a");
    attributes.ignore("extrapolation_value");
    match attributes.string("keep_aspect_ratio_policy")? {
        None | Some("stretch") => {}
        Some(other) => {
            let what = format_args!("attribute \"keep_aspect_ratio_policy\" with {other:?}");
            return Err(Fault::unsupported(what));
        }
    }
    let coordinates = match attributes.string("coordinate_transformation_mode")? {
        Some("asymmetric") => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("tf_half_pixel_for_nn") => Coordinates::TfHalfPixel,
        Some(other) => {
            let what = format_args!("attribute \"coordinate_transformation_mode\" with {other:?}");
            return Err(Fault::unsupported(what));
        }
    };
    let rounding = match attributes.string("nearest_mode")? {
        None | Some("round_prefer_floor") => Rounding::PreferFloor,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some(other) => {
            let expected = "round_prefer_floor, round_prefer_ceil, floor or ceil";
            return Err(Fault::value(
                "attribute \"nearest_mode\"",
                format_args!("{other:?}"),
                expected,
            ));
        }
    };
    Ok(Box::new(Resize { coordinates, rounding, scales: Scales::Input(2) }))
}

/// Also what Resize was in version 10.
pub(super) fn upsample(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    nearest_only(attributes)?;
    let scales = match attributes.floats("scales")? {
        Some(scales) => Scales::Attribute(scales.to_vec()),
        None => Scales::Input(1),
    };
    Ok(Box::new(Resize { coordinates: Coordinates::Asymmetric, rounding: Rounding::Floor, scales }))
}

fn nearest_only(attributes: &mut Attributes<'_>) -> Result<(), Fault> {
    match attributes.string("mode")? {
        None | Some("nearest") => Ok(()),
        Some(mode) => Err(Fault::unsupported(format_args!("mode {mode:?}"))),
    }
}

impl Resize {
    /// Extents and scales of the result.
    fn sizes(&self, input: &[usize], inputs: &mut Inputs) -> Result<Vec<(usize, f64)>, Fault> {
        let listed = match &self.scales {
            Scales::Attribute(scales) => Some(scales.clone()),
            Scales::Input(index) => {
                let scales = inputs.optional(*index).filter(|scales| scales.len() > 0);
                scales.map(|scales| scales.slice("the scales").map(<[f32]>::to_vec)).transpose()?
            }
        };
        let wrong = |found: String| {
            let expected = format!("{} numbers above 0 that make bearable extents", input.len());
            Fault::value("the list of scales or sizes", found, expected)
        };
        if let Some(scales) = listed {
            let fits = scales.len() == input.len()
                && input
                    .iter()
                    .zip(&scales)
                    .all(|(&len, &scale)| scale > 0.0 && len as f64 * f64::from(scale) < 1e15);
            if !fits {
                return Err(wrong(format!("{scales:?}")));
            }
            let size = |(&len, &scale): (&usize, &f32)| {
                ((len as f64 * f64::from(scale)).floor() as usize, f64::from(scale))
            };
            return Ok(input.iter().zip(&scales).map(size).collect());
        }
        let sizes = inputs.take(3, "sizes")?.to_i64("input 3 (sizes)")?;
        if sizes.len() != input.len() || sizes.iter().any(|&size| size < 1) || input.contains(&0) {
            return Err(wrong(format!("{sizes:?}")));
        }
        let size = |(&len, &size): (&usize, &i64)| (size as usize, size as f64 / len as f64);
        Ok(input.iter().zip(&sizes).map(size).collect())
    }

    /// The place in the input for place `i` of an axis that grows from `len` to `out` places.
    fn place(&self, i: usize, len: usize, out: usize, scale: f64) -> usize {
        let x = i as f64;
        let place = match self.coordinates {
            Coordinates::Asymmetric => x / scale,
            Coordinates::PytorchHalfPixel if out <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if out <= 1 => 0.0,
            Coordinates::AlignCorners => x * (len as f64 - 1.0) / (out as f64 - 1.0),
            Coordinates::TfHalfPixel => (x + 0.5) / scale,
        };
        let whole = match self.rounding {
            Rounding::PreferFloor => (place - 0.5).ceil(),
            Rounding::PreferCeil => (place + 0.5).floor(),
            Rounding::Floor => place.floor(),
            Rounding::Ceil => place.ceil(),
        };
        (whole.max(0.0) as usize).min(len - 1)
    }
}

impl Operator for Resize {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(4)?;
        let (value, grid) = inputs.take(0, "X")?.into_parts();
        let input = value.shape().to_vec();
        let mut sizes = self.sizes(&input, inputs)?;
        if inputs.batched() {
            // Sizes are written for the batch of the file.
            sizes[0] = (input[0], 1.0);
        }
        let shape: Vec<usize> = sizes.iter().map(|&(size, _)| size).collect();
        context.check_size(&shape)?;
        if input.contains(&0) && !shape.contains(&0) {
            return Err(Fault::shape("input 0 (X)", &input, "elements to choose from"));
        }
        let strides = axes::row_major(&input);
        let places: Vec<Vec<usize>> = (0..input.len())
            .map(|axis| {
                let (out, scale) = sizes[axis];
                let place = |i| self.place(i, input[axis], out, scale) * strides[axis];
                if input[axis] == 0 { Vec::new() } else { (0..out).map(place).collect() }
            })
            .collect();
        let mut picked = Vec::with_capacity(shape.iter().product());
        axes::indices(&shape, |index| {
            picked.push(Some(index.iter().zip(&places).map(|(&i, places)| places[i]).sum()));
        });
        let data = value.data();
        let data = data
            .pick(picked.into_iter(), data)
            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && output.first() == inputs[0].shape.first()
    }
}
