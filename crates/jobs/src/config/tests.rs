use std::path::Path;
use std::time::Duration;

use headwater_change::Place;

use super::*;
use crate::maintain::CatchUp;

const WHOLE: &str = r#"
url = "mysql://worker@127.0.0.1:3307/shop"
password = "env:PASSWORD"
executors = 8
lease = "90s"
shutdown-deadline = "5 min"
[queues]
default = 1
mail = { weight = 3, history = true, max-running = 10, rate = "120/min", burst = 20, per-key = { rate = "0.5/s" } }
[encryption]
keys = { k1 = "env:KEY", k2 = "env:KEY" }
use = "k2"
[types.HOOK]
http = { url = "https://example.com/hook", method = "PUT", headers = { Authorization = "env:TOKEN" }, allow-private = ["10.0.0.0/8"] }
timeout = "30s"
retry = { policy = "power10", max-retries = 7, cap = "1 h" }
[types.RESIZE]
command = { program = "convert", args = ["-"], env = { A = "b" }, folder = "/tmp", dead-exit-codes = [65] }
retry = { policy = "list", delays = ["1s", "2 min"] }
[types.GRANT]
sql = ["INSERT INTO coupons VALUES (:user_id)", "DO 1"]
[schedules.nightly]
cron = "0 3 * * *"
time-zone = "Europe/Berlin"
job-type = "REPORT"
payload = { day = 2026-11-23, parts = [1, 2.5, true] }
catch-up = "all"
"#;

fn read(text: &str) -> Result<Config> {
    read_with(text, None)
}

fn read_with(text: &str, url: Option<&str>) -> Result<Config> {
    parse(text, Path::new("jobs.toml"), url, &|name| match name {
        "PASSWORD" | "TOKEN" => Some("hidden".to_owned()),
        "KEY" => Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        URL_VARIABLE => Some("mysql://env@db/queue".to_owned()),
        _ => None,
    })
}

