//! The ten figures, each as the question whether a point lies in it. About 1.6 square units each, around the origin.
//!
//! Several resemble each other on purpose: disc, square and star when they are small, ring and crescent, ring and frame,
//! cross, tee and ell.

/// The figures, by class.
pub(super) const FIGURES: [fn(f32, f32) -> bool; 10] =
    [disc, ring, square, frame, triangle, star, cross, crescent, ell, tee];

fn disc(x: f32, y: f32) -> bool {
    x * x + y * y < 0.72 * 0.72
}

fn ring(x: f32, y: f32) -> bool {
    let squared = x * x + y * y;
    (0.5 * 0.5..0.88 * 0.88).contains(&squared)
}

fn square(x: f32, y: f32) -> bool {
    x.abs().max(y.abs()) < 0.64
}

fn frame(x: f32, y: f32) -> bool {
    (0.46..0.8).contains(&x.abs().max(y.abs()))
}

fn triangle(x: f32, y: f32) -> bool {
    // The three sides at their distance from the centre; 0.866 is the sine of 60 degrees.
    y < 0.56 && 0.866 * x - 0.5 * y < 0.56 && -0.866 * x - 0.5 * y < 0.56
}

/// In at least four of the five half-planes whose borders are the lines of a pentagram.
fn star(x: f32, y: f32) -> bool {
    const NORMALS: [[f32; 2]; 5] =
        [[0.0, -1.0], [0.951, -0.309], [0.588, 0.809], [-0.588, 0.809], [-0.951, -0.309]];
    let inside = NORMALS.iter().filter(|normal| normal[0] * x + normal[1] * y < 0.39);
    inside.count() >= 4
}

fn cross(x: f32, y: f32) -> bool {
    let (x, y) = (x.abs(), y.abs());
    x.min(y) < 0.27 && x.max(y) < 0.9
}

fn crescent(x: f32, y: f32) -> bool {
    x * x + y * y < 0.95 * 0.95 && (x - 0.42) * (x - 0.42) + y * y > 0.72 * 0.72
}

fn ell(x: f32, y: f32) -> bool {
    let upright = (-0.8..-0.22).contains(&x) && (-0.9..0.8).contains(&y);
    let foot = (-0.8..0.75).contains(&x) && (0.22..0.8).contains(&y);
    upright || foot
}

fn tee(x: f32, y: f32) -> bool {
    let bar = (-0.88..0.88).contains(&x) && (-0.8..-0.24).contains(&y);
    let stem = (-0.29..0.29).contains(&x) && (-0.24..0.85).contains(&y);
    bar || stem
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No class is given away by how much ink it takes.
    #[test]
    fn areas_are_about_equal() {
        for (class, figure) in FIGURES.iter().enumerate() {
            let points = (-150..150).flat_map(|i| (-150..150).map(move |j| (i, j)));
            let inside = points.filter(|&(i, j)| figure(i as f32 / 100.0, j as f32 / 100.0));
            let area = inside.count() as f32 / 10_000.0;
            assert!((1.3..1.8).contains(&area), "class {class}: {area}");
        }
    }
}
