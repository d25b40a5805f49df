//! The small networks whose training was recorded, as descriptions of ours.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::{Architecture, Convolution, Pooling};
use fewbit_nn::network::{StateData, StateTensor};
use fewbit_nn::{Device, NetworkConfig, Tensor};

/// A module of a recorded network, and ours: several if a module is used in several places.
type Names = &'static [(&'static str, &'static [&'static str])];

/// A recorded network.
pub struct Tiny {
    /// In file names, behind `e_traj_`.
    pub name: &'static str,
    pub config: NetworkConfig,
    names: Names,
}

const SAME: Names = &[("features", &["features"])];

const RESIDUAL: Names = &[
    ("conv1", &["conv1"]),
    ("bn1", &["bn1"]),
    ("b1c1", &["layer1.0.conv1"]),
    ("b1bn1", &["layer1.0.bn1"]),
    ("b1c2", &["layer1.0.conv2"]),
    ("b1bn2", &["layer1.0.bn2"]),
    ("b2c1", &["layer2.0.conv1"]),
    ("b2bn1", &["layer2.0.bn1"]),
    ("b2c2", &["layer2.0.conv2"]),
    ("b2bn2", &["layer2.0.bn2"]),
    ("dc", &["layer2.0.downsample.0"]),
    ("dbn", &["layer2.0.downsample.1"]),
    ("linear", &["linear"]),
];

const INTEGER: Names = &[
    ("conv1", &["conv1"]),
    ("bn1", &["bn1"]),
    ("relu", &["relu", "layer1.0.relu2"]),
    ("c1", &["layer1.0.conv1"]),
    ("bn2", &["layer1.0.bn1"]),
    ("relu1", &["layer1.0.relu1"]),
    ("c2", &["layer1.0.conv2"]),
    ("bn3", &["layer1.0.bn2"]),
    ("out", &["layer1.0.relu_out"]),
    ("linear", &["linear"]),
];

const CONVOLUTIONAL: Names = &[
    ("c1", &["conv_features.1"]),
    ("bn1", &["conv_features.2"]),
    ("c2", &["conv_features.5"]),
    ("bn2", &["conv_features.6"]),
    ("l1", &["linear_features.0"]),
    ("bn3", &["linear_features.1"]),
    ("l2", &["linear_features.3"]),
    ("tn", &["linear_features.4"]),
];

impl Tiny {
    /// The fully connected ones, recorded without dropout.
    pub fn fully_connected() -> [Self; 2] {
        [("tfc_1w1a", "TFC_1W1A"), ("tfc_2w2a", "TFC_2W2A")].map(|(name, network)| {
            let mut config = NetworkConfig::named(network).unwrap();
            config.architecture = Architecture::fc(vec![64; 3], 0.0);
            Self { name, config, names: SAME }
        })
    }

    /// Two residual blocks with minifloats.
    pub fn residual() -> [Self; 3] {
        [
            ("tiny_e4m3", "RESNET18_8W8A_FLOAT"),
            ("tiny_e3m1", "RESNET18_5W5A_FLOAT_E3M1"),
            ("tiny_e4m3_hinge_lr0.02", "RESNET18_8W8A_FLOAT"),
        ]
        .map(|(name, network)| {
            let mut config = NetworkConfig::named(network).unwrap();
            let Architecture::Resnet18 { widths, blocks, .. } = &mut config.architecture else {
                unreachable!("{network} is a residual network of minifloats")
            };
            (*widths, *blocks) = (vec![8, 16], vec![1, 1]);
            Self { name, config, names: RESIDUAL }
        })
    }

    /// One residual block with integers. Scales are measured 8 times.
    pub fn integer() -> Self {
        let mut config = NetworkConfig::named("RESNET18_4W4A").unwrap();
        config.architecture = Architecture::Resnet18Integer {
            widths: vec![8],
            blocks: vec![1],
            stem_stride: 2,
            collection_steps: 8,
        };
        Self { name: "tiny_4w4a", config, names: INTEGER }
    }

    /// Two convolutions and two fully connected layers.
    pub fn convolutional() -> [Self; 2] {
        [("tiny_cnv_1w1a", "CNV_1W1A"), ("tiny_cnv_2w2a", "CNV_2W2A")].map(|(name, network)| {
            let mut config = NetworkConfig::named(network).unwrap();
            let Architecture::Cnv { hidden, convolutions, .. } = &mut config.architecture else {
                unreachable!("{network} is a CNV")
            };
            *hidden = vec![24];
            *convolutions = vec![Convolution { channels: 8, pooling: Pooling::Max }; 2];
            Self { name, config, names: CONVOLUTIONAL }
        })
    }

    /// All of them.
    pub fn all() -> Vec<Self> {
        let all = Self::fully_connected().into_iter().chain(Self::residual());
        all.chain([Self::integer()]).chain(Self::convolutional()).collect()
    }

    /// What was recorded.
    pub fn archive(&self, shared: &Path) -> NpzArchive {
        NpzArchive::open(&shared.join(format!("golden/e_traj_{}.npz", self.name))).unwrap()
    }

    /// Our names of an entry; empty if it is of no module.
    pub fn ours(&self, entry: &str) -> Vec<String> {
        let Some((module, own)) = entry.split_once('.') else { return vec![] };
        let known = self.names.iter().find(|(name, _)| *name == module);
        known.into_iter().flat_map(|(_, ours)| *ours).map(|name| format!("{name}.{own}")).collect()
    }

    /// A recorded state under our names.
    pub fn renamed(&self, state: &BTreeMap<String, StateTensor>) -> BTreeMap<String, StateTensor> {
        let entries = state.iter().flat_map(|(name, tensor)| {
            let ours = self.ours(name);
            assert!(!ours.is_empty(), "{}: {name} is of no module", self.name);
            ours.into_iter().map(|name| (name, tensor.clone()))
        });
        entries.collect()
    }

    /// The entries `<prefix><name>` of modules, under our names.
    pub fn state(&self, archive: &NpzArchive, prefix: &str) -> BTreeMap<String, StateTensor> {
        let entries = archive.names().flat_map(|stored| {
            let name = stored.strip_prefix(prefix).unwrap_or_default();
            let tensor = |name| (name, tensor(archive, stored));
            self.ours(name).into_iter().map(tensor).collect::<Vec<_>>()
        });
        entries.collect()
    }

    /// The images of a step.
    pub fn images(&self, archive: &NpzArchive, step: usize) -> Tensor {
        let pixels = archive.read("batches_u8").unwrap();
        let shape = pixels.shape()[1..].to_vec();
        let size = shape.iter().product::<usize>();
        let pixels = pixels.into_vec::<u8>().unwrap();
        let values = pixels[step * size..][..size].iter().map(|&pixel| f32::from(pixel) / 255.0);
        Tensor::from_vec(values.collect(), &shape, &Device::cpu())
    }

    /// The classes of the images of a step.
    pub fn labels(&self, archive: &NpzArchive, step: usize) -> Vec<u8> {
        let labels = archive.read("labels").unwrap();
        let batch = labels.shape()[1];
        let labels = labels.into_vec::<i64>().unwrap();
        labels[step * batch..][..batch].iter().map(|&l| u8::try_from(l).unwrap()).collect()
    }
}

fn tensor(archive: &NpzArchive, name: &str) -> StateTensor {
    let array = archive.read(name).unwrap();
    let shape = array.shape().to_vec();
    let data = match array.into_vec::<f32>() {
        Ok(values) => StateData::F32(values),
        Err(array) => StateData::I64(array.into_vec::<i64>().unwrap()),
    };
    StateTensor { shape, data }
}
