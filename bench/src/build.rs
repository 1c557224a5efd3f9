//! What a newcomer waits for: the cold release build, and the size and start of the binary it makes.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::measure::{median, program};

/// The wait before `make demo` shows anything must stay below this.
const LIMIT_SECONDS: f64 = 25.0 * 60.0;

pub(crate) fn run(data: &Path, runs: usize) -> Result<Value, Box<dyn Error>> {
    let target = std::path::absolute(data)?.join("cold-target");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    program(Command::new("cargo").args(["fetch", "--locked"]))?;
    let build = program(
        Command::new("cargo").args(["build", "--release", "--locked", "--offline"]).env("CARGO_TARGET_DIR", &target),
    )?;
    let binary = target.join("release/headwater");
    let size = std::fs::metadata(&binary)?.len();
    let start = || program(Command::new(&binary).arg("--version"));
    start()?;
    let starts = (0..runs.max(5)).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    std::fs::remove_dir_all(&target)?;
    Ok(json!({
        "scenario": "build",
        "cold_release_build": build,
        "wall_to_limit": build.wall_seconds / LIMIT_SECONDS,
        "binary_mib": size as f64 / 1_048_576.0,
        "version_starts": median(&starts),
    }))
}
