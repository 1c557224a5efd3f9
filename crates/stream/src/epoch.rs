//! When an epoch ends and what a restart must do: decisions without side effects.
//!
//! An epoch ends only between two source transactions. Its commit is one atomic write of state, positions and receipts;
//! what was not committed was never published, and what was committed is published again after a crash.

use headwater_change::{Epoch, Error, Receipt, Result};

/// What the loop knows when it asks what to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Sources that stand inside a transaction.
    pub(crate) open_transactions: usize,
    /// Whether anything came since the last commit: rows, positions, or the end of a source.
    pub(crate) changed: bool,
    /// Whether the epoch's time is over.
    pub(crate) due: bool,
    /// Whether a clean stop was asked for.
    pub(crate) stopped: bool,
    /// Whether all sources are exhausted.
    pub(crate) exhausted: bool,
}

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pull from all sources.
    Pull,
    /// Pull only from sources that stand inside a transaction.
    FinishTransactions,
    /// Commit the epoch and go on.
    Commit,
    /// Commit the epoch and return.
    CommitAndEnd,
    /// Return: all is committed.
    End,
}

/// What to do next.
pub(crate) fn step(now: Situation) -> Step {
    let ending = now.stopped || now.exhausted;
    match now {
        Situation { open_transactions: 1.., exhausted: false, .. } if ending || now.due => Step::FinishTransactions,
        Situation { open_transactions: 1.., exhausted: false, .. } => Step::Pull,
        Situation { changed: true, .. } if ending => Step::CommitAndEnd,
        _ if ending => Step::End,
        Situation { changed: true, due: true, .. } => Step::Commit,
        _ => Step::Pull,
    }
}

/// Whether the stored receipt of a sink must be published again.
///
/// `committed` is the last epoch of the state, `target` the last one that the target itself knows.
///
/// # Errors
/// [`headwater_change::ErrorKind::Fenced`] when the target is ahead of the state: then the state is older than the target
/// or belongs to another pipeline, and going on would write changes twice.
pub(crate) fn publishes_again(committed: Epoch, target: Option<Epoch>, receipt: Option<&Receipt>) -> Result<bool> {
    match target {
        Some(target) if target > committed => Err(Error::fenced(
            "state.behind_target",
            format!("the target has seen epoch {target}, the state ends at epoch {committed}"),
        )
        .hint("use the state folder that this target was written with, or empty the target and start anew")),
        Some(target) if target == committed => Ok(false),
        _ => Ok(receipt.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Situation =
        Situation { open_transactions: 0, changed: false, due: false, stopped: false, exhausted: false };

    #[test]
    fn an_epoch_ends_only_between_two_transactions() {
        for (due, stopped) in [(true, false), (false, true), (true, true)] {
            let inside = Situation { open_transactions: 1, changed: true, due, stopped, ..QUIET };
            assert_eq!(step(inside), Step::FinishTransactions);
            let between = Situation { open_transactions: 0, ..inside };
            assert_eq!(step(between), if stopped { Step::CommitAndEnd } else { Step::Commit });
        }
    }

    #[test]
    fn nothing_is_committed_when_nothing_came() {
        assert_eq!(step(Situation { due: true, ..QUIET }), Step::Pull);
        assert_eq!(step(Situation { stopped: true, ..QUIET }), Step::End);
        assert_eq!(step(Situation { exhausted: true, ..QUIET }), Step::End);
    }

    #[test]
    fn rows_wait_for_the_end_of_their_epoch() {
        assert_eq!(step(Situation { changed: true, ..QUIET }), Step::Pull);
        assert_eq!(step(Situation { changed: true, open_transactions: 2, ..QUIET }), Step::Pull);
        assert_eq!(step(Situation { changed: true, exhausted: true, ..QUIET }), Step::CommitAndEnd);
    }

    #[test]
    fn a_source_that_ends_inside_a_transaction_ends_it() {
        let cut_off = Situation { open_transactions: 1, exhausted: true, changed: true, ..QUIET };
        assert_eq!(step(cut_off), Step::CommitAndEnd);
    }

    #[test]
    fn a_receipt_is_published_again_unless_the_target_has_it() {
        let receipt = Receipt { epoch: Epoch(3), token: Vec::new() };
        let again = |target, receipt| publishes_again(Epoch(3), target, receipt).expect("not ahead");
        assert!(again(None, Some(&receipt)), "a target without a memory");
        assert!(again(Some(Epoch(2)), Some(&receipt)), "killed between commit and publish");
        assert!(!again(Some(Epoch(3)), Some(&receipt)), "killed after publish");
        assert!(!again(None, None), "a new pipeline");
    }

    #[test]
    fn a_target_ahead_of_the_state_is_fenced() {
        let error = publishes_again(Epoch(3), Some(Epoch(4)), None).expect_err("ahead");
        assert_eq!((error.kind(), error.code()), (headwater_change::ErrorKind::Fenced, "state.behind_target"));
    }
}
