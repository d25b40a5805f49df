//! What is read.

use fewbit_nn::NetworkConfig;
use fewbit_nn::network::{StateData, StateTensor, Strictness};
use half::{bf16, f16};

use super::*;
use crate::checkpoint::Moments;
use crate::config::Recipe;
use crate::pytorch::tests::written::floats;

#[test]
fn plain_values_of_all_instructions() {
    let pickle = Pickle::new()
        .op(b"}(")
        .text("none")
        .op(b"N")
        .text("bools")
        .op(b"\x88\x89\x86")
        .text("ints")
        .op(b"(K\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\x80\x8a\x02\x00\x01t")
        .int(7)
        .float(-0.5)
        .op(b"\x8c\x02\xc3\xa4")
        .op(b"U\x01b\x85")
        .op(b"\x8d\x01\x00\x00\x00\x00\x00\x00\x00c")
        .op(b"](K\x01K\x02eK\x03a")
        .text("size")
        .class("torch", "Size")
        .op(b"K\x04\x85\x85R")
        .text("dtype")
        .op(b"\x8c\x05torch\x8c\x08bfloat16\x93")
        .op(b"u");
    for layout in Layout::BOTH {
        let contents = read(layout.file(&pickle, &[])).unwrap();
        let dict = contents.root().as_dict().unwrap();
        let keys: Vec<String> = dict.iter().map(|(key, _)| key.to_string()).collect();
        let expected =
            ["\"none\"", "\"bools\"", "\"ints\"", "7", "\"ä\"", "\"c\"", "\"size\"", "\"dtype\""];
        assert_eq!(keys, expected, "in the order of the file");
        let at = |key: &str| contents.root().get(key).unwrap();
        let ints = |value: &Value| -> Vec<i64> {
            let int = |value: &Value| match value {
                Value::Int(value) => *value,
                other => panic!("{other}"),
            };
            value.as_sequence().unwrap().iter().map(int).collect()
        };
        assert!(matches!(at("none"), Value::None));
        assert!(matches!(at("bools").as_sequence(), Some([Value::Bool(true), Value::Bool(false)])));
        assert_eq!(ints(at("ints")), [255, 65_535, -1, 0, -128, 256]);
        assert!(matches!(dict[3].1, Value::Float(-0.5)));
        assert!(matches!(at("ä").as_sequence(), Some([Value::Text(text)]) if **text == *"b"));
        assert_eq!(ints(at("c")), [1, 2, 3]);
        assert_eq!(ints(at("size")), [4]);
        assert!(matches!(at("dtype"), Value::ElementType(ElementType::BF16)));
    }
}

/// Windows of one storage: transposed, a column, steps, repeated, a scalar, nothing.
#[test]
fn tensors_are_windows_of_storages() {
    let values: Vec<f32> = (0..12u8).map(f32::from).collect();
    type Case<'a> = (i64, &'a [i64], &'a [i64], &'a [f32]);
    let cases: [Case<'_>; 8] = [
        (0, &[3, 4], &[4, 1], &values),
        (0, &[4, 3], &[1, 4], &[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]),
        (1, &[3], &[4], &[1., 5., 9.]),
        (2, &[2, 2], &[4, 2], &[2., 4., 6., 8.]),
        (5, &[2, 3], &[0, 1], &[5., 6., 7., 5., 6., 7.]),
        (11, &[], &[], &[11.]),
        (12, &[2, 0, 3], &[3, 3, 1], &[]),
        (4, &[1, 4, 1], &[99, 1, 7], &[4., 5., 6., 7.]),
    ];
    let mut pickle = Pickle::new().op(b"}(");
    for (index, (offset, shape, strides, _)) in cases.iter().enumerate() {
        pickle = pickle.text(&index.to_string());
        pickle = pickle.tensor(|p| p.storage("FloatStorage", "0", 12), *offset, shape, strides);
    }
    let pickle = pickle.op(b"u");
    for layout in Layout::BOTH {
        let model = read(layout.file(&pickle, &[("0", floats(&values))])).unwrap().model().unwrap();
        assert_eq!(model.len(), cases.len());
        for (index, (_, shape, _, expected)) in cases.iter().enumerate() {
            let shape: Vec<usize> =
                shape.iter().map(|&size| usize::try_from(size).unwrap()).collect();
            assert_eq!(
                model[&index.to_string()],
                StateTensor::f32(&shape, expected.to_vec()),
                "{index}"
            );
        }
    }
}

