//! From `--device` and `--gpus` to the device that computes.

use clap::Args;
use fewbit_nn::{Device, DeviceKind, DeviceName, ErrorKind};

use crate::failure::{Failure, Hint, Outcome};

/// The flag that chooses a device.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceArg {
    /// Where to compute: cpu, or in builds with GPUs cuda:0, rocm:0, metal:0, vulkan:0 [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    pub device: Option<String>,
}

/// The device that computes.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What it is called.
    pub name: DeviceName,
    /// The opened device.
    pub device: Device,
}

impl Chosen {
    /// The processor.
    pub fn cpu() -> Self {
        Self { name: DeviceName::CPU, device: Device::cpu() }
    }

    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        self.name.kind == DeviceKind::Cpu
    }
}

impl DeviceArg {
    /// Opens the device that the flag names.
    pub fn open(&self) -> Outcome<Chosen> {
        let Some(text) = &self.device else { return Ok(Chosen::cpu()) };
        let context = format!("--device {text}");
        let on_cpu = "leave --device out, or write --device cpu";
        let name = text.parse::<DeviceName>();
        let name = name.hint(format!("on the CPU: {on_cpu}")).context(&context)?;
        open(name, &context, on_cpu)
    }

    /// Opens the device that the flag or the published example's `--gpus` names.
    pub fn open_with_gpus(&self, gpus: Option<&str>) -> Outcome<Chosen> {
        let Some(list) = gpus else { return self.open() };
        let context = format!("--gpus {list}");
        let on_cpu = "leave --gpus out, or write --gpus None";
        if let Some(device) = &self.device {
            let message = format!("{context} and --device {device} both choose a device");
            return Err(Failure::new(message).or_hint("leave one of them out"));
        }
        let number = match numbers(list).as_deref() {
            Some([number]) => *number,
            Some(_) => {
                let message = format!("{context}: a training computes on one GPU, not on several");
                let hint = format!("write one number, such as --gpus 0; on the CPU: {on_cpu}");
                return Err(Failure::new(message).or_hint(hint));
            }
            None => {
                let message = format!("{context}: not a GPU number");
                let hint = format!("write one, such as --gpus 0; on the CPU: {on_cpu}");
                return Err(Failure::new(message).or_hint(hint));
            }
        };
        let name = Device::gpu(number).map_err(|error| advised(error, on_cpu)).context(&context)?;
        open(name, &context, on_cpu)
    }
}

fn open(name: DeviceName, context: &str, on_cpu: &str) -> Outcome<Chosen> {
    let device = Device::open(name).map_err(|error| advised(error, on_cpu)).context(context)?;
    Ok(Chosen { name, device })
}

/// `0`, `0,1` or `[0, 1]`.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let list = list.trim();
    let inner = list.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(list).split(',').map(|number| number.trim().parse().ok()).collect()
}

/// What to do without the device.
fn advised(error: fewbit_nn::Error, on_cpu: &str) -> Failure {
    let build = |feature: &str| {
        format!("with a GPU: build with `cargo build --release --features {feature}`")
    };
    let hint = match error.kind() {
        ErrorKind::NoGpuBuilt => {
            format!("on the CPU: {on_cpu}; {}", build("vulkan|metal|cuda|rocm"))
        }
        ErrorKind::DeviceNotBuilt { kind, .. } => {
            format!("on the CPU: {on_cpu}; {}", build(&kind.to_ascii_lowercase()))
        }
        ErrorKind::NoGpu { software, .. } => match software.first() {
            Some(software) => {
                format!("on the CPU: {on_cpu}; --device {software} is slower than that")
            }
            None => format!("on the CPU: {on_cpu}; with a GPU: is its driver installed?"),
        },
        _ => format!("on the CPU: {on_cpu}"),
    };
    Failure::from(error).or_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(device: Option<&str>, gpus: Option<&str>) -> (String, String) {
        let argument = DeviceArg { device: device.map(str::to_owned) };
        let failure = argument.open_with_gpus(gpus).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        (failure.message(), failure.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_processor_is_the_default() {
        for device in [None, Some("cpu"), Some("CPU")] {
            let argument = DeviceArg { device: device.map(str::to_owned) };
            let chosen = argument.open_with_gpus(None).unwrap();
            assert!(chosen.is_cpu() && chosen.name == DeviceName::CPU);
        }
    }

    #[test]
    fn lists_of_numbers() {
        for (list, expected) in [
            ("0", Some(vec![0])),
            ("[1]", Some(vec![1])),
            ("0,1", Some(vec![0, 1])),
            ("[0, 2]", Some(vec![0, 2])),
            ("", None),
            ("-1", None),
            ("all", None),
            ("0,", None),
        ] {
            assert_eq!(numbers(list), expected, "{list}");
        }
    }

    /// No machine has these, whatever the build.
    #[test]
    fn what_cannot_be_had_is_refused_with_the_way_to_the_cpu() {
        for (device, gpus) in [
            (None, Some("0,1")),
            (None, Some("first")),
            (None, Some("999")),
            (Some("gpu"), None),
            (Some("cuda:999"), None),
            (Some("vulkan:999"), None),
        ] {
            let (message, hint) = refusal(device, gpus);
            let typed = device.or(gpus).unwrap();
            assert!(message.contains(typed), "{message}");
            let way = if gpus.is_some() { "--gpus None" } else { "--device cpu" };
            assert!(hint.contains(way), "{message}: {hint}");
        }
        let (message, hint) = refusal(Some("cpu"), Some("0"));
        assert!(message.contains("both") && hint.contains("one of them"), "{message}: {hint}");
    }

    #[test]
    fn a_build_without_gpus_says_how_to_get_them() {
        if DeviceKind::built().count() > 1 {
            return;
        }
        let (message, hint) = refusal(None, Some("0"));
        assert!(message.contains("on the CPU only"), "{message}");
        assert!(hint.contains("--features vulkan|metal|cuda|rocm`"), "{hint}");
        let (message, hint) = refusal(Some("rocm:0"), None);
        assert!(message.contains("without ROCm"), "{message}");
        assert!(hint.contains("--features rocm`"), "{hint}");
    }
}
