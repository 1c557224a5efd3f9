//! The bounded way from the connection's thread to the reader: bounded in bytes of Arrow data, not in messages.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_change::{ChangeBatch, Error, Position, SchemaChange};
use tokio::sync::Notify;

/// What is handed over.
pub(crate) enum Message {
    Rows(ChangeBatch, usize),
    Schema(SchemaChange),
    Moved(Position),
    End,
    Failed(Error),
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    closed: bool,
}

/// One writer, one reader.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Notify,
    closed: Notify,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), emptied: Notify::new(), closed: Notify::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends once there is room; `false` when nobody reads any more.
    pub(crate) async fn push(&self, message: Message) -> bool {
        loop {
            {
                let mut state = self.state();
                if state.closed {
                    return false;
                }
                if state.bytes < self.limit {
                    if let Message::Rows(_, bytes) = &message {
                        state.bytes += bytes;
                    }
                    // Only the last position of a quiet time matters.
                    if let (Message::Moved(_), Some(last @ Message::Moved(_))) = (&message, state.messages.back_mut()) {
                        *last = message;
                    } else {
                        state.messages.push_back(message);
                    }
                    self.filled.notify_one();
                    return true;
                }
            }
            self.emptied.notified().await;
        }
    }

    /// Whether the reader has taken everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().messages.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Returns when the reader has taken something, or is gone.
    pub(crate) async fn taken(&self) {
        self.emptied.notified().await;
    }

    /// Returns when the reader is gone, or after `wait`.
    pub(crate) async fn closed_within(&self, wait: Duration) {
        if !self.is_closed() {
            let _ = tokio::time::timeout(wait, self.closed.notified()).await;
        }
    }

    /// Returns when the reader is gone.
    pub(crate) async fn until_closed(&self) {
        while !self.is_closed() {
            self.closed.notified().await;
        }
    }

    /// Takes the next message, waiting at most `wait` for it.
    pub(crate) fn pull(&self, wait: Duration) -> Option<Message> {
        let state = self.state();
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, wait, |state| state.messages.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let message = state.messages.pop_front()?;
        if let Message::Rows(_, bytes) = &message {
            state.bytes = state.bytes.saturating_sub(*bytes);
        }
        self.emptied.notify_one();
        Some(message)
    }

    /// Tells the writer that nobody reads any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.emptied.notify_one();
        self.closed.notify_one();
    }
}
