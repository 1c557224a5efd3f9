//! Whether the process was told to leave its sources alone for a while: one hand for all that read.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// Pauses, or goes on; gives which of them.
pub fn toggle() -> bool {
    !ON.fetch_xor(true, Ordering::SeqCst)
}

/// Whether sources are to be left alone.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}
