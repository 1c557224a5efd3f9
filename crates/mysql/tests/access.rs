//! Who may read and over which connection: the grants that Flink's manual asks for, and MariaDB over TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::datatypes::{DataType, Field};
use headwater_change::Error;
use headwater_testkit::servers::Flavor;
use support::{Db, changes, read_until, rows};

const TABLE: &[&str] = &["CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"];

/// Reads the snapshot's row, then one that is written afterwards.
fn snapshot_and_log(db: &Db, next: u32, extra: &[(&str, &str)]) -> Result<(), Error> {
    let mut reader = db.source("t", vec![Field::new("id", DataType::Int32, false)], extra)?.open(&[])?;
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 1);
    db.run(&[&format!("INSERT INTO shop.t VALUES ({next})"), &format!("DELETE FROM shop.t WHERE id = {next}")]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3);
    assert_eq!(changes(&batches), ["+I 1".to_owned(), format!("+I {next}"), format!("-D {next}")]);
    Ok(())
}

fn flushes(db: &Db) -> u64 {
    db.pair("SHOW GLOBAL STATUS LIKE 'Com_flush'").1.parse().expect("a number")
}

/// Without LOCK TABLES, the lock on MySQL is that of RELOAD, on the whole server, and is gone before the rows come.
fn flinks_grants(flavor: Flavor) {
    let Some(db) = Db::start("grants", flavor, &[]) else { return };
    db.run(TABLE);
    db.run(&[
        "CREATE USER flink@'%' IDENTIFIED BY 'secret'",
        "GRANT SELECT, RELOAD, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO flink@'%'",
    ]);
    let before = flushes(&db);
    snapshot_and_log(&db, 2, &[("username", "flink"), ("password", "secret")]).expect("these grants are enough");
    assert_eq!(flushes(&db) - before, u64::from(flavor.is_mysql()), "locks of the whole server");

    // Who may lock tables does not lock the server.
    db.run(&["GRANT LOCK TABLES ON shop.* TO flink@'%'"]);
    let before = flushes(&db);
    snapshot_and_log(&db, 3, &[("username", "flink"), ("password", "secret")]).expect("more grants do no harm");
    assert_eq!(flushes(&db), before);
}

#[test]
fn flinks_grants_are_enough_on_mysql() {
    flinks_grants(Flavor::MySql);
}

#[test]
fn flinks_grants_are_enough_on_mariadb() {
    flinks_grants(Flavor::MariaDb);
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn openssl(folder: &Path, arguments: &str) -> bool {
    let arguments = arguments.split_whitespace();
    let status =
        Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// An authority `ca.pem`, and `cert.pem` and `key.pem` of a server that is 127.0.0.1.
fn certificates() -> Option<Folder> {
    let folder = Folder(std::env::temp_dir().join(format!("headwater-tls-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("a folder");
    std::fs::write(folder.0.join("san"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    let made = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=server",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 30 -extfile san",
    ]
    .iter()
    .all(|step| openssl(&folder.0, step));
    made.then_some(folder)
}

#[test]
fn mariadb_over_tls() {
    let Some(folder) = certificates() else {
        return headwater_testkit::skipped("tls", "openssl makes no certificates here");
    };
    let path = |name: &str| folder.0.join(name).to_string_lossy().into_owned();
    let arguments = ["ca", "cert", "key"].map(|kind| format!("--ssl-{kind}={}", path(&format!("{kind}.pem"))));
    let Some(db) = Db::start("tls", Flavor::MariaDb, &arguments.each_ref().map(String::as_str)) else { return };
    db.run(TABLE);
    db.run(&["CREATE USER safe@'%' IDENTIFIED BY 'secret' REQUIRE SSL", "GRANT ALL ON *.* TO safe@'%'"]);
    let ca = path("ca.pem");
    let open = |next: u32, mode: &str, ca: Option<&str>| {
        let mut extra = vec![("username", "safe"), ("password", "secret"), ("ssl.mode", mode)];
        extra.extend(ca.map(|ca| ("ssl.ca", ca)));
        snapshot_and_log(&db, next, &extra)
    };
    open(2, "preferred", None).expect("TLS is there");
    open(3, "required", None).expect("TLS is there");
    open(4, "verify_ca", Some(&ca)).expect("the authority is known");
    open(5, "verify_identity", Some(&ca)).expect("the name is the server's");
    assert_eq!(open(6, "verify_ca", None).expect_err("an unknown authority").code(), "mysql.tls");
    assert_eq!(open(7, "disabled", None).expect_err("TLS is required").code(), "mysql.access_denied");
}

#[test]
fn flinks_grants_are_enough_on_mysql_8_0() {
    flinks_grants(Flavor::MySql80);
}

#[test]
fn flinks_grants_are_enough_on_mariadb_11_8() {
    flinks_grants(Flavor::MariaDb118);
}