/// Old files name a storage that is a part of another.
#[test]
fn storages_may_be_parts_of_others() {
    let storage = |p: Pickle| {
        let p =
            p.op(b"(").text("storage").class("torch", "FloatStorage").text("7").text("cpu").int(5);
        p.op(b"(").text("8").int(2).int(3).op(b"ttQ")
    };
    let pickle = Pickle::new().op(b"}").text("w").tensor(storage, 1, &[2], &[1]).op(b"s");
    let file = Layout::Legacy.file(&pickle, &[("7", floats(&[0., 1., 2., 3., 4.]))]);
    let model = read(file).unwrap().model().unwrap();
    assert_eq!(model["w"], StateTensor::f32(&[2], vec![3., 4.]));
}

#[test]
fn numbers_of_all_types_are_exact_or_refused() {
    let halves = [1.5, -0.0, 6e-8, f32::INFINITY].map(f16::from_f32);
    let uppers = [1.5, -3e38].map(bf16::from_f32);
    let f32s = |values: &[f32]| StateData::F32(values.to_vec());
    let cases: Vec<(&str, Vec<u8>, StateData)> = vec![
        (
            "HalfStorage",
            halves.iter().flat_map(|value| value.to_le_bytes()).collect(),
            f32s(&[1.5, -0.0, 5.960_464_5e-8, f32::INFINITY]),
        ),
        (
            "BFloat16Storage",
            uppers.iter().flat_map(|value| value.to_le_bytes()).collect(),
            f32s(&uppers.map(bf16::to_f32)),
        ),
        (
            "DoubleStorage",
            [0.5f64, 1e-45f32.into(), f64::NEG_INFINITY]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            f32s(&[0.5, 1e-45, f32::NEG_INFINITY]),
        ),
        ("CharStorage", vec![0xff, 1], StateData::I64(vec![-1, 1])),
        ("ByteStorage", vec![0xff, 1], StateData::I64(vec![255, 1])),
        ("BoolStorage", vec![1, 0], StateData::I64(vec![1, 0])),
        ("ShortStorage", vec![0xfe, 0xff], StateData::I64(vec![-2])),
        ("IntStorage", vec![0xfd, 0xff, 0xff, 0xff], StateData::I64(vec![-3])),
        ("LongStorage", i64::MIN.to_le_bytes().to_vec(), StateData::I64(vec![i64::MIN])),
    ];
    for (class, bytes, expected) in cases {
        let size = ElementType::of_storage(class).unwrap().size();
        let length = i64::try_from(bytes.len() / size).unwrap();
        let tensor = |p: Pickle| p.tensor(|p| p.storage(class, "0", length), 0, &[length], &[1]);
        let pickle = tensor(Pickle::new().op(b"}").text("w")).op(b"s");
        let model = read(Layout::Zip.file(&pickle, &[("0", bytes)])).unwrap().model().unwrap();
        assert_eq!(model["w"].data, expected, "{class}");
        assert_eq!(model["w"].shape, [usize::try_from(length).unwrap()]);
    }
    let tensor = |p: Pickle| p.tensor(|p| p.storage("DoubleStorage", "0", 2), 0, &[2], &[1]);
    let pickle = tensor(Pickle::new().op(b"}").text("w")).op(b"s");
    for (value, name) in [(0.1f64, "0.1"), (1e39, "1e39"), (1e-46, "1e-46")] {
        let bytes = [1.0, value].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = read(Layout::Zip.file(&pickle, &[("0", bytes)])).unwrap().model().unwrap_err();
        let expected = format!(
            "best.tar: tensor \"w\", element 1: found {name}, expected a number of 32 bits"
        );
        assert_eq!(error.to_string(), expected);
    }
}

