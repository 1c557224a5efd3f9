//! What the tests of all crates share: changes as text, scripted sources, sinks that remember, failures on demand, and
//! real servers.
//!
//! ```text
//!  text ──batch──► ScriptedSource ──► [FaultySource] ──► what is tested ──► [FaultySink] ──► CollectSink ──► fold
//!                   (cut anew)                                                              (its memory)
//! ```
//!
//! The laws of the product are stated with these: *cuts are invisible* compares the folds of a script and of
//! [`ScriptedSource::recut`] ones, *restart is invisible* compares [`CollectSink`]s with and without failures. A
//! dev-dependency only.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod collect;
mod fault;
mod fold;
mod repository;
mod script;
pub mod servers;
mod skip;
pub mod tpch;

pub use collect::{CollectSink, SinkEvent};
pub use fault::{Fault, FaultySink, FaultySource};
pub use fold::{Memory, fold, fold_upsert};
pub use repository::repository;
pub use script::ScriptedSource;
pub use skip::skipped;

use headwater_change::{ChangeBatch, TableId, notation};

/// A batch of the table `t` in the notation of [`headwater_change::notation`].
///
/// ```
/// let batch = headwater_testkit::batch("op | a Int64\n+I | 1");
/// assert_eq!(batch.len(), 1);
/// ```
///
/// # Panics
/// On text that is not the notation: the test itself is wrong then.
#[track_caller]
#[expect(clippy::panic, reason = "a test with bad text cannot go on")]
pub fn batch(text: &str) -> ChangeBatch {
    match notation::parse(TableId::bare("t"), text) {
        Ok(batch) => batch,
        Err(error) => panic!("{error:?}"),
    }
}
