//! What all operations of the extension share: the list of backends, the recording of gradients,
//! and the way to plain slices.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DType, TensorMetadata};
use burn::tensor::{Bytes, Shape};

/// Declares the trait of an operation and writes its implementation for `Dispatch`, which chooses
/// the backend at run time. This is the one list of backends: a new one is added here.
///
/// `Cube` is every graphics processor. It runs the defaults, as ordinary tensor operations that Burn
/// fuses, so all that it implements is in `ops::portable`.
macro_rules! extension {
    ($($item:tt)*) => {
        #[burn::backend::backend_extension(
            Flex,
            Cube: cfg(any(feature = "vulkan", feature = "metal", feature = "cuda", feature = "rocm")),
            Autodiff
        )]
        $($item)*
    };
}
pub(super) use extension;

/// Whether a forward pass must keep what its backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// There will be a backward pass.
    State,
    /// There will be none.
    Nothing,
}

/// The backward pass of a recorded operation: from what was kept and the gradient of the output to
/// the gradients of those inputs that want one.
pub type BackwardPass<B, S, const N: usize> =
    fn(S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N];

/// Runs `forward` on the inner backend and records `backward` if any input wants a gradient.
///
/// `forward` returns a state if it is asked to keep it.
pub fn record<B, C, S, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N], Keep) -> (FloatTensor<B>, Option<S>),
    backward: BackwardPass<B, S, N>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    S: Clone + Debug + Send + 'static,
{
    let guards = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| input.into_primitive());
    match (Node { backward }).prepare::<C>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (output, state) = forward(inputs, Keep::State);
            prep.finish(state.expect("a forward pass asked to keep its state does so"), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(inputs, Keep::Nothing).0),
    }
}

/// An operation in the graph.
struct Node<B: Backend, S, const N: usize> {
    backward: BackwardPass<B, S, N>,
}

impl<B: Backend, S, const N: usize> Debug for Node<B, S, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

impl<B, S, const N: usize> Backward<B, N> for Node<B, S, N>
where
    B: Backend,
    S: Clone + Debug + Send + 'static,
{
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = (self.backward)(ops.state, upstream, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                let gradient = gradient.expect("every gradient that is wanted is computed");
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// The tensor with its values in row-major order; a view is copied.
pub fn contiguous(tensor: FlexTensor) -> FlexTensor {
    assert_eq!(tensor.dtype(), DType::F32, "tensors of this crate are f32");
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`contiguous`] tensor.
pub fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("a contiguous f32 tensor has a slice")
}

/// Wraps values without a copy.
pub fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// Computes `output` from `input`, in place if nothing else holds the values of `input`.
///
/// `map` reads and writes one slice; `compute` reads the first and writes the second.
pub fn map(
    input: FlexTensor,
    in_place: impl FnOnce(&mut [f32]),
    copying: impl FnOnce(&[f32], &mut [f32]),
) -> FlexTensor {
    let mut input = contiguous(input);
    let whole = slice(&input).len() == input.storage::<f32>().len();
    if whole && let Some(values) = input.try_storage_mut::<f32>() {
        in_place(values);
        return input;
    }
    let mut values = vec![0.0; slice(&input).len()];
    copying(slice(&input), &mut values);
    tensor(values, input.shape())
}

/// Changes the values of `input`; a copy if something else holds them.
pub fn in_place(input: FlexTensor, change: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut input = contiguous(input);
    let whole = slice(&input).len() == input.storage::<f32>().len();
    if !whole || input.try_storage_mut::<f32>().is_none() {
        input = tensor(slice(&input).to_vec(), input.shape());
    }
    change(input.try_storage_mut::<f32>().expect("nothing else holds a new tensor"));
    input
}
