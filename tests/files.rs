//! Files that are rotated, renamed, packed, replaced, cut and taken away, and pipelines that are killed, in random order:
//! every line arrives exactly once, or the pipeline stops and says why. `FILES_RUNS` is the number of histories.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How many histories `make test` tries; `make soak` tries 500.
const RUNS: u64 = 25;

const SQL: &str = "
CREATE TABLE lines (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${IN}', 'format' = 'json',
  'source.monitor-interval' = '3 ms');
CREATE TABLE copies (n BIGINT, who STRING) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'csv');
SET 'execution.checkpointing.interval' = '7 ms';
INSERT INTO copies SELECT n, '${WHO}' FROM lines;";

/// A pipeline with its state.
struct Pipeline {
    who: &'static str,
    child: Option<Child>,
}

/// A file that lines are written to.
struct Log {
    path: PathBuf,
    file: File,
    lines: BTreeSet<u64>,
}

struct History {
    folder: tempfile::TempDir,
    dice: SmallRng,
    pipelines: Vec<Pipeline>,
    /// Files with lines that may grow.
    logs: Vec<Log>,
    next_line: u64,
    next_name: u64,
    /// Lines that were taken away in part files, per pipeline.
    taken: BTreeMap<(u64, String), usize>,
    acts: Vec<String>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        for name in ["in", "out", "away"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let both = dice.random_bool(0.3);
        let pipelines =
            ["a", "b"].iter().take(1 + usize::from(both)).map(|who| Pipeline { who, child: None }).collect();
        let mut history = Self {
            folder,
            dice,
            pipelines,
            logs: Vec::new(),
            next_line: 0,
            next_name: 0,
            taken: BTreeMap::new(),
            acts: Vec::new(),
        };
        history.open();
        history
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// A new file under a name that may have been another's.
    fn open(&mut self) {
        let path = self.path("in/app.log");
        let other = format!("in/log-{}", self.name());
        let path = if path.exists() { self.path(&other) } else { path };
        let file = OpenOptions::new().create_new(true).append(true).open(&path).unwrap();
        self.logs.push(Log { path, file, lines: BTreeSet::new() });
    }

    fn append(&mut self, which: usize) {
        let count = self.dice.random_range(1..40);
        let log = &mut self.logs[which];
        for _ in 0..count {
            let line = format!("{{\"n\":{}}}\n", self.next_line);
            // Now and then a line comes in two pieces.
            let cut = if self.dice.random_bool(0.1) { 4 } else { 0 };
            log.file.write_all(&line.as_bytes()[..cut]).unwrap();
            log.file.write_all(&line.as_bytes()[cut..]).unwrap();
            log.lines.insert(self.next_line);
            self.next_line += 1;
        }
    }

    fn start(&mut self) {
        for pipeline in self.pipelines.iter_mut().filter(|pipeline| pipeline.child.is_none()) {
            let path = |name: &str| self.folder.path().join(name).display().to_string();
            let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
            command.args(["sql", "--parallelism", "1", "-e", SQL, "--state", &path(pipeline.who)]);
            command.args(["-D", &format!("IN={}", path("in")), "-D", &format!("OUT={}", path("out"))]);
            command.args(["-D", &format!("WHO={}", pipeline.who)]).stdout(Stdio::null()).stderr(Stdio::piped());
            pipeline.child = Some(command.spawn().unwrap());
        }
    }

    /// Ends the pipelines; what one that ended by itself had to say, if it did.
    fn stop(&mut self, signal: Signal) -> Option<String> {
        let mut said = None;
        for pipeline in &mut self.pipelines {
            let Some(mut child) = pipeline.child.take() else { continue };
            let ended = child.try_wait().unwrap().is_some();
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            let status = child.wait().unwrap();
            // One that has only just been started does not know the signal yet.
            let killed = status.signal() == Some(signal as i32);
            let failed = if signal == Signal::SIGKILL { ended } else { !status.success() && !killed };
            if failed {
                said = Some(format!("{status}: {told}"));
            }
        }
        said
    }

    /// What is visible now, and what was taken before.
    fn arrived(&self) -> BTreeMap<(u64, String), usize> {
        let mut all = self.taken.clone();
        for path in visible(&self.path("out")) {
            count(&path, &mut all);
        }
        all
    }

    fn has_arrived(&self, lines: &BTreeSet<u64>) -> bool {
        let arrived = self.arrived();
        self.pipelines.iter().all(|pipeline| lines.iter().all(|n| arrived.contains_key(&(*n, pipeline.who.to_owned()))))
    }

    /// Waits for lines as long as somebody works on them.
    fn wait_for(&mut self, lines: &BTreeSet<u64>) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.has_arrived(lines) {
            let ended = self
                .pipelines
                .iter_mut()
                .any(|pipeline| pipeline.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()));
            if ended || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        true
    }

    fn take(&mut self) {
        for path in visible(&self.path("out")) {
            if self.dice.random_bool(0.7) {
                let away = self.path("away").join(path.file_name().unwrap());
                assert!(!away.exists(), "the name of a part file came twice");
                fs::rename(&path, &away).unwrap();
                count(&away, &mut self.taken);
            }
        }
    }

