//! Files that are read as a whole, column by column: one partition a file, its position the number of delivered rows.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{
    ChangeBatch, ChangelogMode, Error, Place, Position, Read, Reader, Result, Run, Source, SourceDescription,
    TableRequest,
};

use super::discover::{Location, unreadable};
use super::layout::{FileFacts, Layout};
use crate::parquet::Rows;

/// Behind the rows of a file that was read to its end.
const END: &str = " all";

/// A table of such files.
pub(super) struct ColumnarSource {
    request: TableRequest,
    location: Location,
    layout: Arc<Layout>,
}

impl ColumnarSource {
    pub(super) fn new(request: TableRequest, location: Location, follows: bool) -> Result<Self> {
        if follows {
            return Err(Error::usage("option.value", "files of parquet are read as they are, not as they grow")
                .hint("leave 'source.monitor-interval' out")
                .at(Place::Option("source.monitor-interval".to_owned())));
        }
        let layout = Arc::new(Layout::new(&request)?);
        Ok(Self { request, location, layout })
    }
}

impl Source for ColumnarSource {
    fn describe(&self) -> SourceDescription {
        SourceDescription { schema: Arc::clone(&self.request.schema), mode: ChangelogMode::Append, bounded: true }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let files = self.location.files()?.ok_or_else(|| self.location.missing())?;
        let read: HashMap<&str, &str> =
            from.iter().map(|position| (position.partition.as_ref(), position.token.as_ref())).collect();
        let mut left = VecDeque::new();
        for (path, _) in files {
            let token = read.get(path.to_string_lossy().as_ref()).copied().unwrap_or("0");
            if token.ends_with(END) {
                continue;
            }
            let rows = token
                .parse()
                .map_err(|_| Error::bug("filesystem.position", format!("'{token}' is no place in a file")))?;
            left.push_back((path, rows));
        }
        let layout = Arc::clone(&self.layout);
        let (request, all) = (self.request.clone(), left.len());
        Ok(Box::new(ColumnarReader { request, layout, left, all, current: None }))
    }
}

struct Current {
    path: PathBuf,
    facts: FileFacts,
    rows: Rows,
    given: usize,
}

struct ColumnarReader {
    request: TableRequest,
    layout: Arc<Layout>,
    /// With the rows that were delivered before.
    left: VecDeque<(PathBuf, usize)>,
    all: usize,
    current: Option<Current>,
}

impl ColumnarReader {
    fn next_file(&mut self) -> Result<bool> {
        let Some((path, given)) = self.left.pop_front() else { return Ok(false) };
        let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&path, error))?;
        let facts = FileFacts::new(&path, &metadata);
        let rows = Rows::open(file, &path, &self.layout.data, given)?;
        self.current = Some(Current { path, facts, rows, given });
        Ok(true)
    }
}

impl Reader for ColumnarReader {
    fn next(&mut self, _budget: usize, _wait: Duration) -> Result<Read> {
        loop {
            let Some(current) = &mut self.current else {
                if self.next_file()? {
                    continue;
                }
                return Ok(Read::End);
            };
            let (partition, before) = (current.path.to_string_lossy().into_owned(), current.given);
            let position =
                |token: String, given: usize| Position::new(partition.as_str(), token.as_str(), given as u64);
            match current.rows.read()? {
                Some(rows) => {
                    let rows = self.layout.complete(rows, &current.facts)?;
                    current.given += rows.num_rows();
                    let place = position(current.given.to_string(), current.given);
                    let run = Run { end: rows.num_rows(), position: place, ends_transaction: true };
                    let batch = ChangeBatch::insert_only(self.request.table.clone(), rows);
                    return batch.with_runs(vec![run]).map(Read::Rows);
                }
                None => {
                    self.current = None;
                    return Ok(Read::Idle(Some(position(format!("{before}{END}"), before + 1))));
                }
            }
        }
    }

    fn progress(&self) -> Option<f64> {
        let left = self.left.len() + usize::from(self.current.is_some());
        Some(1.0 - left as f64 / self.all.max(1) as f64)
    }
}
