//! How the command ends: at signals, when its terminal is closed, and when something in the background fails.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ENDLESS: &str = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');
    CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE shown (n BIGINT) WITH ('connector' = 'print');";

fn headwater(sql: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["sql", "-e", &format!("{ENDLESS}{sql}")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// A terminal, and the shell in it. No other process may have the terminal's other side, or closing it means nothing.
fn shell() -> (PtyMaster, Child) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let side = OpenOptions::new().read(true).write(true).open(ptsname_r(&master).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let side = || Stdio::from(side.try_clone().unwrap());
    command.arg("sql").env("HOME", "/nowhere").env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
    let child = command.spawn().unwrap();
    (master, child)
}

fn until(master: &mut PtyMaster, text: &str) {
    let (mut seen, mut buffer) = (String::new(), [0; 1024]);
    while !seen.contains(text) {
        let count = master.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        // Whoever asks where the cursor is gets an answer, as from a terminal.
        if seen.contains("\u{1b}[6n") {
            seen = seen.replace("\u{1b}[6n", "");
            master.write_all(b"\x1b[1;1R").unwrap();
        }
    }
}

#[test]
fn a_failure_in_the_background_ends_the_script_whatever_runs_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "oops\n").unwrap();
    let broken = format!(
        "CREATE TABLE broken (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json',
         'source.monitor-interval' = '10 ms'); INSERT INTO nowhere SELECT n FROM broken;",
        folder.path().display()
    );
    let endless = "INSERT INTO nowhere SELECT n FROM numbers;";
    for sql in [
        format!("{endless}{broken}"),
        format!("{broken}{endless}"),
        format!("{endless}{broken}{endless}"),
        format!("{broken}SELECT n FROM numbers WHERE n < 0;"),
    ] {
        let output = headwater(&sql).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("json.parse") && told.contains("line 1"), "{told}");
    }
}

#[test]
fn the_end_of_the_terminal_and_sigterm_end_a_script_as_ctrl_c_does() {
    for end in [Signal::SIGHUP, Signal::SIGTERM] {
        let sql = "INSERT INTO shown SELECT n FROM numbers; INSERT INTO nowhere SELECT n FROM numbers;";
        let mut child = headwater(sql).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        signal(&child, end);
        lines.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{end}");
    }
}

#[test]
fn what_stands_behind_a_query_that_was_ended_by_sigterm_is_not_run() {
    let mut child = headwater("SELECT n FROM numbers; SELECT 4711 AS x;").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.next().unwrap();
    signal(&child, Signal::SIGTERM);
    assert!(!lines.any(|line| line.trim() == "4711"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn under_nohup_the_end_of_the_terminal_means_nothing() {
    let mut command = Command::new("nohup");
    command.args([env!("CARGO_BIN_EXE_headwater"), "sql", "-e"]);
    let sql = format!("{ENDLESS}INSERT INTO shown SELECT n FROM numbers;");
    let mut child = command.arg(sql).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    signal(&child, Signal::SIGHUP);
    for _ in 0..5_000 {
        lines.next().expect("it goes on").unwrap();
    }
    signal(&child, Signal::SIGTERM);
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_shell_ends_when_its_terminal_is_closed_or_it_is_told_to() {
    for end in [None, Some(Signal::SIGHUP), Some(Signal::SIGTERM)] {
        let (mut master, mut child) = shell();
        until(&mut master, "headwater");
        match end {
            None => drop(master),
            Some(end) => signal(&child, end),
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{end:?}");
    }
}

#[test]
fn help_and_quit_work_from_a_pipe() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["sql", "--output", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"help\nSELECT 1 AS x;\nHELP;\nquit\nSELECT nonsense;").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(text.matches("CREATE TABLE name").count(), 2, "{text}");
    assert!(text.contains("x\n1\n"), "{text}");
}
