//! Errors in the words of SQL, without the names that Arrow and DataFusion have for things.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use headwater_change::Error;

/// What a failed plan or run means to whoever wrote the query. Our own errors stay what they are.
pub(crate) fn failed(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => external(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => failed(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => failed(first),
            None => unknown("an error without a cause"),
        },
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => failed(inner),
            Err(shared) => shared_failure(&shared),
        },
        DataFusionError::ArrowError(inner, _) => match *inner {
            ArrowError::ExternalError(inner) => external(inner),
            inner => evaluation(&arrow(&inner)),
        },
        DataFusionError::Execution(text) => evaluation(&text),
        DataFusionError::ResourcesExhausted(_) => {
            Error::remote("batch.memory", "the query needs more memory than it may use")
                .hint("allow more with --memory, or run with less parallelism")
        }
        DataFusionError::NotImplemented(what) => {
            Error::usage("sql.unsupported", format!("not supported yet: {}", what.replace('$', "")))
        }
        DataFusionError::Plan(what) => Error::usage("sql.plan", what),
        DataFusionError::IoError(error) => {
            Error::remote("batch.spill", "rows could not be kept on disk").caused_by(error)
        }
        other => unknown(&other.strip_backtrace()),
    }
}

fn external(inner: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match inner.downcast::<Error>() {
        Ok(error) => *error,
        Err(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => failed(*inner),
            Err(inner) => match inner.downcast::<ArrowError>() {
                Ok(inner) => evaluation(&arrow(&inner)),
                Err(inner) => unknown(&inner.to_string()),
            },
        },
    }
}

/// An error that several partitions hold.
fn shared_failure(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::Execution(text) => evaluation(text),
        DataFusionError::ArrowError(inner, _) => evaluation(&arrow(inner)),
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => {
                let mut again = Error::new(error.kind(), error.code(), error.message());
                if let Some(detail) = error.detail_text() {
                    again = again.detail(detail);
                }
                if let Some(hint) = error.hint_text() {
                    again = again.hint(hint);
                }
                again
            }
            None => unknown(&inner.to_string()),
        },
        other => unknown(&other.strip_backtrace()),
    }
}

fn arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::ArithmeticOverflow(_) => "the result is out of the range of its type".to_owned(),
        _ => "a value has no result".to_owned(),
    }
}

fn evaluation(what: &str) -> Error {
    Error::data("batch.evaluation", format!("a row could not be computed: {what}"))
        .hint("exclude such rows with WHERE, or write TRY_CAST, NULLIF or CASE")
}

fn unknown(what: &str) -> Error {
    Error::bug("batch.run", "the query failed").detail(what)
}