    /// Does something. `true`: the pipelines must stop now and say so.
    fn act(&mut self) -> bool {
        let which = self.dice.random_range(0..self.logs.len());
        let act = self.dice.random_range(0..100);
        self.acts.push(format!("{act} on {}", self.logs[which].path.file_name().unwrap().to_string_lossy()));
        match act {
            0..30 => self.append(which),
            30..45 => {
                // Rotated: whoever writes goes on for a while.
                let to = format!("in/old-{}", self.name());
                let to = self.path(&to);
                fs::rename(&self.logs[which].path, &to).unwrap();
                self.logs[which].path = to;
                self.append(which);
                self.open();
            }
            45..55 => {
                let folder = format!("in/deep-{}", self.dice.random_range(0..3));
                let folder = self.path(&folder);
                fs::create_dir_all(&folder).unwrap();
                let to = folder.join(format!("moved-{}", self.name()));
                fs::rename(&self.logs[which].path, &to).unwrap();
                self.logs[which].path = to;
            }
            55..62 => self.pack(which),
            62..68 => self.replace(which),
            68..70 => return self.cut(which),
            70..80 => self.take(),
            80..92 => {
                let _ = self.stop(Signal::SIGKILL).map(|told| panic!("it ended by itself: {told}"));
                self.start();
            }
            92..96 => {
                let _ = self.stop(Signal::SIGTERM).map(|told| panic!("it did not end well: {told}"));
                self.start();
            }
            _ => std::thread::sleep(Duration::from_millis(self.dice.random_range(0..40))),
        }
        false
    }

    /// As `gzip` does: the packed file is there before the other goes.
    fn pack(&mut self, which: usize) {
        let log = self.logs.swap_remove(which);
        let path = format!("in/packed-{}", self.name());
        let path = self.path(&path);
        fs::rename(&log.path, &path).unwrap();
        assert!(Command::new("gzip").arg(&path).status().unwrap().success());
        if self.logs.is_empty() {
            self.open();
        }
    }

    /// Once its lines have arrived a file may go away, or another one come in its place.
    fn replace(&mut self, which: usize) {
        let lines = self.logs[which].lines.clone();
        if !self.wait_for(&lines) {
            return;
        }
        let log = self.logs.swap_remove(which);
        if self.dice.random_bool(0.5) {
            fs::remove_file(&log.path).unwrap();
        } else {
            let path = self.path("new");
            let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            self.logs.push(Log { path: log.path.clone(), file, lines: BTreeSet::new() });
            let last = self.logs.len() - 1;
            self.append(last);
            fs::rename(&path, &log.path).unwrap();
        }
        if self.logs.is_empty() {
            self.open();
        }
    }

    /// Cut in its place, when lines of it are known to have been read.
    fn cut(&mut self, which: usize) -> bool {
        let lines = self.logs[which].lines.clone();
        if lines.is_empty() || !self.wait_for(&lines) {
            return false;
        }
        self.logs[which].file.set_len(0).unwrap();
        true
    }
}

fn visible(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

fn count(path: &Path, all: &mut BTreeMap<(u64, String), usize>) {
    for line in fs::read_to_string(path).unwrap().lines() {
        let (n, who) = line.split_once(',').unwrap();
        *all.entry((n.parse().unwrap(), who.to_owned())).or_default() += 1;
    }
}

fn run(seed: u64) -> Result<(), String> {
    let mut history = History::new(seed);
    history.start();
    let acts = history.dice.random_range(5..40);
    let mut cut = false;
    for _ in 0..acts {
        cut = history.act();
        if cut {
            break;
        }
    }
    let all: BTreeSet<u64> = (0..history.next_line).collect();
    if cut {
        // It must end by itself, and say what happened.
        let deadline = Instant::now() + Duration::from_secs(60);
        for pipeline in &mut history.pipelines {
            let child = pipeline.child.as_mut().unwrap();
            while child.try_wait().unwrap().is_none() {
                if Instant::now() > deadline {
                    return Err("a cut file was not told".to_owned());
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        let told = history.stop(Signal::SIGTERM).unwrap_or_default();
        if !told.contains("filesystem.truncated") {
            return Err(format!("a cut file was told as {told:?}"));
        }
    } else {
        let arrived = history.wait_for(&all);
        if let Some(told) = history.stop(Signal::SIGTERM) {
            return Err(format!("it ended by itself: {told}"));
        }
        if !arrived {
            let arrived = history.arrived();
            let missing: Vec<_> = all.iter().filter(|n| !arrived.keys().any(|(known, _)| known == *n)).collect();
            return Err(format!("lines are missing: {missing:?} after {:?}", history.acts));
        }
    }
    let twice: Vec<_> = history.arrived().into_iter().filter(|(_, count)| *count != 1).collect();
    if twice.is_empty() {
        Ok(())
    } else {
        Err(format!("lines came more than once: {twice:?} after {:?}", history.acts))
    }
}

#[test]
fn every_line_arrives_once_or_the_stop_is_told() {
    let runs = std::env::var("FILES_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let first = std::env::var("FILES_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + runs {
        if let Err(what) = run(seed) {
            panic!("FILES_SEED={seed}: {what}");
        }
    }
}
