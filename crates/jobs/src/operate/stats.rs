//! How full each queue is, and how long its head has waited. Counts are walks along one stretch of the claim index and end
//! at [`COUNTED`].

use std::fmt;

use headwater_change::Result;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Value, params};
use serde::Serialize;

use crate::operate::read::{column, first};
use crate::operate::server::{self, ServerFacts};
use crate::operate::{COUNTED, steer};
use crate::queue::Queue;

/// Due jobs of one step of the search for the oldest.
const HEAD: usize = 100;

/// Steps of that search.
const STEPS: usize = 64;

/// A transaction that is open for longer keeps the server from purging what claims then walk over.
const OLD_TRANSACTION: u64 = 60;

/// The same by its effect: transactions not purged.
const LONG_HISTORY: u64 = 100_000;

/// A number of jobs; [`COUNTED`] stands for that many or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.0 >= COUNTED { "+" } else { "" };
        write!(f, "{}{more}", self.0)
    }
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueStats {
    /// Its name.
    pub queue: String,
    /// No job of it is claimed.
    pub paused: bool,
    /// PENDING and due: what workers can take.
    pub due: Count,
    /// PENDING, but its time has not come.
    pub later: Count,
    /// At work, those that are to stop included.
    pub running: Count,
    /// Held back by the limit of a key.
    pub parked: Count,
    /// Waiting for other jobs.
    pub waiting: Count,
    /// Failed for good.
    pub dead: Count,
    /// Seconds since the oldest due job was due, looked for among the first hundred of each priority.
    pub oldest_due: Option<f64>,
}

/// All queues, the processes that work, and what the server says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// By name.
    pub queues: Vec<QueueStats>,
    /// Processes with a lease.
    pub workers_alive: u64,
    /// Those of them that stop.
    pub workers_stopping: u64,
    /// Processes that went silent: their lease ran out, and they had not ended it themselves.
    pub workers_lost: u64,
    /// Facts of the server.
    pub server: ServerFacts,
}

