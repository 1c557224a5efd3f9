//! [`Runner`]: takes scripts, runs their statements in order, and keeps unbounded inserts running beside the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use headwater_change::secret::{self, STARS};
use headwater_change::{ChangelogMode, Error, Place, Result, Sink, Source, SystemClock};
use headwater_connect::text::{CastText, TimeZone};
use headwater_sql::{NodeKind, Outcome, Pipeline, Scheduling, Script, Session};
use headwater_state::{Backend, MemoryBackend};
use headwater_stream::{Control, Summary};

use crate::batch;
use crate::connectors::{self, Registry};
use crate::output::{Format, OutputSink, print_listing};

/// About how many bytes of Arrow data a source brings at once.
const BATCH_BYTES: usize = 4 << 20;

/// How statements are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// What rows of a SELECT are printed as.
    pub format: Format,
    /// What NULL is printed as in csv.
    pub null_text: String,
    /// Folder of durable state; none: state lives as long as the process.
    pub state: Option<PathBuf>,
    /// Shards of keyed operators and decoding threads; `SET 'parallelism.default'` overrides it.
    pub parallelism: usize,
    /// Bytes that sorts, joins and aggregates of batch mode may hold before they go to disk.
    pub memory_bytes: usize,
    /// The server whose databases Spark's scripts name without a catalog.
    pub mysql: Option<String>,
    /// The name of this run: what an earlier run of the name has written is not written again.
    pub run: Option<String>,
    /// Values of `${NAME}`.
    pub variables: BTreeMap<String, String>,
}

/// An error, and the text that its place refers to.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// The script, where the place is one of SQL.
    pub text: String,
}

/// The running pipelines of a process, to stop all of them.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    controls: Vec<Control>,
    /// Nothing is to be started any more.
    ended: bool,
}

impl Stopper {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks every running pipeline for a clean stop. Gives how many were running.
    pub fn stop(&self) -> usize {
        let running = self.running();
        running.controls.iter().for_each(Control::stop);
        running.controls.len()
    }

    /// The same, and whatever would be started later is not.
    pub fn end(&self) {
        self.running().ended = true;
        self.stop();
    }

    /// Whether [`Stopper::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.running().ended
    }

    fn add(&self, control: &Control) {
        let mut running = self.running();
        if running.ended {
            control.stop();
        }
        running.controls.push(control.clone());
    }

    fn clear(&self) {
        self.running().controls.clear();
    }
}

/// Keeps the schedules of `CREATE SCHEDULE`.
pub trait Schedules {
    /// Makes, removes or shows them.
    ///
    /// # Errors
    /// What the database of the schedules says.
    fn run(&self, scheduling: Scheduling) -> Result<()>;
}

/// A pipeline that runs beside the statements.
struct Background {
    thread: JoinHandle<Result<Summary>>,
    /// The script that it is part of, for the places of errors.
    text: Arc<str>,
}

/// Runs statements.
pub struct Runner {
    session: Session,
    config: Config,
    stopper: Stopper,
    background: Vec<Background>,
    pipelines: usize,
    /// Jobs so far, which is how a run that comes back knows them again.
    jobs: u32,
    /// A failure in the background ends everything: nobody sits here to read of it.
    unattended: bool,
    schedules: Option<Box<dyn Schedules>>,
}

impl Runner {
    /// A runner with an empty session; `stopper` is the hand on everything that runs.
    pub fn new(config: Config, stopper: Stopper) -> Result<Self> {
        let mut session = Session::new(|column, row, out| CastText::new(TimeZone::UTC).write(column, row, out))?;
        session.settings_mut().set_mysql(config.mysql.clone());
        Ok(Self {
            session,
            config,
            stopper,
            background: Vec::new(),
            pipelines: 0,
            jobs: 0,
            unattended: false,
            schedules: None,
        })
    }

    /// Says who keeps schedules.
    pub fn set_schedules(&mut self, schedules: Box<dyn Schedules>) {
        self.schedules = Some(schedules);
    }

