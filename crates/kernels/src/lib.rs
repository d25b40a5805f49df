//! CPU kernels: plain references and SIMD code chosen at run time. The only crate with unsafe code.
