//! [`Moments`]: a column of dates, times or timestamps as days and nanoseconds of the day, the way back, and the calendar's
//! arithmetic over days.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTimestampType, DataType, Date32Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_err};
use headwater_change::TimeZone;
use headwater_change::calendar::{DAY_SECONDS, civil_from_days, days_from_civil, month_days};

use crate::types::SqlType;

/// Nanoseconds of a second and of a day.
pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const DAY: i64 = DAY_SECONDS * SECOND;

/// A time by the calendar: days since 1970-01-01 and nanoseconds of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) day: i64,
    pub(crate) nanos: i64,
}

impl Moment {
    /// Of seconds since 1970 and nanoseconds of the second.
    pub(super) fn of_seconds(seconds: i64, nanos: i64) -> Self {
        Self { day: seconds.div_euclid(DAY_SECONDS), nanos: seconds.rem_euclid(DAY_SECONDS) * SECOND + nanos }
    }

    /// Seconds since 1970, the fraction cut off below.
    pub(super) fn seconds(self) -> i64 {
        self.day * DAY_SECONDS + self.nanos.div_euclid(SECOND)
    }

    /// Milliseconds since 1970, the fraction cut off below.
    pub(super) fn millis(self) -> i64 {
        self.day * (DAY_SECONDS * 1_000) + self.nanos / 1_000_000
    }

    /// Later by nanoseconds, which may be negative.
    pub(super) fn plus(self, nanos: i128) -> Self {
        let total = i128::from(self.nanos) + nanos;
        let days = total.div_euclid(i128::from(DAY));
        let rest = total.rem_euclid(i128::from(DAY));
        Self {
            day: self.day.saturating_add(i64::try_from(days).unwrap_or(if days < 0 { i64::MIN } else { i64::MAX })),
            nanos: i64::try_from(rest).unwrap_or(0),
        }
    }
}

/// The day so many months later, at the end of a shorter month.
pub(super) fn add_months(day: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(day);
    let total = year.saturating_mul(12).saturating_add(i64::from(month) - 1).saturating_add(months);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days_from_civil(year, month, i64::from(day).min(month_days(year, month)))
}

/// Seconds since 1970 of 1900-01-01, before which `java.util.TimeZone` knows of no changes.
const FIRST_CHANGE: i64 = -2_208_988_800;

/// How far a zone is ahead of UTC at an instant as `java.util.TimeZone` has it: before 1900 what is its standard time today,
/// not that of its sun.
pub(super) fn legacy_offset(zone: TimeZone, instant: i64) -> i64 {
    if instant >= FIRST_CHANGE { zone.offset_seconds(instant) } else { standard_offset(zone) }
}

/// The standard time of a zone: the least offset of the months of 2037.
pub(super) fn standard_offset(zone: TimeZone) -> i64 {
    (1..=12).map(|month| zone.offset_seconds(days_from_civil(2037, month, 1) * DAY_SECONDS)).min().unwrap_or(0)
}

/// Whether a local time may be before the first change that `java.util.TimeZone` knows.
pub(super) fn before_changes(local: i64) -> bool {
    local < FIRST_CHANGE + DAY_SECONDS
}

/// A column of times.
pub(super) struct Moments {
    values: ArrayRef,
    /// Units of a second; 0 for dates.
    per_second: i64,
    /// The zone in which instants are seen, and its offsets.
    zone: Option<(TimeZone, Offsets)>,
}

/// The offset of a zone at an instant.
type Offsets = fn(TimeZone, i64) -> i64;

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => SECOND,
    }
}

/// The counts of a column of times.
fn counts(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    })
}

impl Moments {
    /// Instants are seen in `zone`.
    pub(super) fn local(column: &ArrayRef, zone: TimeZone) -> Result<Self> {
        Self::seen(column, zone, TimeZone::offset_seconds)
    }

    /// Instants are seen in `zone` by [`legacy_offset`].
    pub(super) fn legacy(column: &ArrayRef, zone: TimeZone) -> Result<Self> {
        Self::seen(column, zone, legacy_offset)
    }

