//! The bounds of a tumbling window as scalar functions of the time column: what `GROUP BY` groups by in both worlds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

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
    const ALL: [Self; 3] = [Self::Start, Self::End, Self::Rowtime];

    fn name(self) -> &'static str {
        match self {
            Self::Start => TUMBLE_START,
            Self::End => TUMBLE_END,
            Self::Rowtime => TUMBLE_ROWTIME,
        }
    }
}

/// The three bound functions.
pub(crate) fn bounds() -> [ScalarUDF; 3] {
    Bound::ALL
        .map(|bound| ScalarUDF::from(TumbleBound { bound, signature: Signature::variadic_any(Volatility::Immutable) }))
}

/// If `expr` is a bound of a tumbling window: the bound, the time expression, size and offset in milliseconds.
pub(crate) fn tumble_bound(expr: &Expr) -> Option<(Bound, &Expr, i64, i64)> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let bound = Bound::ALL.into_iter().find(|bound| bound.name() == function.func.name())?;
    let literal = |expr: &Expr| match expr {
        Expr::Literal(value, _) => millis(value).ok(),
        _ => None,
    };
    match function.args.as_slice() {
        [time, size] => Some((bound, time, literal(size)?, 0)),
        [time, size, offset] => Some((bound, time, literal(size)?, literal(offset)?)),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TumbleBound {
    bound: Bound,
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
        match args {
            [DataType::Timestamp(_, _), DataType::Interval(_)]
            | [DataType::Timestamp(_, _), DataType::Interval(_), DataType::Interval(_)] => {
                Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
            }
            _ => plan_err!("TUMBLE needs a timestamp column and an interval such as INTERVAL '10' SECOND"),
        }
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
        let bound = self.bound;
        let shifted = time.as_primitive::<TimestampMillisecondType>().unary::<_, TimestampMillisecondType>(|time| {
            let start = time - (time - offset).rem_euclid(size);
            match bound {
                Bound::Start => start,
                Bound::End => start + size,
                Bound::Rowtime => start + size - 1,
            }
        });
        Ok(ColumnarValue::Array(Arc::new(shifted) as ArrayRef))
    }
}
