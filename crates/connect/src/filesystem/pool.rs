//! Decoding on several threads, in order.
//!
//! Chunks are dealt to the workers in turn and taken back in turn, so the order needs no bookkeeping. What is under way
//! is bounded by the number of chunks: [`Pool::room`].

use std::sync::mpsc::{Receiver, Sender, channel};

use arrow::array::RecordBatch;
use headwater_change::{Error, Result};

use crate::lines::{BadLine, Decode};

/// Chunks under way at most: with chunks of 1 MiB about 8 MiB of input.
const UNDER_WAY_MAX: usize = 8;

/// Bytes of whole records, and whatever the reader wants to know about them afterwards.
pub(crate) struct Chunk<T> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: T,
}

/// A decoded chunk; its buffer comes back to be used again.
pub(crate) struct Decoded<T> {
    pub(crate) chunk: Chunk<T>,
    pub(crate) rows: Result<RecordBatch, BadLine>,
}

struct Worker<T> {
    work: Sender<Chunk<T>>,
    done: Receiver<Decoded<T>>,
}

/// Decoders, on threads of their own if there are several.
pub(crate) struct Pool<T> {
    here: Option<Box<dyn Decode>>,
    workers: Vec<Worker<T>>,
    next_in: usize,
    next_out: usize,
    ready: Option<Decoded<T>>,
}

impl<T: Send + 'static> Pool<T> {
    /// A pool of the given decoders: one works in the caller's thread, several each in its own.
    pub(crate) fn new(mut decoders: Vec<Box<dyn Decode>>) -> Result<Self> {
        if decoders.len() <= 1 {
            return Ok(Self { here: decoders.pop(), workers: Vec::new(), next_in: 0, next_out: 0, ready: None });
        }
        let workers = decoders.into_iter().map(spawn).collect::<Result<Vec<_>>>()?;
        Ok(Self { here: None, workers, next_in: 0, next_out: 0, ready: None })
    }

    /// Whether another chunk may be given.
    pub(crate) fn room(&self) -> bool {
        let most = if self.workers.is_empty() { 1 } else { UNDER_WAY_MAX.min(self.workers.len() * 2) };
        self.next_in - self.next_out < most
    }

    /// Gives a chunk to the next decoder.
    pub(crate) fn give(&mut self, chunk: Chunk<T>) -> Result<()> {
        if let Some(decoder) = &mut self.here {
            self.ready = Some(decode(decoder.as_mut(), chunk));
        } else {
            let worker = self.workers.get(self.next_in % self.workers.len().max(1)).ok_or_else(gone)?;
            worker.work.send(chunk).map_err(|_| gone())?;
        }
        self.next_in += 1;
        Ok(())
    }

    /// Takes the oldest chunk back, waiting until it is decoded; `None` when nothing is under way.
    pub(crate) fn take(&mut self) -> Result<Option<Decoded<T>>> {
        if self.next_in == self.next_out {
            return Ok(None);
        }
        let decoded = match self.ready.take() {
            Some(decoded) => decoded,
            None => {
                let worker = self.workers.get(self.next_out % self.workers.len().max(1)).ok_or_else(gone)?;
                worker.done.recv().map_err(|_| gone())?
            }
        };
        self.next_out += 1;
        Ok(Some(decoded))
    }
}

fn gone() -> Error {
    Error::bug("filesystem.worker", "a decoding thread ended unexpectedly")
}

fn decode<T>(decoder: &mut dyn Decode, chunk: Chunk<T>) -> Decoded<T> {
    let rows = decoder
        .decode(&chunk.bytes)
        .and_then(|()| decoder.finish().map_err(|error| BadLine { offset: chunk.bytes.len(), error }));
    Decoded { chunk, rows }
}

/// The thread ends when the pool is dropped, which closes its channel.
fn spawn<T: Send + 'static>(mut decoder: Box<dyn Decode>) -> Result<Worker<T>> {
    let (work, jobs) = channel();
    let (results, done) = channel();
    std::thread::Builder::new()
        .name("headwater-decode".to_owned())
        .spawn(move || {
            while let Ok(chunk) = jobs.recv() {
                if results.send(decode(decoder.as_mut(), chunk)).is_err() {
                    break;
                }
            }
        })
        .map_err(|error| {
            Error::remote("filesystem.thread", "a decoding thread could not be started").caused_by(error)
        })?;
    Ok(Worker { work, done })
}
