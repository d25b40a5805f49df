//! The operators, one file for each or for a small family.

mod elementwise;
mod normalization;
mod products;
mod quantizers;
mod reductions;
mod shapes;
mod values;
mod windows;

mod axes;
mod half;
mod planned;

pub(crate) use planned::{Planned, PlannedProduct, Site};
pub(crate) use values::cast::dtype as data_type;

use crate::Options;
use crate::attributes::Attributes;
use crate::error::{Fault, nearest};
use crate::tensor::Tensor;
use crate::value::{Element, Value, element_count};

/// What a node does.
pub(crate) trait Operator: Send + Sync {
    /// Computes the outputs, in order.
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault>;

    /// The same operator with everything worked out that depends on constant inputs alone; `None` if nothing is gained by it.
    ///
    /// It is not given the constants again.
    fn specialize(&self, _: &[Option<&Tensor>], _: Options) -> Option<Box<dyn Operator>> {
        None
    }

    /// True if the first axis of the output is the batch, given that it is in some of the inputs: item `i` of the output depends on
    /// items `i` of the inputs alone, and each item is computed as if it were alone.
    ///
    /// The shapes are those with the batch of the file.
    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool;

    /// What the operator is in a plan, if it can be in one: then it gives the same bits there.
    fn planned(&self, _: &Site<'_>) -> Option<Planned> {
        None
    }

    /// True if the operator only rearranges or computes sizes when its inputs are sizes.
    fn computes_sizes(&self) -> bool {
        false
    }

    /// True if the output consists of sizes, not of values, of the input.
    fn asks_for_sizes(&self) -> bool {
        false
    }
}

/// What all operators of a run know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) options: Options,
    /// The largest number of elements that a result may have.
    pub(crate) largest: usize,
    /// Set if the batch is another one than the file was written for.
    pub(crate) batch: Option<BatchChange>,
}

impl Context {
    /// Refuses a result that is out of all proportion to what went in: a broken file, or one that wants to exhaust the memory.
    pub(crate) fn check_size(&self, shape: &[usize]) -> Result<(), Fault> {
        let fits = element_count(shape).is_some_and(|count| count <= self.largest);
        if fits {
            return Ok(());
        }
        let expected =
            format!("at most {} elements, in proportion to the inputs and constants", self.largest);
        Err(Fault::shape("the result", shape, expected))
    }
}

/// The batch that is fixed in the file, and the one that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchChange {
    pub(crate) file: usize,
    pub(crate) run: usize,
}

/// An input of a node, as [`Operator::keeps_batch`] sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) role: Role,
    pub(crate) shape: &'a [usize],
    /// Its value, if it is a constant.
    pub(crate) constant: Option<&'a Tensor>,
}

/// What a tensor has to do with the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing: an optional input that is left out, too.
    Fixed,
    /// Its first axis is the batch.
    Batched,
    /// It is computed from shapes in which the batch occurs.
    Sizes,
}

impl Input<'_> {
    pub(crate) fn batched(&self) -> bool {
        self.role == Role::Batched
    }
}

/// True if the batch is in the first input only.
pub(crate) fn only_first_batched(inputs: &[Input<'_>]) -> bool {
    inputs.split_first().is_some_and(|(first, rest)| {
        first.batched() && rest.iter().all(|input| input.role == Role::Fixed)
    })
}

/// The inputs of one run of a node.
pub(crate) struct Inputs {
    tensors: Vec<Option<Tensor>>,
    constant: Vec<bool>,
    batched: bool,
}

impl Inputs {
    pub(crate) fn new(tensors: Vec<Option<Tensor>>, constant: Vec<bool>, batched: bool) -> Self {
        Self { tensors, constant, batched }
    }

    /// How many inputs there are, optional ones that are left out included.
    pub(crate) fn count(&self) -> usize {
        self.tensors.len()
    }

    /// Takes an input that has to be there.
    pub(crate) fn take(&mut self, index: usize, name: &str) -> Result<Tensor, Fault> {
        self.optional(index).ok_or_else(|| Fault::missing(format_args!("input {index} ({name})")))
    }

    /// Takes an input that may be left out.
    pub(crate) fn optional(&mut self, index: usize) -> Option<Tensor> {
        self.tensors.get_mut(index).and_then(Option::take)
    }

    /// The types of the inputs that are there.
    pub(crate) fn dtypes(&self) -> impl Iterator<Item = crate::DType> + '_ {
        self.tensors.iter().flatten().map(Tensor::dtype)
    }

    /// Exchanges every input that is there.
    pub(crate) fn replace(&mut self, f: impl Fn(Tensor) -> Tensor) {
        self.tensors.iter_mut().for_each(|tensor| *tensor = tensor.take().map(&f));
    }

    /// True if an input is the same in every run.
    pub(crate) fn is_constant(&self, index: usize) -> bool {
        self.constant.get(index).copied().unwrap_or(false)
    }

    /// True if the first axis of the output is the batch.
    pub(crate) fn batched(&self) -> bool {
        self.batched
    }

    /// Fails if there are more inputs than the operator has.
    pub(crate) fn at_most(&self, count: usize) -> Result<(), Fault> {
        if self.count() > count {
            let found = self.count();
            return Err(Fault::Malformed(format!(
                "there are {found} inputs, expected at most {count}"
            )));
        }
        Ok(())
    }

    /// Takes an input of rank 0, or of one element.
    pub(crate) fn scalar<T: Element>(&mut self, index: usize, name: &str) -> Result<T, Fault> {
        let tensor = self.take(index, name)?;
        only(&tensor, tensor.slice::<T>(name)?, name)
    }
}

