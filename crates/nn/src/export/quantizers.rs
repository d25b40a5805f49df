//! The nodes of quantizers, and what their results are called in FINN.

use fewbit_formats::{FloatFormat, Format, IntegerFormat};
use fewbit_onnx::tensor::TensorValue;

use super::{Exporter, qonnx, standard};
use crate::error::{Error, ErrorKind};
use crate::network::{Parameter, part};
use crate::ops::{Grid, Scale};
use crate::quantizer::{
    ActQuantizer, ActQuantizerConfig, ActScale, WeightQuantizer, WeightQuantizerConfig, WeightScale,
};

/// How all quantizers round.
const ROUNDING_MODE: &str = "ROUND";

/// A quantizer as a node.
struct Quantizer<'a> {
    layer: &'a str,
    part: &'static str,
    /// What is quantized.
    x: &'a str,
    format: Format,
    scale: Scale,
    origin: Origin,
    /// The dimension of `x` that a scale per channel belongs to.
    channel_axis: usize,
}

/// Where a scale comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From the description: equal ones are stored once.
    Constant,
    /// From the weight, or from training: it is stored under a name of its own.
    Found,
}

impl Exporter<'_> {
    pub(super) fn act_quantizer(
        &mut self,
        name: &str,
        quantizer: &ActQuantizer,
    ) -> Result<(), Error> {
        let (Some(format), Some(scale)) = (quantizer.format(), quantizer.scale()) else {
            return Ok(());
        };
        let origin = match quantizer.config() {
            ActQuantizerConfig::Format {
                scale: ActScale::Learned { .. } | ActScale::Measured { .. },
                ..
            } => Origin::Found,
            ActQuantizerConfig::Format { scale: ActScale::Constant(_), .. }
            | ActQuantizerConfig::Common { .. }
            | ActQuantizerConfig::None => Origin::Constant,
        };
        self.grid = Grid::Scaled { format, scale: scale.clone() };
        let x = self.current.clone();
        let part = part::ACT_QUANT;
        let channel_axis = 1;
        self.current = self.quantizer(&Quantizer {
            layer: name,
            part,
            x: &x,
            format,
            scale,
            origin,
            channel_axis,
        })?;
        Ok(())
    }

    /// Quantizes the stored tensor `weight`; it stays as it is if the layer has no quantizer.
    pub(super) fn weight_quantizer(
        &mut self,
        name: &str,
        weight: &str,
        parameter: &Parameter,
        quantizer: &WeightQuantizer,
    ) -> Result<String, Error> {
        let scale = quantizer.scale(parameter.value());
        let (Some(format), Some(scale)) = (quantizer.format(), scale) else {
            return Ok(weight.to_owned());
        };
        let origin = match quantizer.config() {
            WeightQuantizerConfig::Format { scale: WeightScale::AbsMax { .. }, .. } => {
                Origin::Found
            }
            WeightQuantizerConfig::Format { scale: WeightScale::Constant(_), .. }
            | WeightQuantizerConfig::Common { .. }
            | WeightQuantizerConfig::None => Origin::Constant,
        };
        let part = part::WEIGHT_QUANT;
        let channel_axis = 0;
        let x = weight;
        self.quantizer(&Quantizer { layer: name, part, x, format, scale, origin, channel_axis })
    }

    /// Quantizes the stored tensor `bias` of a layer with the scales of its input and weight.
    pub(super) fn bias_quantizer(
        &mut self,
        name: &str,
        bias: &str,
        format: IntegerFormat,
        weight: Option<Scale>,
    ) -> Result<String, Error> {
        let (Grid::Scaled { scale: Scale::PerTensor(input), .. }, Some(Scale::PerTensor(weight))) =
            (&self.grid, weight)
        else {
            return Err(Error::new(ErrorKind::NotExportable {
                layer: name.to_owned(),
                what: "a quantized bias beside an input or weight without a single scale"
                    .to_owned(),
                expected: "an input and a weight with one scale each",
            }));
        };
        let scale = self.values(name, "bias_quant.scale", &[input * weight])?;
        let zero_point = self.graph.constant(&TensorValue::scalar(0.0_f32))?;
        let bit_width = self.number(format.bit_width())?;
        let dims = self.dims(bias);
        let node = qonnx(name, part::BIAS_QUANT, "Quant")
            .inputs([bias, &scale, &zero_point, &bit_width])
            .int("narrow", format.narrow_range().into())
            .string("rounding_mode", ROUNDING_MODE)
            .int("signed", format.signed().into());
        self.add(name, part::BIAS_QUANT, node, &dims)
    }

    fn quantizer(&mut self, quantizer: &Quantizer<'_>) -> Result<String, Error> {
        let result = match quantizer.format {
            Format::Integer(format) => self.integer(quantizer, format)?,
            Format::Bipolar => self.bipolar(quantizer)?,
            Format::Float(format) => self.minifloat(quantizer, format)?,
            // Ternary numbers are the integers -1, 0 and 1: a tie between 0 and 1 goes to 0 in both.
            Format::Ternary => {
                self.integer(quantizer, IntegerFormat::new(2)?.with_narrow_range()?)?
            }
            Format::FixedPoint(_) => {
                return Err(Error::new(ErrorKind::NotExportable {
                    layer: quantizer.layer.to_owned(),
                    what: format!("fixed-point numbers ({})", quantizer.format),
                    expected: "an integer format with a scale",
                }));
            }
        };
        if let Some(datatype) = finn_datatype(quantizer) {
            self.graph.annotate(&result, &datatype)?;
        }
        Ok(result)
    }

    fn integer(
        &mut self,
        quantizer: &Quantizer<'_>,
        format: IntegerFormat,
    ) -> Result<String, Error> {
        let scale = self.scale(quantizer, &[])?;
        let zero_point = self.graph.constant(&TensorValue::scalar(0.0_f32))?;
        let bit_width = self.number(format.bit_width())?;
        let node = qonnx(quantizer.layer, quantizer.part, "Quant")
            .inputs([quantizer.x, &scale, &zero_point, &bit_width])
            .int("narrow", format.narrow_range().into())
            .string("rounding_mode", ROUNDING_MODE)
            .int("signed", format.signed().into());
        self.add(quantizer.layer, quantizer.part, node, &self.dims(quantizer.x))
    }

    fn bipolar(&mut self, quantizer: &Quantizer<'_>) -> Result<String, Error> {
        let scale = self.scale(quantizer, &[1])?;
        let node =
            qonnx(quantizer.layer, quantizer.part, "BipolarQuant").inputs([quantizer.x, &scale]);
        self.add(quantizer.layer, quantizer.part, node, &self.dims(quantizer.x))
    }

    fn minifloat(
        &mut self,
        quantizer: &Quantizer<'_>,
        format: FloatFormat,
    ) -> Result<String, Error> {
        // FloatQuant always has a sign. Of what is not below zero it makes the same number without one:
        // both have the same steps, and the same largest value, which the node is told.
        let x = if format.signed() || self.rectified.as_deref() == Some(quantizer.x) {
            quantizer.x.to_owned()
        } else {
            let part = format!("{}_relu", quantizer.part);
            let node = standard(quantizer.layer, &part, "Relu").inputs([quantizer.x]);
            self.add(quantizer.layer, &part, node, &self.dims(quantizer.x))?
        };
        let scale = match quantizer.origin {
            Origin::Constant => self.scale(quantizer, &[1])?,
            Origin::Found => self.scale(quantizer, &[])?,
        };
        let exponent_bit_width = self.number(format.exponent_bit_width())?;
        let mantissa_bit_width = self.number(format.mantissa_bit_width())?;
        let exponent_bias = TensorValue::scalar(format.exponent_bias() as f32);
        let exponent_bias = self.graph.constant(&exponent_bias)?;
        let max_value = self.graph.constant(&TensorValue::scalar(format.max_value()))?;
        let node = qonnx(quantizer.layer, quantizer.part, "FloatQuant")
            .inputs([
                &*x,
                &scale,
                &exponent_bit_width,
                &mantissa_bit_width,
                &exponent_bias,
                &max_value,
            ])
            .int("has_inf", format.has_inf().into())
            .int("has_nan", format.has_nan().into())
            .int("has_subnormal", 1)
            .string("rounding_mode", ROUNDING_MODE)
            .int("saturation", 1);
        self.add(quantizer.layer, quantizer.part, node, &self.dims(quantizer.x))
    }

    /// Stores the scale: one number in the shape `single`, or one per channel along its axis.
    fn scale(&mut self, quantizer: &Quantizer<'_>, single: &[usize]) -> Result<String, Error> {
        let value = match &quantizer.scale {
            Scale::PerTensor(scale) => TensorValue::new(single, vec![*scale])?,
            Scale::PerChannel(scales) => {
                let mut dims = vec![1; self.dims(quantizer.x).len()];
                dims[quantizer.channel_axis] = scales.len();
                TensorValue::new(dims, scales.to_vec())?
            }
        };
        match quantizer.origin {
            Origin::Constant => Ok(self.graph.constant(&value)?),
            Origin::Found => {
                let name = format!("{}.{}.scale", quantizer.layer, quantizer.part);
                self.graph.initializer(&name, &value)?;
                Ok(name)
            }
        }
    }

    /// A small number as the constant that quantizers take.
    pub(super) fn number(&mut self, number: u32) -> Result<String, Error> {
        Ok(self.graph.constant(&TensorValue::scalar(number as f32))?)
    }
}

