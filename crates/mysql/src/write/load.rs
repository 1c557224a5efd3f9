//! Rows as the file of a `LOAD DATA LOCAL INFILE`, sent while they come: where the server takes files from its clients this
//! costs it half of what statements cost.
//!
//! With LOCAL the server takes what it can, changes what does not fit, leaves out what it has already, and warns; so a warning
//! is an error here, and nothing of it is committed. The handler of the connection gives no file but this one.

use std::thread::JoinHandle;

use futures::StreamExt;
use futures::stream::unfold;
use headwater_change::{Error, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces of rows that may wait for the server.
const WAITING: usize = 3;

/// A session, and the runtime that its work is done on.
pub(super) struct Session {
    pub(super) runtime: Runtime,
    pub(super) conn: Conn,
}

/// What a LOAD came to.
pub(super) struct Loaded {
    pub(super) session: Session,
    pub(super) outcome: std::result::Result<(), mysql_async::Error>,
}

/// A LOAD that runs.
pub(super) struct Load {
    rows: Sender<String>,
    thread: JoinHandle<Loaded>,
}

impl Load {
    /// Begins one.
    pub(super) fn begin(session: Session, sql: String) -> Result<Self> {
        let (rows, receiver) = channel(WAITING);
        let work = move || run(session, sql, receiver);
        let thread = std::thread::Builder::new()
            .name("mysql-load".to_owned())
            .spawn(work)
            .map_err(|error| Error::remote("mysql.thread", "no thread can be started").caused_by(error))?;
        Ok(Self { rows, thread })
    }

    /// Sends lines; `false` when the LOAD has ended, which it does only by an error.
    pub(super) fn send(&self, lines: String) -> bool {
        self.rows.blocking_send(lines).is_ok()
    }

    /// Says that there are no more lines, and waits for the end.
    pub(super) fn end(self) -> Result<Loaded> {
        drop(self.rows);
        self.thread.join().map_err(|_| Error::bug("mysql.thread", "the thread of a LOAD panicked"))
    }
}

fn run(mut session: Session, sql: String, receiver: Receiver<String>) -> Loaded {
    let next =
        |mut receiver: Receiver<String>| async { receiver.recv().await.map(|lines| (Ok(lines.into()), receiver)) };
    session.conn.set_infile_handler(async move { Ok(unfold(receiver, next).boxed()) });
    let outcome = session.runtime.block_on(session.conn.query_drop(sql));
    Loaded { session, outcome }
}

/// Whether the server takes files from its clients.
pub(super) async fn is_allowed(conn: &mut Conn) -> bool {
    let allowed: mysql_async::Result<Option<u8>> = conn.query_first("SELECT @@GLOBAL.local_infile").await;
    allowed.ok().flatten() == Some(1)
}
