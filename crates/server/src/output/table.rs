//! Drawn tables.

use std::io;

use headwater_change::Result;
use unicode_width::UnicodeWidthStr;

use crate::output::write::write_out;

/// Rows of text, to be drawn in columns.
pub(crate) struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
    header: bool,
    footer: bool,
}

impl Table {
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.to_vec(), rows: Vec::new(), right: Vec::new(), header: true, footer: false }
    }

    /// Whether the names are drawn.
    pub(crate) fn header(&mut self, drawn: bool) {
        self.header = drawn;
    }

    /// Whether the number of rows is drawn.
    pub(crate) fn footer(&mut self, drawn: bool) {
        self.footer = drawn;
    }

    /// Adds a row; `right` says which cells stand at the right.
    pub(crate) fn row(&mut self, cells: Vec<String>, right: Vec<bool>) {
        self.rows.push(cells);
        self.right = right;
    }

    /// Draws everything into `out`.
    pub(crate) fn draw(&self, out: &mut Vec<u8>) {
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if self.header && !self.names.is_empty() {
            self.line(&self.names, &widths, out);
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            out.extend_from_slice(rule.join("-+-").as_bytes());
            out.push(b'\n');
        }
        for row in &self.rows {
            self.line(row, &widths, out);
        }
        if self.footer {
            let plural = if self.rows.len() == 1 { "" } else { "s" };
            out.extend_from_slice(format!("{} row{plural}\n", self.rows.len()).as_bytes());
        }
    }

    fn line(&self, cells: &[String], widths: &[usize], out: &mut Vec<u8>) {
        let mut text = String::new();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if index > 0 {
                text.push_str(" | ");
            }
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            if self.right.get(index).copied().unwrap_or(false) {
                text.push_str(&padding);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&padding);
            }
        }
        out.extend_from_slice(text.trim_end().as_bytes());
        out.push(b'\n');
    }
}

/// Prints a small table; without names just its cells.
///
/// # Errors
/// `output.closed`: whoever reads has left; `output.write`.
pub fn print_listing(names: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut out = Vec::new();
    if names.is_empty() {
        for cell in rows.iter().flatten() {
            out.extend_from_slice(cell.trim_end().as_bytes());
            out.push(b'\n');
        }
    } else {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut table = Table::new(&names);
        rows.iter().for_each(|row| table.row(row.clone(), Vec::new()));
        table.footer(true);
        table.draw(&mut out);
    }
    write_out(&mut io::stdout(), &out)
}
