//! Signals, taken by a thread of their own: Ctrl-C stops what runs, SIGTERM and the end of the terminal end the process,
//! SIGUSR1 pauses the reading of tables and lets it go on.

use headwater_change::{Error, Result};
use nix::sys::signal::{SigSet, Signal};

/// Calls `on` for every SIGINT, SIGTERM, SIGHUP and SIGUSR1. To be called before there are other threads: they inherit that the
/// signals are not for them.
pub(crate) fn watch(on: impl Fn(Signal) + Send + 'static) -> Result<()> {
    let failed = || Error::remote("server.signals", "Ctrl-C cannot be caught");
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGUSR1);
    if !hang_up_is_ignored() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block().map_err(|error| failed().caused_by(error))?;
    let watching = move || {
        while let Ok(signal) = signals.wait() {
            on(signal);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watching)
        .map(|_| ())
        .map_err(|error| failed().caused_by(error))
}

/// Whether the process was started so that the end of its terminal means nothing to it (`nohup`).
pub(crate) fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 << (Signal::SIGHUP as u64 - 1) != 0)
}
