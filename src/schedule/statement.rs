//! `CREATE SCHEDULE` and its like, in scripts and in the shell.

use headwater_change::{Error, Result};
use headwater_jobs::maintain::{self, CatchUp};
use headwater_server::{Schedules, print_listing};
use headwater_sql::Scheduling;

use super::config::schedule;
use super::script::Payload;
use super::{QUEUE, unknown};
use crate::jobs::connect;

/// Schedules in the database that `HEADWATER_MYSQL_URL` names.
pub(crate) struct Statements;

impl Schedules for Statements {
    fn run(&self, scheduling: Scheduling) -> Result<()> {
        crate::jobs::runtime()?.block_on(run(scheduling))
    }
}

async fn run(scheduling: Scheduling) -> Result<()> {
    let queue = connect(crate::jobs::access(None)?, None).await?;
    let mut conn = queue.session().await?;
    match scheduling {
        Scheduling::Create { schedule: created, script } => {
            let known = maintain::known(&mut conn, QUEUE).await?;
            if known.iter().any(|known| known.name == created.name) && !created.or_replace {
                if created.if_not_exists {
                    return Ok(());
                }
                return Err(Error::usage("sql.exists", format!("there is a schedule '{}' already", created.name))
                    .hint("CREATE OR REPLACE SCHEDULE changes it"));
            }
            let mut payload = Payload {
                schedule: created.name,
                cron: created.cron,
                time_zone: created.time_zone.unwrap_or_else(|| "UTC".to_owned()),
                scheduled_at: None,
                script,
                variables: std::collections::BTreeMap::new(),
                once: true,
                again: None,
            };
            let catch_up = match created.catch_up {
                Some(text) => text.parse()?,
                None => CatchUp::All,
            };
            maintain::upsert(&mut conn, &[schedule(&mut payload, catch_up)?]).await
        }
        Scheduling::Drop { name, if_exists } => {
            let dropped = maintain::remove(&mut conn, QUEUE, &name).await?;
            if dropped || if_exists { Ok(()) } else { Err(unknown(&queue, &name).await) }
        }
        Scheduling::Show => {
            let known = maintain::known(&mut conn, QUEUE).await?;
            let rows: Vec<Vec<String>> = known.iter().map(crate::jobs::print::schedule_cells).collect();
            print_listing(crate::jobs::print::SCHEDULE_COLUMNS, &rows)
        }
    }
}
