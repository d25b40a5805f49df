//! The table of a cost as CSV and Markdown.

use std::fmt::Write as _;

use super::{Cost, LayerCost};

const COLUMNS: [&str; 15] = [
    "name",
    "operator",
    "macs",
    "input_type",
    "weight_type",
    "output_type",
    "input_bits",
    "weight_bits",
    "output_bits",
    "weight_density",
    "bops",
    "gates_per_mac",
    "gate_operations",
    "accumulator",
    "accumulator_bits",
];

impl Cost {
    /// The layers as lines of comma-separated values, the header first.
    pub fn to_csv(&self) -> String {
        let mut text = COLUMNS.join(",");
        text.push_str("\r\n");
        for layer in &self.layers {
            let cells: Vec<String> = cells(layer).iter().map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }

    /// The layers and their sums as a table of Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| layer | operator | MACs | input | weight | weight bits | output bits | BOPs | gates/MAC | accumulator |\n\
             |---|---|---:|---|---|---:|---:|---:|---:|---|\n",
        );
        for layer in &self.layers {
            let accumulator = match layer.gates_per_mac.accumulator {
                super::Accumulator::Exact => {
                    format!("{} bits", layer.gates_per_mac.accumulator_bits)
                }
                super::Accumulator::Float32 => "float32".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {accumulator} |",
                plain(&layer.name),
                plain(&layer.operator),
                layer.macs,
                plain(&layer.input.format),
                plain(&layer.weight.format),
                layer.weight.bits,
                layer.output.bits,
                layer.bops,
                layer.gates_per_mac.total,
            );
        }
        let total = &self.total;
        let _ = writeln!(
            text,
            "| **total** | | {} | | | {} | {} | {} | | |",
            total.total_macs, total.total_mem_w_bits, total.total_mem_o_bits, total.total_bops
        );
        text
    }
}

fn cells(layer: &LayerCost) -> [String; COLUMNS.len()] {
    let accumulator = match layer.gates_per_mac.accumulator {
        super::Accumulator::Exact => "exact",
        super::Accumulator::Float32 => "float32",
    };
    [
        layer.name.clone(),
        layer.operator.clone(),
        layer.macs.to_string(),
        layer.input.data_type.clone(),
        layer.weight.data_type.clone(),
        layer.output.data_type.clone(),
        layer.input.bits.to_string(),
        layer.weight.bits.to_string(),
        layer.output.bits.to_string(),
        layer.weight_density.to_string(),
        layer.bops.to_string(),
        layer.gates_per_mac.total.to_string(),
        layer.gate_operations.to_string(),
        accumulator.to_owned(),
        layer.gates_per_mac.accumulator_bits.to_string(),
    ]
}

/// A cell that may hold anything (RFC 4180), and that no spreadsheet takes for a formula.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@', '\t', '\r'])
        || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

/// Text in a cell of Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '[' | ']' | '&' => {
                plain.push('\\');
                plain.push(character);
            }
            '<' => plain.push_str("&lt;"),
            character if character.is_control() => {
                plain.extend(character.escape_unicode());
            }
            character => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_in_their_cells() {
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("-1.5"), "-1.5");
        assert_eq!(plain("a|b<c>\u{1b}[31m"), "a\\|b&lt;c>\\u{1b}\\[31m");
    }
}
