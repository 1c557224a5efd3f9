//! The statements that Spark 4.3 sent for bounds, and what it refused.

use super::*;

const CAPTURED: &str = include_str!("../../../../../tests/compat/spark/partition_predicates.md");

fn column(name: &str) -> Column {
    let kind = match name {
        "id" => Kind::Int { bytes: 8, unsigned: false, truth: false },
        "bu" => Kind::Int { bytes: 8, unsigned: true, truth: false },
        "dec5" => Kind::Decimal(12, 2),
        "dbl" => Kind::Double,
        "d" => Kind::Date,
        "ts" => Kind::DateTime(6),
        "tz" => Kind::Timestamp(0),
        _ => Kind::Text(crate::schema::Charset::by_name("utf8mb4")),
    };
    Column { name: name.to_owned(), kind, nullable: true }
}

/// A heading's name, column, bounds and number.
fn case(heading: &str) -> (String, Bounds) {
    // Names hold commas, but no colon before a blank.
    let (name, rest) = heading.split_once(": ").expect("a column");
    let (column, rest) = rest.split_once(", lower ").expect("a lower bound");
    let (lower, rest) = rest.split_once(", upper ").expect("an upper bound");
    let (upper, number) = rest.split_once(", numPartitions ").expect("a number");
    let bounds = Bounds {
        column: column.to_owned(),
        lower: lower.to_owned(),
        upper: upper.to_owned(),
        number: number.trim().parse().expect("a number"),
    };
    (name.to_owned(), bounds)
}

#[test]
fn ranges_are_those_that_spark_asks_for() {
    let columns = ["id", "d", "ts", "tz", "dec5", "dbl", "s", "bu", "v"].map(column);
    let (mut equal, mut refused) = (0, 0);
    for part in CAPTURED.split("\n## ").skip(1) {
        let (heading, body) = part.split_once('\n').expect("a heading");
        let (name, bounds) = case(heading);
        let ranges = bounds.ranges(&columns);
        if body.contains("error:") {
            assert!(ranges.is_err(), "{name}: {ranges:?}");
            refused += 1;
            continue;
        }
        let sql = |range: &Range| match range.to_string() {
            all if all.is_empty() => "SELECT `v` FROM service_db.pt".to_owned(),
            condition => format!("SELECT `v` FROM service_db.pt WHERE {condition}"),
        };
        let mut made: Vec<String> = ranges.expect("ranges").iter().map(sql).collect();
        let lower = |text: &str| text.replace(" or ", " OR ").replace(" is null", " IS NULL");
        let mut sent: Vec<String> = body.lines().filter_map(|line| line.strip_prefix("    ")).map(lower).collect();
        made.sort();
        sent.sort();
        assert_eq!(made, sent, "{name}");
        equal += 1;
    }
    assert_eq!((equal, refused), (24, 7));
}

#[test]
fn dates_and_literals_of_all_kinds() {
    assert_eq!(date_text(0), "1970-01-01");
    assert_eq!(date_text(-719_162), "0001-01-01");
    assert_eq!(date_text(19_782), "2024-02-29");
    assert_eq!(Unit::Micros.literal(-1), "'1969-12-31 23:59:59.999999'");
    assert_eq!(Unit::Micros.read("2024-05-20T10:00:00.25"), Some(1_716_199_200_250_000));
    assert_eq!(Unit::Micros.read("2024-05-20 25:00:00"), None);
    assert_eq!(Unit::Days.read("2024-02-30"), None);
}
