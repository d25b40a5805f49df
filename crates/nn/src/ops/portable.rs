//! The backends that compute with the default of every operation: graphics processors, and the
//! processor where the package `fewbit-nn-portable` compiles these sources to test the defaults.

#[cfg(any(feature = "vulkan", feature = "metal", feature = "cuda", feature = "rocm"))]
use burn::backend::Cube;
#[cfg(feature = "portable")]
use burn::backend::Flex;

macro_rules! portable {
    ($($module:ident: $($name:ident),+;)+) => {$($(
        #[cfg(any(feature = "vulkan", feature = "metal", feature = "cuda", feature = "rocm"))]
        impl super::$module::$name for Cube {}
        #[cfg(feature = "portable")]
        impl super::$module::$name for Flex {}
    )+)+};
}

portable! {
    activation: Activate, ActivateGradient;
    batch_norm: BatchNorm, BatchNormGradient;
    convolution: Convolve, ConvolveGradient;
    dropout: Dropout;
    fake_quantize: FakeQuantize, FakeQuantizeGradient;
    linear: Linear, LinearGradient;
    loss: Losses;
    pool: Pool, PoolGradient;
    relu: Relu, ReluGradient;
    scale_shift: ScaleShift;
    statistic: Statistics, StatisticsGradient;
    tensor_norm: TensorNorm, TensorNormGradient;
    threshold: Threshold;
    truncate: Truncate, TruncateGradient;
}
