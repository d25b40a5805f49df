//! The two sides: which tensors belong together, and one batch through both.

use std::collections::BTreeMap;
use std::ops::Range;

use fewbit_qonnx::{TensorInfo, Value};

use super::DiffArgs;
use super::values::Difference;
use crate::executor::{Executor, ExternalData};
use crate::failure::{Failure, Hint, Outcome};
use crate::tensors::{self, EXTENSIONS, Stored};

/// What the model is compared with.
pub enum Other {
    Model(Box<Executor>),
    /// Tensors by name.
    Tensors(BTreeMap<String, Value>),
    /// One tensor, with its name if the file tells it.
    One(Option<String>, Value),
}

/// The names of a tensor on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub a: String,
    pub b: String,
}

impl Pair {
    fn same(name: &str) -> Self {
        Self { a: name.to_owned(), b: name.to_owned() }
    }
}

impl Other {
    /// How B comes to its values, in words.
    pub fn source(&self, args: &DiffArgs) -> &'static str {
        match self {
            Self::Model(_) => args.other_mode.unwrap_or(args.mode).name(),
            Self::Tensors(_) | Self::One(..) => "stored",
        }
    }

    /// Opens B.
    pub fn open(args: &DiffArgs) -> Outcome<Self> {
        let extension = args.b.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if !EXTENSIONS.contains(&extension.as_str()) {
            let mode = args.other_mode.unwrap_or(args.mode);
            let external = ExternalData::if_asked(args.external_data);
            return Ok(Self::Model(Box::new(Executor::open_with(&args.b, mode, external)?)));
        }
        if args.other_mode.is_some() {
            return Err(Failure::new("--other-mode: B is no model, but stored tensors"));
        }
        Ok(match tensors::read(&args.b)? {
            Stored::Many(tensors) => Self::Tensors(tensors.into_iter().collect()),
            Stored::One(name, value) => Self::One(name, value),
        })
    }

    /// The inputs of A, if B stores all of them and nothing else is asked for.
    pub fn own_inputs(&self, a: &Executor, args: &DiffArgs) -> Option<Vec<(String, Value)>> {
        let Self::Tensors(tensors) = self else { return None };
        if !args.input.is_empty() || args.dataset.is_some() {
            return None;
        }
        let input = |input: &TensorInfo| {
            Some((input.name().to_owned(), tensors.get(input.name())?.clone()))
        };
        a.model().inputs().iter().map(input).collect()
    }

    /// What is compared, in the order in which A computes it.
    pub fn pairs(&self, a: &Executor, args: &DiffArgs) -> Outcome<Vec<Pair>> {
        let wanted = tensors::matching(a, &args.tensor)?;
        if let Some(unknown) = wanted.iter().find(|name| !a.knows(name)) {
            let near = crate::nearest::suggestion(unknown, a.model().tensor_names());
            let error = Failure::new(format!("--tensor {unknown}: A has no tensor of this name"));
            return Err(near.into_iter().fold(error, Failure::or_hint));
        }
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|known| known == name);
        let inputs: Vec<&str> = a.model().inputs().iter().map(TensorInfo::name).collect();
        let outputs: Vec<&str> = a.model().outputs().iter().map(TensorInfo::name).collect();
        if let Self::One(name, _) = self {
            let own = name.as_deref().filter(|name| a.knows(name));
            let name = match (wanted.as_slice(), own) {
                ([name], _) => name.as_str(),
                ([], Some(own)) => own,
                ([], None) => outputs[0],
                _ => {
                    let message = "--tensor names several tensors, and B is one";
                    return Err(Failure::new(message).or_hint("store several in a .npz file"));
                }
            };
            return Ok(vec![Pair::same(name)]);
        }
        let mut pairs = Vec::new();
        for name in a.model().tensor_names().filter(|name| !inputs.contains(name)) {
            if !is_wanted(name) {
                continue;
            }
            let place = outputs.iter().position(|output| *output == name);
            pairs.extend(self.partner(name, place).map(|b| Pair { a: name.to_owned(), b }));
        }
        if pairs.is_empty() {
            let message = "A and B have no tensor in common";
            let hint = match self {
                Self::Model(_) => {
                    "tensors are compared by their names, outputs also by their place"
                }
                _ => "the names in the .npz file have to be those of the model's tensors",
            };
            return Err(Failure::new(message).or_hint(hint));
        }
        Ok(pairs)
    }

    /// The name that a tensor of A has in B; `output` is its place among A's outputs.
    fn partner(&self, name: &str, output: Option<usize>) -> Option<String> {
        match self {
            Self::Model(b) => {
                let outputs = b.model().outputs();
                let same = outputs.iter().any(|other| other.name() == name);
                // Outputs belong together even if an inner tensor of B has the name of A's.
                let placed = output.filter(|_| !same).and_then(|place| outputs.get(place));
                match placed {
                    Some(other) => Some(other.name().to_owned()),
                    None => b.knows(name).then(|| name.to_owned()),
                }
            }
            Self::Tensors(tensors) => tensors.contains_key(name).then(|| name.to_owned()),
            Self::One(..) => None,
        }
    }

    /// How many names only A and only B have.
    pub fn only(&self, a: &Executor) -> [usize; 2] {
        let names = |executor: &Executor| -> Vec<String> {
            executor.model().tensor_names().map(str::to_owned).collect()
        };
        let ours = names(a);
        let theirs = match self {
            Self::Model(b) => names(b),
            Self::Tensors(tensors) => tensors.keys().cloned().collect(),
            Self::One(..) => return [0, 0],
        };
        let missing = |of: &[String], all: &[String]| {
            let all: std::collections::BTreeSet<&String> = all.iter().collect();
            of.iter().filter(|name| !all.contains(name)).count()
        };
        let only_b = missing(&theirs, &ours);
        // Stored tensors need not be all.
        if matches!(self, Self::Model(_)) { [missing(&ours, &theirs), only_b] } else { [0, only_b] }
    }
}

