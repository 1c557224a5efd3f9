//! Expressions and their failures in the words of SQL: what a user wrote, not what computes it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DataFusionError;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use headwater_change::Error;
use headwater_sql::{guard_sides, spell_call};

/// Values longer than this are cut in messages.
const VALUE_LETTERS: usize = 60;

/// An expression as SQL.
pub(crate) fn spell(expression: &dyn PhysicalExpr) -> String {
    let of = |inner: &Arc<dyn PhysicalExpr>| spell(inner.as_ref());
    if let Some(column) = expression.downcast_ref::<Column>() {
        return column.name().trim_start_matches('$').to_owned();
    }
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        let value = literal.value();
        let text = value.to_string();
        return if value.data_type().is_string() && !value.is_null() {
            format!("'{}'", text.replace('\'', "''"))
        } else {
            text
        };
    }
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        let side = |inner: &Arc<dyn PhysicalExpr>| match inner.downcast_ref::<BinaryExpr>() {
            Some(_) => format!("({})", of(inner)),
            None => of(inner),
        };
        return format!("{} {} {}", side(binary.left()), binary.op(), side(binary.right()));
    }
    if let Some(function) = expression.downcast_ref::<ScalarFunctionExpr>() {
        return spell_call(function, &function.args().iter().map(of).collect::<Vec<_>>());
    }
    if let Some((left, word, right)) = guard_sides(expression) {
        return format!("{} {word} {}", of(left), of(right));
    }
    rest(expression, &of)
}

fn rest(expression: &dyn PhysicalExpr, of: &dyn Fn(&Arc<dyn PhysicalExpr>) -> String) -> String {
    if let Some(not) = expression.downcast_ref::<NotExpr>() {
        return format!("NOT ({})", of(not.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNullExpr>() {
        return format!("{} IS NULL", of(null.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNotNullExpr>() {
        return format!("{} IS NOT NULL", of(null.arg()));
    }
    if let Some(list) = expression.downcast_ref::<InListExpr>() {
        let not = if list.negated() { "NOT " } else { "" };
        let items: Vec<String> = list.list().iter().map(of).collect();
        return format!("{} {not}IN ({})", of(list.expr()), items.join(", "));
    }
    if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        let mut text = "CASE".to_owned();
        text.extend(case.expr().map(|expression| format!(" {}", of(expression))));
        for (when, then) in case.when_then_expr() {
            text.push_str(&format!(" WHEN {} THEN {}", of(when), of(then)));
        }
        text.extend(case.else_expr().map(|otherwise| format!(" ELSE {}", of(otherwise))));
        return text + " END";
    }
    let inner: Vec<String> = expression.children().into_iter().map(of).collect();
    format!("an expression over {}", inner.join(", "))
}

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
