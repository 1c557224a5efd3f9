//! Other queues beside ours: each program of `bench/peers` installs itself, gets the URL of an empty database and prints
//! its figures as one JSON object.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ground::Ground;
use super::{Outcome, warm, worker};

const FOLDER: &str = "bench/peers";
const PEERS: [&str; 2] = ["apalis", "bullmq"];
const PENDING: u64 = 200_000;

/// Every peer, and our worker on a table that is as small as theirs.
pub(super) async fn run(ground: &mut Ground, executors: usize, time: Duration) -> Outcome<Value> {
    let mut figures = Map::new();
    ground.empty().await?;
    ground.fill(PENDING, 1).await?;
    let (rate, _) = worker::run(ground, executors, warm(), time).await?;
    for name in PEERS {
        let url = ground.database("peer").await?;
        let mut peer = match measure(name, &url) {
            Ok(peer) => peer,
            Err(reason) => {
                eprintln!("\n!!! SKIPPED: {name}: {reason}\n");
                json!({ "skipped": reason })
            }
        };
        let times = peer.get("jobs_per_second").and_then(Value::as_f64).map(|theirs| rate / theirs);
        if let (Some(times), Some(peer)) = (times, peer.as_object_mut()) {
            peer.insert("worker_to_peer".to_owned(), times.into());
        }
        figures.insert(name.to_owned(), peer);
    }
    figures.insert("worker_jobs_per_second".to_owned(), rate.round().into());
    Ok(figures.into())
}

/// What a peer says of itself.
fn measure(name: &str, url: &str) -> Result<Value, String> {
    let program = Path::new(FOLDER).join(name).join("run");
    let output = Command::new(&program).arg(url).stderr(Stdio::inherit()).output();
    let output =
        output.map_err(|error| format!("{}: {error}; run this at the root of the project", program.display()))?;
    if !output.status.success() {
        return Err(format!("it could not be installed or run: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("it said {line:?}: {error}"))
}
