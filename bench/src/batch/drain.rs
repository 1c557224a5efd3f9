//! The limit: the job's columns of the table's rows by key ranges, from bare sockets.

use std::error::Error;

use crate::drain::statements;

const RANGES: i64 = 8;
const UPPER: i64 = 11_143_152;

/// What is read.
pub(super) struct Wanted<'a> {
    pub(super) port: u16,
    pub(super) connections: usize,
    /// Rows of the whole table.
    pub(super) rows: u64,
    pub(super) condition: &'a str,
}

/// Reads once.
pub(super) fn read(wanted: &Wanted<'_>) -> Result<(), Box<dyn Error>> {
    let bound = |range: i64| UPPER * range / RANGES;
    let also = wanted.condition.replacen("WHERE", "AND", 1);
    let range = |range: i64| {
        let last = if range + 1 == RANGES { i64::MAX } else { bound(range + 1) };
        format!(
            "SELECT product_id, sale_price, quantity, created_at FROM service_db.orders \
             WHERE order_id > {} AND order_id <= {last} {also}",
            bound(range)
        )
    };
    let ranges: Vec<String> = (0..RANGES).map(range).collect();
    let found = statements(wanted.port, wanted.connections, &ranges)?;
    if wanted.condition.is_empty() && found != wanted.rows {
        return Err(format!("{found} of {} rows drained", wanted.rows).into());
    }
    Ok(())
}
