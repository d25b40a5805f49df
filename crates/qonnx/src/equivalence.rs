//! Two files, executed on the same inputs.

mod edges;

pub use edges::at_edges;

use fewbit_onnx::proto::ModelProto;
use serde::Serialize;

use crate::error::Error;
use crate::value::{DType, Data, Value};
use crate::{Mode, Model, Options};

/// What came of executing two files on the same inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Equivalence {
    /// Inputs that were tried.
    pub items: usize,
    /// Values of outputs that were compared.
    pub values: usize,
    /// Those that are not the same; -0 and 0 are, and two NaN.
    pub values_differ: usize,
    /// The largest difference.
    pub largest_difference: f64,
}

impl Equivalence {
    /// True if all bits are the same.
    pub fn is_exact(&self) -> bool {
        self.values_differ == 0
    }

    /// Compares two outputs.
    fn count(&mut self, name: &str, a: &Value, b: &Value) -> Result<(), Error> {
        if a.shape() != b.shape() || a.dtype() != b.dtype() {
            return Err(Error::malformed(format_args!(
                "output {name:?} is {} of {:?} before and {} of {:?} after",
                a.dtype(),
                a.shape(),
                b.dtype(),
                b.shape()
            )));
        }
        self.values += a.len();
        match (a.as_slice::<f32>(), b.as_slice::<f32>()) {
            (Some(a), Some(b)) => {
                for (&a, &b) in a.iter().zip(b) {
                    if a != b && !(a.is_nan() && b.is_nan()) {
                        self.values_differ += 1;
                        let difference = (f64::from(a) - f64::from(b)).abs();
                        let difference =
                            if difference.is_nan() { f64::INFINITY } else { difference };
                        self.largest_difference = self.largest_difference.max(difference);
                    }
                }
            }
            _ if a != b => {
                self.values_differ += a.len();
                self.largest_difference = f64::INFINITY;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Executes both files on the same inputs and compares their outputs, which may have other names.
///
/// Inputs are `items` for the first axis: some of numbers between -1 and 1, some of pixels, some of larger numbers, some
/// of the edges of the file's quantizers and of a million. All are the same in every call.
///
/// # Errors
/// Those of [`Model::from_proto`] and of a run, and [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if the files have
/// different numbers of inputs or outputs.
pub fn compare(
    before: &ModelProto,
    after: &ModelProto,
    items: usize,
    mode: Mode,
) -> Result<Equivalence, Error> {
    let options = Options { mode, ..Options::default() };
    let edges = edges::of_file(before)?;
    let (before, after) = (Model::from_proto(before, options)?, Model::from_proto(after, options)?);
    let (inputs, others) = (before.inputs(), after.inputs());
    if inputs.len() != others.len() || before.outputs().len() != after.outputs().len() {
        return Err(Error::malformed("the files have different numbers of inputs or outputs"));
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut found = Equivalence { items, ..Equivalence::default() };
    let mut given = Vec::new();
    let mut again = Vec::new();
    for (input, other) in inputs.iter().zip(others) {
        let known = |index: usize| {
            let extent =
                |info: &crate::TensorInfo| info.shape().and_then(|shape| *shape.get(index)?);
            extent(input).or_else(|| extent(other)).unwrap_or(1)
        };
        let rank = input.shape().or(other.shape()).map_or(0, <[Option<usize>]>::len);
        let shape: Vec<usize> =
            (0..rank).map(|axis| if axis == 0 { items } else { known(axis) }).collect();
        let value = Value::of(
            shape.clone(),
            data(input.dtype().unwrap_or(DType::F32), &shape, &edges, &mut random),
        );
        given.push((input.name(), value.clone()));
        again.push((other.name(), value));
    }
    let (first, second) = (before.run(&given, &[])?, after.run(&again, &[])?);
    for ((name, a), (_, b)) in first.iter().zip(second.iter()) {
        found.count(name, a, b)?;
    }
    Ok(found)
}

/// Numbers of an item each: in turn between -1 and 1, pixels, between -16 and 16, and edges.
fn data(dtype: DType, shape: &[usize], edges: &[f32], random: &mut Random) -> Data {
    let item: usize = shape.iter().skip(1).product();
    let count: usize = shape.iter().product();
    if dtype != DType::F32 {
        return Data::zeros(dtype, count);
    }
    let number = |index: usize| match index / item.max(1) % 6 {
        4 | 5 if !edges.is_empty() => {
            edges[(random.unit() * edges.len() as f32) as usize % edges.len()]
        }
        0 => random.unit() * 2.0 - 1.0,
        1 => (random.unit() * 255.0).round_ties_even() / 255.0,
        2 => random.unit() * 32.0 - 16.0,
        _ => (random.unit() * 255.0).round_ties_even() / 127.5 - 1.0,
    };
    Data::from((0..count).map(number).collect::<Vec<f32>>())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}
