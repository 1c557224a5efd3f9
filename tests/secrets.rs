//! No error, no listing and no log shows a secret, whatever goes wrong around it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;

/// With what SQL, JSON and addresses escape.
const SECRETS: &[&str] = &["Tr0ub4dor-3", "q''uo`te\"d", "wor%64s", "pa$$ w@r/d:x"];

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

fn run(arguments: &[&str], level: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(arguments).env("HEADWATER_LOG", level).envs(environment.iter().copied());
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn clean(told: &str, secret: &str, of: &str) {
    let plain = secret.replace("''", "'");
    for form in [secret, plain.as_str(), format!("{plain:?}").trim_matches('"')] {
        assert!(!told.contains(form), "{of}\nshows {form}:\n{told}");
    }
}

/// A table of a server that is not there, with one part put in place of another.
fn table(secret: &str, part: &str, instead: &str) -> String {
    let whole = format!(
        "CREATE TABLE t (id INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'mysql-cdc',
           'hostname' = '127.0.0.1', 'port' = '1', 'username' = 'me', 'password' = '{secret}',
           'database-name' = 'd', 'table-name' = 't');"
    );
    assert!(whole.contains(part), "{part}");
    whole.replace(part, instead)
}

fn scripts(secret: &str) -> Vec<String> {
    let password = format!("'password' = '{secret}'");
    let select = "SELECT * FROM t;";
    let mut scripts = vec![
        table(secret, "", "") + select,
        table(secret, "'port' = '1'", "'prot' = '1'") + select,
        table(secret, "'port' = '1'", "'port' = 'x'") + select,
        table(secret, "mysql-cdc", "mysql-cd") + select,
        table(secret, "mysql-cdc", "filesystem") + select,
        table(secret, "INT", "NONSENSE") + select,
        table(secret, "PRIMARY KEY (id)", "PRIMARY KEY (x)") + select,
        table(secret, ");", ") nonsense;"),
        table(secret, ");", ""),
        table(secret, &password, &format!("'password' = '{secret}")),
        table(secret, &password, &format!("'password' '{secret}'")),
        table(secret, &password, &format!("password = '{secret}'")),
        table(secret, "", "") + "SELECT nonsense FROM t;",
        table(secret, "", "") + "EXPLAIN SELECT * FROM t; DESCRIBE t; SHOW TABLES; SHOW CREATE TABLE t;",
        table(secret, "", "") + "SELECT '${NOT_GIVEN}';",
        table(secret, "", "") + "INSERT INTO t SELECT 1;",
        format!("SET 'my.password' = '{secret}'; SET;"),
        format!("SET 'pipeline.name' = 'x'; SET 'api.token' = '{secret}'; SELECT 1"),
    ];
    for name in ["pasword", "passwrod", "Password", "pass-word", "pwd", "secret", "ssl.key-passphrase"] {
        scripts.push(table(secret, &password, &format!("'{name}' = '{secret}'")) + select);
    }
    scripts.push(
        format!("CREATE TABLE f (x INT) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'ftp://me:{secret}@host/x'); SELECT * FROM f;"),
    );
    scripts.push(format!("CREATE TABLE f (x INT) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '/x', 'url' = 'mysql://me:{secret}@h/d');"));
    scripts
}

#[test]
fn no_script_shows_its_secrets() {
    for (round, secret) in SECRETS.iter().enumerate() {
        for (number, script) in scripts(secret).iter().enumerate() {
            // In an address a quote or a blank would be an end.
            if script.contains("://") && secret.contains([' ', '\'', '`']) {
                continue;
            }
            // Every level with every script takes its time; the most talkative one with all, the others in turn.
            let level = if round == 0 { "trace" } else { LEVELS[(round + number) % LEVELS.len()] };
            clean(&run(&["sql", "-e", script], level, &[]), secret, script);
            let variable = format!("HIDDEN={secret}");
            let script = script.replace(secret, "${HIDDEN}");
            clean(&run(&["sql", "-D", &variable, "-e", &script], level, &[]), secret, &script);
        }
    }
}

#[test]
fn a_secret_that_is_kept_elsewhere_is_not_shown_either() {
    let secret = "kept-elsewhere-42";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, secret).unwrap();
    for reference in ["env:HIDDEN".to_owned(), format!("file:{}", file.display())] {
        let script = table(&reference, "", "") + "SELECT * FROM t;";
        let told = run(&["sql", "-e", &script], "trace", &[("HIDDEN", secret)]);
        assert!(told.contains("mysql."), "{told}");
        clean(&told, secret, &script);
    }
}

#[test]
fn the_state_holds_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "state-secret-77";
    let script = format!(
        "CREATE TABLE g (x INT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
         CREATE TABLE o (x INT) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{0}/out');
         {1} INSERT INTO o SELECT x FROM g;",
        folder.path().display(),
        table(secret, "", "")
    );
    let state = folder.path().join("state");
    run(&["sql", "--state", state.to_str().unwrap(), "-e", &script], "warn", &[]);
    fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => files(&path, found),
                path => found.push(std::fs::read(path).unwrap()),
            }
        }
    }
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    assert!(!found.is_empty());
    for bytes in found {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[test]
fn the_job_queue_shows_no_secrets() {
    let secret = "Tr0ub4dor-3";
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mysql://me:{secret}@127.0.0.1:1/d");
    for url in [&url, &url.replace(":1/", ":x/"), &url.replace("mysql", "msql"), &format!("{url}?nonsense=1")] {
        for command in ["init", "ls", "stats"] {
            for level in ["info", "trace"] {
                clean(&run(&["jobs", command, "--url", url], level, &[]), secret, url);
            }
        }
    }
    let config = folder.path().join("jobs.toml");
    for text in [
        format!("[server]\nurl = \"{url}\"\n"),
        format!("[server]\nurl = \"{url}\n"),
        format!("[server]\nurl = \"mysql://me@127.0.0.1:1/d\"\npassword = \"{secret}\"\nnonsense = 1\n"),
        format!("[server]\nurl = \"mysql://me@127.0.0.1:1/d\"\npasword = \"{secret}\"\n"),
        format!("[server]\nurl = \"mysql://me@127.0.0.1:1/d\"\npassword = {secret}\n"),
    ] {
        std::fs::write(&config, &text).unwrap();
        for level in ["info", "trace"] {
            let told = run(&["jobs", "work", "--config", config.to_str().unwrap()], level, &[]);
            clean(&told, secret, &text);
        }
    }
}