    fn seen(column: &ArrayRef, zone: TimeZone, offsets: Offsets) -> Result<Self> {
        let (per_second, zone) = match column.data_type() {
            DataType::Date32 => (0, None),
            DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, None) => {
                (per_second(*unit), None)
            }
            DataType::Timestamp(unit, Some(_)) => (per_second(*unit), Some((zone, offsets))),
            other => return exec_err!("{other} is no time"),
        };
        Ok(Self { values: counts(column)?, per_second, zone })
    }

    /// Instants are seen in UTC.
    pub(super) fn instants(column: &ArrayRef) -> Result<Self> {
        Self::local(column, TimeZone::UTC)
    }

    /// The column, for its NULLs.
    pub(super) fn column(&self) -> &dyn Array {
        &self.values
    }

    pub(super) fn at(&self, row: usize) -> Moment {
        let value = self.values.as_primitive::<Int64Type>().value(row);
        if self.per_second == 0 {
            return Moment { day: value, nanos: 0 };
        }
        let seconds = value.div_euclid(self.per_second);
        let nanos = value.rem_euclid(self.per_second) * (SECOND / self.per_second);
        let offset = self.zone.map_or(0, |(zone, offsets)| offsets(zone, seconds));
        Moment::of_seconds(seconds + offset, nanos)
    }
}

/// Days of the years 0 to 9999, which are those that a date may have.
const YEARS: std::ops::Range<i64> = -719_528..2_932_897;

/// Builds a column of `result` from what `compute` gives for each row. What the type cannot hold is an error; so is a year
/// beyond 0 to 9999, of which Flink shows the last four digits alone.
pub(super) fn column(
    result: &SqlType,
    rows: usize,
    columns: &[&dyn Array],
    mut compute: impl FnMut(usize) -> Result<Option<Moment>>,
) -> Result<ArrayRef> {
    let scale = match result.arrow() {
        DataType::Date32 => 0,
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => per_second(unit),
        other => return exec_err!("{other} is no time"),
    };
    let mut counted = crate::functions::rows::primitive::<Int64Type>(rows, columns, |row| {
        let Some(moment) = compute(row)? else { return Ok(None) };
        if !YEARS.contains(&moment.day) {
            return exec_err!("a time of day {} since 1970 is beyond the years 0 to 9999", moment.day);
        }
        if scale == 0 {
            return Ok(Some(moment.day));
        }
        let seconds = moment.seconds();
        let fraction = moment.nanos.rem_euclid(SECOND) / (SECOND / scale);
        match seconds.checked_mul(scale).and_then(|value| value.checked_add(fraction)) {
            Some(value) => Ok(Some(value)),
            None => exec_err!("a time is beyond what {result} can hold"),
        }
    })?;
    typed(result, &counted.finish())
}

/// Counts as a column of the type.
fn typed(result: &SqlType, counts: &PrimitiveArray<Int64Type>) -> Result<ArrayRef> {
    let narrow = || {
        counts.try_unary::<_, Int32Type, _>(|count| {
            i32::try_from(count)
                .map_err(|_| ArrowError::ComputeError(format!("a date is beyond what {result} can hold")))
        })
    };
    Ok(match result.arrow() {
        DataType::Date32 => Arc::new(narrow()?.reinterpret_cast::<Date32Type>()),
        DataType::Time32(TimeUnit::Second) => Arc::new(narrow()?.reinterpret_cast::<Time32SecondType>()),
        DataType::Time32(_) => Arc::new(narrow()?.reinterpret_cast::<Time32MillisecondType>()),
        DataType::Time64(TimeUnit::Microsecond) => Arc::new(counts.reinterpret_cast::<Time64MicrosecondType>()),
        DataType::Time64(_) => Arc::new(counts.reinterpret_cast::<Time64NanosecondType>()),
        DataType::Timestamp(TimeUnit::Second, zone) => instants::<TimestampSecondType>(counts, zone),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => instants::<TimestampMillisecondType>(counts, zone),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => instants::<TimestampMicrosecondType>(counts, zone),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => instants::<TimestampNanosecondType>(counts, zone),
        other => return exec_err!("{other} is no time"),
    })
}

fn instants<T: ArrowTimestampType>(counts: &PrimitiveArray<Int64Type>, zone: Option<Arc<str>>) -> ArrayRef {
    Arc::new(counts.reinterpret_cast::<T>().with_timezone_opt(zone))
}
