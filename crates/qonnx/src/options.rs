//! How a model computes where there is a choice.

/// How a model computes where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How sums of products are computed.
    pub mode: Mode,
    /// How batch normalization rounds.
    pub batch_norm: BatchNorm,
}

/// How sums of products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the arithmetic contract: codes first, scales after. The same bits as the trainer, on every machine, and fast.
    #[default]
    Canonical,
    /// Node by node as the `qonnx` package computes: on dequantized operands. Sums are taken in f64 and rounded once, those of a
    /// linear layer with fewer than four inputs in f32 in order, as onnxruntime and PyTorch both take them.
    Reference,
}

/// How batch normalization rounds: both with `a = scale * (1 / sqrt(var + epsilon))`, each step rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNorm {
    /// onnxruntime's: `b = bias - mean * a; y = x * a + b`, two roundings each.
    #[default]
    TwoRoundings,
    /// PyTorch's on machines with fused multiply-add: `b = fma(-mean, a, bias); y = fma(x, a, b)`.
    Fused,
}
