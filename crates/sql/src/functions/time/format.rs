//! DATE_FORMAT: timestamps by the patterns of `DateTimeFormatter`, texts of timestamps by those of `SimpleDateFormat`.

use arrow::array::{ArrayRef, AsArray};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use headwater_change::{Error, Result, TimeZone};

use super::legacy::Legacy;
use super::moment::{Moment, Moments};
use super::pattern::Pattern;
use crate::functions::arguments::called;
use crate::functions::kernel::Call;
use crate::functions::{Bind, arity, refused, rows};
use crate::typed::{Context, Typed};
use crate::types::STRING;

pub(super) const ALL: &[(&str, Bind)] = &[("date_format", date_format)];

/// How a text of a timestamp is written where no pattern says otherwise.
pub(super) const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

/// `DATE_FORMAT(time, pattern)`: a text; NULL where a text is no timestamp.
fn date_format(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [time, pattern] = args.as_slice() else { return Err(arity("DATE_FORMAT", "a timestamp and a pattern")) };
    if !(time.sql_type.is_timestamp() || time.sql_type.is_text()) || !pattern.sql_type.is_text() {
        return Err(refused("DATE_FORMAT", &args));
    }
    let of_text = time.sql_type.is_text();
    if let Some(text) = constant(pattern) {
        let wrong = if of_text {
            Legacy::compile(text).err()
        } else {
            Pattern::compile(text).map_or_else(Some, |pattern| pattern.unshown())
        };
        if let Some(wrong) = wrong {
            return Err(pattern_error("DATE_FORMAT", text, &wrong));
        }
    }
    called(context, "DATE_FORMAT", args, STRING, true, if of_text { run_text } else { run_time })
}

/// The text of a constant.
pub(super) fn constant(arg: &Typed) -> Option<&str> {
    crate::functions::forms::constant_text(arg).ok()
}

/// A pattern that cannot be used.
pub(super) fn pattern_error(function: &str, text: &str, wrong: &str) -> Error {
    Error::usage("sql.pattern", format!("the pattern '{text}' of {function}: {wrong}"))
        .hint("patterns are written like 'yyyy-MM-dd HH:mm:ss'")
}

/// The compiled patterns of an argument: one for all rows where it is constant, compiled again when it changes otherwise.
pub(super) struct Patterns<P> {
    column: ArrayRef,
    constant: bool,
    compiled: Option<(String, P)>,
    compile: fn(&str) -> std::result::Result<P, String>,
}

impl<P> Patterns<P> {
    pub(super) fn new(
        call: &Call<'_>,
        index: usize,
        compile: fn(&str) -> std::result::Result<P, String>,
    ) -> Planned<Self> {
        let constant = matches!(call.constant(index), Some(ScalarValue::Utf8(Some(_))));
        Ok(Self { column: call.array(index)?, constant, compiled: None, compile })
    }

    pub(super) fn column(&self) -> ArrayRef {
        ArrayRef::clone(&self.column)
    }

    /// The pattern of a row, which must not be NULL.
    pub(super) fn at(&mut self, row: usize) -> Planned<&P> {
        let text = self.column.as_string::<i32>().value(row);
        let known = self.compiled.as_ref().is_some_and(|(known, _)| self.constant || known == text);
        if !known {
            match (self.compile)(text) {
                Ok(pattern) => self.compiled = Some((text.to_owned(), pattern)),
                Err(wrong) => return exec_err!("the pattern '{text}': {wrong}"),
            }
        }
        match &self.compiled {
            Some((_, pattern)) => Ok(pattern),
            None => exec_err!("a pattern was not compiled"),
        }
    }
}

fn shown(text: &str) -> std::result::Result<Pattern, String> {
    let pattern = Pattern::compile(text)?;
    match pattern.unshown() {
        Some(wrong) => Err(wrong),
        None => Ok(pattern),
    }
}

fn run_time(call: &Call<'_>) -> Planned<ArrayRef> {
    let times = Moments::local(&call.array(0)?, call.zone)?;
    let mut patterns = Patterns::new(call, 1, shown)?;
    let pattern = patterns.column();
    rows::text(call.rows, &[times.column(), &pattern], |row, out| {
        patterns.at(row)?.write(times.at(row), out);
        Ok(true)
    })
}

fn run_text(call: &Call<'_>) -> Planned<ArrayRef> {
    let texts = call.array(0)?;
    let mut patterns = Patterns::new(call, 1, Legacy::compile)?;
    let pattern = patterns.column();
    let Ok(default) = Legacy::compile(DEFAULT) else { return exec_err!("the pattern {DEFAULT}") };
    rows::text(call.rows, &[&texts, &pattern], |row, out| {
        let Some((seconds, nanos)) = default.read(texts.as_string::<i32>().value(row), TimeZone::UTC)? else {
            return Ok(false);
        };
        patterns.at(row)?.write(Moment::of_seconds(seconds, nanos), 0, out);
        Ok(true)
    })
}
