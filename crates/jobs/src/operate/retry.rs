//! Dead jobs brought back, and jobs that wait for their time brought forward.

use headwater_change::Result;
use headwater_mysql::driver::{Transaction, TxOpts, Value};
use serde::Serialize;

use crate::complete::id_list;
use crate::operate::held::{self, Held, Step};
use crate::operate::read::{change, column, failed, rows};
use crate::operate::{CHUNK, Change, Status, steer};
use crate::queue::Queue;

/// What became of a job that was to be tried again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// It was dead: now it is PENDING with all its retries.
    Revived,
    /// It waited for its time: now it is due. Its failures still count.
    BroughtForward,
    /// It was due already.
    AlreadyDue,
    /// A worker has it.
    Running,
    /// It waits for other jobs: these come first.
    Waiting,
    /// A limit of its key holds it back.
    Parked,
    /// Somebody else held its row for two seconds.
    Busy,
    /// It is not in the table.
    Unknown,
}

struct Again;

impl Step for Again {
    type Outcome = Retried;

    async fn apply(&self, transaction: &mut Transaction<'_>, held: &[Held]) -> Result<Vec<Change<Retried>>> {
        let changes: Vec<Change<Retried>> =
            held.iter().map(|job| Change { id: job.id, outcome: outcome(*job) }).collect();
        let ids: Vec<u64> = changes
            .iter()
            .filter(|change| matches!(change.outcome, Retried::Revived | Retried::BroughtForward))
            .map(|change| change.id)
            .collect();
        if !ids.is_empty() {
            revive(transaction, &ids).await?;
        }
        Ok(changes)
    }

    fn busy(&self) -> Retried {
        Retried::Busy
    }

    fn gone(&self) -> Retried {
        Retried::Unknown
    }
}

fn outcome(job: Held) -> Retried {
    match job.status {
        Status::Dead => Retried::Revived,
        Status::Pending if job.later => Retried::BroughtForward,
        Status::Pending => Retried::AlreadyDue,
        Status::Running | Status::Cancelling => Retried::Running,
        Status::Waiting => Retried::Waiting,
        Status::Parked => Retried::Parked,
    }
}

/// Makes jobs that are held due at once. Assignments run from left to right: the first one sees the old status.
async fn revive(transaction: &mut Transaction<'_>, ids: &[u64]) -> Result<u64> {
    let sql = format!(
        "UPDATE jobs SET retry_count = IF(status = 'DEAD', 0, retry_count), status = 'PENDING', run_at = NOW(6), \
         ready_from = NOW(6) WHERE {}",
        id_list(ids)
    );
    change(transaction, "bring jobs back", sql).await
}

/// Makes these jobs due at once: dead ones with all their retries, and those that wait for a time. The answer is in the
/// order of the numbers, each once. Workers see them within a second.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn retry(queue: &Queue, ids: &[u64]) -> Result<Vec<Change<Retried>>> {
    held::each(queue, ids, &Again).await
}

/// Brings back all dead jobs, of one queue or one type where these are given, a chunk at a time. Rows that others hold are
/// left. Returns how many came back.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`. What was committed before stays.
pub async fn retry_dead(queue: &Queue, of_queue: Option<&str>, of_type: Option<&str>) -> Result<u64> {
    let mut conn = queue.session().await?;
    let names = match of_queue {
        Some(name) => vec![name.to_owned()],
        None => steer::queues_with_jobs(&mut conn).await?,
    };
    let mut ids: Vec<u64> = Vec::new();
    for name in names {
        let mut values = vec![Value::from(name)];
        let mut sql =
            "SELECT id FROM jobs FORCE INDEX (claim) WHERE queue = ? AND status = 'DEAD' AND later = 0".to_owned();
        if let Some(of_type) = of_type {
            sql.push_str(" AND job_type = ?");
            values.push(Value::from(of_type));
        }
        for row in rows(&mut conn, "list dead jobs", sql, values).await? {
            ids.push(column(&row, "id")?);
        }
    }
    ids.sort_unstable();
    let mut count = 0;
    for part in ids.chunks(CHUNK) {
        let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed("begin a transaction"))?;
        let held = held::lock(&mut transaction, part).await?;
        let dead: Vec<u64> = held.iter().filter(|job| job.status == Status::Dead).map(|job| job.id).collect();
        if !dead.is_empty() {
            count += revive(&mut transaction, &dead).await?;
        }
        transaction.commit().await.map_err(failed("commit the change"))?;
    }
    queue.give_back(conn);
    Ok(count)
}
