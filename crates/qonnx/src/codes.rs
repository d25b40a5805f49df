//! The codes of quantized weights: bit patterns, scales, and the table that decodes them.
//!
//! `value = (decode[code] - zero_point) * scale`, the product rounded once: for each weight exactly the value that the
//! quantizer in the file gives. What is no multiple of its scale is refused, not rounded.

mod text;

use std::collections::BTreeMap;

use fewbit_formats::Format;
use serde::Serialize;

use crate::error::{Error, Fault};
use crate::facts::{Facts, Rules, Scaling, TensorFormat};
use crate::tensor::{Grid, Kind, Scale, Tensor};

/// The codes of the weights of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Codes {
    /// The weights, in the order of computation.
    pub tensors: Vec<TensorCodes>,
    /// For each format of up to 16 bits, the value of each code.
    pub decode: BTreeMap<String, Vec<f32>>,
    /// Weights of layers that have no codes: their names, and why.
    pub left_out: BTreeMap<String, String>,
}

/// The codes of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorCodes {
    /// The name of the tensor in the file.
    pub name: String,
    /// The node that uses it.
    pub layer: String,
    /// The extents, the last one runs fastest.
    pub shape: Vec<usize>,
    /// The format of the codes, as `fewbit formats` knows it.
    pub format: String,
    /// Bits of a code.
    pub bit_width: u32,
    /// One scale, or one for each index along `scale_axis`.
    pub scales: Vec<f32>,
    /// The axis that scales belong to.
    pub scale_axis: Option<usize>,
    /// What is subtracted from decoded values.
    pub zero_point: f32,
    /// The codes, one for each element.
    pub codes: Vec<u32>,
}

impl Codes {
    /// Takes the codes of all weights of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if no weights have codes.
    pub fn of(facts: &Facts<'_>) -> Result<Self, Error> {
        let formats = facts.formats(Rules::Complete);
        let mut found =
            Self { tensors: Vec::new(), decode: BTreeMap::new(), left_out: BTreeMap::new() };
        for node in facts.nodes() {
            if !matches!(node.op_type(), "Conv" | "ConvTranspose" | "MatMul" | "Gemm")
                || node.output.iter().all(|name| facts.is_constant(name))
            {
                continue;
            }
            let constant = node.input.iter().take(2).find(|name| facts.is_constant(name));
            let Some(name) = constant else { continue };
            if found.tensors.iter().any(|tensor| tensor.name == *name) {
                continue;
            }
            let named = Some(node.name()).filter(|name| !name.is_empty());
            let layer = named.or(node.output.first().map(String::as_str)).unwrap_or_default();
            match tensor(facts, name, layer, formats.get(name)) {
                Ok((tensor, format)) => {
                    let table = format.bit_width() <= 16;
                    if table && !found.decode.contains_key(&tensor.format) {
                        let values =
                            (0..1_u32 << format.bit_width()).map(|code| format.decode(code));
                        found.decode.insert(tensor.format.clone(), values.collect());
                    }
                    found.tensors.push(tensor);
                }
                Err(reason) => drop(found.left_out.insert(name.clone(), reason)),
            }
        }
        if found.tensors.is_empty() {
            let reason = match found.left_out.iter().next() {
                Some((name, reason)) => {
                    format!("a file without weights that have codes ({name:?}: {reason})")
                }
                None => "a file without constant weights".to_owned(),
            };
            return Err(Error::tensor("codes", Fault::unsupported(reason)));
        }
        Ok(found)
    }
}

impl TensorCodes {
    /// The codes one after the other, without gaps: the first one in the lowest bits of the first byte.
    pub fn packed(&self) -> Vec<u8> {
        let bits = self.bit_width as usize;
        let mut bytes = vec![0_u8; (self.codes.len() * bits).div_ceil(8)];
        for (index, &code) in self.codes.iter().enumerate() {
            let first = index * bits;
            let mut rest = u64::from(code) << (first % 8);
            let mut place = first / 8;
            while rest != 0 {
                bytes[place] |= rest as u8;
                rest >>= 8;
                place += 1;
            }
        }
        bytes
    }

    /// The scale of an element.
    pub fn scale(&self, element: usize) -> f32 {
        let Some(axis) = self.scale_axis else { return self.scales[0] };
        let inner: usize = self.shape[axis + 1..].iter().product();
        self.scales[element / inner.max(1) % self.shape[axis].max(1)]
    }
}

