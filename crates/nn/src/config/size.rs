//! How large a described network is, before it is built: descriptions come from files.

use super::{Architecture, Convolution, NetworkConfig, Pooling, Stages};
use crate::error::{Error, ErrorKind};

/// Weights of the largest network that is built: 1 GiB of them, and training needs four times as much.
const MAX_WEIGHTS: u64 = 1 << 28;

/// Layers of one kind of the deepest network that is built.
const MAX_LAYERS: usize = 1000;

/// Characters of the longest name, which is part of file names.
const MAX_NAME: usize = 100;

impl NetworkConfig {
    /// The number of weights of convolutions and fully connected layers; saturates. Of stages that
    /// cannot be built nothing is counted.
    pub fn weight_count(&self) -> u64 {
        let [channels, height, width] = self.image_shape;
        let dense = |inputs: u64, hidden: &[usize]| {
            let outputs = hidden.iter().copied().chain([self.classes]);
            layers(inputs, outputs.map(|outputs| (outputs, 1)))
        };
        match &self.architecture {
            Architecture::Fc { hidden, .. } => dense(product(&self.image_shape), hidden),
            Architecture::Cnv { hidden, convolutions, .. } => {
                let kernels = convolutions.iter().map(|convolution| (convolution.channels, 9));
                let sum = layers(channels as u64, kernels);
                let left = [height, width].map(|size| convolutions.iter().fold(size, pixels_left));
                let last = convolutions.last().map_or(channels, |convolution| convolution.channels);
                sum.saturating_add(dense(product(&[last, left[0], left[1]]), hidden))
            }
            Architecture::Resnet18 { widths, blocks, stem_stride, .. }
            | Architecture::Resnet18Integer { widths, blocks, stem_stride, .. } => {
                let stages = Stages { widths, blocks, stem_stride: *stem_stride };
                let (Some(&first), Some(&last), Ok(())) =
                    (widths.first(), widths.last(), stages.validate())
                else {
                    return 0;
                };
                // The first convolution, two of each block, and those of the shortcuts.
                let blocks = stages.blocks().into_iter().map(|block| {
                    let (inputs, outputs) = (block.inputs as u64, block.channels);
                    let main = layers(inputs, [(outputs, 9), (outputs, 9)]);
                    let shortcut = if block.has_shortcut_convolution() {
                        layers(inputs, [(outputs, 1)])
                    } else {
                        0
                    };
                    main.saturating_add(shortcut)
                });
                let left = [height, width].map(|size| stages.pixels_left(size));
                let size = left[0].min(left[1]).max(1);
                let pooled = left.map(|left| left / size);
                let stem = layers(channels as u64, [(first, 9)]);
                let around = [stem, product(&[last, pooled[0], pooled[1], self.classes])];
                blocks.chain(around).fold(0, u64::saturating_add)
            }
        }
    }

    /// Checks what would take the memory or the file names of the machine.
    pub(super) fn validate_size(&self) -> Result<(), Error> {
        let invalid = |field: &'static str, value: String, expected: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig { field, value, expected }))
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=MAX_NAME).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return invalid(
                "name",
                format!("{:?}", self.name),
                "1 to 100 letters, digits, _ and -",
            );
        }
        let depth = match &self.architecture {
            Architecture::Fc { hidden, .. } => hidden.len(),
            Architecture::Cnv { hidden, convolutions, .. } => hidden.len().max(convolutions.len()),
            // Their blocks have been counted.
            Architecture::Resnet18 { .. } | Architecture::Resnet18Integer { .. } => 0,
        };
        if depth > MAX_LAYERS {
            return invalid("architecture", format!("{depth} layers"), "at most 1000");
        }
        let weights = self.weight_count();
        if weights > MAX_WEIGHTS {
            return invalid("architecture", format!("{weights} weights"), "at most 2^28");
        }
        Ok(())
    }
}

/// Weights of layers behind each other, each given by its outputs and the pixels of its kernel.
fn layers(inputs: u64, layers: impl IntoIterator<Item = (usize, u64)>) -> u64 {
    let mut inputs = inputs;
    layers.into_iter().fold(0, |sum: u64, (outputs, kernel)| {
        let weights = inputs.saturating_mul(outputs as u64).saturating_mul(kernel);
        inputs = outputs as u64;
        sum.saturating_add(weights)
    })
}

fn product(extents: &[usize]) -> u64 {
    extents.iter().fold(1, |product: u64, &extent| product.saturating_mul(extent as u64))
}

/// Of so many pixels along an axis, those behind a convolution without padding.
fn pixels_left(size: usize, convolution: &Convolution) -> usize {
    let size = size.saturating_sub(2);
    if convolution.pooling == Pooling::Max { size / 2 } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NetworkConfig {
        NetworkConfig::named(name).unwrap()
    }

    #[test]
    fn counts_what_is_built() {
        for (name, weights) in [
            ("TFC_1W1A", 784 * 64 + 2 * 64 * 64 + 64 * 10),
            ("LFC_1W1A", 784 * 1024 + 2 * 1024 * 1024 + 1024 * 10),
            ("CNV_1W1A", 1_542_848),
            ("RESNET18_8W8A_FLOAT", 11_164_352),
            ("RESNET18_4W4A", 11_164_352),
        ] {
            assert_eq!(named(name).weight_count(), weights, "{name}");
            let mut network = crate::Network::new(&named(name), 1, &crate::Device::cpu()).unwrap();
            let built = network.parameters_mut().into_iter().map(|(_, p)| p.value().shape());
            let built: usize =
                built.filter(|s| s.len() > 1).map(|s| s.iter().product::<usize>()).sum();
            assert_eq!(built as u64, weights, "{name}");
        }
    }

    #[test]
    fn what_no_machine_can_hold_is_refused() {
        let hidden = |hidden: Vec<usize>| NetworkConfig {
            architecture: Architecture::fc(hidden, 0.0),
            ..named("TFC_1W1A")
        };
        let resnet = |widths| NetworkConfig {
            architecture: Architecture::resnet18_integer(widths),
            ..named("RESNET18_4W4A")
        };
        for config in [
            hidden(vec![1 << 40]),
            hidden(vec![1 << 62, 1 << 62]),
            hidden(vec![20_000, 20_000]),
            hidden(vec![1; 1001]),
            resnet([1 << 40; 4]),
            NetworkConfig { classes: usize::MAX, ..named("TFC_1W1A") },
            NetworkConfig { image_shape: [usize::MAX; 3], ..named("TFC_1W1A") },
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with("architecture is "), "{error}");
        }
        for name in ["", "../TFC", "/TFC", "TFC 1", "TFC\u{1b}[2J", &"T".repeat(101)] {
            let config = NetworkConfig { name: name.to_owned(), ..named("TFC_1W1A") };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with("name is "), "{error}");
        }
    }
}
