//! Conditions that the server tests, so that rows that nobody wants are not sent: those that MySQL compares as everybody
//! does. Text is left out (collations), so are floats, YEAR (whose 70 is 1970), ENUM and BIT.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Schema};
use headwater_change::{Comparison, Condition, Error, First, Result};

use crate::ident::ident;
use crate::rows::event::{Feed, Plan};
use crate::schema::{Charset, Column, Kind};
use crate::write::literal;

/// The conditions as SQL; those that are not for the server are left out.
pub(super) fn texts(plan: &Plan, schema: &Schema, conditions: &[Condition]) -> Vec<String> {
    conditions.iter().filter_map(|condition| text(plan, schema, condition)).collect()
}

/// ` ORDER BY … LIMIT n`, where the server sorts the columns as everybody does.
pub(super) fn first(plan: &Plan, schema: &Schema, first: &First) -> Option<String> {
    let mut text = String::new();
    for (number, (name, descends)) in first.keys.iter().enumerate() {
        let Feed::Column(index) = plan.feeds.get(schema.index_of(name).ok()?)? else { return None };
        let column = plan.columns.get(*index)?;
        if !matches!(
            column.kind,
            Kind::Int { .. } | Kind::Decimal(..) | Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_)
        ) {
            return None;
        }
        text.push_str(if number == 0 { " ORDER BY " } else { ", " });
        text.push_str(&ident(&column.name).to_string());
        text.push_str(if *descends { " DESC" } else { "" });
    }
    text.push_str(&format!(" LIMIT {}", first.rows));
    Some(text)
}

/// Conditions as SQL that the server is sure to answer as everybody does.
///
/// # Errors
/// `mysql.condition` where it might answer one otherwise.
pub(crate) fn exact(columns: &[Column], conditions: &[Condition]) -> Result<Vec<String>> {
    let exact = |condition: &Condition| {
        let named = |column: &&Column| column.name.eq_ignore_ascii_case(&condition.column);
        let found = columns
            .iter()
            .find(named)
            .and_then(|column| same_text(column, condition).or_else(|| of_column(column, condition)));
        found.ok_or_else(|| {
            let Condition { column, comparison, .. } = condition;
            Error::usage(
                "mysql.condition",
                format!("the server may compare '{column}' with such a value by {} in its own way", comparison.sign()),
            )
            .hint("replace rows by columns of whole numbers, decimals, dates or times, or by = on texts")
        })
    };
    conditions.iter().map(exact).collect()
}

/// Texts that are the same, character by character: by the collation an index finds them, and those that only look alike
/// are left out.
fn same_text(column: &Column, condition: &Condition) -> Option<String> {
    if !matches!(column.kind, Kind::Text(Charset::Utf8 | Charset::Coded(_)))
        || condition.comparison != Comparison::Equal
    {
        return None;
    }
    let value = condition.value.as_string_opt::<i32>()?.value(0);
    let mut literal = String::new();
    literal::append(condition.value.as_ref(), 0, &mut literal).ok()?;
    let hex: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
    let name = ident(&column.name);
    Some(format!("{name} = {literal} AND HEX(CONVERT({name} USING utf8mb4)) = '{hex}'"))
}

fn text(plan: &Plan, schema: &Schema, condition: &Condition) -> Option<String> {
    let Feed::Column(index) = plan.feeds.get(schema.index_of(&condition.column).ok()?)? else { return None };
    of_column(plan.columns.get(*index)?, condition)
}

fn of_column(column: &Column, condition: &Condition) -> Option<String> {
    let value = condition.value.data_type();
    let alike = match &column.kind {
        Kind::Int { .. } | Kind::Decimal(..) => value.is_integer() || matches!(value, DataType::Decimal128(..)),
        Kind::Date => *value == DataType::Date32,
        Kind::DateTime(_) | Kind::Timestamp(_) => matches!(value, DataType::Timestamp(..)),
        _ => false,
    };
    let mut literal = String::new();
    let written = literal::append(condition.value.as_ref(), 0, &mut literal);
    (alike && written.is_ok()).then(|| format!("{} {} {literal}", ident(&column.name), condition.comparison.sign()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray, TimestampSecondArray};
    use arrow::datatypes::{Field, TimeUnit};
    use headwater_change::Comparison;

    use super::*;
    use crate::rows::build::Policy;

    #[test]
    fn what_servers_compare_otherwise_is_not_asked() {
        let columns: Vec<Column> = [
            ("id", Kind::Int { bytes: 4, unsigned: false, truth: false }),
            ("at", Kind::DateTime(0)),
            ("s", Kind::Text(Charset::by_name("utf8mb4"))),
            ("y", Kind::Year),
        ]
        .into_iter()
        .map(|(name, kind)| Column { name: name.to_owned(), kind, nullable: true })
        .collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Second, None), true),
            Field::new("s", DataType::Utf8, true),
            Field::new("y", DataType::Int32, true),
        ]));
        let plan = crate::check::plan(&schema, "d", "t", columns, Policy { zero_date_is_null: true, zone_seconds: 0 });
        let condition =
            |column: &str, comparison, value: ArrayRef| Condition { column: column.to_owned(), comparison, value };
        let asked = [
            condition("id", Comparison::Less, Arc::new(Int32Array::from(vec![5]))),
            condition("at", Comparison::GreaterOrEqual, Arc::new(TimestampSecondArray::from(vec![1_716_163_200]))),
            condition("s", Comparison::Equal, Arc::new(StringArray::from(vec!["a"]))),
            condition("y", Comparison::Equal, Arc::new(Int32Array::from(vec![70]))),
            condition("nothing", Comparison::Equal, Arc::new(Int32Array::from(vec![1]))),
        ];
        let texts = texts(&plan.unwrap(), &schema, &asked);
        assert_eq!(texts, ["`id` < 5", "`at` >= '2024-05-20 00:00:00.000000'"]);
    }
}