/// The codes of one tensor, or why there are none.
fn tensor(
    facts: &Facts<'_>,
    name: &str,
    layer: &str,
    format: Option<&TensorFormat>,
) -> Result<(TensorCodes, Format), String> {
    let format = format.ok_or("its numbers are of no format")?;
    let codes = format.format.ok_or("its numbers are of no format")?;
    if !format.zero_point.is_finite() {
        return Err("its zero points differ".to_owned());
    }
    let model = facts.model().ok_or("the file cannot be run")?;
    let tensor = model.constant_tensor(name).ok_or("it is not stored")?;
    let values =
        tensor.slice::<f32>("").map_err(|_| format!("its elements are {}", tensor.dtype()))?;
    let (unscaled, scales, scale_axis) = unscaled(tensor, values, format, codes)?;
    let mut encoded = Vec::with_capacity(values.len());
    for (index, &value) in unscaled.iter().enumerate() {
        let code = value + format.zero_point;
        let code = codes
            .encode(code)
            .ok_or_else(|| format!("element {index} is {}, no value of {codes}", values[index]))?;
        encoded.push(code);
    }
    let found = TensorCodes {
        name: name.to_owned(),
        layer: layer.to_owned(),
        shape: tensor.shape().to_vec(),
        format: format.name(),
        bit_width: codes.bit_width(),
        scales,
        scale_axis,
        zero_point: format.zero_point,
        codes: encoded,
    };
    for (index, (&code, &value)) in found.codes.iter().zip(values).enumerate() {
        let again = (codes.decode(code) - found.zero_point) * found.scale(index);
        if again != value {
            return Err(format!("element {index} is {value}, and {again} after decoding"));
        }
    }
    Ok((found, codes))
}

type Unscaled = (Vec<f32>, Vec<f32>, Option<usize>);

/// Values without their scale, and the scale.
fn unscaled(
    tensor: &Tensor,
    values: &[f32],
    format: &TensorFormat,
    codes: Format,
) -> Result<Unscaled, String> {
    let Some(grid) = tensor.grid() else {
        let scale = match format.scale {
            Scaling::One => 1.0,
            Scaling::PerTensor(scale) => scale,
            _ => return Err("its scales are not in the file".to_owned()),
        };
        let nearest = |v: &f32| codes.quantize(v / scale);
        return Ok((values.iter().map(nearest).collect(), vec![scale], None));
    };
    // Minifloats on a small grid are counted in its steps.
    let step = match (grid.kind, codes) {
        (Kind::Integer { .. }, Format::Float(float)) => float.smallest_subnormal(),
        _ => 1.0,
    };
    let numbers =
        grid.codes(values, tensor.shape()).values.iter().map(|code| code * step).collect();
    let (scales, axis) = scales(grid, step);
    Ok((numbers, scales, axis))
}

fn scales(grid: &Grid, step: f32) -> (Vec<f32>, Option<usize>) {
    match &grid.scale {
        Scale::PerTensor(scale) => (vec![scale / step], None),
        Scale::PerChannel { axis, scales } => {
            (scales.iter().map(|scale| scale / step).collect(), Some(*axis))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_packed_without_gaps() {
        let mut tensor = TensorCodes {
            name: "w".to_owned(),
            layer: "l".to_owned(),
            shape: vec![2, 2],
            format: "int3".to_owned(),
            bit_width: 3,
            scales: vec![0.5, 2.0],
            scale_axis: Some(1),
            zero_point: 0.0,
            codes: vec![0b101, 0b011, 0b111, 0b001],
        };
        // 001 111 011 101, from the right.
        assert_eq!(tensor.packed(), [0b1101_1101, 0b0000_0011]);
        assert_eq!([0, 1, 2, 3].map(|element| tensor.scale(element)), [0.5, 2.0, 0.5, 2.0]);
        tensor.bit_width = 12;
        tensor.codes = vec![0xabc, 0xdef];
        assert_eq!(tensor.packed(), [0xbc, 0xfa, 0xde]);
        tensor.bit_width = 32;
        tensor.codes = vec![u32::MAX, 1];
        assert_eq!(tensor.packed(), [255, 255, 255, 255, 1, 0, 0, 0]);
    }
}
