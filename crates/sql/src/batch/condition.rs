//! Conditions that a source may apply by itself: a column against a constant of its type, where every system compares alike.
//! Text is not among them (collations), nor are floats.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use headwater_change::{Comparison, Condition};

/// A filter as a condition for a source, where it is one.
pub fn condition(filter: &Expr) -> Option<Condition> {
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
        _ => return None,
    };
    let value = value.to_array().ok()?;
    let comparable = value.data_type().is_signed_integer()
        || matches!(value.data_type(), DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..));
    (comparable && !value.is_null(0)).then(|| Condition {
        column: column.name.clone(),
        comparison,
        value: Arc::clone(&value),
    })
}
