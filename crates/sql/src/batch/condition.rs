//! Conditions that a source may apply by itself: a column against a constant of its type, where every system compares alike.
//! Text is not among them (collations), nor are floats. What a source leaves out is tested again here, so a condition may
//! let more pass than the filter.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use headwater_change::{Comparison, Condition, TimeZone};

use crate::functions::kernel::Kernel;
use crate::types::SqlType;

/// A filter as a condition for a source, where it is one.
pub fn condition(filter: &Expr) -> Option<Condition> {
    comparison(filter, false)
}

/// A filter as a condition that means no more and no less, where it is one.
pub(crate) fn exact_condition(filter: &Expr) -> Option<Condition> {
    comparison(filter, true)
}

fn comparison(filter: &Expr, exact: bool) -> Option<Condition> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let comparison = match op {
        Operator::Eq => Comparison::Equal,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    };
    let (column, value, comparison) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, value, comparison),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, value, comparison.turned()),
        (Expr::ScalarFunction(call), Expr::Literal(value, _)) => return below(call, value, comparison, exact),
        (Expr::Literal(value, _), Expr::ScalarFunction(call)) => return below(call, value, comparison.turned(), exact),
        _ => return None,
    };
    of_constant(&column.name, value, comparison)
}

fn of_constant(column: &str, value: &ScalarValue, comparison: Comparison) -> Option<Condition> {
    let value = value.to_array().ok()?;
    let comparable = value.data_type().is_signed_integer()
        || matches!(value.data_type(), DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..));
    (comparable && !value.is_null(0)).then(|| Condition {
        column: column.to_owned(),
        comparison,
        value: Arc::clone(&value),
    })
}

/// A column that is read as another type, against a constant of that one: the condition on the column itself.
fn below(call: &ScalarFunction, value: &ScalarValue, comparison: Comparison, exact: bool) -> Option<Condition> {
    let [Expr::Column(column)] = call.args.as_slice() else { return None };
    let (from, to, zone) = call.func.inner().downcast_ref::<Kernel>()?.recast()?;
    if let (SqlType::Timestamp(..=6), SqlType::TimestampLtz(6)) = (from, to) {
        if exact && zone != TimeZone::UTC {
            return None;
        }
        return local(&column.name, from, value, comparison, zone);
    }
    // Where all values of the one are of the other, too: what would fail is not left out.
    let widens = match (from, to) {
        (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) => s1 <= s2 && p1 - s1 <= p2 - s2,
        (from, to) => from.is_integer() && to.is_integer() && from.digits() <= to.digits(),
    };
    // Exactly the same number, or none.
    let narrow = value.cast_to(&from.arrow()).ok()?;
    let same = widens && narrow.cast_to(&to.arrow()).is_ok_and(|wide| wide == *value);
    same.then(|| of_constant(&column.name, &narrow, comparison)).flatten()
}

/// Times without a zone, against an instant. Where clocks are turned back or forth, a day on both sides is let pass.
fn local(
    column: &str,
    from: &SqlType,
    value: &ScalarValue,
    comparison: Comparison,
    zone: TimeZone,
) -> Option<Condition> {
    const SECOND: i64 = 1_000_000;
    const DAY: i64 = 86_400 * SECOND;
    let ScalarValue::TimestampMicrosecond(Some(instant), _) = value else { return None };
    let shown = zone.offset_seconds(instant.div_euclid(SECOND)).checked_mul(SECOND)?.checked_add(*instant)?;
    let (shown, comparison) = match comparison {
        comparison if zone == TimeZone::UTC => (shown, comparison),
        Comparison::Equal => return None,
        Comparison::Less | Comparison::LessOrEqual => (shown.checked_add(DAY)?, Comparison::LessOrEqual),
        Comparison::Greater | Comparison::GreaterOrEqual => (shown.checked_sub(DAY)?, Comparison::GreaterOrEqual),
    };
    let exact = ScalarValue::TimestampMicrosecond(Some(shown), None);
    let value = exact.cast_to(&from.arrow()).ok()?;
    let same = value.cast_to(&exact.data_type()).is_ok_and(|again| again == exact);
    same.then(|| of_constant(column, &value, comparison)).flatten()
}
