//! Due jobs enter the part of the index that claims read.

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::Queryable;

/// Jobs of one statement.
const CHUNK: u64 = 1_000;

/// A row that somebody else has locked is left for the next time. No other row than those of the chunk is locked, but for
/// the first one that is not due yet, on MariaDB, until the statement ends.
pub(crate) const PROMOTE: &str = "UPDATE jobs j JOIN (SELECT id FROM jobs FORCE INDEX (due) WHERE later = 1 AND run_at <= NOW(6) \
                       ORDER BY run_at LIMIT 1000 FOR UPDATE SKIP LOCKED) d ON d.id = j.id SET j.ready_from = j.run_at";

/// Makes every due job ready, in transactions of up to a thousand. Returns how many.
pub(super) async fn promote(conn: &mut Conn) -> Result<u64> {
    let mut promoted = 0;
    loop {
        let result = conn.query_iter(PROMOTE).await.map_err(|error| query_error("promote due jobs", error))?;
        let chunk = result.affected_rows();
        result.drop_result().await.map_err(|error| query_error("promote due jobs", error))?;
        promoted += chunk;
        if chunk < CHUNK {
            return Ok(promoted);
        }
    }
}

/// Microseconds until the next job is due, negative for one that is already, NULL without such a job; an expression for
/// which one entry of the index is read.
pub(super) const NEXT: &str =
    "(SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(run_at)) FROM jobs FORCE INDEX (due) WHERE later = 1)";
