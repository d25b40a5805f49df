//! The flags of `train`, as typed.

use std::path::PathBuf;

use clap::Args;

use crate::command_line::Nullable;
use crate::devices::DeviceArg;

/// Flags of the published example and ours. `_` and `-` in names are the same.
#[derive(Args, Clone, Debug, Default)]
pub struct TrainArgs {
    /// Start from a recipe: a name (`fewbit recipes` lists them: e4m3, e3m1, fp32, tfc-1w1a, ..., each also
    /// with -modern) or a file of one's own; other flags go over it
    #[arg(long, value_name = "NAME|FILE.toml", help_heading = "What to train")]
    pub recipe: Option<String>,
    /// Network, such as TFC_1W1A or RESNET18_5W5A_FLOAT_E3M1, or a file that describes it (.toml, or .ini and
    /// .cfg of the published example); `fewbit networks` lists and prints them
    #[arg(long, value_name = "NAME|FILE", help_heading = "What to train")]
    pub network: Option<String>,
    /// Dataset: mnist, cifar10, glyphs or shapes [default: the network's; glyphs in the demonstration]
    #[arg(long, value_name = "NAME", help_heading = "What to train")]
    pub dataset: Option<String>,
    /// Folder of the dataset's files, or its parent [default: ./data]
    #[arg(long, value_name = "DIR", help_heading = "What to train")]
    pub datadir: Option<PathBuf>,
    /// Use only the first N training and the first N test images
    #[arg(long, value_name = "N", help_heading = "What to train")]
    pub limit: Option<usize>,
    /// How training images are altered: published (CIFAR-10: crop,flip; others: none), none, or some of
    /// crop=N (N pixels of padding; alone: 4), flip, cutout=N, with commas [default: published]
    #[arg(long, value_name = "LIST", help_heading = "What to train")]
    pub augment: Option<Nullable<String>>,
    /// Train and evaluate without any quantizer: the floating-point baseline
    #[arg(long, help_heading = "What to train")]
    pub disable_quant: bool,

    /// Scales of weights: unscaled, per_tensor or per_channel (largest magnitude, found in every step)
    /// [default: unscaled]
    #[arg(long, value_name = "KIND", help_heading = "Minifloats")]
    pub weight_scaling: Option<String>,
    /// Scales of activations: unscaled, learned (starts from what the first steps measure) or statistics (running
    /// mean) [default: unscaled]
    #[arg(long, value_name = "KIND", help_heading = "Minifloats")]
    pub act_scaling: Option<String>,
    /// What scales of activations are made from: absmax, or percentile:P as in percentile:99.9 [default: absmax]
    #[arg(long, value_name = "KIND", help_heading = "Minifloats")]
    pub act_statistic: Option<String>,
    /// Passes of each quantizer that measure where a learned scale starts [default: 300]
    #[arg(long, value_name = "N", help_heading = "Minifloats")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub collection_steps: Option<u32>,
    /// Scales are any float, power_of_two (nearest, as Brevitas), power_of_two_ceil (clips nothing) or
    /// power_of_two_floor (as MX) [default: float]
    #[arg(long, value_name = "KIND", help_heading = "Minifloats")]
    pub scale_restriction: Option<String>,
    /// Format behind rectifiers, such as ue3m1, which spends no bit on a sign [default: that of activations]
    #[arg(long, value_name = "FORMAT", help_heading = "Minifloats")]
    pub rectified_format: Option<String>,

