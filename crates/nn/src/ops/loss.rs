//! Losses: from logits and labels to one number.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::loss as kernel;

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// The mean over all logits of `max(0, 1 - p t)^2`; `t` is +1 at the label and -1 elsewhere.
    SquareHinge,
    /// The mean over the batch of `-sum(t log softmax(p))`; `t` is `1 - smoothing` at the label, and
    /// `smoothing / C` more everywhere.
    CrossEntropy {
        /// Part of the target that is spread over all classes.
        smoothing: f64,
    },
}

extension! {
    /// Losses.
    pub trait Losses: Backend {
        /// The loss, of shape `[1]`, and its gradient to the logits `[N, C]`.
        fn loss(
            logits: FloatTensor<Self>,
            labels: Arc<[u8]>,
            loss: Loss
        ) -> (FloatTensor<Self>, FloatTensor<Self>) {
            let p = Value::<Self>(logits);
            let shape = p.shape();
            let chosen = |inside: f32, outside: f32| {
                let mut values = vec![outside; shape.iter().product()];
                for (row, &label) in labels.iter().enumerate() {
                    values[row * shape[1] + usize::from(label)] = inside;
                }
                p.beside(values, &shape)
            };
            match loss {
                Loss::SquareHinge => {
                    let t = chosen(1.0, -1.0);
                    let gap = p.like(1.0) - p.clone() * t.clone();
                    let negative = gap.clone().below(0.0);
                    let gap = gap.fill(negative, 0.0);
                    let count = p.len() as f32;
                    let value = (gap.clone() * gap.clone()).total() / count;
                    (value.0, (t * -2.0 * gap / count).0)
                }
                Loss::CrossEntropy { smoothing } => {
                    let share = smoothing / shape[1] as f64;
                    let target = chosen((1.0 - smoothing + share) as f32, share as f32);
                    let count = shape[0] as f32;
                    let shifted = p.clone() - p.clone().max_along(1);
                    let exponentials = shifted.clone().exp();
                    let total = exponentials.clone().sum_over([1]);
                    // The targets of an image add up to one.
                    let picked = (shifted * target.clone()).sum_over([1]);
                    let value = (total.clone().log() - picked).total() / count;
                    (value.0, ((exponentials / total - target) / count).0)
                }
            }
        }
    }
}

#[cfg(not(feature = "portable"))]
impl Losses for Flex {
    fn loss(logits: FlexTensor, labels: Arc<[u8]>, loss: Loss) -> (FlexTensor, FlexTensor) {
        let logits = contiguous(logits);
        let mut gradient = vec![0.0; slice(&logits).len()];
        let value = match loss {
            Loss::SquareHinge => kernel::square_hinge(slice(&logits), &labels, &mut gradient),
            Loss::CrossEntropy { smoothing } => {
                kernel::cross_entropy(slice(&logits), &labels, smoothing, &mut gradient)
            }
        };
        (tensor(vec![value], [1].into()), tensor(gradient, logits.shape()))
    }
}

impl<B: Losses, C: CheckpointStrategy> Losses for Autodiff<B, C> {
    fn loss(
        logits: FloatTensor<Self>,
        labels: Arc<[u8]>,
        loss: Loss,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mut found = None;
        let value = record::<B, C, _, 1>(
            [logits],
            |[logits], keep| {
                let (value, gradient) = B::loss(logits, labels, loss);
                found = Some(gradient.clone());
                (value, (keep == Keep::State).then_some(gradient))
            },
            |gradient: FloatTensor<B>, upstream, _| {
                let (gradient, upstream) = (Value::<B>(gradient), Value::<B>(upstream));
                let rank = gradient.shape().len();
                [Some((gradient * upstream.reshape(&vec![1; rank])).0)]
            },
        );
        (value, Self::from_inner(found.expect("the forward pass has run")))
    }
}

/// Square hinge loss: the mean over all `N * C` logits of `max(0, 1 - p t)^2`.
///
/// # Shape
/// `logits`: `[N, C]`, `labels`: `[N]`; the loss: `[1]`.
/// # Gradient
/// `-2 t max(0, 1 - p t) / (N C)`, times the incoming gradient.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] or [`ErrorKind::LabelOutOfRange`] if logits and labels do not fit.
/// # Source
/// Brevitas `SqrHingeLoss`, which ignores the incoming gradient.
pub fn square_hinge_loss(logits: &Tensor, labels: &[u8]) -> Result<Tensor, Error> {
    compute(logits, labels, Loss::SquareHinge)
}

/// Cross entropy: the mean over the batch of `-log softmax(logits)[label]`.
///
/// # Shape
/// `logits`: `[N, C]`, `labels`: `[N]`; the loss: `[1]`.
/// # Gradient
/// `(softmax(p) - onehot) / N`, times the incoming gradient.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] or [`ErrorKind::LabelOutOfRange`] if logits and labels do not fit.
pub fn cross_entropy_loss(logits: &Tensor, labels: &[u8]) -> Result<Tensor, Error> {
    compute(logits, labels, Loss::CrossEntropy { smoothing: 0.0 })
}

/// Cross entropy with label smoothing: the mean over the batch of `-sum(t log softmax(logits))`, where
/// `t` is `1 - smoothing` at the label and `smoothing / C` more everywhere.
///
/// # Shape
/// `logits`: `[N, C]`, `labels`: `[N]`; the loss: `[1]`.
/// # Gradient
/// `(softmax(p) - t) / N`, times the incoming gradient.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] or [`ErrorKind::LabelOutOfRange`] if logits and labels do not fit.
/// # Source
/// PyTorch `CrossEntropyLoss(label_smoothing=smoothing)`.
pub fn smoothed_cross_entropy_loss(
    logits: &Tensor,
    labels: &[u8],
    smoothing: f64,
) -> Result<Tensor, Error> {
    compute(logits, labels, Loss::CrossEntropy { smoothing })
}

fn compute(logits: &Tensor, labels: &[u8], loss: Loss) -> Result<Tensor, Error> {
    let shape = logits.shape();
    if labels.is_empty() || shape.len() != 2 || shape[0] != labels.len() || shape[1] == 0 {
        return Err(Error::new(ErrorKind::ShapeMismatch {
            operation: "loss",
            operand: "logits",
            got: shape,
            expected: format!("[{}, C] for {} labels", labels.len(), labels.len()),
        }));
    }
    let classes = shape[1];
    if let Some((index, &label)) =
        labels.iter().enumerate().find(|(_, l)| usize::from(**l) >= classes)
    {
        return Err(Error::new(ErrorKind::LabelOutOfRange { label, index, classes }));
    }
    let (value, _) =
        <Dispatch as Losses>::loss(logits.clone().into_primitive(), Arc::from(labels), loss);
    Ok(Tensor::from_primitive(value))
}
