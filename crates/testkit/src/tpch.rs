//! The tables of TPC-H, made by `tpchgen` and loaded into a MySQL server that takes files from its client.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::Command;

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::repository;

/// The tables, the large ones last.
pub const TABLES: [&str; 8] = ["region", "nation", "part", "supplier", "partsupp", "customer", "orders", "lineitem"];

/// What the client program prints for a statement, a line a row.
///
/// # Errors
/// The client cannot be run, or the server refuses the statement.
pub fn client(port: u16, sql: &str) -> io::Result<String> {
    let mut command = Command::new("mariadb");
    command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", "--local-infile=1"]);
    let output = command.arg(format!("--port={port}")).args(["-e", sql]).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{sql}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

/// Creates the tables in the database `tpch` and fills them, by files in `folder`.
///
/// # Errors
/// As of [`client`], and of writing the files.
pub fn fill(port: u16, scale: f64, folder: &Path) -> io::Result<()> {
    client(port, &std::fs::read_to_string(repository().join("tests/tpch/schema.sql"))?)?;
    let load = |table: &str| -> io::Result<()> {
        let file = folder.join(format!("{table}.tbl"));
        match table {
            "region" => write(&file, RegionGenerator::new(scale, 1, 1).iter())?,
            "nation" => write(&file, NationGenerator::new(scale, 1, 1).iter())?,
            "part" => write(&file, PartGenerator::new(scale, 1, 1).iter())?,
            "supplier" => write(&file, SupplierGenerator::new(scale, 1, 1).iter())?,
            "partsupp" => write(&file, PartSuppGenerator::new(scale, 1, 1).iter())?,
            "customer" => write(&file, CustomerGenerator::new(scale, 1, 1).iter())?,
            "orders" => write(&file, OrderGenerator::new(scale, 1, 1).iter())?,
            _ => write(&file, LineItemGenerator::new(scale, 1, 1).iter())?,
        }
        let path = file.display();
        client(
            port,
            &format!(
                "LOAD DATA LOCAL INFILE '{path}' INTO TABLE tpch.{table} FIELDS TERMINATED BY '|' \
                 LINES TERMINATED BY '|\\n'; ANALYZE TABLE tpch.{table};"
            ),
        )?;
        std::fs::remove_file(&file)
    };
    TABLES.into_iter().try_for_each(load)
}

fn write(file: &Path, mut rows: impl Iterator<Item = impl Display>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    rows.try_for_each(|row| writeln!(out, "{row}"))?;
    out.flush()
}

/// The 22 queries, in their order.
///
/// # Errors
/// The file cannot be read.
pub fn queries() -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("tests/tpch/queries.sql"))?;
    let query = |part: &str| part.split_once('\n').map(|(_, query)| query.to_owned());
    Ok(text.split("\n-- Q").skip(1).filter_map(query).collect())
}

/// The cells of the lines behind the header of a csv, whose values have no quotes and no line breaks.
pub fn cells(csv: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let (mut found, mut quoted) = (vec![String::new()], false);
        for letter in line.chars() {
            match (letter, found.last_mut()) {
                ('"', _) => quoted = !quoted,
                (',', _) if !quoted => found.push(String::new()),
                (other, Some(cell)) => cell.push(other),
                (_, None) => {}
            }
        }
        found
    };
    csv.lines().skip(1).map(cells).collect()
}
