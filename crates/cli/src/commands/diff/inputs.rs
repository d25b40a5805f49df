//! What both sides are run on.

use fewbit_data::{DatasetName, Loader, LoaderConfig, Split};
use fewbit_formats::CounterRng;
use fewbit_qonnx::{DType, TensorInfo, Value};
use half::{bf16, f16};

use super::DiffArgs;
use crate::commands::dataset::open_images;
use crate::console::Console;
use crate::executor::Executor;
use crate::failure::{Failure, Hint, Outcome};
use crate::tensors;

/// Inputs of a model, in batches.
pub struct Batches {
    /// Where they come from, in words.
    pub source: String,
    /// How many items there are in all.
    pub items: usize,
    batches: Box<dyn Iterator<Item = Outcome<Vec<(String, Value)>>>>,
}

impl Iterator for Batches {
    type Item = Outcome<Vec<(String, Value)>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

/// Items of a batch, if the user does not say.
const BATCH: usize = 20;

impl Batches {
    /// The inputs that the arguments ask for; generated ones if they ask for none.
    pub fn open(args: &DiffArgs, model: &Executor, console: &Console) -> Outcome<Self> {
        let batch = args.batch.map(|batch| batch as usize);
        if let Some(name) = &args.dataset {
            return Self::of_dataset(name.parse()?, args, model, batch.unwrap_or(BATCH), console);
        }
        let (source, inputs) = if args.input.is_empty() {
            let source = format!("values from seed {}", args.seed);
            (source, generated(model, args.items as usize, args.seed)?)
        } else {
            (args.input.join(", "), tensors::inputs(model, &args.input)?)
        };
        let mut extents = inputs.iter().map(|(_, value)| match value.shape() {
            [items, _, ..] => Some(*items),
            _ => None,
        });
        let first = extents.next().flatten();
        let alike = first.is_some() && extents.all(|extent| extent == first);
        Self::of_arrays(source, inputs, batch.or(alike.then_some(BATCH)))
    }

    /// Inputs that are there as a whole.
    pub fn of_arrays(
        source: String,
        inputs: Vec<(String, Value)>,
        batch: Option<usize>,
    ) -> Outcome<Self> {
        let items = inputs.first().and_then(|(_, value)| value.shape().first().copied());
        let items = items.unwrap_or(1);
        let Some(batch) = batch.filter(|&batch| batch < items) else {
            return Ok(Self { source, items, batches: Box::new(std::iter::once(Ok(inputs))) });
        };
        let part = move |first: usize| {
            let range = first..(first + batch).min(items);
            let rows = |(name, value): &(String, Value)| {
                let rows = tensors::rows(value, items, range.clone()).hint("leave --batch out")?;
                Ok((name.clone(), rows))
            };
            inputs.iter().map(rows).collect()
        };
        let batches = Box::new((0..items).step_by(batch).map(part));
        Ok(Self { source, items, batches })
    }

    fn of_dataset(
        name: DatasetName,
        args: &DiffArgs,
        model: &Executor,
        batch: usize,
        console: &Console,
    ) -> Outcome<Self> {
        let dataset = open_images(name, &args.datadir, Split::Test, args.limit, console)?;
        let [channels, height, width] = dataset.image_shape();
        let items = dataset.len();
        let mut batches = Vec::new();
        // Pixels are kept as they are; they are few beside what a model makes of them.
        for batch in Loader::new(&dataset, LoaderConfig::in_order(batch))?.epoch(0) {
            let shape = [batch.count, channels, height, width];
            let (input, value) = model.images(batch.images, &shape)?;
            batches.push(Ok(vec![(input.to_owned(), value)]));
        }
        Ok(Self { source: name.to_string(), items, batches: Box::new(batches.into_iter()) })
    }
}

/// Elements that generated inputs may have in all.
const LARGEST: usize = 1 << 28;

/// Values for every input: floats that are multiples of 2^-8 in [-1, 1), small integers, truth values.
fn generated(model: &Executor, items: usize, seed: u64) -> Outcome<Vec<(String, Value)>> {
    let mut inputs = Vec::new();
    for (number, input) in model.model().inputs().iter().enumerate() {
        let shape = shape(input, items)?;
        let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
        let count = count.filter(|&count| count <= LARGEST).ok_or_else(|| {
            Failure::new(format!("input {:?} of shape {shape:?} is too large", input.name()))
                .or_hint("give inputs with --input")
        })?;
        let random = CounterRng::new(seed, number as u64);
        let bytes = (0..count as u64).map(|i| random.u32_at(i) >> 23);
        let value = match input.dtype().unwrap_or(DType::F32) {
            DType::F32 => {
                Value::new(shape, bytes.map(|v| v as f32 / 256.0 - 1.0).collect::<Vec<_>>())
            }
            DType::F64 => {
                Value::new(shape, bytes.map(|v| f64::from(v) / 256.0 - 1.0).collect::<Vec<_>>())
            }
            DType::F16 => Value::new(
                shape,
                bytes.map(|v| f16::from_f32(v as f32 / 256.0 - 1.0)).collect::<Vec<_>>(),
            ),
            // Multiples of 1/256 have a bit too many.
            DType::Bf16 => Value::new(
                shape,
                bytes.map(|v| bf16::from_f32((v / 2) as f32 / 128.0 - 1.0)).collect::<Vec<_>>(),
            ),
            DType::I16 => Value::new(shape, bytes.map(|v| (v % 4) as i16).collect::<Vec<_>>()),
            DType::U16 => Value::new(shape, bytes.map(|v| (v % 4) as u16).collect::<Vec<_>>()),
            DType::U32 => Value::new(shape, bytes.map(|v| v % 4).collect::<Vec<_>>()),
            DType::U64 => Value::new(shape, bytes.map(|v| u64::from(v % 4)).collect::<Vec<_>>()),
            DType::U8 => Value::new(shape, bytes.map(|v| v as u8).collect::<Vec<_>>()),
            DType::I8 => Value::new(shape, bytes.map(|v| v as i8).collect::<Vec<_>>()),
            DType::I32 => Value::new(shape, bytes.map(|v| (v % 4) as i32).collect::<Vec<_>>()),
            DType::I64 => Value::new(shape, bytes.map(|v| i64::from(v % 4)).collect::<Vec<_>>()),
            DType::Bool => Value::new(shape, bytes.map(|v| v % 2 == 1).collect::<Vec<_>>()),
            other => {
                let message = format!("input {:?} is of type {other}", input.name());
                return Err(Failure::new(message).or_hint("give inputs with --input"));
            }
        };
        inputs.push((input.name().to_owned(), value?));
    }
    Ok(inputs)
}

/// The shape of an input with so many items, unless the file fixes the batch and has no other.
fn shape(input: &TensorInfo, items: usize) -> Outcome<Vec<usize>> {
    let unknown = |what: &str| {
        Failure::new(format!("input {:?}: the model does not tell {what}", input.name()))
            .or_hint("give inputs with --input")
    };
    let extents = input.shape().ok_or_else(|| unknown("its rank"))?;
    let extent = |(axis, extent): (usize, &Option<usize>)| match extent {
        _ if axis == 0 && extents.len() > 1 => Ok(items),
        Some(extent) => Ok(*extent),
        None if axis == 0 => Ok(items),
        None => Err(unknown(&format!("the extent of axis {axis}"))),
    };
    extents.iter().enumerate().map(extent).collect()
}
