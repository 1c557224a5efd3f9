//! A run: the script in a process of its own, with the variables of its interval.

use std::collections::BTreeMap;
use std::path::PathBuf;

use headwater_change::{Error, Result};
use headwater_jobs::handler::Run;
use headwater_jobs::maintain::Pattern;
use headwater_jobs::run::{Command, CommandOptions};
use headwater_jobs::{Context, Handler, Job};
use serde::{Deserialize, Serialize};

use super::config::Config;

/// Exit status of a script that no further try makes better.
const USAGE: i32 = 2;

/// What the job of a run says.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Payload {
    pub(super) schedule: String,
    pub(super) cron: String,
    pub(super) time_zone: String,
    /// The end of the interval, in Unix seconds.
    pub(super) scheduled_at: Option<i64>,
    pub(super) script: String,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    /// Whether what a run has written is remembered under its name.
    pub(super) once: bool,
    /// Tells a run from an earlier one of the same interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<String>,
}

impl Payload {
    /// The name of the run, which stays the same when it is tried again.
    fn run(&self, end: i64) -> String {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let name: String =
            self.schedule.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(60).collect();
        let again = self.again.iter().map(|again| format!(".{again}")).collect::<String>();
        format!("{name}.{end}{again}")
    }

    /// What the script may use as `${NAME}`.
    fn values(&self) -> Result<Vec<(String, String)>> {
        let end = self.scheduled_at.ok_or_else(|| Error::data("jobs.payload", "the run has no time"))?;
        let pattern = Pattern::parse(&self.cron, &self.time_zone)?;
        let (start, shown) = (pattern.shown(pattern.begin_of(end)?), pattern.shown(end));
        let date = |time: &str| time.split(' ').next().unwrap_or_default().to_owned();
        let own = [
            ("date", date(&start)),
            ("end_date", date(&shown)),
            ("start", start),
            ("end", shown),
            ("run", self.run(end)),
            ("schedule", self.schedule.clone()),
        ];
        let given = self.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        Ok(own.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(given).collect())
    }
}

/// Runs scripts by this very binary.
pub(super) struct Script {
    program: PathBuf,
    /// Arguments of every run.
    common: Vec<String>,
    env: Vec<(String, String)>,
}

impl Script {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|error| Error::remote("server.program", "the program's own file is not known").caused_by(error))?;
        let mut common: Vec<String> = ["sql", "-f", "-", "--output", "csv", "--memory"].map(str::to_owned).into();
        common.push(config.memory.clone());
        let mut env = Vec::new();
        if let Some(url) = &config.mysql {
            // Not on the command line, which every user of the machine sees.
            env.push((crate::arguments::MYSQL_VARIABLE.to_owned(), url.clone()));
        }
        Ok(Self { program, common, env })
    }

    fn command(&self, payload: &Payload) -> Result<CommandOptions> {
        let mut args = self.common.clone();
        let values = payload.values()?;
        for (name, value) in &values {
            if payload.once && name == "run" {
                args.extend(["--run".to_owned(), value.clone()]);
            }
            args.extend(["-D".to_owned(), format!("{name}={value}")]);
        }
        Ok(CommandOptions {
            program: self.program.display().to_string(),
            args,
            env: self.env.clone(),
            folder: None,
            dead_exit_codes: vec![USAGE],
        })
    }
}

impl Handler for Script {
    fn run(&self, job: Job, context: Context) -> Run {
        let prepared = job.payload::<Payload>().and_then(|payload| Ok((self.command(&payload)?, payload.script)));
        match prepared {
            Ok((options, script)) => Command::new(options).run(Job { payload: script, ..job }, context),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }
}
