//! Networks as QONNX files.
//!
//! The file holds the float weights and, as nodes, everything that evaluation does with them: one
//! quantizer node for each quantizer, batch normalization as it is. Tensors have the names under
//! which [`Network::forward_tapped`] hands them out, so that both can be compared.

mod layers;
mod qcdq;
mod quantizers;

pub use qcdq::to_qcdq_with;

use fewbit_onnx::builder::{GraphBuilder, Node, node_name};
use fewbit_onnx::proto::ModelProto;

use crate::error::Error;
use crate::network::{Layer, NamedLayer, Network, tensor_name};
use crate::ops::Grid;
use crate::quantizer::ActQuantizer;

/// The name of the images in an exported file.
pub const INPUT: &str = "global_in";

/// The name of the logits in an exported file, whatever the last layer is.
pub const OUTPUT: &str = "global_out";

/// What a file holds beside the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportConfig {
    /// How many images the file computes at a time.
    pub batch: usize,
    /// Named notes for people and programs: the configuration, the dataset, the accuracy.
    pub metadata: Vec<(String, String)>,
}

impl Default for ExportConfig {
    /// One image, no notes.
    fn default() -> Self {
        Self { batch: 1, metadata: vec![] }
    }
}

/// Writes a network for one image at a time, without notes.
///
/// # Errors
/// As [`to_qonnx_with`].
/// # Examples
/// ```
/// use fewbit_nn::{Device, Network, NetworkConfig, export};
///
/// let network = Network::new(&NetworkConfig::named("TFC_2W2A")?, 1, &Device::cpu())?;
/// let model = export::to_qonnx(&network)?;
/// let graph = model.graph.expect("the model has a graph");
/// assert_eq!(graph.node.len(), 27);
/// assert_eq!(graph.node[4].op_type(), "Quant");
/// assert_eq!(graph.node[4].input[0], "features.2.weight");
/// # Ok::<(), fewbit_nn::Error>(())
/// ```
pub fn to_qonnx(network: &Network) -> Result<ModelProto, Error> {
    to_qonnx_with(network, &ExportConfig::default())
}

/// Writes a network, with a fixed number of images and notes. Without quantizers it is a file of
/// standard ONNX.
///
/// # Errors
/// [`ErrorKind::NotExportable`](crate::ErrorKind::NotExportable) if QONNX has no operator for a
/// quantizer, [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if there are no images.
/// # Source
/// export.md 5 of the specification; operator sets, order of attributes and names as all readers want.
pub fn to_qonnx_with(network: &Network, config: &ExportConfig) -> Result<ModelProto, Error> {
    if config.batch == 0 {
        return Err(Error::new(crate::ErrorKind::InvalidConfig {
            field: "batch",
            value: "0".to_owned(),
            expected: "at least one image",
        }));
    }
    let [channels, height, width] = network.config().image_shape;
    let mut graph = GraphBuilder::new(&network.config().name);
    graph.input(INPUT, &[config.batch, channels, height, width])?;
    let mut exporter = Exporter::new(graph, network.shared());
    for NamedLayer { name, layer } in network.layers() {
        exporter.layer(name, layer)?;
    }
    let Exporter { mut graph, current, .. } = exporter;
    graph.rename(&current, OUTPUT)?;
    graph.output(OUTPUT)?;
    graph.metadata("network", &network.config().name);
    for (key, value) in &config.metadata {
        graph.metadata(key, value);
    }
    Ok(graph.finish("fewbit", env!("CARGO_PKG_VERSION"))?)
}

/// A graph in the making.
struct Exporter<'a> {
    graph: GraphBuilder,
    /// The tensor that the layers so far compute.
    current: String,
    /// What is known about its values.
    grid: Grid,
    /// The last tensor that comes from a rectifier: nothing in it is below zero.
    rectified: Option<String>,
    /// Quantizers that several layers use.
    shared: &'a [ActQuantizer],
}

impl<'a> Exporter<'a> {
    /// Starts from the images.
    fn new(graph: GraphBuilder, shared: &'a [ActQuantizer]) -> Self {
        Self { graph, current: INPUT.to_owned(), grid: Grid::Plain, rectified: None, shared }
    }

    fn layer(&mut self, name: &str, layer: &Layer) -> Result<(), Error> {
        self.nodes(name, layer)?;
        match layer {
            Layer::Quantize(_)
            | Layer::QuantizeShared(_)
            | Layer::TruncatedAveragePool { .. }
            | Layer::Flatten
            | Layer::MaxPool(_)
            | Layer::Dropout(_) => {}
            Layer::ScaleShift { .. }
            | Layer::Normalize { .. }
            | Layer::Linear(_)
            | Layer::Conv2d(_)
            | Layer::BatchNorm(_)
            | Layer::TensorNorm(_)
            | Layer::Relu
            | Layer::AveragePool(_)
            | Layer::Residual(_) => self.grid = Grid::Plain,
        }
        Ok(())
    }

    fn nodes(&mut self, name: &str, layer: &Layer) -> Result<(), Error> {
        match layer {
            Layer::Flatten => self.flatten(name),
            Layer::ScaleShift { scale, shift } => self.scale_shift(name, *scale, *shift),
            Layer::Normalize { mean, std } => self.normalize(name, mean, std),
            Layer::Quantize(quantizer) => self.act_quantizer(name, quantizer),
            // Evaluation drops nothing.
            Layer::Dropout(_) => Ok(()),
            Layer::Linear(linear) => self.linear(name, linear),
            Layer::BatchNorm(norm) => self.batch_norm(name, norm),
            Layer::TensorNorm(norm) => self.tensor_norm(name, norm),
            Layer::Conv2d(conv) => self.conv2d(name, conv),
            Layer::Relu => self.relu(name),
            Layer::MaxPool(size) => self.max_pool(name, *size),
            Layer::AveragePool(size) => self.average_pool(name, *size),
            Layer::QuantizeShared(number) => self.act_quantizer(name, &self.shared[*number]),
            Layer::TruncatedAveragePool { size, bit_width } => {
                self.truncated_average_pool(name, *size, *bit_width)
            }
            Layer::Residual(residual) => self.residual(name, residual),
        }
    }

    /// Adds `node`, which computes `part` of a layer in the shape `dims`. Returns the tensor's name.
    fn add(
        &mut self,
        layer: &str,
        part: &str,
        node: Node,
        dims: &[usize],
    ) -> Result<String, Error> {
        let tensor = tensor_name(layer, part);
        self.graph.add(node.output(&tensor, dims))?;
        Ok(tensor)
    }

    /// The shape of a tensor that there is.
    fn dims(&self, tensor: &str) -> Vec<usize> {
        self.graph.dims(tensor).expect("exporters ask for tensors that they have added").to_vec()
    }
}

/// A node of a standard operator that computes `part` of a layer.
fn standard(layer: &str, part: &str, op_type: &str) -> Node {
    Node::standard(&node_name(layer, part), op_type)
}

/// A node of a QONNX operator that computes `part` of a layer.
fn qonnx(layer: &str, part: &str, op_type: &str) -> Node {
    Node::qonnx(&node_name(layer, part), op_type)
}

#[cfg(test)]
mod tests;
