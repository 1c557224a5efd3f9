//! Casts to CHAR, VARCHAR and STRING: Flink's text of a value, then cut to the length, CHAR padded with blanks.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result as Planned;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_change::{Result, TimeZone};

use crate::functions::ValueText;
use crate::functions::kernel::{Call, Kernel};
use crate::typed::{Context, Typed};
use crate::types::{SqlType, character_length, unit};

/// `CAST(value AS CHAR(n) | VARCHAR(n) | STRING)`.
pub(super) fn to_text(context: Context<'_>, value: Typed, target: &SqlType, lenient: bool) -> Result<Typed> {
    let nullable = value.nullable || lenient;
    if let (SqlType::Char(from) | SqlType::VarChar(from), SqlType::VarChar(to)) = (&value.sql_type, target)
        && from <= to
    {
        // Nothing to cut, nothing to pad: only the type changes.
        let kernel = Kernel::new(format!("CAST AS {target}"), target.clone(), nullable, context.zone, same);
        return Ok(Typed::new(kernel.call([(value.expr, value.sql_type)]), target.clone(), nullable));
    }
    // Intervals, rows and all the rest have a text of their own.
    let function = CastToText {
        write: context.text,
        zone: context.zone,
        from: value.sql_type.clone(),
        to: target.clone(),
        nullable,
        signature: Signature::any(1, Volatility::Immutable),
    };
    Ok(Typed::new(ScalarUDF::from(function).call(vec![value.expr]), target.clone(), nullable))
}

fn same(call: &Call<'_>) -> Planned<ArrayRef> {
    call.array(0)
}

/// The function behind a cast to text.
pub(crate) struct CastToText {
    write: ValueText,
    zone: TimeZone,
    from: SqlType,
    to: SqlType,
    nullable: bool,
    signature: Signature,
}

impl std::fmt::Debug for CastToText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CAST({} AS {})", self.from, self.to)
    }
}

/// A session has one text of values.
impl PartialEq for CastToText {
    fn eq(&self, other: &Self) -> bool {
        (self.zone, &self.from, &self.to, self.nullable) == (other.zone, &other.from, &other.to, other.nullable)
    }
}

impl Eq for CastToText {}

impl Hash for CastToText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.from, &self.to, self.nullable).hash(state);
    }
}

impl ScalarUDFImpl for CastToText {
    fn name(&self) -> &str {
        "CAST AS text"
    }

    fn display_name(&self, args: &[datafusion::logical_expr::Expr]) -> Planned<String> {
        let value = args.first().map(ToString::to_string).unwrap_or_default();
        Ok(format!("CAST({value} AS {})", self.to))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Planned<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Planned<FieldRef> {
        Ok(Arc::new(self.to.field("CAST", self.nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Planned<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return datafusion::common::exec_err!("CAST takes one value");
        };
        let column = value.to_array(args.number_rows)?;
        // What has a zone is shown in the session's: as the local time there.
        let column = match &self.from {
            SqlType::TimestampLtz(precision) => super::time::to_local(&column, *precision, self.zone)?,
            _ => column,
        };
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 8);
        let mut text = String::new();
        for row in 0..column.len() {
            if column.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            self.value(&column, row, &mut text)?;
            fit(&mut text, &self.to);
            out.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

impl CastToText {
    /// The type that values are cast to.
    pub(crate) fn target(&self) -> &SqlType {
        &self.to
    }

    fn value(&self, column: &ArrayRef, row: usize, text: &mut String) -> Planned<()> {
        match &self.from {
            from if from.is_bytes() => text.push_str(&String::from_utf8_lossy(column.as_binary::<i32>().value(row))),
            from => {
                (self.write)(column, row, text).map_err(crate::session::ours)?;
                trim_fraction(from, text);
            }
        }
        Ok(())
    }
}

/// The digits of a second's fraction that the type has: a column counts in a unit that may have more. A TIME shows no
/// zeros at the end of its fraction but the first.
pub(crate) fn trim_fraction(from: &SqlType, text: &mut String) {
    if *from == SqlType::Months && text.contains(':') {
        // No months at all: the column alone does not tell which kind of interval it has.
        text.replace_range(.., "+0-00");
        return;
    }
    let (digits, of_time) = match from {
        SqlType::Timestamp(digits) | SqlType::TimestampLtz(digits) => (*digits, false),
        SqlType::Time(digits) => (*digits, true),
        _ => return,
    };
    let shown = match unit(digits) {
        arrow::datatypes::TimeUnit::Second => return,
        arrow::datatypes::TimeUnit::Millisecond => 3,
        arrow::datatypes::TimeUnit::Microsecond => 6,
        arrow::datatypes::TimeUnit::Nanosecond => 9,
    };
    text.truncate(text.len() - (shown - usize::from(digits)));
    if of_time {
        while text.ends_with('0') && !text.ends_with(".0") {
            text.pop();
        }
    }
}

/// Cuts to the length of the type, and pads CHAR with blanks. Lengths count code points.
pub(crate) fn fit(text: &mut String, target: &SqlType) {
    let length = usize::try_from(character_length(target)).unwrap_or(usize::MAX);
    if text.len() > length
        && let Some((end, _)) = text.char_indices().nth(length)
    {
        text.truncate(end);
    }
    if matches!(target, SqlType::Char(_)) {
        let missing = length.saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n(' ', missing));
    }
}
