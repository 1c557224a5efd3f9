//! From DataFusion's errors to ours: what is wrong, where in the text, and what to do.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::Location;
use headwater_change::{Error, Place, suggest};

use crate::dialect::Dialect;
use crate::rewrite::{base, is_twin};
use crate::script::Script;

/// A planning error of statement `index`.
pub(crate) fn planning(script: &Script, index: usize, error: DataFusionError) -> Error {
    let place = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| {
            let at = |line, column| script.offset(Location { line, column });
            at(span.start.line, span.start.column)..at(span.end.line, span.end.column)
        })
        .filter(|range| range.start < range.end);
    let ours = match error.find_root() {
        DataFusionError::External(_) => None,
        DataFusionError::SchemaError(schema_error, _) => Some(schema(schema_error)),
        DataFusionError::NotImplemented(message) => {
            Some((Error::usage("sql.unsupported", format!("not supported yet: {}", tidy(message))), None))
        }
        DataFusionError::Plan(message) => Some(plan(message, script.dialect(index))),
        DataFusionError::ArrowError(error, _) => Some((Error::usage("sql.constant", tidy(&error.to_string())), None)),
        other => Some((Error::usage("sql.plan", tidy(&other.strip_backtrace())), None)),
    };
    let (ours, word) = match ours {
        Some(found) => found,
        None => match external(error) {
            Ok(error) => {
                let word = error.message().split('\'').nth(1).map(str::to_owned);
                (error, word)
            }
            Err(error) => (Error::usage("sql.plan", tidy(&error.strip_backtrace())), None),
        },
    };
    let place = place
        .or_else(|| word.and_then(|word| script.find(index, &word)))
        .unwrap_or_else(|| script.statement_range(index));
    ours.at(Place::Sql(place))
}

/// Our own error, where one travelled through DataFusion.
pub(crate) fn external(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(boxed) => match boxed.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(boxed) => Err(DataFusionError::External(boxed)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => external(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => external(first),
            None => Err(DataFusionError::Internal("no error".to_owned())),
        },
        other => Err(other),
    }
}

fn schema(error: &SchemaError) -> (Error, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if valid_fields.iter().any(|column| is_twin(&column.name) && base(&column.name) == field.name) {
                let error = Error::usage("sql.ambiguous", format!("several columns are called '{}'", field.name))
                    .hint("give one of them another name where they come from");
                return (error, Some(field.name.clone()));
            }
            let names: Vec<&str> = valid_fields.iter().map(|column| base(&column.name)).collect();
            let hint = match suggest(&field.name, names.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None if names.is_empty() => "there are no columns here".to_owned(),
                None => format!("columns here: {}", names.join(", ")),
            };
            let error = Error::usage("sql.unknown_column", format!("there is no column '{}'", field.name)).hint(hint);
            (error, Some(field.name.clone()))
        }
        SchemaError::AmbiguousReference { field } => {
            let error = Error::usage("sql.ambiguous", format!("the column '{}' is in more than one table", field.name))
                .hint("write the table's name or alias in front of it");
            (error, Some(field.name.clone()))
        }
        other => (Error::usage("sql.plan", tidy(&other.to_string())), None),
    }
}

fn plan(message: &str, dialect: Dialect) -> (Error, Option<String>) {
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default().to_owned();
        let shown = name.trim_start_matches('$').to_uppercase();
        let error = Error::usage("sql.unknown_function", format!("the function {shown} is not known"))
            .hint(format!("docs/reference/{} lists the functions", dialect.functions_page()));
        return (error, Some(name));
    }
    (Error::usage("sql.plan", tidy(message)), None)
}

/// Lower-case first letter, one line, no full stop: the form of our messages.
fn tidy(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    let line = line.trim_start_matches("Error during planning: ").trim_start_matches("Arrow error: ");
    let line = line.strip_prefix("Unsupported ast node in sqltorel: ").unwrap_or(line);
    // A syntax tree is drawn in full; its outermost name says enough beside the place.
    let line =
        line.split_once("Span(").map_or(line, |(head, _)| head.split(['(', '{']).next().unwrap_or(head).trim_end());
    let mut chars = line.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => line.to_owned(),
    }
}
