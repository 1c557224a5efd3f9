//! Runs that die and come back: a backend that outlives them, and failures wherever the test wants them.

use std::sync::{Arc, Mutex};

use arrow::array::{BinaryArray, RecordBatch};
use headwater_change::{
    Epoch, Error, Owner, Position, Reader, Result, Sink, SinkDescription, Source, SourceDescription, Writer,
};
use headwater_state::{Backend, Commit, Committed, MemoryBackend, TableKey};

/// A source or sink that several runs share.
pub struct Shared<T>(pub Arc<T>);

impl<T: Source> Source for Shared<T> {
    fn describe(&self) -> SourceDescription {
        self.0.describe()
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        self.0.open(from)
    }
}

impl<T: Sink> Sink for Shared<T> {
    fn describe(&self) -> SinkDescription {
        self.0.describe()
    }

    fn open(&self, owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>> {
        self.0.open(owner, committed)
    }
}

/// What a backend's folder would hold, and which commits fail: `(number, after)`, where `after` means that the commit was
/// made and only its answer lost.
pub struct Folder {
    backend: MemoryBackend,
    commits: u64,
    faults: Vec<(u64, bool)>,
}

/// A backend over a folder that outlives it.
pub struct Opened {
    folder: Arc<Mutex<Folder>>,
    committed: Committed,
}

pub fn folder(faults: Vec<(u64, bool)>) -> Arc<Mutex<Folder>> {
    Arc::new(Mutex::new(Folder { backend: MemoryBackend::keeping_rows(), commits: 0, faults }))
}

pub fn open(folder: &Arc<Mutex<Folder>>) -> Box<dyn Backend> {
    let committed = folder.lock().expect("lock").backend.committed().clone();
    Box::new(Opened { folder: Arc::clone(folder), committed })
}

impl Backend for Opened {
    fn owner(&self) -> Owner {
        self.folder.lock().expect("lock").backend.owner()
    }

    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn restore(
        &mut self,
        table: TableKey,
        visit: &mut dyn FnMut(&RecordBatch, &BinaryArray) -> Result<()>,
    ) -> Result<()> {
        self.folder.lock().expect("lock").backend.restore(table, visit)
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        let mut folder = self.folder.lock().expect("lock");
        folder.commits += 1;
        let number = folder.commits;
        let lost = || Err(Error::remote("test.fault", format!("scripted failure of commit {number}")));
        if folder.faults.contains(&(number, false)) {
            return lost();
        }
        folder.backend.commit(commit)?;
        self.committed = folder.backend.committed().clone();
        if folder.faults.contains(&(number, true)) { lost() } else { Ok(()) }
    }
}