    /// Passes over the training set [default: 1000; demonstration: fewer]
    #[arg(long, value_name = "N", help_heading = "How to train")]
    pub epochs: Option<u32>,
    /// Images per step, for training and testing [default: 100]
    #[arg(long, value_name = "N", help_heading = "How to train")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_size: Option<u32>,
    /// Learning rate [default: 0.02]
    #[arg(long, value_name = "X", help_heading = "How to train")]
    pub lr: Option<f64>,
    /// Optimizer: ADAM, ADAMW or SGD [default: ADAM]
    #[arg(long, value_name = "NAME", help_heading = "How to train")]
    pub optim: Option<Nullable<String>>,
    /// Loss: SqrHinge or CrossEntropy [default: SqrHinge]
    #[arg(long, value_name = "NAME", help_heading = "How to train")]
    pub loss: Option<Nullable<String>>,
    /// Learning rate over time: FIXED (halves it every 40 epochs), STEP (a tenth at each milestone),
    /// COSINE or ONECYCLE [default: FIXED; demonstration: COSINE]
    #[arg(long, value_name = "NAME", help_heading = "How to train")]
    pub scheduler: Option<Nullable<String>>,
    /// Epochs after which STEP lowers the learning rate [default: 100,150,200,250]
    #[arg(long, value_name = "LIST", help_heading = "How to train")]
    pub milestones: Option<Nullable<String>>,
    /// Epochs in which the learning rate rises: linearly, or with ONECYCLE along a cosine
    /// [default: 0; ONECYCLE: three tenths of all]
    #[arg(long, value_name = "N", help_heading = "How to train")]
    pub warmup_epochs: Option<Nullable<u32>>,
    /// Momentum of SGD; ADAM ignores it [default: 0.9]
    #[arg(long, value_name = "X", help_heading = "How to train")]
    pub momentum: Option<f64>,
    /// Use Nesterov momentum with SGD
    #[arg(long, overrides_with = "no_nesterov", help_heading = "How to train")]
    pub nesterov: bool,
    /// Do not, whatever the recipe says
    #[arg(long, overrides_with = "nesterov", help_heading = "How to train")]
    pub no_nesterov: bool,
    /// L2 term added to the gradient; with ADAMW decoupled from it [default: 0]
    #[arg(long, value_name = "X", help_heading = "How to train")]
    pub weight_decay: Option<f64>,
    /// What decays: all (as published), or weights: neither biases nor normalizations nor learned scales
    /// [default: all]
    #[arg(long, value_name = "WHAT", help_heading = "How to train")]
    pub weight_decay_on: Option<Nullable<String>>,
    /// Part of CrossEntropy's target that is spread over all classes [default: 0]
    #[arg(long, value_name = "X", help_heading = "How to train")]
    pub label_smoothing: Option<f64>,
    /// Average the weights over the steps, keeping X of the average each time (such as 0.999): the average
    /// is evaluated, saved as the best and exported [default: None]
    #[arg(long, value_name = "X", help_heading = "How to train")]
    pub ema_decay: Option<Nullable<f64>>,
    /// Seed of initial weights, shuffling and dropout [default: 1]
    #[arg(long, value_name = "N", help_heading = "How to train")]
    pub random_seed: Option<u64>,
    /// Stop when the test accuracy has not improved for --patience epochs
    #[arg(long, help_heading = "How to train")]
    pub early_stopping: bool,
    /// Epochs without improvement after which --early-stopping stops [default: 100]
    #[arg(long, value_name = "N", help_heading = "How to train")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,

    /// Parent of the run folders [default: ./experiments]
    #[arg(long, value_name = "DIR", help_heading = "Where to write")]
    pub experiments: Option<PathBuf>,
    /// Write no files
    #[arg(long, help_heading = "Where to write")]
    pub dry_run: bool,
    /// Log every N-th batch [default: 10]
    #[arg(long, value_name = "N", help_heading = "Where to write")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub log_freq: Option<u32>,
    /// At the end, export the best checkpoint to QONNX and verify the file
    #[arg(long, help_heading = "Where to write")]
    pub export_qonnx: bool,
    /// At the end, export the best checkpoint as standard ONNX (QuantizeLinear, Clip, DequantizeLinear)
    /// and verify the file
    #[arg(long, help_heading = "Where to write")]
    pub export_qcdq_onnx: bool,

    /// Go on from a run folder or a checkpoint; a .tar or .pth file of PyTorch needs --network
    #[arg(long, value_name = "PATH", help_heading = "Checkpoints")]
    pub resume: Option<Nullable<PathBuf>>,
    /// Measure the accuracy on the test set and stop; writes nothing
    #[arg(long, help_heading = "Checkpoints")]
    pub evaluate: bool,
    /// Refuse a PyTorch checkpoint whose tensors are not exactly the network's (others always are)
    #[arg(long, help_heading = "Checkpoints")]
    pub strict: bool,
    /// Start from the published weights: DATADIR/pretrained/NETWORK.pth, or else a download into that
    /// folder; --resume comes first
    #[arg(long, help_heading = "Checkpoints")]
    pub pretrained: bool,
    /// Write the weights for PyTorch, as NETWORK-HASH.pth among the checkpoints, and stop
    #[arg(long, help_heading = "Checkpoints")]
    pub state_dict_to_pth: bool,

    /// Number of the GPU to compute on, or None for the CPU; GPUs need a build with `--features vulkan`,
    /// metal, cuda or rocm [default: None]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub gpus: Option<Nullable<String>>,
    #[command(flatten)]
    pub device: DeviceArg,
    /// Accepted for the published example; images are in memory, no loader processes are needed [default: 4]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub num_workers: Option<u32>,
    /// Look for gradients that are not finite, too; a loss that is not finite always stops the run
    #[arg(long, overrides_with = "no_detect_nan", help_heading = "Machine")]
    pub detect_nan: bool,
    /// Undoes --detect-nan
    #[arg(long, overrides_with = "detect_nan", help_heading = "Machine")]
    pub no_detect_nan: bool,
    /// Accepted for the published example; has to be the network's image shape
    #[arg(long, value_name = "LIST", help_heading = "Machine")]
    pub input_shape: Option<String>,
}
