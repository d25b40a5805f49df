//! Sums of products: operands in the form that the arithmetic contract wants, linear layers, and what follows a sum.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use fewbit_kernels::epilogue;
use fewbit_kernels::program::{Lanes, Step};
use fewbit_kernels::quantize::Scale as KernelScale;
use fewbit_kernels::{
    self as kernels, Accumulation, Conv2dShape, MatmulShape, PackedWeights, WideWeights,
};

use crate::error::Fault;
use crate::ops::{Context, Planned, PlannedProduct, Site};
use crate::tensor::{Grid, Scale, Tensor, examine};
use crate::{Mode, Options};

/// One factor for a whole result, or one for each of its channels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Factor {
    One(f32),
    Many(Arc<Vec<f32>>),
}

impl Factor {
    /// The product of a factor and another one for everything, rounded once.
    fn times(&self, other: f32) -> Self {
        match self {
            Self::One(factor) => Self::One(factor * other),
            Self::Many(factors) => {
                Self::Many(Arc::new(factors.iter().map(|f| f * other).collect()))
            }
        }
    }
}

/// An operand with its scale taken out.
#[derive(Debug)]
pub(crate) struct Operand<'a> {
    pub(crate) values: Cow<'a, [f32]>,
    scale: Factor,
    grid: kernels::Grid,
}

/// The left operand, which has one scale.
pub(crate) fn left<'a>(values: &'a [f32], shape: &[usize], grid: Option<&Grid>) -> Operand<'a> {
    let grid = grid.filter(|grid| matches!(grid.scale, Scale::PerTensor(_)));
    grid.map_or_else(|| untouched(values, kernels::Grid::Any), |grid| codes(grid, values, shape))
}

/// The right operand, which has a scale for each index along its first axis; every form in which it may be taken, the best one first.
///
/// Constants without a quantizer in the file are looked at: they may lie on a grid all the same.
pub(crate) fn right<'a>(
    values: &'a [f32],
    shape: &[usize],
    grid: Option<&Grid>,
    constant: bool,
) -> Vec<Operand<'a>> {
    let along_rows = |grid: &&Grid| match grid.scale {
        Scale::PerTensor(_) => true,
        Scale::PerChannel { axis, .. } => axis == 0,
    };
    if let Some(grid) = grid.filter(along_rows) {
        return vec![codes(grid, values, shape)];
    }
    let mut forms = Vec::new();
    let mut as_it_is = kernels::Grid::Any;
    if let Some(found) = constant.then(|| examine(values)).flatten() {
        if let Some((unit, max_abs)) = found.integer {
            let grid = Grid::integer(Scale::PerTensor(unit), f64::from(max_abs));
            forms.extend(grid.map(|grid| codes(&grid, values, shape)));
        }
        as_it_is = kernels::Grid::Significant { bits: found.significant_bits };
    }
    forms.push(untouched(values, as_it_is));
    forms
}

fn codes<'a>(grid: &Grid, values: &'a [f32], shape: &[usize]) -> Operand<'a> {
    let codes = grid.codes(values, shape);
    let scale = match codes.scale {
        Scale::PerTensor(scale) => Factor::One(scale),
        Scale::PerChannel { scales, .. } => Factor::Many(scales),
    };
    Operand { values: codes.values, scale, grid: codes.grid }
}

fn untouched(values: &[f32], grid: kernels::Grid) -> Operand<'_> {
    Operand { values: Cow::Borrowed(values), scale: Factor::One(1.0), grid }
}

impl Operand<'_> {
    pub(crate) fn into_owned(self) -> Operand<'static> {
        Operand { values: Cow::Owned(self.values.into_owned()), scale: self.scale, grid: self.grid }
    }
}

/// The form of the right operand for this left one, the sum that the contract lays down for both, and the factor of the sum.
pub(crate) fn choose<'a, 'b>(
    x: &Operand<'_>,
    forms: &'a [Operand<'b>],
) -> (&'a Operand<'b>, Accumulation, Factor) {
    let accumulation = |form: &Operand<'_>| kernels::accumulation(x.grid, form.grid);
    let exact =
        forms.iter().find(|form| matches!(accumulation(form), Accumulation::Integer { .. }));
    let form = exact.unwrap_or(&forms[forms.len() - 1]);
    let Factor::One(scale) = x.scale else { unreachable!("the left operand has one scale") };
    (form, accumulation(form), form.scale.times(scale))
}

/// Multiplies sums by their factor and adds the bias: one rounding each, a factor of one skipped. `y`: `[N, C, inner]`.
pub(crate) fn finish(y: &mut [f32], inner: usize, factor: &Factor, bias: Option<&[f32]>) {
    if y.is_empty() {
        return;
    }
    let scale = match factor {
        &Factor::One(factor) => KernelScale::PerTensor(factor),
        Factor::Many(scales) => KernelScale::PerChannel { scales, inner },
    };
    epilogue::scale_bias(y, inner, scale, bias);
}

