//! Real servers for tests: each a private one in a temporary folder on a free port, gone with its [`Server`].
//!
//! The work is done by the project's scripts, one per version: `up [ARGUMENT]…` prints `PORT DIR` when
//! the server answers, or leaves with status 77 and a line `SKIP: reason` when there cannot be one; `down DIR` stops it.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use headwater_change::{Error, Result};

/// Exit status of a script that says why there is no server.
const NOT_AVAILABLE: i32 = 77;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL as new as can be had, by `scripts/mysqld`.
    MySql,
    /// MySQL 8.0, by `scripts/mysqld-8.0`: the oldest that is promised.
    MySql80,
    /// MySQL 5.7, by `scripts/mysqld-5.7`: too old for much, which is to be said.
    MySql57,
    /// The machine's MariaDB, by `scripts/mariadbd`.
    MariaDb,
    /// MariaDB 11.8, by `scripts/mariadbd-11.8`.
    MariaDb118,
}

impl Flavor {
    /// All that are promised.
    pub const ALL: [Self; 4] = [Self::MySql, Self::MySql80, Self::MariaDb, Self::MariaDb118];

    /// Whether it is MySQL, of whatever version; else it is MariaDB.
    pub fn is_mysql(self) -> bool {
        matches!(self, Self::MySql | Self::MySql80 | Self::MySql57)
    }

    /// The script that runs such servers.
    pub fn script(self) -> PathBuf {
        let name = match self {
            Self::MySql => "mysqld",
            Self::MySql80 => "mysqld-8.0",
            Self::MySql57 => "mysqld-5.7",
            Self::MariaDb => "mariadbd",
            Self::MariaDb118 => "mariadbd-11.8",
        };
        crate::repository().join("scripts").join(name)
    }
}

/// Whether tests that need a server must not be skipped: the environment says `CI=true`.
pub fn required() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// What came of starting a server.
#[derive(Debug)]
pub enum Startup {
    /// It answers.
    Up(Server),
    /// There cannot be one here, for this reason.
    NotAvailable(String),
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    script: PathBuf,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// Starts a server, with `arguments` behind `up`.
    ///
    /// Fails with [`headwater_change::ErrorKind::Remote`] and code `testkit.server` when the script fails or cannot be
    /// understood.
    pub fn start(flavor: Flavor, arguments: &[&str]) -> Result<Startup> {
        start(flavor.script(), arguments)
    }

    /// Starts a server for `test`, or says by [`crate::skipped`] why there is none; then the test returns.
    ///
    /// # Panics
    /// As [`crate::skipped`] does.
    #[track_caller]
    pub fn for_test(test: &str, flavor: Flavor) -> Result<Option<Self>> {
        match Self::start(flavor, &[])? {
            Startup::Up(server) => Ok(Some(server)),
            Startup::NotAvailable(reason) => {
                crate::skipped(test, &reason);
                Ok(None)
            }
        }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let status = Command::new(&self.script).arg("down").arg(&self.folder).stdin(Stdio::null()).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("could not stop the server in {}: {status:?}", self.folder.display());
        }
    }
}

fn start(script: PathBuf, arguments: &[&str]) -> Result<Startup> {
    let fault = |message: String| Error::remote("testkit.server", message);
    let cannot = |error| fault(format!("cannot run {}", script.display())).caused_by(error);
    // Files, not pipes: a server that inherits a pipe would keep it open for ever.
    let mut stdout = tempfile::tempfile().map_err(cannot)?;
    let mut stderr = tempfile::tempfile().map_err(cannot)?;
    let status = Command::new(&script)
        .arg("up")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(cannot)?)
        .stderr(stderr.try_clone().map_err(cannot)?)
        .status()
        .map_err(cannot)?;
    let text = |file: &mut std::fs::File| -> Result<String> {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(cannot)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (out, err) = (text(&mut stdout)?, text(&mut stderr)?);

    if status.code() == Some(NOT_AVAILABLE) {
        let reason = out.lines().chain(err.lines()).find_map(|line| line.strip_prefix("SKIP:"));
        return Ok(Startup::NotAvailable(reason.map_or("no reason given", str::trim).to_owned()));
    }
    if !status.success() {
        return Err(fault(format!("{} up failed: {status}", script.display())).detail(format!("{out}{err}")));
    }
    let answer = out.lines().last().and_then(|line| line.trim().split_once(' '));
    match answer.and_then(|(port, folder)| Some((port.parse().ok()?, PathBuf::from(folder)))) {
        Some((port, folder)) => Ok(Startup::Up(Server { script, port, folder })),
        None => Err(fault(format!("{} up did not answer 'PORT DIR'", script.display())).detail(out)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// A process that another test forks while a script is being written would keep that script busy: one at a time.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A script that stands in for a server's.
    fn script(folder: &Path, body: &str) -> PathBuf {
        let path = folder.join("server");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("makes it run");
        path
    }

    #[test]
    fn a_server_is_stopped_when_it_is_dropped() {
        let (_alone, folder) = (alone(), tempfile::tempdir().expect("a folder"));
        let log = folder.path().join("log");
        // A process that lives on with the script's stdout must not hold up the start.
        let body =
            format!("echo \"$@\" >> {}\n[ \"$1\" = down ] || {{ sleep 5 & echo 4711 /some/where; }}", log.display());
        match start(script(folder.path(), &body), &["--gtid"]).expect("starts") {
            Startup::Up(server) => assert_eq!((server.port(), server.folder()), (4711, Path::new("/some/where"))),
            Startup::NotAvailable(reason) => panic!("{reason}"),
        }
        assert_eq!(std::fs::read_to_string(&log).expect("the log"), "up --gtid\ndown /some/where\n");
    }

    #[test]
    fn a_missing_server_says_why() {
        let (_alone, folder) = (alone(), tempfile::tempdir().expect("a folder"));
        match start(script(folder.path(), "echo 'SKIP: no network' >&2; exit 77"), &[]).expect("understood") {
            Startup::NotAvailable(reason) => assert_eq!(reason, "no network"),
            Startup::Up(server) => panic!("{server:?}"),
        }
    }

    #[test]
    fn a_script_that_fails_is_an_error_with_what_it_said() {
        let (_alone, folder) = (alone(), tempfile::tempdir().expect("a folder"));
        let failed = start(script(folder.path(), "echo broken >&2; exit 1"), &[]).expect_err("fails");
        assert_eq!((failed.code(), failed.detail_text()), ("testkit.server", Some("broken\n")));
        let babble = start(script(folder.path(), "echo ready"), &[]).expect_err("no port");
        assert_eq!((babble.code(), babble.detail_text()), ("testkit.server", Some("ready\n")));
        assert_eq!(start(folder.path().join("nothing"), &[]).expect_err("no script").code(), "testkit.server");
    }
}
