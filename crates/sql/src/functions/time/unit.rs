//! Units of time by the names that the grammar hands on.

use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use headwater_change::{Error, Result};

use crate::functions::forms::constant_text;
use crate::functions::kernel::Call;
use crate::typed::Typed;

/// A unit, or a part that EXTRACT takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    DayOfYear,
    IsoDayOfWeek,
    IsoYear,
    Epoch,
}

const NAMES: &[(&str, Unit)] = &[
    ("NANOSECOND", Unit::Nanosecond),
    ("MICROSECOND", Unit::Microsecond),
    ("FRAC_SECOND", Unit::Microsecond),
    ("SQL_TSI_FRAC_SECOND", Unit::Nanosecond),
    ("SQL_TSI_MICROSECOND", Unit::Microsecond),
    ("MILLISECOND", Unit::Millisecond),
    ("SECOND", Unit::Second),
    ("SQL_TSI_SECOND", Unit::Second),
    ("MINUTE", Unit::Minute),
    ("SQL_TSI_MINUTE", Unit::Minute),
    ("HOUR", Unit::Hour),
    ("SQL_TSI_HOUR", Unit::Hour),
    ("DAY", Unit::Day),
    ("SQL_TSI_DAY", Unit::Day),
    ("WEEK", Unit::Week),
    ("SQL_TSI_WEEK", Unit::Week),
    ("MONTH", Unit::Month),
    ("SQL_TSI_MONTH", Unit::Month),
    ("QUARTER", Unit::Quarter),
    ("SQL_TSI_QUARTER", Unit::Quarter),
    ("YEAR", Unit::Year),
    ("SQL_TSI_YEAR", Unit::Year),
    ("DECADE", Unit::Decade),
    ("CENTURY", Unit::Century),
    ("MILLENNIUM", Unit::Millennium),
    ("DOW", Unit::DayOfWeek),
    ("DOY", Unit::DayOfYear),
    ("ISODOW", Unit::IsoDayOfWeek),
    ("ISOYEAR", Unit::IsoYear),
    ("EPOCH", Unit::Epoch),
];

impl Unit {
    fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit)
    }

    /// The unit that the first argument names.
    pub(super) fn of(function: &str, args: &[Typed]) -> Result<Self> {
        let first = args.first().ok_or_else(|| Error::bug("sql.form", "a function of a unit without its unit"))?;
        let name = constant_text(first)?;
        Self::named(name).ok_or_else(|| {
            Error::usage("sql.unit", format!("{function} does not know the unit {name}"))
                .hint("units are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND and others")
        })
    }

    /// The same while rows are computed.
    pub(super) fn in_call(call: &Call<'_>) -> Planned<Self> {
        match call.constant(0) {
            Some(ScalarValue::Utf8(Some(name))) => match Self::named(name) {
                Some(unit) => Ok(unit),
                None => exec_err!("the unit {name} is not known"),
            },
            _ => exec_err!("a unit of time must be a constant"),
        }
    }

    /// How many nanoseconds the unit has, if always the same number.
    pub(super) fn nanos(self) -> Option<i64> {
        Some(match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
            Self::Day => 86_400_000_000_000,
            Self::Week => 604_800_000_000_000,
            _ => return None,
        })
    }

    /// How many months the unit has, if it is made of months.
    pub(super) fn months(self) -> Option<i64> {
        Some(match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
            Self::Decade => 120,
            Self::Century => 1_200,
            Self::Millennium => 12_000,
            _ => return None,
        })
    }
}

/// A function that does not do a unit for a type.
pub(super) fn unsupported(function: &str, args: &[Typed]) -> Error {
    let unit = args.first().and_then(|unit| constant_text(unit).ok()).unwrap_or("the unit");
    let types: Vec<String> = args.iter().skip(1).map(|arg| arg.sql_type.to_string()).collect();
    Error::usage("sql.types", format!("{function} with {unit} is not defined for {}", types.join(", ")))
        .hint("docs/reference/functions.md lists the types and units that it takes")
}
