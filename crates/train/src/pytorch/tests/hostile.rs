//! What is refused: nothing is run, nothing grows, nothing panics.

use proptest::prelude::*;
use rawzip::CompressionMethod;

use super::*;
use crate::pytorch::input::Input;
use crate::pytorch::tests::written::{floats, legacy, zip};
use crate::pytorch::{machine, opcode};

/// `os.system("...")` as pickles call it, in each way there is.
#[test]
fn functions_are_refused_by_name_before_they_are_called() {
    let call = |pickle: Pickle| pickle.text("touch pwned").op(b"\x85R");
    for (module, name) in [
        ("posix", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy.core.multiarray", "scalar"),
        ("collections", "OrderedDict.fromkeys"),
    ] {
        let error = refusal(&call(Pickle::new().class(module, name)));
        let words =
            format!("best.tar: data.pkl, byte 2: found the class \"{module}.{name}\", expected");
        assert!(error.starts_with(&words), "{error}");
    }
    let error = refusal(&call(Pickle::new().text("os").text("system").op(b"\x93")));
    assert!(error.contains("byte 20: found the class \"os.system\""), "{error}");
    let error = refusal(&Pickle::new().class("a\u{1b}[31m", &"n".repeat(500)));
    assert!(error.contains(r"a\u{1b}[31m.nnn") && error.len() < 400, "escaped and cut: {error}");
}

#[test]
fn instructions_are_refused_by_name_and_place() {
    for byte in 0..=255u8 {
        let Err(name) = opcode::Opcode::of(byte) else { continue };
        let error = refusal(&Pickle::new().op(b"N").op(&[byte; 20]));
        let found = match name {
            Some(name) => format!("the instruction {name}"),
            None => format!("{byte:#04x}"),
        };
        assert!(error.contains(&format!("data.pkl, byte 3: found {found}, expected")), "{error}");
    }
    // Objects made without REDUCE.
    for (pickle, name) in [
        (Pickle::new().op(b"(ios\nsystem\n"), "INST"),
        (Pickle::new().class("collections", "OrderedDict").op(b")\x81"), "NEWOBJ"),
        (Pickle::new().op(b"\x82\x01"), "EXT1"),
        (Pickle::new().op(b"Pmodule\n"), "PERSID"),
    ] {
        let error = refusal(&pickle);
        assert!(error.contains(&format!("the instruction {name}, expected")), "{error}");
    }
}

#[test]
fn values_in_wrong_places_are_refused() {
    let tensor = |offset, shape: &[i64], strides: &[i64]| {
        Pickle::new().tensor(|p| p.storage("FloatStorage", "0", 4), offset, shape, strides)
    };
    let persistent = |kind: &str| {
        Pickle::new().op(b"(").text(kind).op(b"N").text("k").text("cpu").int(1).op(b"tQ")
    };
    let cases = [
        (Pickle::new(), "found no value"),
        (Pickle::new().op(b"NN"), "values that nothing uses"),
        (Pickle::new().op(b"N("), "found no value"),
        (Pickle::new().op(b"N(\x85"), "found no value"),
        (Pickle::new().op(b"Nt"), "found no mark"),
        (Pickle::new().op(b"}(Nu"), "entries that are no pairs"),
        (Pickle::new().op(b"](NNu"), "entries that are no pairs, or of no dict"),
        (Pickle::new().op(b"}(Ne"), "values added to something else"),
        (Pickle::new().op(b"NNa"), "values added to something else"),
        (Pickle::new().op(b"N)R"), "a call of something else"),
        (Pickle::new().class("torch", "Size").op(b"NR"), "a call of something else"),
        (Pickle::new().class("torch", "FloatStorage").op(b")R"), "Storage(F32) with 0 arguments"),
        (
            Pickle::new().class("collections", "OrderedDict").op(b"]\x85R"),
            "OrderedDict with 1 arguments",
        ),
        (Pickle::new().class("torch", "FloatStorage"), "contents: found the class Storage(F32)"),
        (Pickle::new().class("torch", "ComplexFloatStorage"), "\"torch.ComplexFloatStorage\""),
        (Pickle::new().op(b"}}").text("__class__").op(b"Nsb"), "an attribute of a dict"),
        (Pickle::new().op(b"]}b"), "attributes of something else"),
        (Pickle::new().storage("FloatStorage", "0", 4), "a bare storage"),
        (persistent("module"), "found a whole module, expected a state dict"),
        (persistent("storage"), "a reference to something else"),
        (Pickle::new().op(b"NQ"), "a reference to something else"),
        (
            tensor(0, &[5], &[1]),
            "shape [5] with strides [1] from 0, expected a tensor inside its storage of 4",
        ),
        (tensor(4, &[1], &[1]), "expected a tensor inside its storage of 4"),
        (tensor(0, &[2, 2], &[3, 1]), "expected a tensor inside its storage of 4"),
        (tensor(0, &[2], &[-1]), "the offset, shape or strides"),
        (tensor(-1, &[2], &[1]), "the offset, shape or strides"),
        (tensor(0, &[2, 2], &[1]), "shape [2, 2] with strides [1], expected one stride"),
        (tensor(0, &[1; 65], &[1; 65]), "at most 64 dimensions"),
        (tensor(i64::MAX, &[i64::MAX, 4], &[i64::MAX, i64::MAX]), "inside its storage"),
        (tensor(0, &[1 << 40, 1 << 40], &[0, 0]), "inside its storage"),
        (Pickle::new().op(b"}(NNu"), "a key of another kind"),
        (Pickle::new().op(b"})Ns"), "a key that is a container"),
        (Pickle::new().op(b"}(K\x01NK\x01Nu"), "contents: found the key 1 twice"),
        (Pickle::new().op(b"\x80\x06N"), "byte 2: found protocol 6"),
        (Pickle::new().op(b"X\x02\x00\x00\x00\xff\xff"), "text in UTF-8"),
        (Pickle::new().op(b"q\x00"), "found no value"),
        (Pickle::new().op(b"Nq\x01"), "found memo 1, expected at most the next, 0"),
        (Pickle::new().op(b"Nr\xff\xff\xff\xff"), "found memo 4294967295"),
        (Pickle::new().op(b"h\x00"), "found memo 0, expected one of 0"),
    ];
    for (pickle, words) in &cases {
        let error = refusal_with(pickle, &[]);
        assert!(error.contains(words), "{words}: {error}");
    }
    let hooked = |pickle: Pickle| {
        let pickle = pickle.class("torch._utils", "_rebuild_tensor_v2").op(b"(");
        pickle.storage("FloatStorage", "0", 4).int(0).sizes(&[4]).sizes(&[1]).op(b"\x89")
    };
    let error = refusal(&hooked(Pickle::new()).op(b"}K\x01Ns").op(b"tR"));
    assert!(error.contains("found a tensor with hooks"), "{error}");
    let metadata = hooked(Pickle::new()).op(b"}}").text("neg").op(b"\x88stR");
    assert!(refusal(&metadata).contains("found a tensor with metadata"));
}

#[test]
fn storages_have_the_length_that_is_said() {
    let pickle = Pickle::new().floats("0", 4);
    for (storages, zipped, in_a_row) in [
        (vec![], "found no storage \"0\"", "found no storage \"0\""),
        (
            vec![("0", vec![0; 12])],
            "a storage of 12 bytes, expected 4 numbers of 4 bytes",
            "3 numbers in storage \"0\", expected 4",
        ),
        (vec![("0", vec![0; 20])], "a storage of 20 bytes", "5 numbers in storage"),
    ] {
        for (layout, words) in [(Layout::Zip, zipped), (Layout::Legacy, in_a_row)] {
            let error = read(layout.file(&pickle, &storages)).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    let twice = Pickle::new().floats("0", 4).storage("FloatStorage", "0", 5).op(b"\x86");
    assert!(refusal(&twice).contains("found 5 numbers of float32, expected 4 numbers of float32"));
    let other = Pickle::new().floats("0", 4).storage("IntStorage", "0", 4).op(b"\x86");
    assert!(refusal(&other).contains("found 4 numbers of int32, expected 4 numbers of float32"));
    let huge = Pickle::new().tensor(|p| p.storage("FloatStorage", "0", i64::MAX), 0, &[1], &[1]);
    for layout in Layout::BOTH {
        let error = read(layout.file(&huge, &[("0", vec![0; 8])])).unwrap_err().to_string();
        assert!(error.contains("9223372036854775807"), "{error}");
    }
    let key = |keys: &[(&str, Vec<u8>)]| {
        read(Layout::Legacy.file(&pickle, keys)).unwrap_err().to_string()
    };
    let error = key(&[("0", vec![0; 16]), ("1", vec![])]);
    assert!(
        error.contains("found the key \"1\", expected a storage that the contents use"),
        "{error}"
    );
    let error = key(&[("0", vec![0; 16]), ("0", vec![0; 16])]);
    assert!(error.contains("found the key \"0\" twice"), "{error}");
}

/// Containers of the memo, each twice in the next: 2^30 values in some hundred bytes.
#[test]
fn repetition_does_not_grow() {
    let mut lists = Pickle::new().op(b"](NNNNNNNNNNeq\x00");
    for index in 0..40u8 {
        lists = lists.op(b"](h").op(&[index]).op(b"h").op(&[index]).op(b"eq").op(&[index + 1]);
    }
    // All but the last are left over: they are used up by a tuple.
    let lists = Pickle::new().op(b"(").op(&lists.0[2..]).op(b"t");
    assert!(refusal(&lists).contains("found values repeated too often"));

    let itself = Pickle::new().op(b"]q\x00h\x00a");
    assert!(refusal(&itself).contains("too many containers in each other, expected at most 64"));

    let wide =
        Pickle::new().floats("0", 1 << 16).op(b"q\x00(").op(&b"h\x00".repeat(100)).op(b"t\x86");
    let error = refusal_with(&wide, &[("0", vec![0; 4 << 16])]);
    assert!(
        error.contains("overlapping tensors that are too large, expected at most 4 times"),
        "{error}"
    );
    let expanded = Pickle::new().tensor(|p| p.storage("FloatStorage", "0", 1), 0, &[1 << 40], &[0]);
    let error = refusal_with(&expanded, &[("0", vec![0; 4])]);
    assert!(error.contains("overlapping tensors that are too large"), "{error}");
}

#[test]
fn depth_stack_and_number_of_values_are_limited() {
    let nested = |depth: usize| Pickle::new().op(&b"]".repeat(depth)).op(&b"a".repeat(depth - 1));
    assert!(read(Layout::Zip.file(&nested(MAX_DEPTH + 1), &[])).is_ok());
    assert!(refusal(&nested(MAX_DEPTH + 2)).contains("too many containers in each other"));
    assert!(
        refusal(&Pickle::new().op(&b"]".repeat(1 << 20))).contains("too many unfinished values")
    );
    assert!(refusal(&Pickle::new().op(&b"(".repeat(1 << 20))).contains("too many marks"));
    let batches = [b"(".as_slice(), &b"N".repeat(1000), b"e"].concat();
    let full = Pickle::new().op(b"]").op(&batches.repeat(261)).op(&b"Na".repeat(1143));
    assert!(read(Layout::Zip.file(&full, &[])).is_ok());
    assert!(refusal(&full.op(b"Na")).contains("found too many values, expected at most 262144"));
}

/// Lengths that the file does not have.
#[test]
fn lengths_are_not_believed() {
    for (pickle, words) in [
        (Pickle::new().op(b"X\xff\xff\xff\xff"), "expected 4294967295 bytes"),
        (
            Pickle::new().op(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
            "expected 18446744073709551615 bytes",
        ),
        (
            Pickle::new().op(b"\x95\xff\xff\xff\xff\xff\xff\xff\xff"),
            "a frame of 18446744073709551615 bytes",
        ),
        (Pickle::new().op(b"\x8a\xff"), "expected 255 bytes"),
        (Pickle::new().op(b"\x8a\x09123456789"), "found an integer of 9 bytes"),
    ] {
        let error = read(Layout::Zip.file(&pickle, &[])).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn archives_that_torch_does_not_write() {
    let pickle = Pickle::new().op(b"}.").0;
    let named = |name: &str| (name.to_owned(), pickle.clone());
    let whole = vec![named("best/data.pkl")];
    assert!(read(zip(&whole, CompressionMethod::STORE)).is_ok());
    let with = |name: &str, bytes: &[u8]| {
        [whole.clone(), vec![(name.to_owned(), bytes.to_vec())]].concat()
    };
    for (entries, words) in [
        (vec![named("best/other.pkl")], "zip directory: found no data.pkl"),
        (vec![named("data.pkl")], "entry \"data.pkl\": found no folder"),
        (with("other/data/0", b""), "entry \"other/data/0\": found another folder"),
        (with("best/data.pkl", b"N."), "found the name again"),
        (with("best/byteorder", b"big"), "byteorder: found \"big\", expected \"little\""),
        (with("best/code/model.py", b""), "found the program of a TorchScript module"),
        (with("best/constants.pkl", b""), "found the program of a TorchScript module"),
        (
            vec![("best/data.pkl".to_owned(), [&*pickle, b"}."].concat())],
            "byte 4: found 2 more bytes",
        ),
    ] {
        let error = read(zip(&entries, CompressionMethod::STORE)).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    // Both names lead to the same bytes: checking each of many takes forever.
    let mut overlapping = zip(&with("best/data/0", &[0; 1000]), CompressionMethod::STORE);
    let directory = b"PK\x01\x02";
    let records: Vec<usize> =
        (0..overlapping.len()).filter(|&at| overlapping[at..].starts_with(directory)).collect();
    let [first, second] = *records else { panic!("{records:?}") };
    let (crc_and_sizes, offset) = (16..28, 42..46);
    for range in [crc_and_sizes, offset] {
        overlapping.copy_within(second + range.start..second + range.end, first + range.start);
    }
    let error = read(overlapping).unwrap_err().to_string();
    assert!(error.contains("found more bytes than the file has"), "{error}");
    let error = read(zip(&whole, CompressionMethod::DEFLATE)).unwrap_err().to_string();
    assert!(error.contains("found packed or encrypted bytes"), "{error}");
}

#[test]
fn other_headers_of_pickles_in_a_row() {
    let machine = |value: &[u8]| Pickle::new().op(b"}").text("little_endian").op(value).op(b"s.");
    assert!(read(legacy(machine(b"\x88"), b"\x80\x02}.", &[])).is_ok());
    let error = read(legacy(machine(b"\x89"), b"\x80\x02}.", &[])).unwrap_err().to_string();
    assert!(
        error.contains("description of the machine, byte 21: found another byte order"),
        "{error}"
    );
    let mut version = legacy(machine(b"\x88"), b"\x80\x02}.", &[]);
    version[18] = 0xe8;
    let error = read(version).unwrap_err().to_string();
    assert!(error.contains("version, byte 15: found 1000, expected 1001"), "{error}");
    let mut longer = legacy(machine(b"\x88"), b"\x80\x02}.", &[]);
    longer.push(0);
    assert!(read(longer).unwrap_err().to_string().contains("found 1 more bytes, expected the end"));
    for (bytes, words) in [
        (
            b"hello".to_vec(),
            "best.tar: header: found \"hello\", expected a checkpoint of torch.save",
        ),
        (vec![], "found \"\""),
        (
            [vec![b'a'; 257], b"ustar".to_vec()].concat(),
            "a tar archive, as PyTorch wrote before 0.1.10",
        ),
        (b"\x80\x02}.".to_vec(), "header: found"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

fn small(layout: Layout) -> Vec<u8> {
    let pickle = Pickle::new().op(b"}(").text("w").floats("0", 3).text("n").int(5).op(b"u");
    layout.file(&pickle, &[("0", floats(&[1., -2., 3.]))])
}

#[test]
fn files_cut_at_every_byte_are_refused() {
    for layout in Layout::BOTH {
        let whole = small(layout);
        assert!(read(whole.clone()).is_ok());
        for length in 0..whole.len() {
            assert!(
                read(whole[..length].to_vec()).is_err(),
                "{layout:?}: {length} of {}",
                whole.len()
            );
        }
    }
}

/// No change of a byte panics. An archive notices all that change a value, by its checksums; the other
/// layout has none.
#[test]
fn files_with_a_changed_byte_do_no_harm() {
    for layout in Layout::BOTH {
        let whole = small(layout);
        let expected = read(whole.clone()).unwrap();
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff, 0x2e, 0x10] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                let Ok(contents) = read(changed) else { continue };
                if layout == Layout::Zip {
                    let describe = |contents: &Contents| {
                        format!("{:?}", contents.root().get("n").map(Value::to_string))
                    };
                    assert_eq!(describe(&contents), describe(&expected), "byte {at}");
                    let tensor = contents.root().get("w").unwrap().as_tensor().unwrap().to_state();
                    let own = expected.root().get("w").unwrap().as_tensor().unwrap().to_state();
                    assert_eq!(tensor, own, "byte {at}");
                }
                let _ = (contents.model(), contents.optimizer(), contents.epoch());
            }
        }
    }
}

/// Pieces of pickles in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let storage = Pickle::default().storage("FloatStorage", "0", 3).0;
    let tensor = Pickle::default().floats("0", 3).0;
    let piece = prop_oneof![
        4 => prop::sample::select(&b"(N\x88\x89])}t\x85\x86\x87aesuRbQ\x94\x93."[..]).prop_map(|byte| vec![byte]),
        2 => any::<u8>().prop_map(|value| vec![b'K', value % 4]),
        2 => (prop::sample::select(&b"qh"[..]), 0..6u8).prop_map(|(op, index)| vec![op, index]),
        1 => Just(Pickle::default().text("storage").0),
        1 => Just(Pickle::default().text("optim_dict").0),
        1 => Just(Pickle::default().class("torch", "FloatStorage").0),
        1 => Just(Pickle::default().class("torch._utils", "_rebuild_tensor_v2").0),
        1 => Just(Pickle::default().class("torch._utils", "_rebuild_parameter").0),
        1 => Just(Pickle::default().ordered_dict().0),
        1 => Just(storage),
        1 => Just(tensor),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), pieces in pieces()) {
        let _ = read(bytes.clone());
        let _ = read([b"PK\x03\x04".as_slice(), &bytes].concat());
        let _ = machine::unpickle(&mut Input::new(Path::new(FILE), "data.pkl", &bytes));
        for layout in Layout::BOTH {
            let pickle = Pickle::new().op(&pieces);
            if let Ok(contents) = read(layout.file(&pickle, &[("0", floats(&[1., 2., 3.]))])) {
                let _ = (contents.model(), contents.optimizer(), contents.learning_rate());
            }
        }
    }
}