impl Stats {
    /// What somebody should look at, in words.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let waiting = self.queues.iter().any(|queue| queue.due.0 > 0 && !queue.paused);
        if waiting && self.workers_alive == 0 {
            warnings.push("jobs are due and no worker is alive: start `headwater jobs work`".to_owned());
        }
        if let Some(seconds) = self.server.oldest_transaction.filter(|seconds| *seconds >= OLD_TRANSACTION) {
            warnings.push(format!(
                "a transaction is open since {seconds} s: until it ends the server keeps the traces of finished jobs, \
                 and claims become slower"
            ));
        }
        if let Some(length) = self.server.history_length.filter(|length| *length >= LONG_HISTORY) {
            warnings.push(format!("{length} transactions are not purged: look for long transactions and load"));
        }
        if self.server.semi_sync == server::SemiSync::FellBack {
            warnings.push(
                "semi-synchronous replication is enabled but does not work at the moment: a failover now loses what \
                 was committed last, so finished jobs may run again and new ones may be missing"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Looks at all queues.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn stats(queue: &Queue) -> Result<Stats> {
    let mut conn = queue.session().await?;
    let mut queues = Vec::new();
    for (name, paused) in steer::all_queues(&mut conn).await? {
        queues.push(one(&mut conn, name, paused).await?);
    }
    const WORKERS: &str = "SELECT COUNT(IF(lease_until >= NOW(6) AND state <> 'LOST', 1, NULL)) AS alive, \
                           COUNT(IF(lease_until >= NOW(6) AND state = 'STOPPING', 1, NULL)) AS stopping, \
                           COUNT(IF(state = 'LOST' OR (state = 'ALIVE' AND lease_until < NOW(6)), 1, NULL)) AS lost \
                           FROM job_workers";
    let workers = first(&mut conn, "read job_workers", WORKERS, ()).await?;
    let number = |name: &str| workers.as_ref().map_or(Ok(0), |row| column(row, name));
    let (alive, stopping, lost) = (number("alive")?, number("stopping")?, number("lost")?);
    let server = server::facts(&mut conn).await?;
    queue.give_back(conn);
    Ok(Stats { queues, workers_alive: alive, workers_stopping: stopping, workers_lost: lost, server })
}

async fn one(conn: &mut impl Queryable, queue: String, paused: bool) -> Result<QueueStats> {
    let count = |status: &str, later: u8| {
        format!(
            "(SELECT COUNT(*) FROM (SELECT 1 FROM jobs FORCE INDEX (claim) WHERE queue = :queue \
             AND status = '{status}' AND later = {later} LIMIT {COUNTED}) counted)"
        )
    };
    let sql = format!(
        "SELECT {} AS due, {} AS later, {} AS running, {} AS cancelling, {} AS parked, {} AS waiting, {} AS dead",
        count("PENDING", 0),
        count("PENDING", 1),
        count("RUNNING", 0),
        count("CANCELLING", 0),
        count("PARKED", 0),
        count("WAITING", 0),
        count("DEAD", 0)
    );
    let row = first(conn, "count jobs", sql, params! { "queue" => &queue }).await?;
    let number = |name: &str| row.as_ref().map_or(Ok(0), |row| column::<u64>(row, name));
    Ok(QueueStats {
        oldest_due: oldest_due(conn, &queue).await?,
        queue,
        paused,
        due: Count(number("due")?),
        later: Count(number("later")?),
        running: Count((number("running")? + number("cancelling")?).min(COUNTED)),
        parked: Count(number("parked")?),
        waiting: Count(number("waiting")?),
        dead: Count(number("dead")?),
    })
}

/// The greatest age at the heads of the priorities. Numbers rise with time, so the oldest job of a priority is in front
/// unless jobs were brought back; a search through all would be as long as the queue.
async fn oldest_due(conn: &mut impl Queryable, queue: &str) -> Result<Option<f64>> {
    let sql = format!(
        "SELECT MAX(priority) AS priority, TIMESTAMPDIFF(MICROSECOND, MIN(run_at), NOW(6)) / 1000000e0 AS age FROM \
         (SELECT priority, run_at FROM jobs FORCE INDEX (claim) WHERE queue = ? AND status = 'PENDING' AND later = 0 \
         AND priority > ? ORDER BY priority, id LIMIT {HEAD}) head"
    );
    let (mut oldest, mut after) = (None, i32::from(i16::MIN) - 1);
    for _ in 0..STEPS {
        let values = vec![Value::from(queue), Value::from(after)];
        let Some(row) = first(conn, "look at the head of a queue", &sql, values).await? else { break };
        let (Some(priority), age) = (column::<Option<i32>>(&row, "priority")?, column::<Option<f64>>(&row, "age")?)
        else {
            break;
        };
        after = priority;
        oldest = oldest.into_iter().chain(age).reduce(f64::max);
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(due: u64, workers: u64, server: ServerFacts) -> Stats {
        let queue = QueueStats {
            queue: "default".to_owned(),
            paused: false,
            due: Count(due),
            later: Count(0),
            running: Count(0),
            parked: Count(0),
            waiting: Count(0),
            dead: Count(0),
            oldest_due: None,
        };
        Stats { queues: vec![queue], workers_alive: workers, workers_stopping: 0, workers_lost: 0, server }
    }

    #[test]
    fn warnings_name_what_is_wrong_and_nothing_else() {
        let calm = ServerFacts {
            oldest_transaction: Some(59),
            history_length: Some(99_999),
            semi_sync: server::SemiSync::NotUsed,
        };
        assert_eq!(stats(1, 1, calm.clone()).warnings(), Vec::<String>::new());
        assert_eq!(stats(0, 0, calm.clone()).warnings(), Vec::<String>::new());
        let first = |stats: Stats| stats.warnings().into_iter().next().unwrap_or_default();
        assert!(first(stats(1, 0, calm.clone())).contains("no worker"));
        assert!(first(stats(1, 1, ServerFacts { oldest_transaction: Some(60), ..calm.clone() })).contains("60 s"));
        assert!(first(stats(1, 1, ServerFacts { history_length: Some(100_000), ..calm.clone() })).contains("100000"));
        let fell = ServerFacts { semi_sync: server::SemiSync::FellBack, ..calm };
        assert!(first(stats(1, 1, fell)).contains("failover"));
    }

    #[test]
    fn a_count_at_its_end_says_so() {
        assert_eq!(Count(99_999).to_string(), "99999");
        assert_eq!(Count(100_000).to_string(), "100000+");
    }
}