/// A product in a plan: the sum that [`choose`] takes, then what [`finish`] does.
pub(crate) fn planned(
    site: &Site<'_>,
    forms: &[Operand<'_>],
    shape: Conv2dShape,
    bias: Option<&[f32]>,
) -> Planned {
    let x = left(&[], site.shape, site.grid);
    let (w, accumulation, factor) = choose(&x, forms);
    let mut steps = Vec::new();
    match &factor {
        Factor::One(1.0) => {}
        &Factor::One(factor) => steps.push(Step::Multiply(Lanes::one(factor))),
        Factor::Many(factors) => steps.push(Step::Multiply(Lanes::many(factors))),
    }
    steps.extend(bias.map(|bias| Step::Add(Lanes::many(bias))));
    let weights = w.values.to_vec();
    Planned::Product(PlannedProduct { weights, shape, accumulation, steps })
}

/// The right side of a matrix product, worked out once: `[K, M]`.
#[derive(Debug)]
pub(crate) struct Linear {
    k: usize,
    m: usize,
    /// It is the same in every run.
    constant: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// `[M, K]` with the scale taken out, and as the kernels want it for the sum of the first run.
    Canonical { forms: Vec<Operand<'static>>, packed: OnceLock<PackedWeights> },
    /// As it is.
    Reference(WideWeights),
    /// `[M, K]` as it is, for [`FEW`] products.
    Few(Vec<f32>),
}

impl Form {
    fn canonical(forms: Vec<Operand<'_>>) -> Self {
        let forms = forms.into_iter().map(Operand::into_owned).collect();
        Self::Canonical { forms, packed: OnceLock::new() }
    }
}

/// How the right side of a matrix product is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Rows over which is summed.
    KByM,
    /// Columns over which is summed.
    MByK,
}

impl Linear {
    /// Takes a matrix with what is known about its values.
    pub(crate) fn new(
        values: &[f32],
        [rows, columns]: [usize; 2],
        stored: Stored,
        grid: Option<&Grid>,
        constant: bool,
        options: Options,
    ) -> Self {
        let (k, m) = match stored {
            Stored::KByM => (rows, columns),
            Stored::MByK => (columns, rows),
        };
        let form = match (options.mode, stored) {
            (Mode::Canonical, Stored::MByK) => {
                Form::canonical(right(values, &[m, k], grid, constant))
            }
            (Mode::Canonical, Stored::KByM) => {
                let grid = grid.cloned().and_then(|grid| grid.transposed(&[1, 0]));
                let turned = transposed(values, k, m, |v| v);
                Form::canonical(right(&turned, &[m, k], grid.as_ref(), constant))
            }
            (Mode::Reference, stored) => {
                let rows = match stored {
                    Stored::MByK => values.to_vec(),
                    Stored::KByM => transposed(values, k, m, |v| v),
                };
                if k < FEW {
                    Form::Few(rows)
                } else {
                    Form::Reference(WideWeights::new(&rows, m, k))
                }
            }
        };
        Self { k, m, constant, form }
    }

    /// Multiplies rows of `K` values, which form a tensor of the given shape, and adds a bias for each column.
    pub(crate) fn run(
        &self,
        x: &[f32],
        shape: &[usize],
        grid: Option<&Grid>,
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let n: usize = shape[..shape.len() - 1].iter().product();
        let mut y = vec![0.0; n * self.m];
        if y.is_empty() {
            return y;
        }
        let factor = match &self.form {
            Form::Canonical { forms, packed } => {
                let x = left(x, shape, grid);
                let (w, accumulation, factor) = choose(&x, forms);
                let sizes = MatmulShape { n, m: self.m, k: self.k };
                let packed = (self.k > 0 && self.constant).then(|| {
                    packed.get_or_init(|| {
                        PackedWeights::new(&w.values, sizes.m, sizes.k, accumulation)
                    })
                });
                match packed.filter(|packed| packed.accumulation() == accumulation) {
                    Some(packed) => kernels::matmul_packed(&x.values, packed, &mut y),
                    None if self.k > 0 => {
                        kernels::matmul_nt(&x.values, &w.values, &mut y, sizes, accumulation);
                    }
                    None => {}
                }
                factor
            }
            Form::Reference(w) => {
                w.multiply(x, &mut y);
                Factor::One(1.0)
            }
            Form::Few(w) => {
                product_of_few(x, w, &mut y, self.k, self.m);
                Factor::One(1.0)
            }
        };
        finish(&mut y, 1, &factor, bias);
        y
    }

    /// The product of rows in a plan.
    pub(crate) fn planned(&self, site: &Site<'_>, bias: Option<&[f32]>) -> Option<Planned> {
        let Form::Canonical { forms, .. } = &self.form else { return None };
        let &[_, k] = site.shape else { return None };
        let one = Conv2dShape {
            n: 1,
            c: k,
            h: 1,
            w: 1,
            o: self.m,
            kh: 1,
            kw: 1,
            stride: (1, 1),
            pad: Default::default(),
            dilation: (1, 1),
            groups: 1,
        };
        (k == self.k && k > 0 && site.only_first()).then(|| planned(site, forms, one, bias))
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn m(&self) -> usize {
        self.m
    }
}

/// Fewer products than this are added up in f32, in order, in reference mode: so onnxruntime and PyTorch do.
const FEW: usize = 4;

/// `y = x wᵀ` for few products, each product and each sum rounded.
fn product_of_few(x: &[f32], w: &[f32], y: &mut [f32], k: usize, m: usize) {
    for (i, y) in y.chunks_mut(m).enumerate() {
        for (j, y) in y.iter_mut().enumerate() {
            let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
            *y = pairs.fold(0.0, |sum, (x, w)| sum + x * w);
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(crate) fn transposed<T>(
    values: &[f32],
    rows: usize,
    columns: usize,
    f: impl Fn(f32) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| f(values[row * columns + column])));
    }
    out
}

/// The shape of a tensor that has to be a matrix.
pub(crate) fn matrix(tensor: &Tensor, what: &str) -> Result<[usize; 2], Fault> {
    match *tensor.shape() {
        [rows, columns] => Ok([rows, columns]),
        _ => Err(Fault::shape(what, tensor.shape(), "two axes")),
    }
}

/// Checks that a result is of a bearable size.
pub(crate) fn result_shape(shape: Vec<usize>, context: &Context) -> Result<Vec<usize>, Fault> {
    context.check_size(&shape)?;
    Ok(shape)
}
