//! The nodes of each layer, in the order in which the published exporter writes them.

use fewbit_onnx::tensor::TensorValue;

use super::{Exporter, qonnx, standard};
use crate::error::Error;
use crate::network::{
    BatchNorm, Bias, Conv2d, Linear, NamedLayer, Parameter, Residual, TensorNorm, TruncatedPool,
    part,
};
use crate::quantizer::BiasQuantizer;
use crate::tensor::Tensor;

/// What ONNX calls momentum: the share of the old statistics in the running ones. Evaluation does not
/// use it.
const ONNX_MOMENTUM: f32 = 0.9;

impl Exporter<'_> {
    pub(super) fn flatten(&mut self, name: &str) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let flat = [dims[0], dims[1..].iter().product()];
        let shape = self.graph.constant(&TensorValue::vector(vec![dims[0] as i64, -1]))?;
        let node = standard(name, part::RESHAPE, "Reshape").inputs([&*self.current, &shape]);
        self.current = self.add(name, part::RESHAPE, node, &flat)?;
        Ok(())
    }

    pub(super) fn scale_shift(&mut self, name: &str, scale: f32, shift: f32) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let scale = self.graph.constant(&TensorValue::scalar(scale))?;
        let shift = self.graph.constant(&TensorValue::vector(vec![shift]))?;
        let node = standard(name, part::MUL, "Mul").inputs([&*self.current, &scale]);
        let product = self.add(name, part::MUL, node, &dims)?;
        let node = standard(name, part::SUB, "Sub").inputs([&*product, &shift]);
        self.current = self.add(name, part::SUB, node, &dims)?;
        Ok(())
    }

    pub(super) fn normalize(&mut self, name: &str, mean: &[f32], std: &[f32]) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let channels = [1, mean.len(), 1, 1];
        let mean = self.graph.constant(&TensorValue::new(channels, mean.to_vec())?)?;
        let std = self.graph.constant(&TensorValue::new(channels, std.to_vec())?)?;
        let node = standard(name, part::SUB, "Sub").inputs([&*self.current, &mean]);
        let difference = self.add(name, part::SUB, node, &dims)?;
        let node = standard(name, part::DIV, "Div").inputs([&*difference, &std]);
        self.current = self.add(name, part::DIV, node, &dims)?;
        Ok(())
    }

    pub(super) fn linear(&mut self, name: &str, linear: &Linear) -> Result<(), Error> {
        let weight = self.parameter(name, "weight", &linear.weight)?;
        let weight = self.weight_quantizer(name, &weight, &linear.weight, &linear.quantizer)?;
        let [outputs, inputs] = self.dims(&weight)[..] else {
            unreachable!("the weight of a linear layer has two dimensions")
        };
        if let Some(bias) = &linear.bias {
            let Bias { value, quantizer } = bias;
            let mut bias = self.parameter(name, "bias", value)?;
            if let BiasQuantizer::Integer(format) = *quantizer {
                let scale = linear.quantizer.scale(linear.weight.value());
                bias = self.bias_quantizer(name, &bias, format, scale)?;
            }
            let batch = self.dims(&self.current)[0];
            let node = standard(name, part::GEMM, "Gemm")
                .inputs([&*self.current, &weight, &bias])
                .float("alpha", 1.0)
                .float("beta", 1.0)
                .int("transB", 1);
            self.current = self.add(name, part::GEMM, node, &[batch, outputs])?;
            return Ok(());
        }
        let node = standard(name, part::TRANSPOSE, "Transpose").inputs([&*weight]);
        let node = node.ints("perm", &[1, 0]);
        let transposed = self.add(name, part::TRANSPOSE, node, &[inputs, outputs])?;
        let batch = self.dims(&self.current)[0];
        let node = standard(name, part::MATMUL, "MatMul").inputs([&*self.current, &transposed]);
        self.current = self.add(name, part::MATMUL, node, &[batch, outputs])?;
        Ok(())
    }

    pub(super) fn conv2d(&mut self, name: &str, conv: &Conv2d) -> Result<(), Error> {
        let weight = self.parameter(name, "weight", &conv.weight)?;
        let weight = self.weight_quantizer(name, &weight, &conv.weight, &conv.quantizer)?;
        let (x, kernel) = (self.dims(&self.current), self.dims(&weight));
        let (stride, padding) = (conv.window.stride, conv.window.padding);
        let size = |axis: usize| (x[axis] + 2 * padding - kernel[axis]) / stride + 1;
        let dims = [x[0], kernel[0], size(2), size(3)];
        let node = standard(name, part::CONV, "Conv")
            .inputs([&*self.current, &weight])
            .ints("dilations", &[1, 1])
            .int("group", 1)
            .ints("kernel_shape", &[kernel[2] as i64, kernel[3] as i64])
            .ints("pads", &[padding as i64; 4])
            .ints("strides", &[stride as i64; 2]);
        self.current = self.add(name, part::CONV, node, &dims)?;
        Ok(())
    }

    pub(super) fn relu(&mut self, name: &str) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let node = standard(name, part::RELU, "Relu").inputs([&*self.current]);
        self.current = self.add(name, part::RELU, node, &dims)?;
        self.rectified = Some(self.current.clone());
        Ok(())
    }

    pub(super) fn max_pool(&mut self, name: &str, size: usize) -> Result<(), Error> {
        let node = standard(name, part::MAX_POOL, "MaxPool")
            .inputs([&*self.current])
            .int("ceil_mode", 0)
            .ints("dilations", &[1, 1])
            .ints("kernel_shape", &[size as i64; 2])
            .ints("pads", &[0; 4])
            .ints("strides", &[size as i64; 2]);
        let dims = self.pooled(size);
        self.current = self.add(name, part::MAX_POOL, node, &dims)?;
        Ok(())
    }

    pub(super) fn average_pool(&mut self, name: &str, size: usize) -> Result<(), Error> {
        let node = standard(name, part::AVERAGE_POOL, "AveragePool")
            .inputs([&*self.current])
            .int("ceil_mode", 0)
            .int("count_include_pad", 1)
            .ints("kernel_shape", &[size as i64; 2])
            .ints("pads", &[0; 4])
            .ints("strides", &[size as i64; 2]);
        let dims = self.pooled(size);
        self.current = self.add(name, part::AVERAGE_POOL, node, &dims)?;
        Ok(())
    }

    /// The mean of every window, then the operator that leaves bits out.
    pub(super) fn truncated_average_pool(
        &mut self,
        name: &str,
        size: usize,
        bit_width: u32,
    ) -> Result<(), Error> {
        self.average_pool(name, size)?;
        let Some(pool) = TruncatedPool::of(&self.grid, size, bit_width)? else { return Ok(()) };
        let (scale, out_scale) = (pool.truncation.scale, pool.truncation.out_scale());
        let mut number = |part: &str, value: f32| -> Result<String, Error> {
            let tensor = format!("{name}.{}.{part}", part::TRUNC);
            self.graph.initializer(&tensor, &TensorValue::scalar(value))?;
            Ok(tensor)
        };
        let in_scale = number("scale", scale)?;
        let out =
            if scale == out_scale { in_scale.clone() } else { number("out_scale", out_scale)? };
        let zero_point = self.graph.constant(&TensorValue::scalar(0.0_f32))?;
        let (in_bits, out_bits) = (self.number(pool.sum_bits)?, self.number(bit_width)?);
        let dims = self.dims(&self.current);
        // The first version has neither a second scale nor these attributes.
        let node = qonnx(name, part::TRUNC, "Trunc")
            .since(2)
            .inputs([&*self.current, &in_scale, &zero_point, &in_bits, &out, &out_bits])
            .int("narrow", 0)
            .string("rounding_mode", pool.truncation.rounding_mode.name())
            .int("signed", i64::from(pool.truncation.min < 0.0));
        self.current = self.add(name, part::TRUNC, node, &dims)?;
        self.grid = pool.grid;
        Ok(())
    }

    fn pooled(&self, size: usize) -> [usize; 4] {
        let x = self.dims(&self.current);
        [x[0], x[1], x[2] / size, x[3] / size]
    }

    /// The main branch, then the shortcut, then their sum.
    pub(super) fn residual(&mut self, name: &str, residual: &Residual) -> Result<(), Error> {
        let start = self.current.clone();
        for NamedLayer { name, layer } in &residual.main {
            self.layer(name, layer)?;
        }
        let main = std::mem::replace(&mut self.current, start);
        for NamedLayer { name, layer } in &residual.shortcut {
            self.layer(name, layer)?;
        }
        let dims = self.dims(&main);
        let node = standard(name, part::ADD, "Add").inputs([&*main, &self.current]);
        self.current = self.add(name, part::ADD, node, &dims)?;
        Ok(())
    }

    pub(super) fn batch_norm(&mut self, name: &str, norm: &BatchNorm) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let weight = self.parameter(name, "weight", &norm.weight)?;
        let bias = self.parameter(name, "bias", &norm.bias)?;
        let mean = self.values(name, "running_mean", &norm.running_mean)?;
        let var = self.values(name, "running_var", &norm.running_var)?;
        let node = standard(name, part::BATCH_NORM, "BatchNormalization")
            .inputs([&*self.current, &weight, &bias, &mean, &var])
            .float("epsilon", norm.epsilon)
            .float("momentum", ONNX_MOMENTUM);
        self.current = self.add(name, part::BATCH_NORM, node, &dims)?;
        Ok(())
    }

    /// `(x - mean) / variance^0.5 * weight + bias`; the variance comes with its offset.
    pub(super) fn tensor_norm(&mut self, name: &str, norm: &TensorNorm) -> Result<(), Error> {
        let dims = self.dims(&self.current);
        let mean = self.values(name, "running_mean", &[norm.running_mean])?;
        let variance = self.values(name, "running_var_eps", &[norm.running_var + norm.epsilon])?;
        let half = self.graph.constant(&TensorValue::scalar(0.5_f32))?;
        let weight = self.parameter(name, "weight", &norm.weight)?;
        let bias = self.parameter(name, "bias", &norm.bias)?;
        let node = standard(name, part::DEVIATION, "Sub").inputs([&*self.current, &mean]);
        let deviation = self.add(name, part::DEVIATION, node, &dims)?;
        let node = standard(name, part::SPREAD, "Pow").inputs([&*variance, &half]);
        let spread = self.add(name, part::SPREAD, node, &[1])?;
        let node = standard(name, part::DIV, "Div").inputs([&*deviation, &spread]);
        let normalized = self.add(name, part::DIV, node, &dims)?;
        let node = standard(name, part::MUL, "Mul").inputs([&*normalized, &weight]);
        let scaled = self.add(name, part::MUL, node, &dims)?;
        let node = standard(name, part::ADD, "Add").inputs([&*scaled, &bias]);
        self.current = self.add(name, part::ADD, node, &dims)?;
        Ok(())
    }

    /// Stores a trainable tensor under the name that checkpoints give it.
    fn parameter(
        &mut self,
        layer: &str,
        own: &str,
        parameter: &Parameter,
    ) -> Result<String, Error> {
        let tensor: &Tensor = parameter.value();
        let name = format!("{layer}.{own}");
        self.graph.initializer(&name, &TensorValue::new(tensor.shape(), tensor.to_vec())?)?;
        Ok(name)
    }

    /// Stores a list of numbers of a layer.
    pub(super) fn values(
        &mut self,
        layer: &str,
        own: &str,
        values: &[f32],
    ) -> Result<String, Error> {
        let name = format!("{layer}.{own}");
        self.graph.initializer(&name, &TensorValue::vector(values.to_vec()))?;
        Ok(name)
    }
}
