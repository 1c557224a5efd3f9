//! Failures of expressions in the words of SQL: what a user wrote, not what computes it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use headwater_change::Error;

/// Values longer than this are cut in messages.
const VALUE_LETTERS: usize = 60;

/// The values of the columns that an expression reads, in one row.
pub(crate) fn values(expression: &Arc<dyn PhysicalExpr>, rows: &RecordBatch, row: usize) -> String {
    let mut columns: Vec<Column> = collect_columns(expression).into_iter().collect();
    columns.sort_by_key(Column::index);
    let options = FormatOptions::new().with_null("NULL");
    let value = |column: &Column| {
        let array = rows.columns().get(column.index())?;
        let text = ArrayFormatter::try_new(array, &options).ok()?.value(row).try_to_string().ok()?;
        let cut = text.chars().nth(VALUE_LETTERS).is_some();
        let mut text: String = text.chars().take(VALUE_LETTERS).collect();
        if cut {
            text.push('…');
        }
        let quote = if array.data_type().is_string() && text != "NULL" { "'" } else { "" };
        Some(format!("{} = {quote}{text}{quote}", column.name().trim_start_matches('$')))
    };
    columns.iter().filter_map(value).collect::<Vec<_>>().join(", ")
}

/// What went wrong, without the names that Arrow and DataFusion have for things. Our own errors stay what they are.
pub(crate) fn reason(error: DataFusionError) -> Result<Error, String> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => reason(*inner),
                Err(_) => Err("a value has no result".to_owned()),
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => reason(*inner),
        DataFusionError::Shared(inner) => match inner.as_ref() {
            DataFusionError::ArrowError(error, _) => arrow(error),
            _ => Err("a value has no result".to_owned()),
        },
        DataFusionError::ArrowError(error, _) => match *error {
            ArrowError::ExternalError(inner) => reason(DataFusionError::External(inner)),
            error => arrow(&error),
        },
        DataFusionError::Execution(text) => Err(words(&text)),
        _ => Err("a value has no result".to_owned()),
    }
}

fn arrow(error: &ArrowError) -> Result<Error, String> {
    Err(match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::ArithmeticOverflow(_) => "the result is out of the range of its type".to_owned(),
        ArrowError::CastError(text) | ArrowError::ParseError(text) | ArrowError::InvalidArgumentError(text) => {
            words(text)
        }
        _ => "a value has no result".to_owned(),
    })
}

/// A sentence of Arrow with SQL's names of types; one that cannot be put so is left out.
fn words(text: &str) -> String {
    let lower = text.to_lowercase();
    let value = || {
        let (_, rest) = text.split_once('\'')?;
        let (value, _) = rest.rsplit_once('\'')?;
        let short: String = value.chars().take(VALUE_LETTERS).collect();
        Some(short)
    };
    if lower.contains("divi") && lower.contains("zero") {
        return "division by zero".to_owned();
    }
    if lower.contains("overflow") || lower.contains("out of range") || lower.contains("too large") {
        return "the result is out of the range of its type".to_owned();
    }
    if lower.contains("cast") || lower.contains("pars") {
        return match value() {
            Some(value) => format!("'{value}' cannot be read as the wanted type"),
            None => "a value cannot be read as the wanted type".to_owned(),
        };
    }
    "a value has no result".to_owned()
}
