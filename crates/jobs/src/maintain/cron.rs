//! The times of a cron pattern in a time zone; pure.
//!
//! Where clocks are changed: a pattern with one fixed time of day (`30 2 * * *`) runs once a day; a time that is skipped
//! runs at the end of the gap, and one that comes twice runs the first time. Any other pattern (`*/15 * * * *`, `0 1-5 * * *`)
//! follows the clock on the wall: what is skipped does not run, what comes twice runs twice. So do Vixie cron and its heirs.

use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Year};
use headwater_change::{Error, Result};

use super::schedule::{CatchUp, MOST};

/// A time that is older was missed, in seconds.
const ON_TIME: i64 = 60;

/// A pattern of five or six fields, and a zone.
///
/// # Errors
/// `jobs.cron`, `jobs.time_zone`.
pub(super) fn parse(cron: &str, zone: &str) -> Result<(Cron, Tz)> {
    let cron = CronParser::builder().year(Year::Disallowed).build().parse(cron).map_err(|error| {
        Error::usage("jobs.cron", format!("'{cron}' is not a cron pattern"))
            .detail(error.to_string())
            .hint("five fields (minute hour day month weekday), or six with seconds first")
    })?;
    let zone = zone.parse().map_err(|_| {
        Error::usage("jobs.time_zone", format!("there is no time zone '{zone}'"))
            .hint("write an IANA name: Europe/Berlin")
    })?;
    Ok((cron, zone))
}

/// The times to fire of those from `from` to `now`, and the first time that is left. Unix seconds. At most a thousand.
///
/// # Errors
/// `jobs.cron`: the pattern has no time at all, such as the 30th of February.
pub(super) fn due_times(cron: &Cron, zone: Tz, from: i64, now: i64, catch_up: CatchUp) -> Result<(Vec<i64>, i64)> {
    if catch_up == CatchUp::All {
        let mut times = Vec::new();
        let mut time = next(cron, zone, from - 1)?;
        while time <= now && times.len() < MOST {
            times.push(time);
            time = next(cron, zone, time)?;
        }
        return Ok((times, time));
    }
    let after = next(cron, zone, from.max(now + 1) - 1)?;
    let from = if catch_up == CatchUp::None { from.max(now - ON_TIME) } else { from };
    Ok((last(cron, zone, from, now)?.into_iter().collect(), after))
}

/// The latest time from `from` to `now`. Looked for forwards in spans that grow backwards: what walks forwards decides
/// which times there are.
fn last(cron: &Cron, zone: Tz, from: i64, now: i64) -> Result<Option<i64>> {
    let (mut end, mut span) = (now, 60);
    while end >= from {
        let start = from.max(end.saturating_sub(span));
        let mut time = next(cron, zone, start - 1)?;
        if time <= end {
            let mut found = time;
            while time <= end {
                found = time;
                time = next(cron, zone, time)?;
            }
            return Ok(Some(found));
        }
        end = start - 1;
        span *= 2;
    }
    Ok(None)
}

/// The first time after another one. Never asked for a time that may be the answer itself: from the end of a gap on the
/// crate does not see the time that was put there.
fn next(cron: &Cron, zone: Tz, after: i64) -> Result<i64> {
    let none = || Error::usage("jobs.cron", format!("the cron pattern '{}' has no next time", cron.as_str()));
    let after: DateTime<Tz> = zone.timestamp_opt(after, 0).single().ok_or_else(none)?;
    let time = cron.find_next_occurrence(&after, false).map_err(|error| none().detail(error.to_string()))?;
    Ok(time.timestamp())
}

/// How far back the time before another one is looked for, in seconds: more than four years, for the 29th of February.
const BACK: i64 = 9 * 366 * 86_400;

/// Intervals that are looked for at once.
const INTERVALS: usize = 100_000;

/// A cron pattern in a time zone, and the intervals between its times. Times are Unix seconds.
#[derive(Clone, Debug)]
pub struct Pattern {
    cron: Cron,
    zone: Tz,
}

impl Pattern {
    /// Five or six fields, and an IANA name.
    ///
    /// # Errors
    /// `jobs.cron`, `jobs.time_zone`.
    pub fn parse(cron: &str, zone: &str) -> Result<Self> {
        parse(cron, zone).map(|(cron, zone)| Self { cron, zone })
    }

    /// Where the interval begins that ends at a time of the pattern: at the time before it.
    ///
    /// # Errors
    /// `jobs.cron`: there is none.
    pub fn begin_of(&self, end: i64) -> Result<i64> {
        last(&self.cron, self.zone, end - BACK, end - 1)?.ok_or_else(|| {
            Error::usage("jobs.cron", format!("the cron pattern '{}' has no time before this one", self.cron.as_str()))
        })
    }

