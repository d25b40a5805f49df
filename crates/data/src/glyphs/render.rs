//! Strokes on a canvas of grey values.

use std::ops::Range;

use super::{PIXELS, SIZE};
use crate::random::Random;

/// Grey values from 0 (black) to 255.
pub(super) struct Canvas {
    values: [f32; PIXELS],
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self { values: [0.0; PIXELS] }
    }

    /// Draws a line with a round pen; where strokes meet, the brighter one is seen.
    ///
    /// A pixel whose centre has the distance `d` gets `ink * clamp(radius - d + 1/2, 0, 1)`.
    pub(super) fn stroke(&mut self, a: [f32; 2], b: [f32; 2], radius: f32, ink: f32) {
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let squared = dx * dx + dy * dy;
        let inverse = if squared > 0.0 { 1.0 / squared } else { 0.0 };
        let columns = touched(a[0], b[0], radius);
        for row in touched(a[1], b[1], radius) {
            let y = row as f32 + 0.5 - a[1];
            for column in columns.clone() {
                let x = column as f32 + 0.5 - a[0];
                let along = ((x * dx + y * dy) * inverse).clamp(0.0, 1.0);
                let (ex, ey) = (x - along * dx, y - along * dy);
                let distance = (ex * ex + ey * ey).sqrt();
                let value = ink * (radius - distance + 0.5).clamp(0.0, 1.0);
                let pixel = &mut self.values[row * SIZE + column];
                *pixel = pixel.max(value);
            }
        }
    }

    /// Blackens a rectangle.
    pub(super) fn hide(&mut self, columns: Range<usize>, rows: Range<usize>) {
        for row in rows.start..rows.end.min(SIZE) {
            self.values[row * SIZE..][columns.start..columns.end.min(SIZE)].fill(0.0);
        }
    }

    /// Adds noise (the sum of two uniform numbers, `strength` at most) and rounds to bytes.
    pub(super) fn finish(&self, strength: f32, random: &mut Random, image: &mut [u8]) {
        let unit = strength / 255.0;
        for (pair, out) in self.values.chunks_exact(2).zip(image.chunks_exact_mut(2)) {
            let [a, b, c, d] = random.u32().to_le_bytes().map(f32::from);
            // The conversion saturates at 0 and 255.
            out[0] = (pair[0] + (a + b - 255.0) * unit + 0.5) as u8;
            out[1] = (pair[1] + (c + d - 255.0) * unit + 0.5) as u8;
        }
    }
}

/// The pixels whose centres a stroke from `a` to `b` can reach, along one axis.
fn touched(a: f32, b: f32, radius: f32) -> Range<usize> {
    let low = (a.min(b) - radius - 1.0).clamp(0.0, SIZE as f32);
    let high = (a.max(b) + radius + 1.0).clamp(0.0, SIZE as f32);
    // Both conversions cut off the fraction; one more pixel at the end makes up for it.
    low as usize..(high as usize + 1).min(SIZE)
}
