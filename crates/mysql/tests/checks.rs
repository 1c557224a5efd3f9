//! What is wrong with a server or a user is said at the start, with the statement that mends it; and the ways to connect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, Field};
use headwater_change::Error;
use headwater_testkit::servers::Flavor;
use support::{Db, read_until, rows};

fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int32, false)]
}

fn refusal(db: &Db, extra: &[(&str, &str)]) -> Error {
    match db.source("t", fields(), extra).and_then(|source| source.open(&[]).map(drop)) {
        Ok(()) => panic!("opened with {extra:?}"),
        Err(error) => error,
    }
}

fn hinted(error: &Error, code: &str, hint: &str) {
    assert_eq!(error.code(), code, "{error:?}");
    assert!(error.hint_text().is_some_and(|text| text.contains(hint)), "{error:?}");
}

fn settings_and_privileges(flavor: Flavor) {
    let Some(db) = Db::start("checks", flavor, &[]) else { return };
    db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(9))", "INSERT INTO shop.t VALUES (1, 'a')"]);
    assert_eq!(refusal(&db, &[("port", "1"), ("connect.max-retries", "0")]).code(), "mysql.connect");
    assert_eq!(refusal(&db, &[("password", "wrong")]).code(), "mysql.access_denied");
    assert_eq!(refusal(&db, &[("table-name", "nothing")]).code(), "mysql.table_missing");
    let number = vec![Field::new("s", DataType::Int32, true)];
    let error = db.source("t", number, &[]).expect("a source").open(&[]).map(drop).expect_err("text is no number");
    assert_eq!(error.code(), "mysql.type");

    db.run(&["SET GLOBAL binlog_row_image='MINIMAL'"]);
    hinted(&refusal(&db, &[]), "mysql.binlog_row_image", "SET GLOBAL binlog_row_image='FULL'");
    db.run(&["SET GLOBAL binlog_row_image='FULL'", "SET GLOBAL binlog_format='STATEMENT'"]);
    hinted(&refusal(&db, &[]), "mysql.binlog_format", "SET GLOBAL binlog_format='ROW'");
    db.run(&["SET GLOBAL binlog_format='ROW'", "CREATE USER u@'%' IDENTIFIED BY 'secret'"]);

    // Each refusal's hint is taken at its word, until the user may read.
    let user = [("username", "u"), ("password", "secret")];
    let mut granted = 0;
    loop {
        let source = db.source("t", fields(), &user).expect("a source");
        let opened = source.open(&[]).and_then(|mut reader| {
            let read = reader.next(1 << 20, std::time::Duration::from_secs(60))?;
            assert!(matches!(read, headwater_change::Read::Rows(_)), "{read:?}");
            Ok(())
        });
        let Err(error) = opened else { break };
        assert!(matches!(error.code(), "mysql.privilege" | "mysql.table_missing"), "{error:?}");
        let hint = error.hint_text().expect("a hint");
        let grant = hint.split_once("GRANT ").expect("a grant").1.replace("db.*", "shop.*");
        db.run(&[&format!("GRANT {grant}")]);
        granted += 1;
        assert!(granted < 6, "{error:?}");
    }
    assert!(granted >= 2, "{granted}");
}

#[test]
fn settings_and_privileges_on_mysql() {
    settings_and_privileges(Flavor::MySql);
}

#[test]
fn settings_and_privileges_on_mariadb() {
    settings_and_privileges(Flavor::MariaDb);
}

#[test]
fn a_server_without_a_log_is_told_how_to_write_one() {
    for flavor in Flavor::ALL {
        let Some(db) = Db::start("no log", flavor, &["--skip-log-bin", "--log-bin=0", "--disable-log-bin"]) else {
            continue;
        };
        db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY)"]);
        hinted(&refusal(&db, &[]), "mysql.log_bin", "log_bin=");
    }
}

#[test]
fn tls_and_caching_sha2_passwords_work() {
    let Some(db) = Db::start("tls", Flavor::MySql, &[]) else { return };
    db.run(&[
        "CREATE TABLE shop.t (id INT PRIMARY KEY)",
        "INSERT INTO shop.t VALUES (1)",
        "CREATE USER tls@'%' IDENTIFIED WITH caching_sha2_password BY 'secret' REQUIRE SSL",
        "CREATE USER plain@'%' IDENTIFIED WITH caching_sha2_password BY 'secret'",
        "GRANT ALL ON *.* TO tls@'%'",
        "GRANT ALL ON *.* TO plain@'%'",
    ]);
    let folder = db.server.folder().join("data");
    let ca = folder.join("ca.pem").to_string_lossy().into_owned();
    let open = |extra: &[(&str, &str)]| {
        let mut reader = db.source("t", fields(), extra)?.open(&[])?;
        let mut batches = Vec::new();
        read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1);
        Ok::<_, Error>(())
    };
    for (user, mode) in [("plain", "disabled"), ("tls", "required"), ("tls", "preferred")] {
        open(&[("username", user), ("password", "secret"), ("ssl.mode", mode)])
            .unwrap_or_else(|e| panic!("{mode}: {e:?}"));
    }
    // The server's own certificate has no name, so even its own authority is refused: closed, not open.
    let unnamed = open(&[("username", "tls"), ("password", "secret"), ("ssl.mode", "verify_ca"), ("ssl.ca", &ca)]);
    let unnamed = unnamed.expect_err("a certificate without a name");
    assert_eq!(unnamed.code(), "mysql.tls");
    assert!(unnamed.detail_text().is_some_and(|detail| detail.contains("not valid for name")), "{unnamed:?}");
    let strangers =
        open(&[("username", "tls"), ("password", "secret"), ("ssl.mode", "verify_ca")]).expect_err("unknown authority");
    assert_eq!(strangers.code(), "mysql.tls", "{strangers:?}");
    let refused =
        open(&[("username", "tls"), ("password", "secret"), ("ssl.mode", "disabled")]).expect_err("TLS is required");
    assert_eq!(refused.code(), "mysql.access_denied");
}

/// MySQL 8.0.15 has TLS, but nothing in common with a client of today.
#[test]
fn a_server_without_a_common_cipher_is_read_without_tls_where_that_may_be() {
    let Some(db) = Db::start("old TLS", Flavor::MySql80, &[]) else { return };
    db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"]);
    let mut reader = db.source("t", fields(), &[]).expect("a source").open(&[]).expect("preferred falls back");
    read_until(reader.as_mut(), &mut Vec::new(), |b| rows(b) == 1);
    let told = |part: &str| headwater_mysql::notice::told().iter().filter(|text| text.contains(part)).count();
    assert_eq!(told(&format!("127.0.0.1:{} is not encrypted", db.server.port())), 1, "one warning");
    let error = refusal(&db, &[("ssl.mode", "required")]);
    hinted(&error, "mysql.tls", "ssl.mode");
    let detail = error.detail_text().expect("a detail");
    assert!(detail.contains("8.0.15) takes TLS 1.2 with DHE-RSA-AES256-GCM-SHA384; Headwater has TLS 1.3"), "{detail}");
}

#[test]
fn settings_and_privileges_on_mysql_8_0() {
    settings_and_privileges(Flavor::MySql80);
}

#[test]
fn settings_and_privileges_on_mariadb_11_8() {
    settings_and_privileges(Flavor::MariaDb118);
}
