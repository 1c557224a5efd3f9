//! Rows as INSERT statements.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};

use super::literal;
use crate::ident::ident;

/// Bytes of a statement, about; below what every server takes (`max_allowed_packet`, 16 MB and 64 MB by default).
const STATEMENT_BYTES: usize = 1 << 20;

/// A growing INSERT, or lines for a LOAD.
pub(super) struct Insert {
    form: Form,
    text: String,
    rows: usize,
    /// How many digits of a second a column keeps, where values may have more.
    digits: Vec<Option<u8>>,
}

/// What rows are written as.
enum Form {
    Statement {
        head: String,
        tail: String,
    },
    /// The statement that takes the lines.
    Lines {
        sql: String,
    },
}

/// A row that cannot be written: its place in the batch, its column, and why.
#[derive(Debug)]
pub(super) struct Unwritable {
    pub(super) row: usize,
    pub(super) column: String,
    pub(super) what: String,
}

impl Insert {
    /// Into a table, with the columns of `schema`; rows of the same key are replaced where there is one. With `alias` by
    /// the name of the new row (MySQL from 8.0.19 on, which warns of VALUES), else by VALUES.
    pub(super) fn new(
        (database, table): (&str, &str),
        schema: &Schema,
        key: &[usize],
        digits: Vec<Option<u8>>,
        alias: bool,
    ) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| ident(field.name()).to_string()).collect();
        let head = format!("INSERT INTO {}.{} ({}) VALUES ", ident(database), ident(table), names.join(", "));
        let replaced = || {
            let rest: Vec<String> = (0..names.len())
                .filter(|index| !key.contains(index))
                .filter_map(|index| names.get(index))
                .map(|name| if alias { format!("{name} = new_row.{name}") } else { format!("{name} = VALUES({name})") })
                .collect();
            // A table of nothing but its key: the row is there already.
            let same =
                key.first().and_then(|index| names.get(*index)).map(|name| format!("{name} = {}.{name}", ident(table)));
            if rest.is_empty() { same.unwrap_or_default() } else { rest.join(", ") }
        };
        let named = if alias { " AS new_row" } else { "" };
        let tail =
            if key.is_empty() { String::new() } else { format!("{named} ON DUPLICATE KEY UPDATE {}", replaced()) };
        Self { form: Form::Statement { head, tail }, text: String::new(), rows: 0, digits }
    }

    /// Lines for a LOAD into a table: values as in an INSERT, bytes as their digits.
    pub(super) fn lines((database, table): (&str, &str), schema: &Schema, digits: Vec<Option<u8>>) -> Self {
        let (mut columns, mut set) = (Vec::new(), Vec::new());
        for (index, field) in schema.fields().iter().enumerate() {
            let name = ident(field.name());
            let read = match field.data_type() {
                DataType::Binary => Some(format!("{name} = UNHEX(@c{index})")),
                // A digit would be taken for a character where the column is of bits.
                DataType::Boolean => Some(format!("{name} = CAST(@c{index} AS UNSIGNED)")),
                _ => None,
            };
            columns.push(if read.is_some() { format!("@c{index}") } else { name.to_string() });
            set.extend(read);
        }
        let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
        let sql = format!(
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {}.{} CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY \
             ENCLOSED BY '\\'' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
            ident(database),
            ident(table),
            columns.join(", ")
        );
        Self { form: Form::Lines { sql }, text: String::new(), rows: 0, digits }
    }

    /// The statement that takes the lines, where they are such.
    pub(super) fn load(&self) -> Option<&str> {
        match &self.form {
            Form::Lines { sql } => Some(sql),
            Form::Statement { .. } => None,
        }
    }

    /// Rows in it.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends rows of the batch from `from` on, until it is full; gives the first row that has no place.
    pub(super) fn fill(&mut self, batch: &RecordBatch, from: usize) -> Result<usize, Unwritable> {
        for row in from..batch.num_rows() {
            if self.is_full() {
                return Ok(row);
            }
            let lines = matches!(self.form, Form::Lines { .. });
            let opening = if self.rows == 0 { "(" } else { ", (" };
            self.text.push_str(if lines { "" } else { opening });
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    self.text.push_str(if lines { "," } else { ", " });
                }
                let begin = self.text.len();
                let written = match column.as_binary_opt::<i32>() {
                    Some(bytes) if lines && bytes.is_valid(row) => literal::digits(bytes.value(row), &mut self.text),
                    _ => literal::append(column.as_ref(), row, &mut self.text),
                };
                let written = written.and_then(|()| match self.digits.get(index) {
                    Some(Some(kept)) => literal::keeps(self.text.get(begin..).unwrap_or_default(), *kept),
                    _ => Ok(()),
                });
                written.map_err(|what| Unwritable {
                    row,
                    column: batch.schema_ref().field(index).name().clone(),
                    what,
                })?;
            }
            self.text.push(if lines { '\n' } else { ')' });
            self.rows += 1;
        }
        Ok(batch.num_rows())
    }

    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= STATEMENT_BYTES
    }

    /// The statement, or the lines; what follows are others.
    pub(super) fn take(&mut self) -> String {
        self.rows = 0;
        match &self.form {
            Form::Statement { head, tail } => {
                let statement = format!("{head}{}{tail}", self.text);
                self.text.clear();
                statement
            }
            Form::Lines { .. } => std::mem::replace(&mut self.text, String::with_capacity(STATEMENT_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn rows_become_one_statement() {
        let fields = vec![Field::new("id", DataType::Int32, false), Field::new("na`me", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut insert = Insert::new(("d", "t"), &schema, &[], Vec::new(), true);
        assert_eq!(insert.fill(&batch, 0).unwrap(), 2);
        assert_eq!(insert.take(), "INSERT INTO `d`.`t` (`id`, `na``me`) VALUES (1, 'a'), (2, NULL)");
        let mut upsert = Insert::new(("d", "t"), &schema, &[0], Vec::new(), false);
        upsert.fill(&batch, 1).unwrap();
        let sql =
            "INSERT INTO `d`.`t` (`id`, `na``me`) VALUES (2, NULL) ON DUPLICATE KEY UPDATE `na``me` = VALUES(`na``me`)";
        assert_eq!(upsert.take(), sql);
        let mut upsert = Insert::new(("d", "t"), &schema, &[0, 1], Vec::new(), true);
        upsert.fill(&batch, 1).unwrap();
        let sql =
            "INSERT INTO `d`.`t` (`id`, `na``me`) VALUES (2, NULL) AS new_row ON DUPLICATE KEY UPDATE `id` = `t`.`id`";
        assert_eq!(upsert.take(), sql);
    }
}
