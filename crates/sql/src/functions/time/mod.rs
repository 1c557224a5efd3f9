//! Functions of dates and times. TIMESTAMP_LTZ is seen in the session's time zone.
//!
//! * [`moment`]: what a column of times holds, in days and nanoseconds of the day
//! * [`unit`]: units of time by name
//! * [`extract`], [`round`], [`shift`]: EXTRACT and its short names; FLOOR and CEIL; TIMESTAMPADD and TIMESTAMPDIFF
//! * [`pattern`], [`legacy`]: the two languages of date patterns that Java has, `DateTimeFormatter` and `SimpleDateFormat`
//! * [`format`], [`parse`], [`unix`]: DATE_FORMAT; TO_DATE, TO_TIMESTAMP, TO_TIMESTAMP_LTZ; seconds since 1970, CONVERT_TZ

mod extract;
mod format;
mod legacy;
pub(crate) mod moment;
mod parse;
pub(crate) mod pattern;
mod round;
mod shift;
mod unit;
mod unix;

use super::Bind;

pub(super) const ALL: &[&[(&str, Bind)]] = &[extract::ALL, round::ALL, shift::ALL, format::ALL, parse::ALL, unix::ALL];
