use std::future::pending;
use std::path::Path;
use std::time::Duration;

use super::*;

fn shell(script: &str) -> CommandOptions {
    CommandOptions { program: "sh".to_owned(), args: vec!["-c".to_owned(), script.to_owned()], ..Default::default() }
}

async fn run(options: &CommandOptions, payload: &str) -> Outcome {
    execute(options, vec![("HEADWATER_JOB_ID", "7".to_owned())], payload.to_owned(), pending()).await
}

/// Waits until every process that a script wrote down is gone.
async fn all_gone(folder: &Path, count: usize) {
    let text = std::fs::read_to_string(folder.join("processes")).expect("processes");
    assert_eq!(text.lines().count(), count, "{text}");
    let alive = |id: &str| std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    let gone = async {
        while text.lines().any(alive) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nobody is left");
}

/// A script that starts a child, writes both process ids down, and then waits without heeding SIGTERM.
fn stubborn(folder: &Path) -> CommandOptions {
    let script = "trap '' TERM; sleep 1000 & echo $! > part; echo $$ >> part; mv part processes; wait; sleep 1000";
    CommandOptions { folder: Some(folder.to_owned()), ..shell(script) }
}

async fn written(folder: &Path) {
    let there = async {
        while !folder.join("processes").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("the script has begun");
}

#[tokio::test]
async fn the_command_gets_payload_environment_and_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = shell("cat > got; echo \"$HEADWATER_JOB_ID $COLOUR $1\" >> got");
    options.args.extend(["sh", "$HOME; not a shell's"].map(str::to_owned));
    options.env = vec![("COLOUR".to_owned(), "blue".to_owned())];
    options.folder = Some(folder.path().to_owned());
    run(&options, "{\"user\": 7}\n").await.expect("done");
    let got = std::fs::read_to_string(folder.path().join("got")).expect("a file");
    assert_eq!(got, "{\"user\": 7}\n7 blue $HOME; not a shell's\n");
}

#[tokio::test]
async fn the_exit_status_is_the_outcome() {
    let with = |script: &str| CommandOptions { dead_exit_codes: vec![65, 66], ..shell(script) };
    assert!(run(&with("exit 0"), "").await.is_ok());
    for script in ["exit 75", "exit 1", "kill -9 $$"] {
        let failure = run(&with(script), "").await.expect_err(script);
        assert!(matches!(failure, Failure::Retry(_)), "{script}: {failure:?}");
    }
    let failure = run(&with("echo no such user >&2; exit 66"), "").await.expect_err("dead");
    assert!(matches!(&failure, Failure::Dead(text) if text.ends_with("66: no such user")), "{failure:?}");
    let missing = CommandOptions { program: "/no/such/program".to_owned(), ..Default::default() };
    let failure = run(&missing, "").await.expect_err("missing");
    assert!(matches!(&failure, Failure::Retry(text) if text.contains("/no/such/program")), "{failure:?}");
}

#[tokio::test]
async fn the_end_of_a_long_complaint_is_kept() {
    let failure = run(&shell("seq 1 100000 >&2; echo last words >&2; exit 1"), "").await.expect_err("a failure");
    let Failure::Retry(text) = failure else { panic!("a retry") };
    assert!(text.ends_with("100000\nlast words") && text.len() < TAIL + 100, "{} bytes", text.len());
}

#[tokio::test]
async fn a_large_payload_does_not_block_whether_it_is_read_or_not() {
    let payload = "x".repeat(16 << 20);
    let script = "test $(wc -c) -eq 16777216 || exit 1; seq 1 200000; seq 1 200000 >&2";
    run(&shell(script), &payload).await.expect("read whole");
    run(&shell("seq 1 200000; exec 0<&-; seq 1 200000 >&2"), &payload).await.expect("not read");
    run(&shell("exit 0"), &payload).await.expect("gone at once");
    // Writes as much as it reads, at the same time.
    run(&shell("cat; cat >&2"), &payload).await.expect("handed through");
}

#[tokio::test]
async fn nothing_is_left_when_the_run_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = stubborn(folder.path());
    tokio::select! {
        outcome = run(&options, "") => panic!("it does not end: {outcome:?}"),
        () = written(folder.path()) => {}
    }
    all_gone(folder.path(), 2).await;
}

#[tokio::test]
async fn what_does_not_heed_sigterm_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = stubborn(folder.path());
    let stop = async {
        written(folder.path()).await;
        Stop::Cancelled
    };
    let failure = execute(&options, Vec::new(), String::new(), stop).await.expect_err("stopped");
    assert!(
        matches!(&failure, Failure::Retry(text) if text.contains("Cancelled") && text.contains("signal: 9")),
        "{failure:?}"
    );
    all_gone(folder.path(), 2).await;
}

#[tokio::test]
async fn who_heeds_sigterm_may_say_something() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap 'echo tidied up >&2; exit 0' TERM; echo $$ > part; mv part processes; \
                  while :; do sleep 0.05; done";
    let options = CommandOptions { folder: Some(folder.path().to_owned()), ..shell(script) };
    let stop = async {
        written(folder.path()).await;
        Stop::Shutdown
    };
    let failure = execute(&options, Vec::new(), String::new(), stop).await.expect_err("not done");
    assert!(matches!(&failure, Failure::Retry(text) if text.contains("tidied up")), "{failure:?}");
    all_gone(folder.path(), 1).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "sleep 1000 & echo $! > part; mv part processes; exit 0";
    let options = CommandOptions { folder: Some(folder.path().to_owned()), ..shell(script) };
    run(&options, "").await.expect("done");
    all_gone(folder.path(), 1).await;
}
