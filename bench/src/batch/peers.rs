//! Others that do the same job: each program of `bench/peers` installs itself (`run install`), and then runs one job.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::measure::{Cost, median, program};

/// The median cost of a peer's job, or why there is none.
pub(super) fn run(peer: &str, job: &str, script: &str, port: u16, runs: usize) -> Result<Cost, String> {
    let path = Path::new("bench/peers").join(peer).join("run");
    let installed = Command::new(&path).arg("install").stdout(Stdio::null()).status();
    match installed {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("it could not be installed: {status}")),
        Err(error) => return Err(format!("{}: {error}; run this at the root of the project", path.display())),
    }
    let mut file = tempfile::NamedTempFile::with_suffix(".sql").map_err(|error| error.to_string())?;
    file.write_all(script.as_bytes()).map_err(|error| error.to_string())?;
    let mut costs = Vec::with_capacity(runs);
    for _ in 0..runs {
        let mut command = Command::new(&path);
        command.args([job, &port.to_string()]).arg(file.path()).stderr(Stdio::null());
        costs.push(program(&mut command).map_err(|error| error.to_string())?);
    }
    Ok(median(&costs))
}