#[test]
fn who_runs_no_jobs_needs_no_secrets_of_handlers() {
    let text = "url = 'mysql://worker@db/shop'\n[encryption]\nkeys = { k = 'env:KEY' }\n[types.HOOK]\n\
                http = { url = 'https://example.com/hook', headers = { Authorization = 'env:TOKEN' } }";
    let key = |name: &str| (name == "KEY").then(|| "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    let error = parse(text, Path::new("jobs.toml"), None, &key).err().expect("no token");
    assert!(error.to_string().contains("TOKEN"), "{error:?}");
    let read = connection(text, Path::new("jobs.toml"), None, &key).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(read.access.to_string(), "worker@db:3306/shop");
    assert!(read.cipher.is_some());
}

#[test]
fn every_key_is_read() {
    let config = read(WHOLE).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(config.access.to_string(), "worker@127.0.0.1:3307/shop");
    let (lease, deadline) = (Duration::from_secs(90), Duration::from_secs(300));
    assert_eq!((config.executors, config.lease, config.shutdown_deadline), (8, lease, deadline));
    let limit = Limit { max_running: Some(10), rate: Some(2.0), burst: 20 };
    let key_limit = Limit { max_running: None, rate: Some(0.5), burst: 1 };
    let queue = |name: &str, weight, history, limit, key_limit| QueueConfig {
        name: name.to_owned(),
        weight,
        history,
        limit,
        key_limit,
    };
    assert_eq!(
        config.queues,
        [queue("default", 1, false, None, None), queue("mail", 3, true, Some(limit), Some(key_limit))]
    );
    assert_eq!(format!("{:?}", config.cipher), "Some(Cipher(k2 of [\"k1\", \"k2\"]))");
    let (_, hook) = config.handlers.get("HOOK").expect("a handler");
    assert_eq!(hook.timeout, Duration::from_secs(30));
    let hour = Duration::from_secs(3_600);
    assert_eq!(hook.retry, RetryPolicy { backoff: Backoff::Power10, cap: hour, max_retries: 7 });
    let delays = vec![Duration::from_secs(1), Duration::from_secs(120)];
    assert_eq!(config.handlers.settings("RESIZE").retry.backoff, Backoff::Fixed(delays));
    assert!(config.handlers.get("GRANT").is_some());
    let [nightly] = config.schedules.as_slice() else { panic!("one schedule") };
    assert_eq!(nightly.payload, r#"{"day":"2026-11-23","parts":[1,2.5,true]}"#);
    assert_eq!((nightly.catch_up, nightly.queue.as_str(), nightly.priority), (CatchUp::All, "default", 0));
}

#[test]
fn an_empty_file_is_a_worker_of_the_default_queue() {
    let config = read("").unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(config.access.to_string(), "env@db:3306/queue");
    for text in ["", "url = \"mysql://file@db/queue\""] {
        let config = read_with(text, Some("mysql://line@db/queue")).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(config.access.to_string(), "line@db:3306/queue");
    }
    let error = read_with("", Some("nonsense")).err().expect("no URL");
    assert_eq!(error.place(), Some(&Place::Option("--url".into())));
    assert_eq!((config.executors, config.lease), (16, Duration::from_secs(60)));
    let [queue] = config.queues.as_slice() else { panic!("one queue") };
    assert_eq!((queue.name.as_str(), queue.weight, queue.history), ("default", 1, false));
    assert!(config.cipher.is_none() && config.schedules.is_empty());
}

/// Text, line, code, and what message or hint say.
const WRONG: &[(&str, u64, &str, &str)] = &[
    ("\nexecutor = 3", 2, "jobs.config", "did you mean `executors`?"),
    ("executors = 0", 1, "jobs.config", "nonzero"),
    ("executors = [", 1, "jobs.config", "docs/jobs/config.md"),
    ("\n\nlease = \"5 parsecs\"", 3, "jobs.config", "5 min"),
    ("lease = \"30\"", 1, "jobs.config", "a number and a unit"),
    ("lease = \"10ms\"", 1, "jobs.config", "at least"),
    ("url = \"http://db\"", 1, "mysql.url", "mysql://"),
    ("\npassword = \"env:NOBODY\"", 2, "jobs.config", "NOBODY"),
    ("[queues]\nmail = 0", 2, "jobs.config", "whole number from 1"),
    ("[queues]\nmail = { wight = 1 }", 2, "jobs.config", "did you mean `weight`?"),
    ("[queues]\n\nmail = { rate = \"5\" }", 3, "jobs.config", "100/min"),
    ("[queues]\n\nmail = { per-key = { rate = \"-5/s\" } }", 3, "jobs.config", "100/min"),
    ("[queues]", 1, "jobs.config", "default = 1"),
    ("[types.A]\ntimeout = \"3s\"", 1, "jobs.config", "one of http, command and sql"),
    ("\n[types.A]\nsql = \"DO 1\"\ncommand = { program = \"x\" }", 2, "jobs.config", "one of http, command and sql"),
    ("\n[types.A]\nsql = \"COMMIT\"", 2, "jobs.sql", "COMMIT"),
    ("\n[types.A]\nsql = 3", 3, "jobs.config", "list of statements"),
    ("[types.A]\nhttp = { url = \"http://10.0.0.1/\" }", 1, "jobs.http", "allow-private"),
    ("[types.A]\n\nhttp = { url = \"https://x/\", headers = { A = \"file:/no/such\" } }", 3, "jobs.config", "/no/such"),
    (
        "[types.A]\nsql = \"DO 1\"\nretry = { policy = \"linear\", base = \"1s\" }",
        3,
        "jobs.config",
        "linear takes step",
    ),
    ("[types.A]\nsql = \"DO 1\"\nretry = { policy = \"list\" }", 3, "jobs.config", "list needs delays"),
    ("[types.A]\nsql = \"DO 1\"\nretry = { factor = 0.5 }", 3, "jobs.config", "at least 1"),
    ("[encryption]\nkeys = { a = \"short\" }", 1, "jobs.key", "openssl"),
    ("\n[encryption]\nkeys = { a = \"env:KEY\", b = \"env:KEY\" }", 2, "jobs.config", "use ="),
    (
        "[schedules.x]\ncron = \"* * * * *\"\njob-type = \"A\"\ncatch-up = \"some\"",
        4,
        "jobs.config",
        "none, one or all",
    ),
    ("[schedules.x]\ncron = \"* * * * *\"", 1, "jobs.config", "job-type"),
];

#[test]
fn what_is_wrong_names_its_line_and_says_what_to_write() {
    for (text, line, code, says) in WRONG {
        let error = read(text).err().unwrap_or_else(|| panic!("taken: {text}"));
        let whole = format!("{error:?}");
        assert_eq!(error.code(), *code, "{text}: {whole}");
        assert_eq!(error.place(), Some(&Place::File { path: "jobs.toml".into(), line: *line }), "{text}: {whole}");
        assert!(error.hint_text().is_some() && whole.contains(says), "{text}: {whole}");
        assert!(!whole.contains(HINT.trim()), "{whole}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read(Path::new("/no/such/jobs.toml"), None).err().expect("missing");
    assert!(error.code() == "jobs.config" && error.to_string().contains("/no/such/jobs.toml"), "{error:?}");
}