/// The name of the numbers that a quantizer makes, as qonnx would infer it; `None` if it has none.
fn finn_datatype(quantizer: &Quantizer<'_>) -> Option<String> {
    let unscaled = match &quantizer.scale {
        Scale::PerTensor(scale) => *scale == 1.0,
        Scale::PerChannel(scales) => scales.iter().all(|scale| *scale == 1.0),
    };
    match quantizer.format {
        // FINN has no minifloats without a sign.
        Format::Float(format) if !format.signed() => None,
        Format::Integer(format) if unscaled => {
            let sign = if format.signed() { "" } else { "U" };
            Some(format!("{sign}INT{}", format.bit_width()))
        }
        Format::Integer(format) => Some(format!("SCALEDINT<{}>", format.bit_width())),
        Format::Ternary if unscaled => Some("TERNARY".to_owned()),
        Format::Bipolar if unscaled => Some("BIPOLAR".to_owned()),
        // A bias of zero would be read as "the usual one".
        Format::Float(format) if unscaled && format.exponent_bias() != 0 => Some(format!(
            "FLOAT<{},{},{}>",
            format.exponent_bit_width(),
            format.mantissa_bit_width(),
            format.exponent_bias()
        )),
        Format::Ternary | Format::Bipolar | Format::Float(_) | Format::FixedPoint(_) => None,
    }
}
