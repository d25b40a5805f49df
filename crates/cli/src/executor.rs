//! A file that runs: `qonnx` as the commands need it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fewbit_onnx::proto::ModelProto;
use fewbit_onnx::tensor::ModelFolder;
use fewbit_qonnx::{Mode, Model, Options, Outputs, TensorInfo, Value};

use crate::commands::run::ModeArg;
use crate::failure::{Failure, Hint, Outcome};
use crate::runs;

/// The file that `path` means: itself, or the only .onnx file of a run folder.
pub fn model_file(path: &Path) -> Outcome<PathBuf> {
    if !path.is_dir() || !runs::is_run_folder(path) {
        return Ok(path.to_owned());
    }
    let entries = fs::read_dir(path).context(format_args!("cannot read {}", path.display()))?;
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut models: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|end| end == "onnx") && file.is_file())
        .collect();
    models.sort();
    match models.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(format!("{}: no .onnx file in the run folder", path.display()))
            .or_hint(format!("`fewbit export {} -o FILE.onnx` makes one", path.display()))),
        several => {
            let names = several.iter().filter_map(|file| file.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            let found = names.join(", ");
            Err(Failure::new(format!("{}: several .onnx files: {found}", path.display()))
                .or_hint("give one of them"))
        }
    }
}

/// Reads a model file that is to be written again: nothing of it may be lost. What is read from other
/// files becomes a part of it.
pub fn read_rewritable(path: &Path, external: ExternalData) -> Outcome<ModelProto> {
    read_model(path)?;
    let proto = fewbit_onnx::read(path)?.rewritable().map_err(|error| error.in_file(path))?;
    embedded(proto, path, external)
}

/// Reads a model file, with the data of other files if that is asked for.
pub fn read_with(path: &Path, external: ExternalData) -> Outcome<ModelProto> {
    embedded(read_model(path)?, path, external)
}

fn embedded(mut proto: ModelProto, path: &Path, external: ExternalData) -> Outcome<ModelProto> {
    if external == ExternalData::InFolder {
        let folder = ModelFolder::of_model(path)?;
        fewbit_onnx::embed_external(&mut proto, &folder).context(path.display())?;
    }
    Ok(proto)
}

/// Reads a model file; folders and checkpoints, which other commands take, get a hint.
pub fn read_model(path: &Path) -> Outcome<ModelProto> {
    let extension = path.extension().unwrap_or_default();
    if path.is_dir() {
        let error = Failure::new(format!("{} is a folder, not an ONNX file", path.display()));
        return Err(error.or_hint("give the file, or a run folder with one in it"));
    }
    if ["safetensors", "tar", "pth"].iter().any(|known| extension == *known) && path.is_file() {
        let error = Failure::new(format!("{} is a checkpoint, not an ONNX file", path.display()));
        return Err(error.or_hint(
            "`fewbit export CHECKPOINT -o FILE.onnx` makes one; `fewbit eval CHECKPOINT` measures its accuracy",
        ));
    }
    if is_text(path) {
        let error = Failure::new(format!("{} is not an ONNX file: it is text", path.display()));
        return Err(error.or_hint("ONNX files are binary; `fewbit export` writes them"));
    }
    Ok(fewbit_onnx::read_model(path)?)
}

/// Bytes by which text is known.
const HEAD: u64 = 512;

/// Whether a file begins as text does. A model does not: the numbers of its fields are control characters.
fn is_text(path: &Path) -> bool {
    // A pipe is not even opened: that waits for who writes to it.
    if !path.is_file() {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let words = head.iter().all(|&byte| byte >= b' ' && byte != 0x7f || b"\t\n\r".contains(&byte));
    // The end may cut a character in two.
    let valid = match std::str::from_utf8(&head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    read.is_ok() && !head.is_empty() && words && valid
}

/// What becomes of tensors whose data is in other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalData {
    /// They are an error.
    Refused,
    /// They are read if their files are in the model's folder.
    InFolder,
}

impl ExternalData {
    /// As `--external-data` says.
    pub fn if_asked(asked: bool) -> Self {
        if asked { Self::InFolder } else { Self::Refused }
    }
}

/// A model file, ready to run.
#[derive(Debug)]
pub struct Executor {
    path: PathBuf,
    proto: ModelProto,
    model: Model,
}

impl Executor {
    /// Reads and prepares a file.
    pub fn open(path: &Path, mode: ModeArg) -> Outcome<Self> {
        Self::open_with(path, mode, ExternalData::Refused)
    }

    /// Reads and prepares a file, with the data of other files if that is asked for.
    pub fn open_with(path: &Path, mode: ModeArg, external: ExternalData) -> Outcome<Self> {
        let proto = read_with(path, external)?;
        fewbit_onnx::check::validate(&proto).context(path.display())?;
        let proto = fewbit_onnx::functions::inline(&proto).context(path.display())?.into_owned();
        let mode = match mode {
            ModeArg::Canonical => Mode::Canonical,
            ModeArg::Reference => Mode::Reference,
        };
        let options = Options { mode, ..Options::default() };
        let model = Model::from_proto(&proto, options).context(path.display())?;
        if model.outputs().is_empty() {
            return Err(Failure::new(format!("{}: the model has no output", path.display())));
        }
        Ok(Self { path: path.to_owned(), proto, model })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's contents.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The name of the first output: the logits of a classifier.
    pub fn logits(&self) -> &str {
        self.model.outputs()[0].name()
    }

    /// Whether the file has a tensor of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.model.tensor_names().any(|known| known == name)
    }

    /// Whether a tensor is the same for all inputs.
    pub fn is_constant(&self, name: &str) -> bool {
        self.model.constant(name).is_some()
    }

    /// Runs the model.
    pub fn run(&self, inputs: &[(&str, Value)], keep: &[&str]) -> Outcome<Outputs> {
        self.model.run(inputs, keep).context(self.path.display())
    }

    /// The input that takes images, and the images in its shape.
    pub fn images(&self, images: Vec<f32>, shape: &[usize]) -> Outcome<(&str, Value)> {
        let input = self.image_input()?;
        Ok((input.name(), Value::new(self.image_shape(input, shape), images)?))
    }

    fn image_input(&self) -> Outcome<&TensorInfo> {
        match self.model.inputs() {
            [input] => Ok(input),
            inputs => {
                let names: Vec<&str> = inputs.iter().map(TensorInfo::name).collect();
                let path = self.path.display();
                let found =
                    format!("{path}: the model has {} inputs ({})", inputs.len(), names.join(", "));
                Err(Failure::new(found)
                    .or_hint("images go into models with one input; use `fewbit run --input`"))
            }
        }
    }

    /// The shape in which the model wants the images: some take them flat, as `[N, 784]`.
    fn image_shape(&self, input: &TensorInfo, shape: &[usize]) -> Vec<usize> {
        let Some(item) = input
            .shape()
            .and_then(|extents| extents.get(1..)?.iter().copied().collect::<Option<Vec<usize>>>())
        else {
            return shape.to_vec();
        };
        let same_size = item.iter().product::<usize>() == shape[1..].iter().product::<usize>();
        let item = if same_size { &item } else { &shape[1..] };
        std::iter::once(shape[0]).chain(item.iter().copied()).collect()
    }
}
