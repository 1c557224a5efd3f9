//! Sources and sinks that fail when a test says so: at the n-th call, before or after it had its effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_change::{
    ChangeBatch, Epoch, Error, Owner, Position, Read, Reader, Receipt, Result, SchemaChange, Sink, SinkDescription,
    Source, SourceDescription, Writer,
};

/// A call that fails with [`headwater_change::ErrorKind::Remote`] and code `testkit.fault`. Calls are counted from 1
/// over the whole life of the faulty thing, so they go on behind a failure and a second opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done: the request was lost.
    Before(u64),
    /// All was done: the answer was lost.
    After(u64),
}

#[derive(Debug)]
struct Faults {
    planned: Vec<Fault>,
    calls: AtomicU64,
}

impl Faults {
    fn new(planned: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        Arc::new(Self { planned: planned.into_iter().collect(), calls: AtomicU64::new(0) })
    }

    fn call<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let failure = |when| Error::remote("testkit.fault", format!("scripted failure {when} call {number}"));
        if self.planned.contains(&Fault::Before(number)) {
            return Err(failure("before"));
        }
        let done = work()?;
        if self.planned.contains(&Fault::After(number)) { Err(failure("after")) } else { Ok(done) }
    }
}

/// A source whose `open` and `next` fail as planned.
pub struct FaultySource {
    inner: Box<dyn Source>,
    faults: Arc<Faults>,
}

impl FaultySource {
    /// The source `inner` with these failures.
    pub fn new(inner: impl Source + 'static, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { inner: Box::new(inner), faults: Faults::new(faults) }
    }

    /// Number of calls so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.faults.calls.load(Ordering::SeqCst)
    }
}

impl Source for FaultySource {
    fn describe(&self) -> SourceDescription {
        self.inner.describe()
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let inner = self.faults.call(|| self.inner.open(from))?;
        Ok(Box::new(FaultyReader { inner, faults: Arc::clone(&self.faults) }))
    }
}

struct FaultyReader {
    inner: Box<dyn Reader>,
    faults: Arc<Faults>,
}

impl Reader for FaultyReader {
    fn next(&mut self, budget: usize, wait: Duration) -> Result<Read> {
        self.faults.call(|| self.inner.next(budget, wait))
    }
}

/// A sink whose `open` and all calls of its writer fail as planned.
pub struct FaultySink {
    inner: Box<dyn Sink>,
    faults: Arc<Faults>,
}

impl FaultySink {
    /// The sink `inner` with these failures.
    pub fn new(inner: impl Sink + 'static, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { inner: Box::new(inner), faults: Faults::new(faults) }
    }

    /// Number of calls so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.faults.calls.load(Ordering::SeqCst)
    }
}

impl Sink for FaultySink {
    fn describe(&self) -> SinkDescription {
        self.inner.describe()
    }

    fn open(&self, owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>> {
        let inner = self.faults.call(|| self.inner.open(owner, committed))?;
        Ok(Box::new(FaultyWriter { inner, faults: Arc::clone(&self.faults) }))
    }
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    faults: Arc<Faults>,
}

impl Writer for FaultyWriter {
    fn recover(&mut self) -> Result<Option<Epoch>> {
        self.faults.call(|| self.inner.recover())
    }

    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.faults.call(|| self.inner.write(batch))
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        self.faults.call(|| self.inner.seal(epoch))
    }

    fn publish(&mut self, receipt: &Receipt) -> Result<()> {
        self.faults.call(|| self.inner.publish(receipt))
    }

    fn schema(&mut self, change: &SchemaChange) -> Result<()> {
        self.faults.call(|| self.inner.schema(change))
    }
}

#[cfg(test)]
mod tests {
    use headwater_change::ErrorKind;

    use super::*;
    use crate::{CollectSink, ScriptedSource, batch};

    #[test]
    fn a_source_fails_at_the_planned_calls_and_goes_on() {
        let script = ScriptedSource::new(vec![batch("op | a Int64\n+I | 1")]).expect("one batch");
        let source = FaultySource::new(script, [Fault::Before(1), Fault::After(3)]);
        let error = source.open(&[]).err().expect("call 1 fails");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Remote, "testkit.fault"));
        let mut reader = source.open(&[]).expect("call 2 does not");
        assert_eq!(
            reader.next(1, Duration::ZERO).expect_err("call 3 fails").message(),
            "scripted failure after call 3"
        );
        assert!(matches!(reader.next(1, Duration::ZERO), Ok(Read::End)), "the rows of call 3 were taken and lost");
        assert_eq!(source.calls(), 4);
    }

    #[test]
    fn a_failure_after_publishing_leaves_the_epoch_published() {
        let memory = CollectSink::new();
        let sink = FaultySink::new(memory.clone(), [Fault::Before(3), Fault::After(5)]);
        let mut writer = sink.open(&Owner::new(false), Epoch(0)).expect("call 1");
        writer.write(&batch("op | a Int64\n+I | 1")).expect("call 2");
        writer.seal(Epoch(1)).expect_err("call 3");
        let receipt = writer.seal(Epoch(1)).expect("call 4");
        assert_eq!(writer.publish(&receipt).expect_err("call 5").kind(), ErrorKind::Remote);
        assert_eq!(memory.rows().expect("consistent"), ["1"]);
        writer.publish(&receipt).expect("publishing twice is publishing once");
        assert_eq!(memory.rows().expect("consistent"), ["1"]);
    }
}
