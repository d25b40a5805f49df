//! `fewbit-nn` against itself: the default of every operation, which GPUs run, against the processor's
//! own implementation; and where there is a GPU, that against the processor.

mod agreement;
mod computations;
mod defaults;
mod gpus;
