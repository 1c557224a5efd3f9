//! [`CollectSink`]: a target in memory that obeys epochs as a good one does.
//!
//! ```text
//!  write ──► written ──seal(epoch)──► sealed ──publish(receipt)──► published ──► rows()
//!              └── lost when the writer goes      └── later epochs than the committed one are taken back by open
//! ```
//!
//! Clones share one memory, which outlives every writer as a server outlives its clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, Owner, Receipt, Result, Sink, SinkDescription, Writer,
};

use crate::fold;

/// What was asked of a [`CollectSink`], so that a test can check the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkEvent {
    /// Opened with this committed epoch.
    Opened(Epoch),
    /// So many rows were written.
    Wrote(usize),
    /// The epoch was sealed.
    Sealed(Epoch),
    /// The epoch was published, perhaps again.
    Published(Epoch),
}

/// An exactly-once sink into shared memory.
#[derive(Clone, Debug)]
pub struct CollectSink {
    accepts: ChangelogMode,
    each_change: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts openings; a writer of an earlier one is fenced off.
    opening: u64,
    written: Vec<ChangeBatch>,
    sealed: BTreeMap<Epoch, Vec<ChangeBatch>>,
    published: BTreeMap<Epoch, Vec<ChangeBatch>>,
    events: Vec<SinkEvent>,
}

impl CollectSink {
    /// An empty one that takes every changelog with full images.
    pub fn new() -> Self {
        Self::accepting(ChangelogMode::Retract)
    }

    /// An empty one that takes only this kind of changelog.
    pub fn accepting(accepts: ChangelogMode) -> Self {
        Self { accepts, each_change: false, shared: Arc::default() }
    }

    /// The same one, which wants the changes of each row.
    #[must_use]
    pub fn each_change(self) -> Self {
        Self { each_change: true, ..self }
    }

    /// The published batches in the order of their epochs.
    pub fn published(&self) -> Vec<ChangeBatch> {
        self.lock().published.values().flatten().cloned().collect()
    }

