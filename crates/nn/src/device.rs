//! Where tensors live and are computed: the processor, or a graphics processor if the build has any.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use burn::backend::{DispatchDevice, FlexDevice};
use burn::tensor::{Device as BurnDevice, DeviceType};

use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

/// An opened device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device(DispatchDevice);

impl Device {
    /// The processor.
    pub fn cpu() -> Self {
        Self(DispatchDevice::Flex(FlexDevice))
    }

    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        matches!(self.0, DispatchDevice::Flex(_))
    }

    /// Opens a device and computes something on it.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotBuilt`] if this build has no devices of the kind,
    /// [`ErrorKind::NoSuchDevice`] if the machine has none with the number, and
    /// [`ErrorKind::DeviceFailed`] if the driver refuses.
    /// # Examples
    /// ```
    /// use fewbit_nn::Device;
    ///
    /// assert!(Device::open("cpu".parse()?).is_ok());
    /// let message = Device::open("vulkan:9999".parse()?).unwrap_err().to_string();
    /// assert!(message.starts_with("no device vulkan:9999"), "{message}");
    /// # Ok::<(), fewbit_nn::Error>(())
    /// ```
    pub fn open(name: DeviceName) -> Result<Self, Error> {
        let DeviceName { kind, number } = name;
        if !kind.is_built() {
            let (built, kind) = (names(DeviceKind::built()), kind.title());
            return Err(ErrorKind::DeviceNotBuilt { name: name.to_string(), kind, built }.into());
        }
        let Some(device) = devices(kind).into_iter().nth(number) else {
            let found = Self::available().iter().map(ToString::to_string).collect();
            return Err(ErrorKind::NoSuchDevice { name: name.to_string(), found }.into());
        };
        // Drivers are not ours: what they cannot do shows at the first computation, as a panic.
        let trial = catch_unwind(AssertUnwindSafe(|| {
            let device = Self(device);
            let sum = Tensor::full(1.5, &[3], &device).sum().item();
            (device, sum)
        }));
        let failed =
            |reason| Err(ErrorKind::DeviceFailed { name: name.to_string(), reason }.into());
        match trial {
            Ok((device, 4.5)) => Ok(device),
            Ok((_, sum)) => failed(format!("1.5 + 1.5 + 1.5 is {sum} there")),
            Err(panic) => failed(words(&*panic)),
        }
    }

    /// The devices of this machine that this build can use, the processor first.
    pub fn available() -> Vec<DeviceName> {
        let of = |kind| (0..devices(kind).len()).map(move |number| DeviceName { kind, number });
        DeviceKind::built().flat_map(of).collect()
    }

    /// A graphics processor by its number, from 0.
    ///
    /// Numbers count the devices of the first kind that has any. A driver that imitates a graphics
    /// processor on the processor does not count.
    ///
    /// # Errors
    /// [`ErrorKind::NoGpuBuilt`] if this build has no graphics processors, [`ErrorKind::NoGpu`] if the
    /// machine has none of those, [`ErrorKind::NoSuchDevice`] if it has fewer.
    pub fn gpu(number: usize) -> Result<DeviceName, Error> {
        let kinds = DeviceKind::built().filter(|kind| *kind != DeviceKind::Cpu);
        let kinds: Vec<DeviceKind> = kinds.collect();
        if kinds.is_empty() {
            return Err(ErrorKind::NoGpuBuilt.into());
        }
        let mut software = vec![];
        for &kind in &kinds {
            let mut real = vec![];
            for (number, device) in devices(kind).iter().enumerate() {
                let name = DeviceName { kind, number };
                if is_software(device) { software.push(name.to_string()) } else { real.push(name) }
            }
            if let Some(name) = real.get(number) {
                return Ok(*name);
            }
            if !real.is_empty() {
                let found = real.iter().map(ToString::to_string).collect();
                let name = format!("number {number}");
                return Err(ErrorKind::NoSuchDevice { name, found }.into());
            }
        }
        let searched = kinds.iter().map(|kind| kind.title().to_owned()).collect();
        Err(ErrorKind::NoGpu { searched, software }.into())
    }

    pub(crate) fn from_dispatch(device: DispatchDevice) -> Self {
        Self(device.inner())
    }

    pub(crate) fn dispatch(&self) -> &DispatchDevice {
        &self.0
    }
}

/// How a device is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A graphics processor of NVIDIA.
    Cuda,
    /// A graphics processor of AMD.
    Rocm,
    /// A graphics processor under macOS.
    Metal,
    /// A graphics processor with a Vulkan driver.
    Vulkan,
}

impl DeviceKind {
    /// All kinds; of a machine's graphics processors the ones of earlier kinds come first.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan];