    /// The intervals that begin at or after `from` and before `to`.
    ///
    /// # Errors
    /// `jobs.cron`; `jobs.schedule_range`: too many.
    pub fn intervals(&self, from: i64, to: i64) -> Result<Vec<(i64, i64)>> {
        let mut found = Vec::new();
        let mut begin = next(&self.cron, self.zone, from - 1)?;
        while begin < to {
            let end = next(&self.cron, self.zone, begin)?;
            found.push((begin, end));
            if found.len() > INTERVALS {
                return Err(Error::usage(
                    "jobs.schedule_range",
                    format!("there are more than {INTERVALS} times in this range"),
                )
                .hint("name a shorter one"));
            }
            begin = end;
        }
        Ok(found)
    }

    /// A time as the zone's clock shows it: `2024-05-20 00:10:00`.
    pub fn shown(&self, time: i64) -> String {
        let shown = self.zone.timestamp_opt(time, 0).single();
        shown.map_or_else(|| time.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// The first instant of a day there: `2024-05-20`, or of the day after it.
    ///
    /// # Errors
    /// `jobs.date`.
    pub fn day(&self, date: &str, after: u64) -> Result<i64> {
        let wrong = || Error::usage("jobs.date", format!("'{date}' is not a date")).hint("write 2024-05-20");
        let day = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").map_err(|_| wrong())?;
        let day = day.checked_add_days(chrono::Days::new(after)).ok_or_else(wrong)?;
        // Where clocks are put forward at midnight the day begins with the first hour that there is.
        let hours = (0..24).filter_map(|hour| day.and_hms_opt(hour, 0, 0));
        let first = hours.filter_map(|time| self.zone.from_local_datetime(&time).earliest()).next();
        first.map(|time| time.timestamp()).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_lie_between_times() {
        let seoul = Pattern::parse("10 0 * * *", "Asia/Seoul").expect("a pattern");
        let (from, to) = (seoul.day("2024-05-20", 0).unwrap(), seoul.day("2024-05-21", 1).unwrap());
        let found = seoul.intervals(from, to).expect("intervals");
        let shown: Vec<_> = found.iter().map(|(begin, end)| (seoul.shown(*begin), seoul.shown(*end))).collect();
        let pair = |begin: &str, end: &str| (format!("{begin} 00:10:00"), format!("{end} 00:10:00"));
        assert_eq!(shown, [pair("2024-05-20", "2024-05-21"), pair("2024-05-21", "2024-05-22")]);
        assert!(found.iter().all(|(begin, end)| seoul.begin_of(*end).is_ok_and(|found| found == *begin)));
        let leap = Pattern::parse("0 0 29 2 *", "UTC").expect("a pattern");
        assert_eq!(leap.shown(leap.begin_of(leap.day("2104-02-29", 0).unwrap()).unwrap()), "2096-02-29 00:00:00");
        assert_eq!(seoul.day("2024-02-30", 0).expect_err("no day").code(), "jobs.date");
        let always = Pattern::parse("* * * * * *", "UTC").expect("a pattern");
        assert_eq!(always.intervals(0, 200_000).expect_err("many").code(), "jobs.schedule_range");
    }

    fn at(zone: &str, text: &str) -> i64 {
        let zone: Tz = zone.parse().expect("a zone");
        let naive = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").expect("a time");
        zone.from_local_datetime(&naive).earliest().expect("a time that is").timestamp()
    }

    fn all(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let (parsed, tz) = parse(cron, zone).expect("a pattern");
        let (times, _) = due_times(&parsed, tz, at(zone, from), at(zone, to), CatchUp::All).expect("times");
        times.iter().map(|time| tz.timestamp_opt(*time, 0).unwrap().format("%m-%d %H:%M:%S %Z").to_string()).collect()
    }

    #[test]
    fn patterns_have_five_fields_or_six() {
        let day = |cron| all(cron, "UTC", "2026-11-23 00:00:00", "2026-11-23 23:59:59").len();
        assert_eq!(day("0 * * * *"), 24);
        assert_eq!(day("30 */10 * * * *"), 144);
        assert_eq!(day("0 12 * NOV mon"), 1, "names");
        assert_eq!(day("0 12 L * *"), 0);
        assert_eq!(day("0 12 * * MON#4"), 1, "the fourth monday");
        assert_eq!(day("@hourly"), 24);
        for wrong in ["", "* * * *", "61 * * * *", "* * * * * * 2027", "0 0 * * XYZ", "* * * * * * * *"] {
            assert_eq!(parse(wrong, "UTC").expect_err(wrong).code(), "jobs.cron", "{wrong}");
        }
        assert_eq!(parse("* * * * *", "Mars/Olympus").expect_err("no zone").code(), "jobs.time_zone");
    }

    #[test]
    fn a_pattern_without_a_time_is_an_error() {
        let (cron, zone) = parse("0 0 30 2 *", "UTC").expect("well written");
        for catch_up in [CatchUp::None, CatchUp::One, CatchUp::All] {
            assert_eq!(due_times(&cron, zone, 0, 1, catch_up).expect_err("never").code(), "jobs.cron");
        }
    }

    #[test]
    fn a_skipped_time_runs_at_the_end_of_the_gap() {
        // 29 March 2026, 02:00 CET becomes 03:00 CEST.
        let times = all("30 2 * * *", "Europe/Berlin", "2026-03-28 00:00:00", "2026-03-30 23:00:00");
        assert_eq!(times, ["03-28 02:30:00 CET", "03-29 03:00:00 CEST", "03-30 02:30:00 CEST"]);
        let from_the_end = all("30 2 * * *", "Europe/Berlin", "2026-03-29 03:00:00", "2026-03-29 23:00:00");
        assert_eq!(from_the_end, ["03-29 03:00:00 CEST"]);
        let times = all("*/30 1-3 * * *", "Europe/Berlin", "2026-03-29 00:00:00", "2026-03-29 23:00:00");
        assert_eq!(times, ["03-29 01:00:00 CET", "03-29 01:30:00 CET", "03-29 03:00:00 CEST", "03-29 03:30:00 CEST"]);
    }

    #[test]
    fn a_time_that_comes_twice_runs_once() {
        // 25 October 2026, 03:00 CEST becomes 02:00 CET.
        let times = all("30 2 * * *", "Europe/Berlin", "2026-10-24 00:00:00", "2026-10-26 23:00:00");
        assert_eq!(times, ["10-24 02:30:00 CEST", "10-25 02:30:00 CEST", "10-26 02:30:00 CET"]);
        let times = all("0 * * * *", "Europe/Berlin", "2026-10-25 01:00:00", "2026-10-25 03:00:00");
        let hours = ["10-25 01:00:00 CEST", "10-25 02:00:00 CEST", "10-25 02:00:00 CET", "10-25 03:00:00 CET"];
        assert_eq!(times, hours, "every hour that passes");
    }

    #[test]
    fn a_thousand_a_tick_and_no_time_is_lost() {
        let (cron, zone) = parse("* * * * * *", "UTC").expect("a pattern");
        let (first, next) = due_times(&cron, zone, 10_000, 11_499, CatchUp::All).expect("times");
        assert_eq!((first.len(), first.first(), next), (1_000, Some(&10_000), 11_000));
        let (rest, next) = due_times(&cron, zone, next, 11_499, CatchUp::All).expect("times");
        assert_eq!((rest.len(), rest.last(), next), (500, Some(&11_499), 11_500));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        /// However the ticks fall, ALL fires each time once and in order, ONE fires the last of what ALL would fire, NONE only
        /// a recent one; and the next time is after now.
        #[test]
        fn ticks_fire_each_time_once(
            start in 1_600_000_000i64..2_000_000_000,
            gaps in proptest::collection::vec(0i64..90_000, 1..12),
            pattern in 0usize..7,
            zone in 0usize..5,
        ) {
            let pattern = ["30 2 * * *", "*/20 * * * *", "0 15 1 * * *", "0 0 * * 1", "0 12 L * *", "15,45 1-3 * * *",
                "30 0 * * *"][pattern];
            let zone = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"][zone];
            let (cron, zone) = parse(pattern, zone).expect("a pattern");
            let end = start + gaps.iter().sum::<i64>();
            let (expected, expected_next) = due_times(&cron, zone, start, end, CatchUp::All).expect("times");
            let mut now = start;
            let (mut from, mut fired) = (start, Vec::new());
            let mut one = (start, start);
            for gap in gaps {
                now += gap;
                let (times, next) = due_times(&cron, zone, from, now, CatchUp::All).expect("times");
                proptest::prop_assert!(times.iter().all(|time| (from..=now).contains(time)) && next > now);
                fired.extend(times);
                from = next;
                let (all, _) = due_times(&cron, zone, one.0, now, CatchUp::All).expect("times");
                let (last, next) = due_times(&cron, zone, one.0, now, CatchUp::One).expect("times");
                proptest::prop_assert_eq!(last.as_slice(), all.last().map_or(&[][..], std::slice::from_ref));
                proptest::prop_assert!(next > now);
                let (recent, also) = due_times(&cron, zone, one.1, now, CatchUp::None).expect("times");
                let all: Vec<i64> = due_times(&cron, zone, one.1, now, CatchUp::All).expect("times").0;
                let kept: Vec<i64> = all.last().copied().filter(|time| *time >= now - ON_TIME).into_iter().collect();
                proptest::prop_assert_eq!(recent, kept);
                one = (next, also);
            }
            proptest::prop_assert!(fired.windows(2).all(|pair| pair[0] < pair[1]));
            proptest::prop_assert_eq!((fired, from), (expected, expected_next));
        }
    }
}
