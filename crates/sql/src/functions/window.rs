//! The bounds of a tumbling window as scalar functions of the time column: what `GROUP BY` groups by in both worlds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMillisecondType};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_change::{Error, TimeZone};

use super::kernel::Kernel;
use crate::typed::{Context, Typed};
use crate::types::SqlType;

/// Start of the window, inclusive.
pub(crate) const TUMBLE_START: &str = "$tumble_start";
/// End of the window, exclusive.
pub(crate) const TUMBLE_END: &str = "$tumble_end";
/// The window's last instant, `end - 1 ms`.
pub(crate) const TUMBLE_ROWTIME: &str = "$tumble_rowtime";

/// Which bound a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bound {
    Start,
    End,
    Rowtime,
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Self::Start => TUMBLE_START,
            Self::End => TUMBLE_END,
            Self::Rowtime => TUMBLE_ROWTIME,
        }
    }
}

/// A bound over a time column and constant intervals.
pub(crate) fn bind_bound(context: Context<'_>, bound: Bound, args: Vec<Typed>) -> headwater_change::Result<Typed> {
    let misuse =
        || Error::usage("sql.window", "TUMBLE needs a timestamp column and an interval such as INTERVAL '10' SECOND");
    let [time, lengths @ ..] = args.as_slice() else { return Err(misuse()) };
    if !time.sql_type.is_timestamp() || lengths.is_empty() || lengths.len() > 2 {
        return Err(misuse());
    }
    let constant = |arg: &Typed| {
        matches!(
            (&arg.sql_type, &arg.expr),
            (SqlType::Millis, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(_)), _))
        )
    };
    if !lengths.iter().all(constant) {
        return Err(Error::usage("sql.window", "a window's size must be an interval of days to seconds")
            .hint("write INTERVAL '10' SECOND; months have no fixed length"));
    }
    // What has a zone is cut in the session's: a day begins at midnight there.
    let zone = matches!(time.sql_type, SqlType::TimestampLtz(_)).then_some(context.zone);
    let function = TumbleBound { bound, zone, signature: Signature::variadic_any(Volatility::Immutable) };
    let exprs = args.into_iter().map(|arg| arg.expr).collect();
    let sql_type = match (bound, zone) {
        (Bound::Rowtime, Some(_)) => SqlType::TimestampLtz(3),
        _ => SqlType::Timestamp(3),
    };
    Ok(Typed::new(ScalarUDF::from(function).call(exprs), sql_type, false))
}

/// What a bound says of its window.
pub(crate) struct BoundOf<'a> {
    pub(crate) bound: Bound,
    pub(crate) time: &'a Expr,
    /// Milliseconds.
    pub(crate) size: i64,
    /// Milliseconds.
    pub(crate) offset: i64,
    /// The zone in which times are cut, where they have one.
    pub(crate) zone: Option<TimeZone>,
}

/// If `expr` is a bound of a tumbling window: what it says of it.
pub(crate) fn tumble_bound(expr: &Expr) -> Option<BoundOf<'_>> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let found = function.func.inner().downcast_ref::<TumbleBound>()?;
    let literal = |expr: &Expr| match expr {
        Expr::Literal(value, _) => millis(value).ok(),
        _ => None,
    };
    let (bound, zone) = (found.bound, found.zone);
    match function.args.as_slice() {
        [time, size] => Some(BoundOf { bound, time, size: literal(size)?, offset: 0, zone }),
        [time, size, offset] => Some(BoundOf { bound, time, size: literal(size)?, offset: literal(offset)?, zone }),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TumbleBound {
    bound: Bound,
    zone: Option<TimeZone>,
    signature: Signature,
}

/// The whole milliseconds of an interval; months have no fixed length.
fn millis(value: &ScalarValue) -> Result<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            Ok(i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            Ok(i64::from(interval.days) * 86_400_000 + i64::from(interval.milliseconds))
        }
        _ => plan_err!("a window's size must be an interval of days to seconds"),
    }
}

impl ScalarUDFImpl for TumbleBound {
    fn name(&self) -> &str {
        self.bound.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        if args.is_empty() {
            return plan_err!("TUMBLE needs a time column");
        }
        Ok(match (self.bound, self.zone) {
            (Bound::Rowtime, Some(_)) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            _ => DataType::Timestamp(TimeUnit::Millisecond, None),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = |index: usize| match args.args.get(index) {
            Some(ColumnarValue::Scalar(value)) => millis(value),
            Some(ColumnarValue::Array(_)) => exec_err!("a window's size must be a constant"),
            None => Ok(0),
        };
        let (size, offset) = (scalar(1)?, scalar(2)?);
        if size <= 0 {
            return exec_err!("a window's size must be at least a millisecond");
        }
        let Some(time) = args.args.first() else { return exec_err!("TUMBLE needs a time column") };
        let time = cast(&time.to_array(args.number_rows)?, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        let (bound, zone) = (self.bound, self.zone);
        let shifted = time.as_primitive::<TimestampMillisecondType>().unary::<_, TimestampMillisecondType>(|time| {
            let here = zone.map_or(time, |zone| time + zone.offset_seconds(time.div_euclid(1000)) * 1000);
            let start = here - (here - offset).rem_euclid(size);
            match (bound, zone) {
                (Bound::Start, _) => start,
                (Bound::End, _) => start + size,
                (Bound::Rowtime, None) => start + size - 1,
                (Bound::Rowtime, Some(zone)) => in_utc(start + size - 1, zone),
            }
        });
        let shifted = match (bound, zone) {
            (Bound::Rowtime, Some(_)) => shifted.with_timezone("UTC"),
            _ => shifted,
        };
        Ok(ColumnarValue::Array(Arc::new(shifted) as ArrayRef))
    }
}

/// `window_time` of a window aggregate, from its `window_end`.
pub(crate) fn rowtime_of_end(end: Expr, zone: Option<TimeZone>) -> Expr {
    let sql_type = if zone.is_some() { SqlType::TimestampLtz(3) } else { SqlType::Timestamp(3) };
    let kernel = Kernel::new("window_time", sql_type, false, zone.unwrap_or(TimeZone::UTC), |call| {
        let ends = call.array(0)?;
        let zoned = matches!(call.result, SqlType::TimestampLtz(_));
        let times = ends
            .as_primitive::<TimestampMillisecondType>()
            .unary::<_, TimestampMillisecondType>(|end| if zoned { in_utc(end - 1, call.zone) } else { end - 1 });
        Ok(Arc::new(times.with_timezone_opt(zoned.then_some("UTC"))))
    });
    kernel.call([(end, SqlType::Timestamp(3))])
}

/// UTC of a local time in milliseconds.
pub(crate) fn in_utc(local: i64, zone: TimeZone) -> i64 {
    local - zone.offset_of_local(local.div_euclid(1000)) * 1000
}
