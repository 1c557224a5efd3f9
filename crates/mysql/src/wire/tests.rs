//! The login against real servers: each way to prove a password, with and without TLS.

use headwater_testkit::servers::{Flavor, Server};

use super::Conn;
use crate::access::{Access, SslMode};

fn access(port: u16, user: &str, password: &str, ssl: SslMode) -> Access {
    let mut access = Access::from_url(&format!("mysql://{user}@127.0.0.1:{port}/")).unwrap().with_password(password);
    access.ssl = ssl;
    access
}

fn logs_in(flavor: Flavor, plugins: &[&str]) {
    let test = format!("wire_login ({flavor:?})");
    let Some(server) = Server::for_test(&test, flavor).expect("a server, or a reason why not") else { return };
    let port = server.port();
    // Finds out whether there is a TLS that both have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(crate::client::connect(&access(port, "root", "", SslMode::Preferred), &[])).unwrap();
    let mut root = Conn::open(&access(port, "root", "", SslMode::Preferred)).unwrap();
    for (number, plugin) in plugins.iter().enumerate() {
        root.run(&format!("CREATE USER u{number}@'%' IDENTIFIED {plugin}")).unwrap();
        for ssl in [SslMode::Disabled, SslMode::Preferred, SslMode::Disabled] {
            // The server forgets what it has seen of passwords, and asks for the whole of it.
            root.run("FLUSH PRIVILEGES").unwrap();
            let user = format!("u{number}");
            for _ in 0..2 {
                let mut conn = Conn::open(&access(port, &user, "p@ss", ssl)).unwrap();
                let rows = conn.rows("SELECT CURRENT_USER(), NULL, @@time_zone").unwrap();
                assert_eq!(rows, [[Some(format!("{user}@%")), None, Some("+00:00".to_owned())]], "{plugin} {ssl:?}");
            }
            let Err(error) = Conn::open(&access(port, &user, "wrong", ssl)) else { panic!("{plugin}: no password") };
            assert_eq!(error.code(), "mysql.access_denied", "{plugin} {ssl:?}: {error:?}");
        }
    }
    let Err(error) = Conn::open(&access(1, "root", "", SslMode::Preferred)) else { panic!("nobody listens there") };
    assert_eq!(error.code(), "mysql.connect");
}

#[test]
fn mysql_lets_us_in() {
    logs_in(Flavor::MySql, &["BY 'p@ss'"]);
}

#[test]
fn mysql_8_0_lets_us_in() {
    logs_in(Flavor::MySql80, &["BY 'p@ss'", "WITH mysql_native_password BY 'p@ss'"]);
}

#[test]
fn mariadb_lets_us_in() {
    logs_in(Flavor::MariaDb, &["BY 'p@ss'"]);
}

#[test]
fn results_end_and_errors_leave_the_connection_usable() {
    let test = "results_end_and_errors_leave_the_connection_usable";
    let Some(server) = Server::for_test(test, Flavor::MySql).expect("a server, or a reason why not") else { return };
    let mut conn = Conn::open(&access(server.port(), "root", "", SslMode::Preferred)).unwrap();
    for sql in ["SELECT nothing", "SELECT * FROM mysql.nowhere", "SELEC 1"] {
        assert!(conn.rows(sql).is_err() && conn.execute(sql).is_err(), "{sql}");
    }
    // A statement each of whose rows is longer than a packet, and one that ends in an error.
    conn.run("SET SESSION max_allowed_packet = DEFAULT").unwrap_err();
    let layout = conn.execute("SELECT REPEAT('x', 20000000) UNION ALL SELECT 'y'").unwrap();
    let mut lengths = Vec::new();
    while let Some(row) = conn.next_row(&layout).unwrap() {
        lengths.push(row.len());
    }
    assert_eq!(lengths, [20_000_011, 4]);
    let layout = conn.execute("SELECT 1 UNION ALL SELECT EXP(n) FROM (SELECT 999 AS n) t").unwrap();
    let ended = loop {
        match conn.next_row(&layout) {
            Ok(Some(_)) => {}
            other => break other.map(|row| row.map(<[u8]>::to_vec)),
        }
    };
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(conn.rows("SELECT 7").unwrap(), [[Some("7".to_owned())]]);
}

#[test]
fn who_waits_is_stopped_from_outside() {
    let Some(server) =
        Server::for_test("who_waits_is_stopped", Flavor::MariaDb).expect("a server, or a reason why not")
    else {
        return;
    };
    let mut conn = Conn::open(&access(server.port(), "root", "", SslMode::Disabled)).unwrap();
    let stopper = conn.stopper().unwrap();
    let waiting = std::thread::spawn(move || conn.rows("SELECT SLEEP(60)").is_err());
    let mut watcher = Conn::open(&access(server.port(), "root", "", SslMode::Disabled)).unwrap();
    let asleep = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'";
    while watcher.rows(asleep).unwrap() != [[Some("1".to_owned())]] {}
    stopper.stop();
    assert!(waiting.join().unwrap());
}
