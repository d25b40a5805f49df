//! Whole networks as programs: stages over images whose channels lie last, each a source of sums, a chain of steps on
//! small blocks that stay in the L1 cache, and the tensors that come of it, in the words that their consumers multiply.
//!
//! ```text
//! for each group of images, on some thread:
//!     for each stage:
//!         for each panel of 32 channels, for each 48 pixels:
//!             the source fills a block: tiles of a product, windows of a pooling, values of a tensor
//!             each step changes the block: batch normalization, rectifier, quantizer, sum with another tensor
//!             each sink writes it: codes for the next product, or an output
//! ```
//!
//! A stage does to each value what the kernels for whole tensors do, in the same order, so it has the same bits. What a
//! program promises its sinks (that codes fit their words) is checked when they are written: a run in which it does not
//! hold says so, and its outputs are to be computed in another way.

#[cfg(target_arch = "x86_64")]
mod chain;
mod form;
mod pool;
mod product;
mod quantizers;
#[cfg(target_arch = "x86_64")]
mod registers;
mod run;
mod sink;
mod steps;

use std::sync::{Arc, Mutex};

pub use form::{Element, Form};
pub use pool::{Pooling, Window, Windows};
pub use product::Product;
pub use quantizers::{Integer, Minifloat};
pub use steps::{Lanes, Step, Thresholds};

use crate::Isa;
use crate::isa::Level;

/// Where a stage begins.
#[derive(Debug)]
pub enum Source {
    /// The values of an image as they come in: `[channels, height, width]` of the stage.
    Input,
    /// A convolution, or a linear layer.
    Product(Product),
    /// Windows of a tensor.
    Window(Window),
    /// A tensor: its codes times `scale`.
    Tensor {
        /// The number of its form.
        form: usize,
        /// The scale of its codes.
        scale: f32,
    },
}

/// Where a stage ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sink {
    /// A tensor for later stages: the number of its form.
    Form(usize),
    /// An output of the program: its number, and a factor for each value.
    Output {
        /// Which output.
        index: usize,
        /// The factor; 1 leaves values as they are.
        scale: f32,
    },
}

/// What is computed in one go.
#[derive(Debug)]
pub struct Stage {
    /// Where the values come from.
    pub source: Source,
    /// Channels of the result.
    pub channels: usize,
    /// Height and width of the result.
    pub size: (usize, usize),
    /// What is done to each value, in order.
    pub steps: Vec<Step>,
    /// Where the values go.
    pub sinks: Vec<Sink>,
}

impl Stage {
    fn pixels(&self) -> usize {
        self.size.0 * self.size.1
    }
}

/// A network, ready to run on any number of images.
#[derive(Debug)]
pub struct Program {
    level: Level,
    /// Values of an image as it comes in.
    input: usize,
    forms: Vec<Form>,
    stages: Vec<Stage>,
    /// Values of each output for one image.
    outputs: Vec<usize>,
    /// Words that are multiplied for one image.
    work: usize,
    /// Images that one thread computes together.
    together: usize,
    /// How the steps of each stage are done in registers, where they can be.
    #[cfg(target_arch = "x86_64")]
    chains: Vec<Option<chain::Chain>>,
    workspaces: Mutex<Vec<run::Workspace>>,
}

impl Program {
    /// Puts stages together; `input` and `outputs` are numbers of values for each image.
    ///
    /// # Panics
    /// If a stage uses a form that no stage before it has written, or that it writes itself, or forms, sizes and parameters do not fit.
    pub fn new(input: usize, forms: Vec<Form>, stages: Vec<Stage>, outputs: Vec<usize>) -> Self {
        let mut written = vec![false; forms.len()];
        for (i, stage) in stages.iter().enumerate() {
            stage.check(i, input, &forms, &written, &outputs);
            for sink in &stage.sinks {
                if let Sink::Form(form) = *sink {
                    written[form] = true;
                }
            }
        }
        let work = stages.iter().map(Stage::work).sum();
        let together = run::images_together(&stages, &forms);
        let level = Level::current();
        let workspaces = Mutex::default();
        #[cfg(target_arch = "x86_64")]
        let chains = {
            let registers = matches!(level, Level::Avx512(_) | Level::Avx512VnniBf16(_));
            let chain =
                |stage: &Stage| registers.then(|| chain::Chain::new(stage, &forms)).flatten();
            stages.iter().map(chain).collect()
        };
        Self {
            level,
            input,
            forms,
            stages,
            outputs,
            work,
            together,
            #[cfg(target_arch = "x86_64")]
            chains,
            workspaces,
        }
    }

    /// Returns the instruction set that the program was made for.
    pub fn isa(&self) -> Isa {
        match self.level {
            Level::Scalar => Isa::Scalar,
            Level::Avx2(_) => Isa::Avx2,
            Level::Avx512(_) => Isa::Avx512,
            Level::Avx512VnniBf16(_) => Isa::Avx512VnniBf16,
        }
    }

    /// Returns the number of stages.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Computes the outputs for some images. False if a value did not fit the words that were meant for it: the outputs are
    /// nonsense then.
    ///
    /// # Panics
    /// If a slice has not `images` times the values of an image.
    #[must_use]
    pub fn run(&self, input: &[f32], images: usize, outputs: &mut [Vec<f32>]) -> bool {
        run::run(self, input, images, outputs)
    }
}

impl Stage {
    fn check(
        &self,
        index: usize,
        input: usize,
        forms: &[Form],
        written: &[bool],
        outputs: &[usize],
    ) {
        let values = self.channels * self.pixels();
        let reads = |form: usize| {
            assert!(written[form], "stage {index} reads form {form} before it is written");
            let own = self.sinks.contains(&Sink::Form(form));
            assert!(!own, "stage {index} reads and writes form {form}");
            &forms[form]
        };
        let same = |form: &Form| {
            let found = (form.channels(), form.size());
            assert_eq!(found, (self.channels, self.size), "form at stage {index}");
        };
        match &self.source {
            Source::Input => assert_eq!(values, input, "values of an image at stage {index}"),
            Source::Product(product) => product.check(reads(product.form()), self),
            Source::Window(window) => window.check(reads(window.form()), self),
            Source::Tensor { form, .. } => same(reads(*form)),
        }
        for step in &self.steps {
            match step {
                Step::AddTensor { form, .. } => {
                    assert!(!matches!(self.source, Source::Input), "a sum of the input");
                    same(reads(*form));
                }
                step => step.check(self.channels),
            }
        }
        for sink in &self.sinks {
            match *sink {
                Sink::Form(form) => same(&forms[form]),
                Sink::Output { index, .. } => assert_eq!(outputs[index], values, "an output"),
            }
        }
    }

    /// Words that are multiplied for one image.
    fn work(&self) -> usize {
        match &self.source {
            Source::Product(product) => product.work(),
            // A value costs about as much as a few products of words.
            _ => self.channels * self.pixels() / 4,
        }
    }
}

/// A function on a block of values.
pub type Function = Arc<dyn Fn(&mut [f32]) + Send + Sync>;

#[cfg(test)]
mod tests;