    /// The published epochs, those without rows included.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.lock().published.keys().copied().collect()
    }

    /// The rows that the published batches fold to; see [`crate::fold`].
    pub fn rows(&self) -> Result<Vec<String>> {
        fold(&self.published())
    }

    /// Everything that was asked of it so far.
    pub fn events(&self) -> Vec<SinkEvent> {
        self.lock().events.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A test that panicked elsewhere left nothing half done here.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CollectSink {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for CollectSink {
    fn describe(&self) -> SinkDescription {
        SinkDescription {
            accepts: self.accepts.clone(),
            delivery: Delivery::ExactlyOnce,
            each_change: self.each_change,
        }
    }

    fn open(&self, _owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>> {
        let mut shared = self.lock();
        shared.opening += 1;
        shared.written.clear();
        shared.sealed.retain(|epoch, _| *epoch <= committed);
        shared.published.retain(|epoch, _| *epoch <= committed);
        shared.events.push(SinkEvent::Opened(committed));
        let opening = shared.opening;
        drop(shared);
        Ok(Box::new(CollectWriter { sink: self.clone(), opening }))
    }
}

struct CollectWriter {
    sink: CollectSink,
    opening: u64,
}

impl CollectWriter {
    fn shared(&self) -> Result<MutexGuard<'_, Shared>> {
        let shared = self.sink.lock();
        if shared.opening != self.opening {
            return Err(Error::fenced("testkit.writer", "the sink was opened again"));
        }
        Ok(shared)
    }
}

impl Writer for CollectWriter {
    fn recover(&mut self) -> Result<Option<Epoch>> {
        Ok(self.shared()?.published.keys().next_back().copied())
    }

    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        let mut shared = self.shared()?;
        shared.written.push(batch.clone());
        shared.events.push(SinkEvent::Wrote(batch.len()));
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        let mut shared = self.shared()?;
        let last = shared.sealed.keys().chain(shared.published.keys()).max().copied();
        if epoch == Epoch(0) || last.is_some_and(|last| epoch <= last) {
            return Err(Error::bug("testkit.epoch", format!("epoch {epoch} is sealed behind {last:?}")));
        }
        let written = std::mem::take(&mut shared.written);
        shared.sealed.insert(epoch, written);
        shared.events.push(SinkEvent::Sealed(epoch));
        Ok(Receipt { epoch, token: epoch.to_string().into_bytes() })
    }

    fn publish(&mut self, receipt: &Receipt) -> Result<()> {
        let mut shared = self.shared()?;
        if receipt.token != receipt.epoch.to_string().into_bytes() {
            return Err(Error::bug("testkit.receipt", "the receipt is not one of this sink"));
        }
        match shared.sealed.remove(&receipt.epoch) {
            Some(batches) => drop(shared.published.insert(receipt.epoch, batches)),
            None if shared.published.contains_key(&receipt.epoch) => {}
            None => return Err(Error::fenced("testkit.epoch", format!("epoch {} was never sealed", receipt.epoch))),
        }
        shared.events.push(SinkEvent::Published(receipt.epoch));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_change::ErrorKind;

    use super::*;
    use crate::batch;

    #[test]
    fn rows_are_seen_once_their_epoch_is_published() {
        let sink = CollectSink::new();
        let mut writer = sink.open(&Owner::new(false), Epoch(0)).expect("opens");
        writer.write(&batch("op | a Int64\n+I | 1")).expect("writes");
        let first = writer.seal(Epoch(1)).expect("seals");
        assert!(sink.published().is_empty(), "sealed is not yet seen");
        writer.publish(&first).expect("publishes");
        assert_eq!((sink.rows().expect("consistent"), sink.epochs()), (vec!["1".to_owned()], vec![Epoch(1)]));
        assert_eq!(writer.recover().expect("remembers"), Some(Epoch(1)));
        let expected = [
            SinkEvent::Opened(Epoch(0)),
            SinkEvent::Wrote(1),
            SinkEvent::Sealed(Epoch(1)),
            SinkEvent::Published(Epoch(1)),
        ];
        assert_eq!(sink.events(), expected);
    }

    #[test]
    fn after_a_crash_committed_receipts_publish_and_the_rest_is_taken_back() {
        let sink = CollectSink::new();
        let mut writer = sink.open(&Owner::new(false), Epoch(0)).expect("opens");
        let mut receipts = Vec::new();
        for epoch in 1..=3 {
            writer.write(&batch(&format!("op | a Int64\n+I | {epoch}"))).expect("writes");
            receipts.push(writer.seal(Epoch(epoch)).expect("seals"));
        }
        writer.write(&batch("op | a Int64\n+I | 4")).expect("writes");
        writer.publish(&receipts[0]).expect("publishes");

        let mut again = sink.open(&Owner::new(false), Epoch(2)).expect("opens");
        assert_eq!(writer.recover().expect_err("fenced off").kind(), ErrorKind::Fenced);
        assert_eq!(again.recover().expect("remembers"), Some(Epoch(1)));
        for receipt in &receipts[..2] {
            again.publish(receipt).expect("publishes, the first a second time");
        }
        assert_eq!(again.publish(&receipts[2]).expect_err("taken back").kind(), ErrorKind::Fenced);
        let third = again.seal(Epoch(3)).expect("the epoch comes again, now without rows");
        again.publish(&third).expect("publishes");
        assert_eq!(sink.rows().expect("consistent"), ["1", "2"]);
    }

    #[test]
    fn epochs_only_grow_and_receipts_are_not_invented() {
        let sink = CollectSink::new();
        let mut writer = sink.open(&Owner::new(false), Epoch(0)).expect("opens");
        assert_eq!(writer.seal(Epoch(0)).expect_err("means nothing committed").kind(), ErrorKind::Bug);
        writer.seal(Epoch(2)).expect("seals");
        assert_eq!(writer.seal(Epoch(2)).expect_err("sealed already").code(), "testkit.epoch");
        let invented = Receipt { epoch: Epoch(2), token: b"x".to_vec() };
        assert_eq!(writer.publish(&invented).expect_err("not ours").code(), "testkit.receipt");
    }
}
