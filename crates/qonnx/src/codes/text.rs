//! Codes as a header of C, and as memory images for Verilog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Codes, TensorCodes};

impl Codes {
    /// A header of C99: packed codes, scales, tables, and a function for each tensor that gives an element.
    pub fn to_c_header(&self, source: &str) -> String {
        let mut taken: BTreeSet<String> =
            RESERVED.iter().map(|name| name.to_ascii_uppercase()).collect();
        let formats = self.decode.keys().map(String::as_str);
        let tables = identifiers(formats, |name| vec![format!("decode_{name}")], &mut taken);
        let tensors = self.tensors.iter().map(|tensor| tensor.name.as_str());
        let derived = |name: &str| {
            let derived = ["", "_packed", "_scale", "_COUNT", "_BITS"];
            derived.iter().map(|suffix| format!("{name}{suffix}")).collect()
        };
        let names = identifiers(tensors, derived, &mut taken);
        let mut text = format!(
            "/* Codes of quantized weights, from {}.\n * value = (decode[code] - zero_point) * scale, the product rounded once. */\n\
             #ifndef FEWBIT_CODES_H\n#define FEWBIT_CODES_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n\
             /* Code number `i` of packed codes of `bits` bits each; the first one is in the lowest bits. */\n\
             static inline uint32_t fewbit_code(const uint8_t *packed, unsigned bits, size_t i) {{\n    \
             size_t first = i * bits;\n    uint64_t word = 0;\n    \
             for (size_t byte = 0; byte * 8 < first % 8 + bits; byte++)\n        \
             word |= (uint64_t)packed[first / 8 + byte] << (8 * byte);\n    \
             return (uint32_t)(word >> (first % 8) & ((UINT64_C(1) << bits) - 1));\n}}\n",
            comment(source)
        );
        for (format, values) in &self.decode {
            let _ = write!(text, "\n/* The values of {} */\n", comment(format));
            let values: Vec<String> = values.iter().map(|&value| c_float(value)).collect();
            array(&mut text, "float", &format!("decode_{}", tables[format]), &values);
        }
        for tensor in &self.tensors {
            tensor_of_c(&mut text, tensor, &names[&tensor.name], tables.get(&tensor.format));
        }
        text.push_str("\n#endif\n");
        text
    }

    /// A memory image as `$readmemh` reads it: one code for each word, tensor after tensor, in hexadecimal.
    pub fn to_mem(&self, source: &str) -> String {
        let mut text = format!("// Codes of quantized weights, from {}\n", comment(source));
        let mut address = 0;
        for tensor in &self.tensors {
            let _ = write!(
                text,
                "// {} of {}: shape {:?}, {} ({} bits), scale {}{}, zero point {}\n@{address:x}\n",
                comment(&tensor.name),
                comment(&tensor.layer),
                tensor.shape,
                comment(&tensor.format),
                tensor.bit_width,
                tensor.scales.iter().map(f32::to_string).collect::<Vec<_>>().join(" "),
                tensor.scale_axis.map_or_else(String::new, |axis| format!(" along axis {axis}")),
                tensor.zero_point,
            );
            let digits = tensor.bit_width.div_ceil(4) as usize;
            for code in &tensor.codes {
                let _ = writeln!(text, "{code:0digits$x}");
            }
            address += tensor.codes.len();
        }
        text
    }
}

fn tensor_of_c(text: &mut String, tensor: &TensorCodes, name: &str, table: Option<&String>) {
    let _ = write!(
        text,
        "\n/* {} of {}: shape {:?}, {} */\n",
        comment(&tensor.name),
        comment(&tensor.layer),
        tensor.shape,
        comment(&tensor.format),
    );
    let upper = name.to_ascii_uppercase();
    let _ = write!(
        text,
        "#define {upper}_COUNT {}\n#define {upper}_BITS {}\n",
        tensor.codes.len(),
        tensor.bit_width
    );
    let packed: Vec<String> = tensor.packed().iter().map(|byte| format!("0x{byte:02x}")).collect();
    array(text, "uint8_t", &format!("{name}_packed"), &packed);
    let scales: Vec<String> = tensor.scales.iter().map(|&scale| c_float(scale)).collect();
    array(text, "float", &format!("{name}_scale"), &scales);
    let (inner, extent) = match tensor.scale_axis {
        Some(axis) => {
            (tensor.shape[axis + 1..].iter().product::<usize>().max(1), tensor.shape[axis].max(1))
        }
        None => (1, 1),
    };
    let code = format!("fewbit_code({name}_packed, {}, i)", tensor.bit_width);
    let Some(table) = table else { return };
    let value = match tensor.zero_point {
        0.0 => format!("decode_{table}[{code}]"),
        zero => format!("(decode_{table}[{code}] - {})", c_float(zero)),
    };
    let _ = write!(
        text,
        "static inline float {name}(size_t i) {{\n    return {value} * {name}_scale[i / {inner} % {extent}];\n}}\n",
    );
}

fn array(text: &mut String, kind: &str, name: &str, values: &[String]) {
    let _ = write!(text, "static const {kind} {name}[{}] = {{", values.len());
    for (index, value) in values.iter().enumerate() {
        text.push_str(if index % 12 == 0 { "\n    " } else { " " });
        text.push_str(value);
        text.push(',');
    }
    text.push_str("\n};\n");
}

