//! The table that is read: orders of 30 days, whose keys have gaps and whose products are skewed; a server of its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use headwater_testkit::servers::{Flavor, Server, Startup};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Outcome;

const SERVER: [&str; 4] =
    ["--local-infile=1", "--innodb-buffer-pool-size=2G", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"];

const TABLES: &str = "CREATE DATABASE service_db; CREATE DATABASE analytics_db;
CREATE TABLE service_db.orders (order_id BIGINT NOT NULL PRIMARY KEY, product_id INT NOT NULL, user_id BIGINT NOT NULL,
  quantity INT NOT NULL, sale_price DECIMAL(10,2) NOT NULL, status VARCHAR(20) NOT NULL, created_at DATETIME NOT NULL,
  note VARCHAR(200));
CREATE TABLE analytics_db.sales_1m (sales_date DATE NOT NULL, product_id INT NOT NULL, total_amount DECIMAL(38,2),
  order_count BIGINT, PRIMARY KEY (sales_date, product_id));
CREATE TABLE analytics_db.product_sales (product_id INT NOT NULL PRIMARY KEY, total_amount DECIMAL(38,2), total_quantity BIGINT,
  order_count BIGINT, min_created DATETIME, max_created DATETIME);";

/// The server with the table.
pub(super) struct Shop {
    server: Server,
}

impl Shop {
    /// Starts a server and fills the table.
    pub(super) fn open(data: &Path, rows: u64) -> Outcome<Self> {
        let file = data.join(format!("orders-{rows}.tsv"));
        if !file.exists() {
            generate(&file, rows)?;
        }
        let server = match Server::start(Flavor::MySql, &SERVER)? {
            Startup::Up(server) => server,
            Startup::NotAvailable(reason) => return Err(format!("there is no MySQL: {reason}").into()),
        };
        let shop = Self { server };
        shop.query(TABLES)?;
        let file = std::fs::canonicalize(&file)?;
        shop.query(&format!(
            "SET SESSION unique_checks = 0, sql_log_bin = 0; LOAD DATA LOCAL INFILE '{}' INTO TABLE service_db.orders CHARACTER SET utf8mb4; \
             ANALYZE TABLE service_db.orders;",
            file.display()
        ))?;
        Ok(shop)
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    /// A statement by the client program.
    fn client(&self, sql: &str) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", "--local-infile=1"]);
        command.arg(format!("--port={}", self.port())).args(["-e", sql]);
        command
    }

    pub(super) fn empty_sales(&self) -> Outcome<()> {
        self.query("TRUNCATE TABLE analytics_db.sales_1m").map(drop)
    }

    /// The rows of the table as a file for LOAD DATA.
    pub(super) fn save_sales(&self, file: &Path) -> Outcome<()> {
        let rows = self.query("SELECT * FROM analytics_db.sales_1m")?;
        if rows.lines().count() != 1_000_000 {
            return Err("there are not a million rows".into());
        }
        Ok(std::fs::write(file, rows)?)
    }

    pub(super) fn load_sales(&self, file: &Path) -> Command {
        self.client(&format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE analytics_db.sales_1m", file.display()))
    }

    /// The lines of a statement's result.
    fn query(&self, sql: &str) -> Outcome<String> {
        let output = self.client(sql).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the server did not take {sql}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Fails unless the target is what MySQL's own query gives.
    pub(super) fn compare(&self, columns: &str, condition: &str) -> Outcome<()> {
        let own = self.query(&format!(
            "SELECT {columns} FROM service_db.orders {condition} GROUP BY product_id ORDER BY product_id"
        ))?;
        let found = self.query("SELECT * FROM analytics_db.product_sales ORDER BY product_id")?;
        if own.is_empty() || own != found {
            return Err("the target is not what MySQL's own query gives".into());
        }
        Ok(())
    }
}

const STATUS: [&str; 10] =
    ["paid", "paid", "paid", "paid", "paid", "shipped", "shipped", "shipped", "cancelled", "refunded"];
const NOTES: [&str; 6] = ["gift", "call first", "leave at door", "café", "fragile", "送料"];

fn generate(path: &Path, rows: u64) -> Outcome<()> {
    let partial = path.with_extension("partial");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
    let mut dice = SmallRng::seed_from_u64(42);
    let (mut id, span) = (0_u64, 30 * 86_400_u64);
    for row in 0..rows {
        // A tenth of the keys is missing, and fifty thousand in one place.
        id += 1 + u64::from(dice.random_range(0..9) == 0) + if row == rows / 2 { 50_000 } else { 0 };
        let luck: f64 = dice.random();
        let product = 1 + (20_000.0 * luck * luck * luck) as u64;
        let cents = 99 + product * 7_919 % 50_000 + dice.random_range(0..1_000);
        let second = (row * span / rows + dice.random_range(0..7_200)).clamp(3_600, span + 3_599) - 3_600;
        let (day, rest) = (second / 86_400 + 1, second % 86_400);
        let status = STATUS.get(dice.random_range(0..STATUS.len())).copied().unwrap_or_default();
        write!(
            out,
            "{id}\t{product}\t{}\t{}\t{}.{:02}\t{status}\t2024-05-{day:02} {:02}:{:02}:{:02}\t",
            dice.random_range(1..=1_000_000),
            dice.random_range(1..=9),
            cents / 100,
            cents % 100,
            rest / 3_600,
            rest / 60 % 60,
            rest % 60
        )?;
        if dice.random_range(0..10) < 6 {
            out.write_all(b"\\N\n")?;
        } else {
            let note = NOTES.get(dice.random_range(0..NOTES.len())).copied().unwrap_or_default();
            writeln!(out, "{note} {}", dice.random_range(0..100_000))?;
        }
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    std::fs::rename(partial, path)?;
    Ok(())
}
