//! Names of networks.

use fewbit_formats::{FloatFormat, Format};

use super::{
    Architecture, Convolution, FormatName, MAX_COMMON_BITS, NetworkConfig, OutputNorm, Pooling,
    Quantization, ResnetQuantizers,
};

/// The names that the published examples ship.
///
/// # Source
/// networks.md 3.2, and the floating-point baseline (discrepancies.md D-26).
pub(super) const SHIPPED: &[&str] = &[
    "TFC_1W1A",
    "TFC_1W2A",
    "TFC_2W2A",
    "SFC_1W1A",
    "SFC_1W2A",
    "SFC_2W2A",
    "LFC_1W1A",
    "LFC_1W2A",
    "CNV_1W1A",
    "CNV_1W2A",
    "CNV_2W2A",
    "RESNET18_4W4A",
    "RESNET18_8W8A_FLOAT",
    "RESNET18_6W6A_FLOAT",
    "RESNET18_4W4A_FLOAT",
    "RESNET18_6W6A_8W8A_FIRST_LAYER_FLOAT",
    "RESNET18_6W6A_8W8A_LAST_LAYER_FLOAT",
    "RESNET18_6W6A_8W8A_FIRST_LAST_LAYER_FLOAT",
    "RESNET18_4W4A_8W8A_FIRST_LAYER_FLOAT",
    "RESNET18_4W4A_8W8A_LAST_LAYER_FLOAT",
    "RESNET18_4W4A_8W8A_FIRST_LAST_LAYER_FLOAT",
    "RESNET18_16W16A_FLOAT_E8M7",
    "RESNET18_4W4A_FLOAT_E1M2",
    "RESNET18_4W4A_FLOAT_E2M1",
    "RESNET18_5W5A_FLOAT_E1M3",
    "RESNET18_5W5A_FLOAT_E2M2",
    "RESNET18_5W5A_FLOAT_E3M1",
    "RESNET18_6W6A_FLOAT_E1M4",
    "RESNET18_6W6A_FLOAT_E2M3",
    "RESNET18_6W6A_FLOAT_E3M2",
    "RESNET18_6W6A_FLOAT_E4M1",
    "RESNET18_7W7A_FLOAT_E1M5",
    "RESNET18_7W7A_FLOAT_E2M4",
    "RESNET18_7W7A_FLOAT_E3M3",
    "RESNET18_7W7A_FLOAT_E4M2",
    "RESNET18_7W7A_FLOAT_E5M1",
    "RESNET18_8W8A_FLOAT_E1M6",
    "RESNET18_8W8A_FLOAT_E2M5",
    "RESNET18_8W8A_FLOAT_E3M4",
    "RESNET18_8W8A_FLOAT_E4M3",
    "RESNET18_8W8A_FLOAT_E5M2",
    "RESNET18_8W8A_FLOAT_E6M1",
    "RESNET18_32W32A_FLOAT_E8M23",
];

/// The widths of the hidden layers behind each name of a fully connected network.
const FC_FAMILIES: [(&str, usize); 3] = [("TFC", 64), ("SFC", 256), ("LFC", 1024)];

/// Channels of CNV's convolutions and what follows them.
const CNV: [(usize, Pooling); 6] = [
    (64, Pooling::None),
    (64, Pooling::Max),
    (128, Pooling::None),
    (128, Pooling::Max),
    (256, Pooling::None),
    (256, Pooling::None),
];

/// Reads a name in upper case.
pub(super) fn parse(name: &str) -> Option<NetworkConfig> {
    let (family, rest) = name.split_once('_')?;
    match family {
        "RESNET18" => resnet(name, rest),
        "CNV" => {
            let bits = bit_widths(rest).filter(common)?;
            let convolutions =
                CNV.map(|(channels, pooling)| Convolution { channels, pooling }).to_vec();
            let (hidden, output_norm) = (vec![512, 512], OutputNorm::TensorNorm);
            let architecture = Architecture::Cnv { hidden, output_norm, convolutions };
            Some(NetworkConfig {
                input_bit_width: 8,
                ..config(name, bits, [3, 32, 32], architecture)
            })
        }
        _ => {
            let &(_, width) = FC_FAMILIES.iter().find(|(known, _)| *known == family)?;
            let bits = bit_widths(rest).filter(common)?;
            let architecture = Architecture::fc(vec![width; 3], 0.2);
            Some(config(name, bits, [1, 28, 28], architecture))
        }
    }
}

fn common(&(weights, activations): &(u32, u32)) -> bool {
    weights.max(activations) <= MAX_COMMON_BITS
}

fn config(
    name: &str,
    (weight_bit_width, act_bit_width): (u32, u32),
    image_shape: [usize; 3],
    architecture: Architecture,
) -> NetworkConfig {
    NetworkConfig {
        name: name.to_owned(),
        weight_bit_width,
        act_bit_width,
        input_bit_width: act_bit_width,
        quantization: Quantization::On,
        classes: 10,
        image_shape,
        normalization: None,
        architecture,
    }
}

