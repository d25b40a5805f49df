//! The keys of the JSON documents: machines depend on them.

use serde_json::Value;

use crate::harness::{fewbit, trained};

/// The keys of an object, nested ones behind a dot; arrays stand for their first element.
fn keys(value: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    collect(value, "", &mut keys);
    keys
}

fn collect(value: &Value, prefix: &str, keys: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                keys.push(name.clone());
                collect(inner, &name, keys);
            }
        }
        Value::Array(array) => {
            if let Some(first) = array.first() {
                collect(first, &format!("{prefix}[]"), keys);
            }
        }
        _ => {}
    }
}

#[test]
fn keys_are_stable() {
    let trained = trained();
    insta::assert_debug_snapshot!("keys_train", keys(&trained.report));
    let cases = [
        ("eval", "eval experiments --limit 100"),
        ("export", "export experiments -o json.onnx"),
        ("verify", "verify experiments json.onnx --limit 100 --report json.json"),
        ("prove", "prove json.onnx"),
        ("run", "run json.onnx --dataset glyphs --limit 100 --repeat 2"),
        ("inspect", "inspect json.onnx --for qonnx --ranges"),
        ("cost", "cost json.onnx"),
        ("diff", "diff json.onnx json.onnx --dataset glyphs --limit 20"),
        ("clean", "clean json.onnx -o json_clean.onnx"),
        ("convert", "convert json.onnx --to standard -o json_standard.onnx"),
        ("codes", "codes json.onnx -o json.h"),
        ("formats", "formats"),
        ("formats_e3m1", "formats e3m1 --encode 1.3 --decode 0x12"),
        ("data_list", "data list"),
        ("data_check", "data check glyphs"),
    ];
    for (name, line) in cases {
        let run = fewbit(trained.folder(), &format!("{line} --json --quiet")).expect(0);
        assert!(run.stderr.is_empty(), "{line}: {}", run.stderr);
        insta::assert_debug_snapshot!(format!("keys_{name}"), keys(&run.json()));
    }
}

#[test]
fn errors_are_json_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let cases = [
        ("train --network TFC_2W2 --json", "TFC_2W2A"),
        ("train --json --netwrk TFC_2W2A", "--network"),
        ("fromats --json", "formats"),
        ("eval nothing --json", "does not exist"),
        ("formats e3m --json", "e3m1"),
        ("run nothing.onnx --dataset glyphs --json", "nothing.onnx"),
    ];
    for (line, words) in cases {
        let run = fewbit(folder.path(), line).expect(2);
        let document = run.json();
        assert_eq!(keys(&document), ["error", "hint"], "{line}");
        assert!(document.to_string().contains(words), "{line}: {document}");
        assert!(run.stderr.contains("error: "), "{line}: {}", run.stderr);
    }
}