/// A number that C reads as exactly this one.
fn c_float(value: f32) -> String {
    if value.is_nan() {
        "(0.0f / 0.0f)".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "(1.0f / 0.0f)" } else { "(-1.0f / 0.0f)" }.to_owned()
    } else {
        let text = format!("{value:e}");
        if text.contains('.') {
            format!("{text}f")
        } else {
            format!("{}f", text.replace('e', ".0e"))
        }
    }
}

/// Words of C and C++, and what the header and those that it includes define, in any case.
const RESERVED: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char8_t",
    "char16_t",
    "char32_t",
    "class",
    "compl",
    "concept",
    "const",
    "consteval",
    "constexpr",
    "constinit",
    "const_cast",
    "continue",
    "co_await",
    "co_return",
    "co_yield",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "linux",
    "unix",
    "main",
    "fewbit_codes_h",
    "fewbit_code",
    "size_t",
    "ptrdiff_t",
    "max_align_t",
    "nullptr_t",
    "null",
    "offsetof",
    "unreachable",
    "size_max",
    "ptrdiff_min",
    "ptrdiff_max",
    "sig_atomic_min",
    "sig_atomic_max",
    "wchar_min",
    "wchar_max",
    "wint_min",
    "wint_max",
];

/// The types and limits of `stdint.h`.
fn is_of_stdint(upper: &str) -> bool {
    (upper.starts_with("INT") || upper.starts_with("UINT"))
        && ["_T", "_C", "_MIN", "_MAX", "_WIDTH"].iter().any(|end| upper.ends_with(end))
}

/// Names that C takes, each another one, as are those that are derived from them; none differs from another one in
/// nothing but its case.
fn identifiers<'a>(
    names: impl Iterator<Item = &'a str>,
    derived: impl Fn(&str) -> Vec<String>,
    taken: &mut BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for name in names {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let plain = if plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
            plain
        } else {
            format!("t{plain}")
        };
        let upper = |name: &String| -> Vec<String> {
            derived(name).iter().map(|name| name.to_ascii_uppercase()).collect()
        };
        let free = |candidate: &String| {
            upper(candidate).iter().all(|name| !taken.contains(name) && !is_of_stdint(name))
        };
        let numbered = (1_u32..).map(|i| format!("{plain}_{i}"));
        let mut candidates = std::iter::once(plain.clone()).chain(numbered);
        let free = candidates.find(free).unwrap_or_default();
        taken.extend(upper(&free));
        all.insert(name.to_owned(), free);
    }
    all
}

/// Text that ends no comment.
fn comment(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '*' | '\\' => plain.push('_'),
            character if character.is_control() => plain.push('_'),
            character => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_c() {
        for value in [1.0, 0.1, 1.5, -3.0, 1e30, -0.0, f32::MIN_POSITIVE] {
            let text = c_float(value);
            let digits = text.strip_suffix('f').unwrap();
            assert_eq!(digits.parse::<f32>().unwrap().to_bits(), f32::to_bits(value), "{text}");
            assert!(digits.contains(['.', 'e']), "{text}");
        }
    }

    #[test]
    fn names_of_c() {
        let same = |name: &str| vec![name.to_owned()];
        let names = identifiers(
            ["a.b", "a_b", "A_B", "1x", "größe"].into_iter(),
            same,
            &mut BTreeSet::new(),
        );
        let mut all: Vec<&String> = names.values().collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 5);
        assert_eq!((names["1x"].as_str(), names["größe"].as_str()), ("t1x", "gr__e"));
        assert_eq!(comment("a */ b\nc"), "a _/ b_c");
    }

    /// Names of C itself, of the header, and of what belongs to another tensor.
    #[test]
    fn names_that_are_taken() {
        let tensors = [
            "while",
            "class",
            "float",
            "fewbit.code",
            "FEWBIT_CODES_H",
            "size_t",
            "uint8_t",
            "uint32_t",
            "uint64_t",
            "UINT64_C",
            "decode_int4",
            "x",
            "x_packed",
            "x.scale",
            "X_COUNT",
            "x_bits",
            "X",
        ];
        let tensors = tensors.map(|name| TensorCodes {
            name: name.to_owned(),
            layer: "layer".to_owned(),
            format: "int4".to_owned(),
            bit_width: 4,
            shape: vec![2],
            codes: vec![1, 2],
            scales: vec![0.5],
            scale_axis: None,
            zero_point: 0.0,
        });
        let decode = BTreeMap::from([("int4".to_owned(), vec![0.0; 16])]);
        let text = Codes { tensors: tensors.to_vec(), decode, left_out: BTreeMap::new() }
            .to_c_header("test");
        let mut defined = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with(' ')) {
            let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let name = if line.starts_with("#define") {
                words.find(|word| !word.is_empty() && *word != "define")
            } else if line.starts_with("static ") {
                words.find(|word| {
                    let kinds = ["", "static", "const", "inline", "float", "uint8_t", "uint32_t"];
                    !kinds.contains(word)
                })
            } else {
                None
            };
            defined.extend(name.map(str::to_ascii_uppercase));
        }
        assert_eq!(defined.len(), 2 + 1 + 17 * 5, "{text}");
        let all: BTreeSet<&String> = defined.iter().collect();
        assert_eq!(all.len(), defined.len(), "{defined:?}");
        for name in ["WHILE", "CLASS", "FLOAT", "SIZE_T", "UINT8_T", "UINT64_C"] {
            assert!(!defined.iter().any(|other| other == name), "{name}");
        }
        assert!(defined.contains(&"X".to_owned()) && defined.contains(&"X_PACKED".to_owned()));
    }
}
