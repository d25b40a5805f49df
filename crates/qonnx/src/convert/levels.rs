//! Where the result of a quantizer changes: the smallest inputs that give each code.

use fewbit_formats::Format;

use super::quantizers::Quantizer;

/// Integer codes without gaps, and the smallest input for each but the first.
pub(super) struct Levels {
    /// The code of everything below the first threshold.
    pub(super) lowest: i64,
    /// `thresholds[i]` is the smallest input whose code is at least `lowest + i + 1`.
    pub(super) thresholds: Vec<f32>,
    /// The value of the code 1.
    pub(super) unit: f32,
}

/// More codes than these make no table.
const MOST: i64 = 1 << 12;

/// The levels of a quantizer with one scale.
pub(super) fn of(quantizer: &Quantizer) -> Result<Levels, String> {
    let scale = quantizer.one_scale()?;
    let (step, lowest, highest) = match quantizer.format {
        Format::Float(format) => {
            let grid = format
                .integer_grid()
                .ok_or_else(|| format!("{} lies on no integer grid", quantizer.format))?;
            let most = i64::from(grid.max_multiple);
            (grid.step, if quantizer.positive { 0 } else { -most }, most)
        }
        Format::Integer(format) => {
            if quantizer.zero_point != 0.0 {
                return Err("a zero point that is not zero".to_owned());
            }
            (1.0, format.min(), format.max())
        }
        Format::Bipolar => (1.0, -1, 1),
        format => return Err(format!("the format {format}")),
    };
    let unit = scale * step;
    if highest - lowest > MOST || !unit.is_normal() {
        return Err(format!("{} has too many codes for thresholds", quantizer.format));
    }
    let code = |x: f32| -> i64 {
        let u = x / scale;
        match quantizer.format {
            Format::Float(format) => (format.quantize(u) / step) as i64,
            Format::Bipolar => {
                if u >= 0.0 {
                    1
                } else {
                    -1
                }
            }
            _ => {
                let limited = f64::from(u).clamp(lowest as f64, highest as f64) as f32;
                quantizer.rounding_mode.apply(limited) as i64
            }
        }
    };
    let mut thresholds = Vec::new();
    let mut from = key(f32::MIN);
    for wanted in lowest + 1..=highest {
        // The code rises with the input: halve the numbers between.
        let (mut low, mut high) = (from, key(f32::MAX));
        while low < high {
            let middle = low + (high - low) / 2;
            if code(of_key(middle)) >= wanted { high = middle } else { low = middle + 1 }
        }
        if code(of_key(low)) < wanted {
            return Err(format!("the code {wanted} is never reached"));
        }
        thresholds.push(of_key(low));
        from = low;
    }
    Ok(Levels { lowest, thresholds, unit })
}

/// Numbers the f32 in order; both zeros are 0.
fn key(v: f32) -> i64 {
    let magnitude = i64::from(v.to_bits() & 0x7fff_ffff);
    if v < 0.0 { -magnitude } else { magnitude }
}

fn of_key(key: i64) -> f32 {
    let magnitude = f32::from_bits(key.unsigned_abs() as u32);
    if key < 0 { -magnitude } else { magnitude }
}