/// The only element of a tensor.
pub(crate) fn only<T: Copy>(tensor: &Tensor, values: &[T], name: &str) -> Result<T, Fault> {
    match values {
        &[value] => Ok(value),
        _ => Err(Fault::shape(name, tensor.shape(), "one element")),
    }
}

/// One output.
pub(crate) fn one(shape: Vec<usize>, data: impl Into<crate::value::Data>) -> Vec<Tensor> {
    vec![Tensor::new(Value::of(shape, data))]
}

type Build = fn(&mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault>;

/// Operators and what makes them.
type Table = &'static [(&'static str, Build)];

/// The operators of ONNX itself that compute: on floats of 16 bits in `f32`, rounded at the end.
const COMPUTING: [Table; 6] = [
    elementwise::OPERATORS,
    normalization::OPERATORS,
    products::OPERATORS,
    quantizers::STANDARD,
    reductions::OPERATORS,
    windows::OPERATORS,
];

/// The operators of ONNX itself that make, move or rename elements, whatever their type.
const MOVING: [Table; 2] = [shapes::OPERATORS, values::OPERATORS];

/// The operators of QONNX.
const QUANTIZATION: [Table; 4] =
    [quantizers::OPERATORS, products::QUANTIZED, values::QUANTIZED, windows::QUANTIZED];

/// The domains under which the operators of QONNX are known, old ones included.
pub(crate) const QUANTIZATION_DOMAINS: [&str; 4] =
    ["qonnx.custom_op.general", "onnx.brevitas", "finn", "finn.custom_op.general"];

/// The domain of ONNX's own operators with their channels last.
const CHANNELS_LAST_DOMAIN: &str = "qonnx.custom_op.channels_last";

/// The version that is taken for ONNX itself if a file does not say (qonnx's choice).
pub(crate) const DEFAULT_VERSION: i64 = 11;

/// The newest version of ONNX's operator set that the operators were written after.
const NEWEST_VERSION: i64 = 28;

/// Makes the operator of a node.
pub(crate) fn build(
    operator: &str,
    domain: &str,
    mut attributes: Attributes<'_>,
) -> Result<Box<dyn Operator>, Fault> {
    let version = attributes.version();
    let find = |tables: &[Table]| {
        tables
            .iter()
            .copied()
            .flatten()
            .find(|(name, _)| *name == operator)
            .map(|(_, build)| *build)
    };
    let standard = matches!(domain, "" | "ai.onnx");
    let (found, computing) = if standard {
        let computing = find(&COMPUTING);
        (computing.or_else(|| find(&MOVING)), computing.is_some())
    } else if QUANTIZATION_DOMAINS.contains(&domain) {
        (find(&QUANTIZATION), false)
    } else if domain == CHANNELS_LAST_DOMAIN {
        (find(&[windows::CHANNELS_LAST]), false)
    } else {
        (None, false)
    };
    let in_range = version >= 1 && (!standard || version <= NEWEST_VERSION);
    let Some(build) = found.filter(|_| in_range) else {
        let all = COMPUTING.iter().chain(&MOVING).chain(&QUANTIZATION).copied().flatten();
        let all: Vec<&str> = all.map(|(name, _)| *name).collect();
        let near = if found.is_none() { nearest(operator, &all).into_iter().next() } else { None };
        return Err(Fault::UnknownOperator { version, near });
    };
    let operator = build(&mut attributes)?;
    attributes.finish()?;
    Ok(if computing { half::in_f32(operator) } else { operator })
}
