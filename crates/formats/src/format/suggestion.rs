//! What somebody may have meant by a name that is none.

/// Names that are offered for misspelt ones.
const OFFERED: [&str; 29] = [
    "e4m3",
    "e5m2",
    "e3m1",
    "e2m1",
    "e1m2",
    "e2m3",
    "e3m2",
    "e3m3",
    "e3m4",
    "e4m2",
    "e5m10",
    "e8m7",
    "e8m23",
    "e4m3-finite",
    "e4m3-ieee",
    "e4m3-fnuz",
    "e5m2-finite",
    "e5m2-fnuz",
    "int2",
    "int4",
    "int8",
    "int16",
    "uint4",
    "uint8",
    "bipolar",
    "binary",
    "ternary",
    "fixed8.4",
    "int8-narrow",
];

/// Names used elsewhere that stand for more than one format, or for one with another name here.
const FOREIGN: [(&str, &str); 12] = [
    ("fp32", "e8m23"),
    ("fp16", "e5m10-ieee"),
    ("bf16", "e8m7-ieee"),
    ("fp8", "e4m3\" or \"e5m2"),
    ("float8", "e4m3\" or \"e5m2"),
    ("fp6", "e3m2\" or \"e2m3"),
    ("float6", "e3m2\" or \"e2m3"),
    ("fp4", "e2m1"),
    ("float4", "e2m1"),
    ("sint8", "int8"),
    ("sint4", "int4"),
    ("1bit", "bipolar\" or \"binary"),
];

/// Returns a hint that names the nearest name, if one is near. `name` is in lower case.
pub(super) fn of(name: &str) -> Option<String> {
    let meant = match FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        Some((_, meant)) => meant,
        None => {
            OFFERED
                .iter()
                .map(|offered| (distance(name, offered), offered))
                .filter(|&(distance, offered)| distance <= 2 && distance < offered.len() - 1)
                .min()?
                .1
        }
    };
    Some(format!("did you mean {}{meant}{}?", '"', '"'))
}

/// How many letters have to be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    // Long names are near to none, and need no table.
    if a.len() > 40 {
        return a.len();
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
            };
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                table[i][j] = table[i][j].min(table[i - 2][j - 2] + 1);
            }
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("e4m3", "e4m3", 0),
            ("e4m33", "e4m3", 1),
            ("", "int8", 4),
            ("in8", "int8", 1),
            ("e3m4", "e4m3", 2),
            ("unit8", "uint8", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn offered_names_are_names() {
        for name in OFFERED {
            let format: crate::Format = name.parse().unwrap();
            let printed = if name == "binary" { "uint1" } else { name };
            assert_eq!(format.to_string(), printed);
        }
        for meant in FOREIGN.iter().flat_map(|(_, meant)| meant.split("\" or \"")) {
            assert!(meant.parse::<crate::Format>().is_ok(), "{meant}");
        }
    }
}
