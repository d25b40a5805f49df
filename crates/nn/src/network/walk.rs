//! Going through layers that contain layers.

use super::layer::{Layer, NamedLayer, Residual};

/// Collects the layers that contain no others, in order of execution.
pub fn leaves<'a>(layers: &'a [NamedLayer], found: &mut Vec<&'a NamedLayer>) {
    for named in layers {
        if let Layer::Residual(residual) = &named.layer {
            leaves(&residual.main, found);
            leaves(&residual.shortcut, found);
        } else {
            found.push(named);
        }
    }
}

/// As [`leaves`], to change them.
pub fn leaves_mut<'a>(layers: &'a mut [NamedLayer], found: &mut Vec<&'a mut NamedLayer>) {
    for named in layers {
        if matches!(named.layer, Layer::Residual(_)) {
            let Layer::Residual(residual) = &mut named.layer else { unreachable!() };
            let Residual { main, shortcut } = &mut **residual;
            leaves_mut(main, found);
            leaves_mut(shortcut, found);
        } else {
            found.push(named);
        }
    }
}
