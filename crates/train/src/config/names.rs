//! Settings that are chosen by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::schedule::Scheduler;

/// The optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optim {
    /// Adam with PyTorch's constants: decays 0.9 and 0.999, epsilon 1e-8.
    #[serde(rename = "ADAM")]
    Adam,
    /// Adam with decoupled weight decay.
    #[serde(rename = "ADAMW")]
    AdamW,
    /// Stochastic gradient descent with momentum.
    #[serde(rename = "SGD")]
    Sgd,
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decayed {
    /// All, as in the published example and in PyTorch.
    #[default]
    #[serde(rename = "all")]
    All,
    /// The weights of convolutions and linear layers: neither biases, nor normalizations, nor learned
    /// scales, whose size means something of its own.
    #[serde(rename = "weights")]
    Weights,
}

/// The losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The mean over all logits of `max(0, 1 - p t)^2`; `t` is +1 at the class and -1 elsewhere.
    #[serde(rename = "SqrHinge")]
    SquareHinge,
    /// The mean over the images of `-log softmax(p)[class]`.
    #[serde(rename = "CrossEntropy")]
    CrossEntropy,
}

impl Optim {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Adam, Self::AdamW, Self::Sgd];

    /// The name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adam => "ADAM",
            Self::AdamW => "ADAMW",
            Self::Sgd => "SGD",
        }
    }
}

impl Decayed {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::All, Self::Weights];

    /// The name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Weights => "weights",
        }
    }
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SquareHinge, Self::CrossEntropy];

    /// The name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SquareHinge => "SqrHinge",
            Self::CrossEntropy => "CrossEntropy",
        }
    }
}

/// Names in any case, written as the type's `as_str`.
macro_rules! by_name {
    ($($type:ty, $what:literal;)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let known = Self::ALL.iter().find(|one| one.as_str().eq_ignore_ascii_case(text));
                known.copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
                    let known = names.join(", ");
                    ErrorKind::UnknownName { what: $what, name: text.to_owned(), known }.into()
                })
            }
        }
    )*};
}

by_name! {
    Optim, "optimizer";
    Decayed, "choice of parameters";
    Loss, "loss";
    Scheduler, "scheduler";
}

/// A dataset in a file: its name.
pub(super) mod dataset {
    use fewbit_data::DatasetName;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(name: &DatasetName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DatasetName, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_in_files_as_written() {
        let mut count = 0;
        for one in Optim::ALL {
            assert_eq!(one.as_str().to_lowercase().parse::<Optim>().unwrap(), one);
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
            count += 1;
        }
        for one in Decayed::ALL {
            assert_eq!(one.as_str().to_uppercase().parse::<Decayed>().unwrap(), one);
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
            count += 1;
        }
        for one in Loss::ALL {
            assert_eq!(one.as_str().to_uppercase().parse::<Loss>().unwrap(), one);
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
            count += 1;
        }
        for one in Scheduler::ALL {
            assert_eq!(one.as_str().to_lowercase().parse::<Scheduler>().unwrap(), one);
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
            count += 1;
        }
        assert_eq!(count, 11);
        let error = "STOP".parse::<Scheduler>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown scheduler \"STOP\", expected one of FIXED, STEP, COSINE, ONECYCLE"
        );
    }
}
