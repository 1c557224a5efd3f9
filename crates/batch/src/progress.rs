//! How far a query has come, for people to look at while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_change::Asked;

/// The tables that are being read.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Vec<Arc<Table>>>>);

/// A table being read.
#[derive(Debug)]
pub struct Table {
    /// Its name in the query.
    pub name: String,
    rows: AtomicU64,
    /// In thousandths; more than all where it is not known.
    share: AtomicU64,
    asked: Mutex<Vec<Asked>>,
    held: Mutex<Option<String>>,
}

const UNKNOWN: u64 = u64::MAX;

impl Table {
    /// Rows that were read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The share of the table that was read, from 0 to 1, where it is known.
    pub fn share(&self) -> Option<f64> {
        let share = self.share.load(Ordering::Relaxed);
        (share != UNKNOWN).then(|| share as f64 / 1_000.0)
    }

    /// What was asked for it, when it was read to its end.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing is read of it for now.
    pub fn held(&self) -> Option<String> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hold(&self, why: Option<String>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(crate) fn ended(&self, asked: Vec<Asked>) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    pub(crate) fn read(&self, rows: usize, share: Option<f64>) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.share.store(share.map_or(UNKNOWN, |share| (share * 1_000.0) as u64), Ordering::Relaxed);
    }
}

impl Progress {
    /// The tables so far, in the order in which they were begun.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn begin(&self, name: &str) -> Arc<Table> {
        let table = Arc::new(Table {
            name: name.to_owned(),
            rows: AtomicU64::new(0),
            share: AtomicU64::new(UNKNOWN),
            asked: Mutex::default(),
            held: Mutex::default(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&table));
        table
    }
}
