//! Ctrl-C: the first asks the running command to stop where it can go on later, the second ends it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::console;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C asks instead of killing; a second one ends the program at once.
///
/// Called by the commands that look at [`requested`]; all others die of Ctrl-C as usual.
#[expect(clippy::exit, reason = "the second Ctrl-C ends the program, whatever it is doing")]
pub fn listen() {
    let installed = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        console::say_always("\nstopping after this batch; press Ctrl-C again to stop at once");
    });
    // Without a handler Ctrl-C kills the program, which a resumable run survives as well.
    drop(installed);
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