/// A state dict as PyTorch writes it: a parameter, a statistic, a shared scale, versions, hooks.
fn state_dict(pickle: Pickle) -> Pickle {
    let scale = |p: Pickle| p.tensor(|p| p.storage("FloatStorage", "2", 1), 0, &[], &[]);
    let parameter = pickle
        .ordered_dict()
        .op(b"(")
        .text("module.conv1.weight")
        .class("torch._utils", "_rebuild_parameter")
        .floats("0", 2)
        .op(b"\x88")
        .ordered_dict()
        .op(b"\x87R");
    let statistic = parameter.text("module.bn1.running_mean").floats("1", 1);
    let scales = scale(scale(statistic.text("module.relu.value")).text("module.relu_out.value"));
    scales.op(b"u}").text("_metadata").ordered_dict().op(b"sb")
}

fn storages() -> Vec<(&'static str, Vec<u8>)> {
    let storage = |key, values: &[f32]| (key, floats(values));
    vec![storage("0", &[1., 2.]), storage("1", &[3.]), storage("2", &[4.])]
}

fn moment(pickle: Pickle, name: &str, key: &str, length: i64) -> Pickle {
    let shape: &[i64] = if length == 1 { &[] } else { &[length] };
    pickle.text(name).tensor(
        |p| p.storage("FloatStorage", key, length),
        0,
        shape,
        &shape.iter().map(|_| 1).collect::<Vec<_>>(),
    )
}

/// A checkpoint with an optimizer that numbers its parameters as old versions did, by address.
fn checkpoint(moments: impl Fn(Pickle) -> Pickle, parameters: &[i64]) -> Pickle {
    let pickle = state_dict(Pickle::new().op(b"}(").text("state_dict"));
    let pickle = pickle.text("optim_dict").op(b"}(").text("state").op(b"}(").int(77).op(b"}(");
    let pickle = moments(pickle).op(b"uu").text("param_groups").op(b"]}(").text("lr").float(0.25);
    let pickle =
        parameters.iter().fold(pickle.text("params").op(b"]("), |p, &number| p.int(number));
    let pickle = pickle.op(b"euau").text("epoch").int(3).text("best_val_acc");
    pickle.tensor(|p| p.storage("FloatStorage", "2", 1), 0, &[], &[]).op(b"u")
}

fn adam(pickle: Pickle) -> Pickle {
    let pickle = pickle.text("step").int(9);
    moment(moment(pickle, "exp_avg", "0", 2), "exp_avg_sq", "3", 2)
}

#[test]
fn checkpoints_become_models_and_moments() {
    let mut storages = storages();
    storages.push(("3", floats(&[5., 6.])));
    let pickle = checkpoint(adam, &[77, 78]);
    for layout in Layout::BOTH {
        let contents = read(layout.file(&pickle, &storages)).unwrap();
        let model = contents.model().unwrap();
        let names: Vec<&str> = model.keys().map(String::as_str).collect();
        assert_eq!(names, ["bn1.running_mean", "conv1.weight", "relu.value", "relu_out.value"]);
        assert_eq!(model["conv1.weight"], StateTensor::f32(&[2], vec![1., 2.]));
        assert_eq!(model["relu_out.value"], StateTensor::f32(&[], vec![4.]));
        assert_eq!((contents.epoch(), contents.best_val_acc()), (Some(3), Some(4.)));
        assert_eq!(contents.learning_rate().unwrap(), Some(0.25));
        // The shared scale is one parameter; it has not been trained.
        let moments = contents.optimizer().unwrap().unwrap();
        assert_eq!(moments.keys().collect::<Vec<_>>(), ["conv1.weight"]);
        let tensor = |values: [f32; 2]| StateTensor::f32(&[2], values.to_vec());
        let expected =
            Moments::Adam { steps: 9, first: tensor([1., 2.]), second: tensor([5., 6.]) };
        assert_eq!(moments["conv1.weight"], expected);
    }
}