    /// The name on a command line, which is that of the Cargo feature as well.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
        }
    }

    /// The name that its makers write.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::Rocm => "ROCm",
            Self::Metal => "Metal",
            Self::Vulkan => "Vulkan",
        }
    }

    /// Whether this build can use such devices.
    pub fn is_built(self) -> bool {
        self.filter().is_some()
    }

    /// The kinds that this build can use.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_built())
    }

    fn filter(self) -> Option<DeviceType> {
        match self {
            Self::Cpu => Some(DeviceType::Flex),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(DeviceType::Cuda),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => None,
            #[cfg(feature = "rocm")]
            Self::Rocm => Some(DeviceType::Rocm),
            #[cfg(not(feature = "rocm"))]
            Self::Rocm => None,
            #[cfg(feature = "metal")]
            Self::Metal => Some(DeviceType::Metal),
            #[cfg(not(feature = "metal"))]
            Self::Metal => None,
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(DeviceType::Vulkan),
            #[cfg(not(feature = "vulkan"))]
            Self::Vulkan => None,
        }
    }
}

/// A device as one names it: `cpu`, or a kind and a number such as `vulkan:0`.
///
/// # Examples
/// ```
/// use fewbit_nn::{DeviceKind, DeviceName};
///
/// let name: DeviceName = "CUDA:1".parse()?;
/// assert_eq!(name, DeviceName { kind: DeviceKind::Cuda, number: 1 });
/// assert_eq!("vulkan".parse::<DeviceName>()?.to_string(), "vulkan:0");
/// assert!("gpu".parse::<DeviceName>().is_err());
/// # Ok::<(), fewbit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// How it is driven.
    pub kind: DeviceKind,
    /// Its place among the devices of its kind, from 0.
    pub number: usize,
}

impl DeviceName {
    /// The processor.
    pub const CPU: Self = Self { kind: DeviceKind::Cpu, number: 0 };
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => f.write_str("cpu"),
            kind => write!(f, "{}:{}", kind.as_str(), self.number),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || {
            let known = names(DeviceKind::ALL.into_iter());
            Error::new(ErrorKind::UnknownDevice { name: name.to_owned(), known })
        };
        let lower = name.to_ascii_lowercase();
        let (kind, number) = lower.split_once(':').unwrap_or((&lower, "0"));
        let kind = DeviceKind::ALL.into_iter().find(|known| known.as_str() == kind);
        let (Some(kind), Ok(number)) = (kind, number.parse::<u16>()) else { return Err(unknown()) };
        if kind == DeviceKind::Cpu && lower != "cpu" {
            return Err(unknown());
        }
        Ok(Self { kind, number: usize::from(number) })
    }
}

/// One name for each kind, with the number 0.
fn names(kinds: impl Iterator<Item = DeviceKind>) -> Vec<String> {
    kinds.map(|kind| DeviceName { kind, number: 0 }.to_string()).collect()
}

fn devices(kind: DeviceKind) -> Vec<DispatchDevice> {
    let Some(filter) = kind.filter() else { return vec![] };
    BurnDevice::enumerate(filter).into_iter().map(|device| device.as_dispatch().clone()).collect()
}

#[cfg(any(feature = "vulkan", feature = "metal"))]
fn is_software(device: &DispatchDevice) -> bool {
    use burn::backend::{CubeDevice, WgpuDeviceKind};

    matches!(device, DispatchDevice::Cube(CubeDevice::Wgpu(wgpu)) if wgpu.kind == WgpuDeviceKind::Cpu)
}

#[cfg(not(any(feature = "vulkan", feature = "metal")))]
fn is_software(_: &DispatchDevice) -> bool {
    false
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the driver broke off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["cpu", "cuda:0", "rocm:3", "metal:0", "vulkan:12"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "vulkan:99999", "cuda:0:1", "0"] {
            let message = name.parse::<DeviceName>().unwrap_err().to_string();
            assert!(message.contains(&format!("{name:?}")), "{message}");
            assert!(message.contains("vulkan:0"), "{message}");
        }
    }

    #[test]
    fn the_processor_is_the_first_device() {
        assert_eq!(Device::available()[0], DeviceName::CPU);
        assert!(Device::open(DeviceName::CPU).is_ok());
    }

    #[test]
    fn what_is_not_there_is_named() {
        for kind in DeviceKind::ALL.into_iter().filter(|kind| *kind != DeviceKind::Cpu) {
            let name = DeviceName { kind, number: 9999 };
            let error = Device::open(name).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&name.to_string()), "{message}");
            assert!(message.contains("cpu"), "{message}");
            let built = matches!(error.kind(), ErrorKind::NoSuchDevice { .. });
            assert_eq!(built, kind.is_built(), "{message}");
        }
    }

    #[test]
    fn without_graphics_processors_there_is_no_first_one() {
        if DeviceKind::built().count() == 1 {
            let error = Device::gpu(0).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NoGpuBuilt), "{error}");
        }
    }
}
