//! What the server itself says that matters to a queue. Each fact may be hidden from the account: then it is unknown, not
//! an error.

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{self, Row};
use serde::Serialize;

/// Whether commits wait for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SemiSync {
    /// Not enabled.
    NotUsed,
    /// They do.
    On,
    /// Enabled, but no replica answers in time: commits do not wait.
    FellBack,
}

/// Facts of the server; what the account may not see is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerFacts {
    /// Seconds that the oldest open transaction is open; 0 where there is none. Needs PROCESS.
    pub oldest_transaction: Option<u64>,
    /// Transactions whose traces are not purged. Needs PROCESS on MySQL.
    pub history_length: Option<u64>,
    /// Whether commits wait for a replica.
    pub semi_sync: SemiSync,
}

/// Asks for all of them.
pub(crate) async fn facts(conn: &mut impl Queryable) -> Result<ServerFacts> {
    Ok(ServerFacts {
        oldest_transaction: oldest_transaction(conn).await?,
        history_length: history_length(conn).await?,
        semi_sync: semi_sync(conn).await?,
    })
}

/// MariaDB shows empty tables to an account without PROCESS, MySQL refuses; the metrics are never empty otherwise. The
/// times in the table are in the time zone of the operating system.
async fn oldest_transaction(conn: &mut impl Queryable) -> Result<Option<u64>> {
    const OLDEST: &str = "SELECT (SELECT COUNT(*) FROM information_schema.INNODB_METRICS), \
        (SELECT MAX(TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))) \
         FROM information_schema.INNODB_TRX)";
    let row: Option<Row> = visible(conn.query_first(OLDEST).await)?.flatten();
    Ok(row.and_then(|row| {
        let metrics: u64 = row.get(0)?;
        let seconds: Option<i64> = row.get_opt(1)?.ok();
        (metrics > 0).then(|| u64::try_from(seconds.unwrap_or(0)).unwrap_or(0))
    }))
}

async fn history_length(conn: &mut impl Queryable) -> Result<Option<u64>> {
    // MariaDB.
    let shown: Option<(String, u64)> =
        visible(conn.query_first("SHOW GLOBAL STATUS WHERE Variable_name = 'Innodb_history_list_length'").await)?
            .flatten();
    if let Some((_, length)) = shown {
        return Ok(Some(length));
    }
    const METRIC: &str = "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'trx_rseg_history_len'";
    let length: Option<i64> = visible(conn.query_first(METRIC).await)?.flatten();
    Ok(length.and_then(|length| u64::try_from(length).ok()))
}

async fn semi_sync(conn: &mut impl Queryable) -> Result<SemiSync> {
    const ENABLED: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                           ('rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled')";
    const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
                          ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status')";
    let mut on = [false; 2];
    for (on, sql) in on.iter_mut().zip([ENABLED, STATUS]) {
        let shown: Vec<(String, String)> = visible(conn.query(sql).await)?.unwrap_or_default();
        *on = shown.iter().any(|(_, value)| value.eq_ignore_ascii_case("ON"));
    }
    Ok(match on {
        [false, _] => SemiSync::NotUsed,
        [true, true] => SemiSync::On,
        [true, false] => SemiSync::FellBack,
    })
}

/// What a statement gave; nothing where the account may not ask.
fn visible<T>(answer: driver::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(driver::Error::Server(server)) if matches!(server.code, 1044 | 1142 | 1143 | 1227) => Ok(None),
        Err(error) => Err(query_error("tell about itself", error)),
    }
}