#[test]
fn momentum_of_sgd() {
    let velocity = |p: Pickle| moment(p, "momentum_buffer", "0", 2);
    let file = Layout::Legacy.file(&checkpoint(velocity, &[77, 78]), &storages());
    let moments = read(file).unwrap().optimizer().unwrap().unwrap();
    let velocity = StateTensor::f32(&[2], vec![1., 2.]);
    assert_eq!(moments["conv1.weight"], Moments::Sgd { steps: 1, velocity });
    let none = |p: Pickle| p.text("momentum_buffer").op(b"N");
    let file = Layout::Legacy.file(&checkpoint(none, &[77, 78]), &storages());
    assert!(read(file).unwrap().optimizer().unwrap().unwrap().is_empty());
}

#[test]
fn other_optimizers_are_refused() {
    let short = |p: Pickle| moment(p.text("step").int(9), "exp_avg", "1", 1);
    let negative = |p: Pickle| moment(p.text("step").int(-1), "exp_avg", "0", 2);
    let other = |p: Pickle| moment(p, "square_avg", "0", 2);
    type Written = fn(Pickle) -> Pickle;
    let cases: [(Written, &[i64], &str); 6] = [
        (
            short,
            &[77, 78],
            "[\"state\"] of \"conv1.weight\", exp_avg: found a float32 tensor of shape []",
        ),
        (negative, &[77, 78], "step: found no count"),
        (other, &[77, 78], "found \"square_avg\", expected what Adam or SGD remember"),
        (adam, &[77], "found 1 parameters, expected 2"),
        (adam, &[76, 78], "[\"state\"]: found 77, expected one of the parameters"),
        (adam, &[78, 77], "\"relu.value\", exp_avg: found a float32 tensor of shape [2]"),
    ];
    for (written, parameters, words) in cases {
        let mut storages = storages();
        storages.push(("3", floats(&[5., 6.])));
        let pickle = checkpoint(written, parameters);
        let contents = read(Layout::Zip.file(&pickle, &storages)).unwrap();
        let error = contents.optimizer().unwrap_err().to_string();
        assert!(error.starts_with("best.tar: optim_dict") && error.contains(words), "{error}");
        assert_eq!(contents.model().unwrap().len(), 4, "the network can be used all the same");
    }
}

#[test]
fn state_dicts_hold_tensors_alone() {
    let cases = [
        (
            Pickle::new().op(b"}").text("state_dict").op(b"](K\x01es"),
            "state_dict: found a list of 1, expected a dict of tensors",
        ),
        (
            Pickle::new().op(b"}").text("w").int(3).op(b"s"),
            "state_dict[\"w\"]: found 3, expected a tensor",
        ),
        (
            Pickle::new().op(b"}K\x05").floats("0", 1).op(b"s"),
            "state_dict: found 5, expected names of tensors",
        ),
        (
            Pickle::new()
                .op(b"}(")
                .text("w")
                .floats("0", 1)
                .text("module.w")
                .floats("0", 1)
                .op(b"u"),
            "state_dict: found \"w\" twice",
        ),
    ];
    for (pickle, words) in cases {
        let error =
            read(Layout::Zip.file(&pickle, &[("0", floats(&[1.]))])).unwrap().model().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn values_that_spoil_every_result_are_named() {
    for (name, value, words) in [
        ("w", f32::NAN, "tensor \"w\", element 1: found NaN, expected a finite number"),
        ("w", f32::INFINITY, "found inf, expected a finite number"),
        ("bn.running_var", -1.0, "element 1: found -1, expected a variance of 0 or more"),
    ] {
        let tensor = StateTensor::f32(&[2], vec![1.0, value]);
        let file = writer::archive(&[(name, &tensor)]).unwrap();
        let recipe = Recipe::new(NetworkConfig::named("TFC_1W1A").unwrap());
        let found = read(file).unwrap().checkpoint(&recipe, Strictness::Lenient);
        let error = found.map(drop).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
