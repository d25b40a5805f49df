//! Networks, fake quantizers and their gradients, export to QONNX.
//!
//! Burn gives tensors, gradients and devices; nothing outside of this crate names it. The operations
//! that few-bit networks live by are in [`ops`], the rules by which tensors become few-bit numbers in
//! [`quantizer`], what is built from both in [`network`], and its QONNX file in [`export`].
//!
//! ```
//! use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor, ops};
//!
//! let device = Device::cpu();
//! let mut network = Network::new(&NetworkConfig::named("TFC_1W2A")?, 7, &device)?;
//! let images = Tensor::full(0.25, &[2, 1, 28, 28], &device);
//! let logits = network.forward(&images, Pass::Training { step: 0 })?;
//! let mut gradients = ops::square_hinge_loss(&logits, &[3, 9])?.backward();
//! for (name, parameter) in network.parameters_mut() {
//!     let gradient = parameter.take_gradient(&mut gradients);
//!     assert!(gradient.is_some(), "{name}");
//! }
//! # Ok::<(), fewbit_nn::Error>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(
    feature = "portable",
    allow(dead_code, unused_imports, reason = "the processor's own implementations are left out")
)]

pub mod config;
pub mod export;
pub mod network;
pub mod ops;
pub mod quantizer;

mod device;
mod error;
mod init;
mod tensor;

pub use config::NetworkConfig;
pub use device::{Device, DeviceKind, DeviceName};
pub use error::{Error, ErrorKind};
pub use network::{Network, Pass};
pub use tensor::{Gradients, Tensor};