/// Reads what follows `RESNET18_`.
fn resnet(name: &str, rest: &str) -> Option<NetworkConfig> {
    let widths = [64, 128, 256, 512];
    if let Some(bits) = bit_widths(rest) {
        let architecture = Architecture::resnet18_integer(widths);
        return Some(config(name, bits, [3, 32, 32], architecture))
            .filter(|config| config.validate().is_ok());
    }
    let (before, after) = rest.split_once("_FLOAT")?;
    let (bits, others) = match before.split_once('_') {
        Some((bits, others)) => (bit_widths(bits)?, Some(others)),
        None => (bit_widths(before)?, None),
    };
    let (weights, activations) = match after.strip_prefix('_') {
        Some(formats) => match formats.split_once('_') {
            Some((weights, activations)) => (format(weights)?, format(activations)?),
            None => (format(formats)?, format(formats)?),
        },
        None if after.is_empty() => (usual_format(bits.0)?, usual_format(bits.1)?),
        None => return None,
    };
    if (weights.bit_width(), activations.bit_width()) != bits {
        return None;
    }
    let mut quantizers =
        ResnetQuantizers::unscaled(Format::Float(weights), Format::Float(activations));
    if let Some(others) = others {
        let (bits, places) = others.split_once('_')?;
        let other = Some(FormatName(Format::Float(usual_format(bit_widths(bits)?.0)?)));
        let (first, last) = match places {
            "FIRST_LAYER" => (other, None),
            "LAST_LAYER" => (None, other),
            "FIRST_LAST_LAYER" => (other, other),
            _ => return None,
        };
        (quantizers.first_layer_format, quantizers.last_layer_format) = (first, last);
    }
    // All of f32: nothing is rounded.
    let whole = weights.mantissa_bit_width() == 23 && activations.mantissa_bit_width() == 23;
    let quantization = if whole { Quantization::Off } else { Quantization::On };
    let architecture = Architecture::resnet18(widths, quantizers);
    Some(NetworkConfig { quantization, ..config(name, bits, [3, 32, 32], architecture) })
}

/// The format that goes without saying.
fn usual_format(bit_width: u32) -> Option<FloatFormat> {
    let (exponent, mantissa) = match bit_width {
        8 => (4, 3),
        6 => (3, 2),
        4 => (2, 1),
        _ => return None,
    };
    FloatFormat::new(exponent, mantissa).ok()
}

/// Reads `E3M1`.
fn format(text: &str) -> Option<FloatFormat> {
    let (exponent, mantissa) = text.strip_prefix('E')?.split_once('M')?;
    FloatFormat::new(number(exponent)?, number(mantissa)?).ok()
}

/// Reads `2W2A`.
fn bit_widths(text: &str) -> Option<(u32, u32)> {
    let (weights, rest) = text.split_once('W')?;
    let positive = |text| number(text).filter(|&bits| bits > 0);
    Some((positive(weights)?, positive(rest.strip_suffix('A')?)?))
}

/// One or two digits, as they are printed.
fn number(digits: &str) -> Option<u32> {
    let number = digits.parse().ok()?;
    (number < 100 && digits == format!("{number}")).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_name_builds_itself() {
        let names = NetworkConfig::shipped_names();
        assert_eq!(names.len(), 43);
        for name in names {
            let config = NetworkConfig::named(&name.to_lowercase()).unwrap();
            assert_eq!(config.name, name);
            config.validate().unwrap();
        }
    }

    #[test]
    fn other_names_are_refused_with_the_known_ones() {
        for name in [
            "",
            "TFC",
            "TFC_2W",
            "TFC_0W1A",
            "TFC_9W1A",
            "TFC_+1W1A",
            "XFC_1W1A",
            "TFC_2W2A ",
            "CNV_9W1A",
            "RESNET18",
            "RESNET18_1W4A",
            "RESNET18_4W9A",
            "RESNET18_5W5A_FLOAT",
            "RESNET18_5W5A_FLOAT_E3M2",
            "RESNET18_5W5A_FLOATE3M1",
            "RESNET18_5W5A_FLOAT_E3M1_",
            "RESNET18_5W5A_FLOAT_E03M1",
            "RESNET18_6W6A_8W8A_MIDDLE_LAYER_FLOAT",
        ] {
            let error = NetworkConfig::named(name).unwrap_err();
            assert!(error.to_string().contains("TFC_2W2A"), "{name:?}: {error}");
        }
    }

    #[test]
    fn formats_are_data() {
        let config = NetworkConfig::named("resnet18_6w4a_8w8a_last_layer_float_e3m2_e2m1").unwrap();
        config.validate().unwrap();
        let Architecture::Resnet18 { quantizers, .. } = config.architecture else {
            unreachable!("a ResNet")
        };
        let names = |format: Option<FormatName>| format.map(|format| format.0.to_string());
        assert_eq!(names(Some(quantizers.weight_format)).unwrap(), "e3m2");
        assert_eq!(names(Some(quantizers.act_format)).unwrap(), "e2m1");
        assert_eq!(names(quantizers.first_layer_format), None);
        assert_eq!(names(quantizers.last_layer_format).unwrap(), "e4m3");
        let baseline = NetworkConfig::named("RESNET18_32W32A_FLOAT_E8M23").unwrap();
        assert_eq!(baseline.quantization, Quantization::Off);
    }
}
