//! Where stored numbers come from, and how they are compared.
//!
//! Everything is in the folder that `FEWBIT_SHARED` names; a part is in `tests/data/quantizers.json`,
//! so that the same comparisons always run on some of it. `tests/data/select.py` made that file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit_data::npz::NpzArchive;
use fewbit_nn::{Device, Tensor};

/// Named arrays.
pub struct Golden {
    file: &'static str,
    arrays: Arrays,
}

enum Arrays {
    Npz(NpzArchive),
    Json(BTreeMap<String, (Vec<usize>, Vec<f32>)>),
}

/// The folder of all stored numbers, or nothing if this machine has none.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_SHARED").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("only the part in tests/data is compared: FEWBIT_SHARED is not set");
    }
    folder
}

impl Golden {
    /// A file, whole if it is there, and the part of it that always is.
    pub fn both(file: &'static str) -> Vec<Self> {
        let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/quantizers.json");
        let text = std::fs::read_to_string(part).unwrap();
        let parts: serde_json::Value = serde_json::from_str(&text).unwrap();
        let arrays = parts["arrays"][file].as_object().unwrap();
        let arrays = arrays.iter().map(|(name, array)| {
            let shape = array["shape"].as_array().unwrap().iter();
            let shape = shape.map(|size| usize::try_from(size.as_u64().unwrap()).unwrap());
            let bits = array["bits"].as_array().unwrap().iter();
            let values =
                bits.map(|bits| f32::from_bits(u32::try_from(bits.as_u64().unwrap()).unwrap()));
            (name.clone(), (shape.collect(), values.collect()))
        });
        let mut all = vec![Self { file, arrays: Arrays::Json(arrays.collect()) }];
        all.extend(Self::whole(file));
        all
    }

    /// A whole file, if it is there.
    pub fn whole(file: &'static str) -> Option<Self> {
        let archive = NpzArchive::open(&shared()?.join("golden").join(file)).unwrap();
        Some(Self { file, arrays: Arrays::Npz(archive) })
    }

    /// The names that end in `suffix`, without it.
    pub fn cases(&self, suffix: &str) -> Vec<String> {
        let names: Vec<&str> = match &self.arrays {
            Arrays::Npz(archive) => archive.names().collect(),
            Arrays::Json(arrays) => arrays.keys().map(String::as_str).collect(),
        };
        names.into_iter().filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned())).collect()
    }

    /// The values of an array.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.array(name).1
    }

    /// An array as a tensor; a scalar has the shape `[1]`.
    pub fn tensor(&self, name: &str) -> Tensor {
        let (mut shape, values) = self.array(name);
        if shape.is_empty() {
            shape.push(1);
        }
        Tensor::from_vec(values, &shape, &Device::cpu())
    }

    fn array(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        match &self.arrays {
            Arrays::Npz(archive) => {
                let array = archive.read(name).unwrap();
                let shape = array.shape().to_vec();
                (shape, array.into_vec::<f32>().unwrap())
            }
            Arrays::Json(arrays) => match arrays.get(name) {
                Some(array) => array.clone(),
                None => unreachable!("{name} of {} is not in the part", self.file),
            },
        }
    }

    /// How many cases must have been compared: all of a file, or those of the part.
    pub fn expect(&self, compared: usize, all: usize, part: usize) {
        let expected = match self.arrays {
            Arrays::Npz(_) => all,
            Arrays::Json(_) => part,
        };
        eprintln!("{}: {compared} cases compared", self.file);
        assert_eq!(compared, expected, "number of cases of {}", self.file);
    }
}

/// All bits but the sign of zero; NaN equals NaN.
pub fn assert_equal(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(g == e || (g.is_nan() && e.is_nan()), "{what}, element {i}: {g:?} not {e:?}");
    }
}

/// All bits, the sign of zero included; NaN equals NaN.
pub fn assert_bits(got: &[f32], expected: &[f32], what: &str) {
    assert_equal(got, expected, what);
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let same = g.is_nan() || g.is_sign_negative() == e.is_sign_negative();
        assert!(same, "{what}, element {i}: {g:?} not {e:?}");
    }
}

/// Equal up to `ulps` units in the last place of the expected value; NaN equals NaN.
///
/// PyTorch takes gradients through every operation of a quantizer (`(dy * s) / s`; for minifloats also
/// through `exp2` and `log2`, with a factor and a divisor ln 2) and rounds after each. Ours are rounded
/// once.
pub fn assert_ulps(got: &[f32], expected: &[f32], ulps: u32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(within(*g, *e, ulps), "{what}, element {i}: {g:?} not {e:?}");
    }
}

/// Whether two numbers are at most so many units in the last place of the second apart.
pub fn within(got: f32, expected: f32, ulps: u32) -> bool {
    let ulp = expected.abs().next_up() - expected.abs();
    got == expected
        || (got.is_nan() && expected.is_nan())
        || (got - expected).abs() <= ulps as f32 * ulp
}

/// Equal up to `tolerance` times the largest magnitude: sums in another order.
pub fn assert_close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * largest, "{what}, element {i}: {g:?} not {e:?}");
    }
}

/// The gradient of `sum(upstream * y)` to `leaf`.
pub fn gradient(y: Tensor, upstream: &Tensor, leaf: &Tensor) -> Vec<f32> {
    y.mul(upstream).sum().backward().of(leaf).unwrap().to_vec()
}
