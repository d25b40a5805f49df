//! Colours laid one over the other.

use super::{PIXELS, SIZE};
use crate::random::Random;

/// Red, green and blue from 0 to 255.
#[derive(Clone, Copy)]
pub(super) struct Colour([f32; 3]);

impl Colour {
    pub(super) fn draw(random: &mut Random) -> Self {
        Self([(); 3].map(|()| random.between(20.0, 235.0)))
    }

    /// Whether both can be told apart when there is noise.
    pub(super) fn differs_from(self, other: Self) -> bool {
        let difference = self.0.iter().zip(other.0).map(|(a, b)| (a - b).abs()).sum::<f32>();
        difference > 120.0
    }
}

/// A picture that is being painted, plane by plane.
pub(super) struct Painting {
    values: [f32; PIXELS],
}

impl Painting {
    /// Covers everything with a colour and stripes.
    pub(super) fn new(ground: Colour, random: &mut Random) -> Self {
        let mut painting = Self { values: [0.0; PIXELS] };
        let stripes = Stripes::draw(random);
        painting.cover(ground, |_, _| 1.0, |x, y| stripes.at(x, y));
        painting
    }

    /// Paints the points that are inside, with stripes of their own. A pixel has four points.
    pub(super) fn figure(
        &mut self,
        ink: Colour,
        random: &mut Random,
        inside: impl Fn(f32, f32) -> bool,
    ) {
        let stripes = Stripes::draw(random);
        let share = |x: f32, y: f32| {
            let points = [(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)];
            points.iter().filter(|(dx, dy)| inside(x + dx, y + dy)).count() as f32 * 0.25
        };
        self.cover(ink, share, |x, y| stripes.at(x, y));
    }

    /// Paints a small disc anywhere.
    pub(super) fn spot(&mut self, random: &mut Random) {
        let colour = Colour::draw(random);
        let [x, y] = [(); 2].map(|()| random.between(0.0, SIZE as f32));
        let radius = random.between(1.0, 3.5);
        self.cover(colour, |px, py| edge(radius, length(px - x, py - y)), |_, _| 0.0);
    }

    /// Paints a thin line anywhere.
    pub(super) fn line(&mut self, random: &mut Random) {
        let colour = Colour::draw(random);
        let start = [(); 2].map(|()| random.between(0.0, SIZE as f32));
        let [dx, dy] = [(); 2].map(|()| random.between(-14.0, 14.0));
        let radius = random.between(0.4, 0.9);
        let squared = dx * dx + dy * dy;
        let inverse = if squared > 0.0 { 1.0 / squared } else { 0.0 };
        let share = |x: f32, y: f32| {
            let (x, y) = (x - start[0], y - start[1]);
            let along = ((x * dx + y * dy) * inverse).clamp(0.0, 1.0);
            edge(radius, length(x - along * dx, y - along * dy))
        };
        self.cover(colour, share, |_, _| 0.0);
    }

    /// Hides a rectangle anywhere under one colour.
    pub(super) fn patch(&mut self, random: &mut Random) {
        let colour = Colour::draw(random);
        let [width, height] = [(); 2].map(|()| random.between(2.0, 7.0));
        let [left, top] = [(); 2].map(|()| random.between(0.0, 26.0));
        let inside = |x: f32, y: f32| x > left && x < left + width && y > top && y < top + height;
        self.cover(colour, |x, y| if inside(x, y) { 1.0 } else { 0.0 }, |_, _| 0.0);
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

    /// Lays a colour, made lighter by `light`, over a share of each pixel.
    fn cover(
        &mut self,
        colour: Colour,
        share: impl Fn(f32, f32) -> f32,
        light: impl Fn(f32, f32) -> f32,
    ) {
        for row in 0..SIZE {
            for column in 0..SIZE {
                let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
                let share = share(x, y);
                if share > 0.0 {
                    let light = light(x, y);
                    for (plane, channel) in colour.0.iter().enumerate() {
                        let value = &mut self.values[(plane * SIZE + row) * SIZE + column];
                        *value += (channel + light - *value) * share;
                    }
                }
            }
        }
    }
}

/// Bands of light and dark, and a slope across the image.
struct Stripes {
    direction: [f32; 2],
    phase: f32,
    strength: f32,
    slope: [f32; 2],
}

impl Stripes {
    fn draw(random: &mut Random) -> Self {
        Self {
            // At most a band in four pixels.
            direction: [(); 2].map(|()| random.between(-0.18, 0.18)),
            phase: random.between(0.0, 1.0),
            strength: random.between(0.0, 30.0),
            slope: [(); 2].map(|()| random.between(-1.6, 1.6)),
        }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x - 16.0, y - 16.0);
        let place = self.direction[0] * x + self.direction[1] * y + self.phase;
        // A triangular wave from -1 to 1.
        let wave = 4.0 * (place - place.floor() - 0.5).abs() - 1.0;
        self.strength * wave + self.slope[0] * x + self.slope[1] * y
    }
}

/// How much of a pixel is covered whose centre has this distance from the middle of a round pen.
fn edge(radius: f32, distance: f32) -> f32 {
    (radius - distance + 0.5).clamp(0.0, 1.0)
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}