    /// The hand on everything that runs.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs a whole script, and waits for the unbounded inserts that it started. The first of them that fails ends the
    /// script, whatever runs at the time.
    pub fn run(&mut self, text: &str) -> Result<(), Failure> {
        self.unattended = true;
        let ran = self.start(text);
        if ran.is_err() {
            self.stopper.end();
        }
        let waited = self.wait();
        self.unattended = false;
        ran.and(waited)
    }

    /// Runs the statements of a script; unbounded inserts go on in the background.
    pub fn start(&mut self, text: &str) -> Result<(), Failure> {
        let fail = |error, text: &str| Failure { error, text: text.to_owned() };
        let script = Script::read(text, &self.config.variables, self.session.settings().dialects())
            .map_err(|error| fail(error, text))?;
        for index in 0..script.len() {
            if self.stopper.is_ended() {
                break;
            }
            self.statement(&script, index).map_err(|error| fail(error, script.text()))?;
        }
        Ok(())
    }

    /// Waits for everything in the background; the first failure stops the rest.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for background in std::mem::take(&mut self.background) {
            if let Err(failure) = background.join()
                && outcome.is_ok()
            {
                self.stopper.stop();
                outcome = Err(failure);
            }
        }
        self.stopper.clear();
        outcome
    }

    /// The failures of what has ended in the background.
    pub fn failures(&mut self) -> Vec<Failure> {
        let (ended, running) = std::mem::take(&mut self.background)
            .into_iter()
            .partition(|background: &Background| background.thread.is_finished());
        self.background = running;
        let ended: Vec<Background> = ended;
        ended.into_iter().filter_map(|background| background.join().err()).collect()
    }

    fn statement(&mut self, script: &Script, index: usize) -> Result<()> {
        let window_end = self.config.format == Format::Json;
        match self.session.execute(script, index, &Registry, window_end)? {
            Outcome::Done(None) => Ok(()),
            Outcome::Done(Some(text)) | Outcome::Text(text) => {
                print_listing(&[], &[vec![secret::redact(&text).into_owned()]])
            }
            Outcome::Listing { columns, mut rows } => {
                for row in &mut rows {
                    let hidden = row.first().is_some_and(|name| secret::is_secret(name)) && columns.len() == 2;
                    for (index, cell) in row.iter_mut().enumerate() {
                        // The value of a secret setting, which `SET` lists, may be too short to be known elsewhere.
                        let shown = if hidden && index == 1 { STARS.into() } else { secret::redact(cell) };
                        *cell = shown.into_owned();
                    }
                }
                print_listing(&columns, &rows)
            }
            Outcome::Stream(pipeline) => {
                let place = Place::Sql(script.statement_range(index));
                self.pipeline(*pipeline, script, place.clone()).map_err(|error| placed(error, place))
            }
            Outcome::Batch(job) => {
                let place = Place::Sql(script.statement_range(index));
                let control = Control::new();
                self.stopper.add(&control);
                self.jobs += 1;
                let owner = batch::owner(self.config.run.as_deref(), self.jobs);
                let settings = (self.session.settings(), self.session.time_zone());
                batch::run(&job, &self.config, settings, (&owner, &control)).map_err(|error| placed(error, place))
            }
            Outcome::Schedule(scheduling) => match &self.schedules {
                Some(schedules) => schedules.run(scheduling),
                None => Err(Error::usage("sql.schedule", "nothing keeps schedules here")),
            },
            Outcome::Explain { job, analyze } => {
                let text = if analyze {
                    let control = Control::new();
                    self.stopper.add(&control);
                    batch::analyze(&job, &self.config, self.session.settings(), &control)?
                } else {
                    batch::explain(&job, &self.config, self.session.settings())?
                };
                print_listing(&[], &[vec![secret::redact(&text).into_owned()]])
            }
        }
    }

    fn pipeline(&mut self, pipeline: Pipeline, script: &Script, place: Place) -> Result<()> {
        let background = !pipeline.bounded && !pipeline.collects;
        let control = Control::new();
        self.stopper.add(&control);
        let running = self.prepare(pipeline)?;
        if background {
            let (stopper, unattended) = (self.stopper.clone(), self.unattended);
            let work = move || {
                let ended = running.run(&control).map_err(|error| placed(error, place));
                if ended.is_err() && unattended {
                    stopper.end();
                }
                ended
            };
            let spawned = std::thread::Builder::new().name("pipeline".to_owned()).spawn(work);
            let thread = spawned.map_err(|error| {
                Error::remote("server.thread", "a pipeline's thread could not be started").caused_by(error)
            })?;
            self.background.push(Background { thread, text: script.text().into() });
            return Ok(());
        }
        running.run(&control).map(|_| ())
    }

    fn prepare(&mut self, pipeline: Pipeline) -> Result<Prepared> {
        let settings = self.session.settings();
        let parallelism = settings.parallelism().unwrap_or(self.config.parallelism);
        let mut sources: BTreeMap<u32, Box<dyn Source>> = BTreeMap::new();
        let mut sinks: BTreeMap<u32, Box<dyn Sink>> = BTreeMap::new();
        for node in &pipeline.plan.nodes {
            match &node.kind {
                NodeKind::Scan(spec) => drop(sources.insert(node.id, connectors::source(spec, parallelism)?)),
                NodeKind::Sink(spec) => drop(sinks.insert(node.id, connectors::sink(spec)?)),
                NodeKind::Collect => {
                    let ends = (node.mode == ChangelogMode::Append, pipeline.bounded);
                    let look = (headwater_sql::Dialect::Flink, settings.time_zone());
                    let sink = OutputSink::new(&self.config, &node.schema, ends, look)?;
                    sinks.insert(node.id, Box::new(sink));
                }
                _ => {}
            }
        }
        let settings = headwater_stream::Settings {
            parallelism,
            epoch_interval: settings.epoch_interval(),
            batch_bytes: BATCH_BYTES,
            idle_timeout: settings.idle_timeout(),
            clock: Arc::new(SystemClock),
        };
        let backend = self.backend()?;
        Ok(Prepared { pipeline, sources, sinks, backend, settings })
    }

    /// State of the n-th pipeline of this process: pipelines of a script are told apart by their order.
    fn backend(&mut self) -> Result<Box<dyn Backend>> {
        self.pipelines += 1;
        match &self.config.state {
            Some(folder) => headwater_state::open(&folder.join(format!("pipeline-{}", self.pipelines))),
            None => Ok(Box::new(MemoryBackend::new())),
        }
    }
}

impl Background {
    fn join(self) -> Result<(), Failure> {
        let ended =
            self.thread.join().unwrap_or_else(|_| Err(Error::bug("server.panic", "a pipeline's thread panicked")));
        ended.map(|_| ()).map_err(|error| Failure { error, text: self.text.to_string() })
    }
}

/// Errors at run time belong to the statement as a whole, unless they know better.
fn placed(error: Error, place: Place) -> Error {
    if error.place().is_some() { error } else { error.at(place) }
}

struct Prepared {
    pipeline: Pipeline,
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: BTreeMap<u32, Box<dyn Sink>>,
    backend: Box<dyn Backend>,
    settings: headwater_stream::Settings,
}

impl Prepared {
    fn run(self, control: &Control) -> Result<Summary> {
        let summary = headwater_stream::run(
            &self.pipeline.plan,
            self.sources,
            self.sinks,
            self.backend,
            &self.settings,
            control,
        )?;
        if summary.late_rows > 0 {
            tracing::warn!(rows = summary.late_rows, "rows came after their window had fired and were dropped");
        }
        tracing::debug!(?summary, "pipeline ended");
        Ok(summary)
    }
}
