//! [`Pool`]: the threads on which the shards of keyed operators run, one after the other's batch.
//!
//! Fork and join: shards move to the threads and back, so nothing is shared and nothing locked, and results stand in the
//! order of the shards whatever thread was first.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use headwater_change::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// A thread and the way to it; both go when the pool is dropped.
struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A fixed number of threads that take jobs.
pub(crate) struct Pool {
    workers: Vec<Worker>,
}

impl Pool {
    /// A pool for `parallelism` shards. One of them runs on the caller's thread.
    pub(crate) fn new(parallelism: usize) -> Result<Self> {
        let mut workers = Vec::new();
        for number in 1..parallelism {
            let (sender, jobs): (Sender<Job>, Receiver<Job>) = channel();
            let thread =
                Builder::new().name(format!("shard-{number}")).spawn(move || jobs.iter().for_each(|job| job()));
            let thread = thread.map_err(|error| {
                Error::remote("stream.thread", "a thread cannot be started")
                    .hint("lower --parallelism or raise the limit of threads (ulimit -u)")
                    .caused_by(error)
            })?;
            workers.push(Worker { jobs: Some(sender), thread: Some(thread) });
        }
        Ok(Self { workers })
    }

    /// Runs `work` on every shard at once and gives the shards and results back in order.
    pub(crate) fn run<S, T>(
        &self,
        shards: Vec<S>,
        work: impl Fn(usize, &mut S) -> T + Send + Clone + 'static,
    ) -> Result<(Vec<S>, Vec<T>)>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let (results, done) = channel();
        let mut slots: Vec<Option<(S, T)>> = Vec::new();
        let mut own = Vec::new();
        for (number, mut shard) in shards.into_iter().enumerate() {
            slots.push(None);
            let worker = number
                .checked_sub(1)
                .and_then(|worker| self.workers.get(worker))
                .and_then(|worker| worker.jobs.as_ref());
            match worker {
                Some(worker) => {
                    let (work, results) = (work.clone(), results.clone());
                    let job = Box::new(move || {
                        let result = work(number, &mut shard);
                        // The receiver is gone only when the caller has failed already.
                        let _ = results.send((number, shard, result));
                    });
                    worker.send(job).map_err(|_| lost())?;
                }
                None => own.push((number, shard)),
            }
        }
        drop(results);
        for (number, mut shard) in own {
            let result = work(number, &mut shard);
            slots[number] = Some((shard, result));
        }
        for (number, shard, result) in done {
            slots[number] = Some((shard, result));
        }
        let finished: Option<Vec<(S, T)>> = slots.into_iter().collect();
        Ok(finished.ok_or_else(lost)?.into_iter().unzip())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(|worker| drop(worker.jobs.take()));
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A thread that panicked has been reported by `run`.
                let _ = thread.join();
            }
        }
    }
}

fn lost() -> Error {
    Error::bug("stream.shard_lost", "a shard's thread has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_shards() {
        let pool = Pool::new(3).expect("threads");
        let (shards, results) = pool
            .run(vec![10, 20, 30, 40], |number, shard: &mut i32| {
                *shard += 1;
                (number, *shard)
            })
            .expect("run");
        assert_eq!(shards, [11, 21, 31, 41]);
        assert_eq!(results, [(0, 11), (1, 21), (2, 31), (3, 41)]);
    }

    #[test]
    fn a_panic_on_a_thread_is_an_error() {
        let pool = Pool::new(2).expect("threads");
        let result = pool.run(vec![0, 1], |number, _: &mut i32| assert_ne!(number, 1, "expected by the test"));
        assert_eq!(result.expect_err("lost").code(), "stream.shard_lost");
    }
}
