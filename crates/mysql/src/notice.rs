//! What the user should know although nothing failed: a line on the error output, each text once a process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says it, unless it was said already.
pub(crate) fn warn(text: impl Into<String>) {
    let text = text.into();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.contains(&text) {
        eprintln!("warning: {text}");
        told.insert(text);
    }
}

/// Everything that was said in this process.
pub fn told() -> Vec<String> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}