/// Runs both sides on a batch, and compares all pairs.
pub fn compare(
    a: &Executor,
    b: &Other,
    pairs: &[Pair],
    inputs: &[(String, Value)],
    range: Range<usize>,
    items: usize,
    differences: &mut [Difference],
) -> Outcome<()> {
    // What is the same in every run is compared once.
    let fixed = |pair: &Pair| match b {
        Other::Model(b) => a.is_constant(&pair.a) && b.is_constant(&pair.b),
        _ => a.is_constant(&pair.a),
    };
    let due: Vec<usize> =
        (0..pairs.len()).filter(|&i| range.start == 0 || !fixed(&pairs[i])).collect();
    let keep: Vec<&str> = due.iter().map(|&i| pairs[i].a.as_str()).collect();
    let given: Vec<(&str, Value)> =
        inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let ours = a.run(&given, &keep)?;
    let theirs = match b {
        Other::Model(b) => {
            let keep: Vec<&str> = due.iter().map(|&i| pairs[i].b.as_str()).collect();
            Some(b.run(&renamed(a, b, inputs)?, &keep)?)
        }
        _ => None,
    };
    for i in due {
        let pair = &pairs[i];
        let missing = || Failure::new(format!("{}: the tensor was not computed", pair.a));
        let found = ours.get(&pair.a).ok_or_else(missing)?;
        let stored;
        let other = match (b, &theirs) {
            (Other::Tensors(tensors), _) => {
                let whole = tensors.get(&pair.b).ok_or_else(missing)?;
                stored = part(whole, found, &range, items)?;
                &stored
            }
            (Other::One(_, whole), _) => {
                stored = part(whole, found, &range, items)?;
                &stored
            }
            (Other::Model(_), Some(theirs)) => theirs.get(&pair.b).ok_or_else(missing)?,
            (Other::Model(_), None) => return Err(missing()),
        };
        differences[i].add(found, other);
    }
    Ok(())
}

/// The rows of a stored tensor that belong to a batch.
fn part(whole: &Value, found: &Value, range: &Range<usize>, items: usize) -> Outcome<Value> {
    let of_batch = range.len() < items
        && whole.shape().first() == Some(&items)
        && found.shape().first() == Some(&range.len());
    if of_batch { tensors::rows(whole, items, range.clone()) } else { Ok(whole.clone()) }
}

/// The inputs by the names of B: the same ones, or those at the same place.
fn renamed<'a>(
    a: &Executor,
    b: &'a Executor,
    inputs: &[(String, Value)],
) -> Outcome<Vec<(&'a str, Value)>> {
    let (ours, theirs) = (a.model().inputs(), b.model().inputs());
    inputs
        .iter()
        .map(|(name, value)| {
            let same = theirs.iter().find(|input| input.name() == name);
            let place = ours.iter().position(|input| input.name() == name);
            let input = same.or_else(|| theirs.get(place?)).ok_or_else(|| {
                Failure::new(format!("B has no input {name:?}, and none at its place"))
            })?;
            Ok((input.name(), value.clone()))
        })
        .collect::<Outcome<Vec<_>>>()
        .hint("both models have to take the same inputs")
}
