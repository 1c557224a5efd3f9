//! The handlers that need no code: a job is an HTTP call, a command, or SQL that completes the job in its transaction.
//!
//! | Handler | Runs | Done when | How often, if a process dies |
//! |---|---|---|---|
//! | [`Http`] | somewhere else | 2xx | at least once; the idempotency key is the same for every try |
//! | [`Command`] | beside the worker | exit status 0 | at least once; nothing of it survives its run |
//! | [`Sql`] | in the queue's database | its transaction commits | exactly once |

mod address;
mod command;
mod http;
mod sql;

pub use command::{Command, CommandOptions};
pub use http::{Http, HttpOptions};
pub use sql::Sql;

/// The first so many characters of a text.
fn head(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
