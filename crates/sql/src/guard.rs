//! AND and OR that do not evaluate what their left side decides. `a <> 0 AND 10 / a > 1` must hold for every row however
//! rows were cut into batches, so whether the right side is computed for a row depends on that row alone.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and_kleene, filter_record_batch, or_kleene};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// Puts guards in the place of every AND and OR whose right side can fail.
pub(crate) fn guarded(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let transformed = expr.transform_up(|expr| {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(expr)) };
        let is_and = match binary.op() {
            Operator::And => true,
            Operator::Or => false,
            _ => return Ok(Transformed::no(expr)),
        };
        if !fallible(binary.right())? {
            return Ok(Transformed::no(expr));
        }
        let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
        Ok(Transformed::yes(Arc::new(Guard { is_and, left, right }) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(transformed.data)
}

fn fallible(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    expr.exists(|expr| Ok(expr.downcast_ref::<ScalarFunctionExpr>().is_some()))
}

/// The left side, AND or OR, and the right side.
pub(crate) type Sides<'a> = (&'a Arc<dyn PhysicalExpr>, &'static str, &'a Arc<dyn PhysicalExpr>);

/// `left AND right` or `left OR right`; `right` is evaluated where `left` leaves the answer open.
#[derive(Debug, Eq)]
pub(crate) struct Guard {
    is_and: bool,
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
}

impl Guard {
    /// Both sides, and what stands between them.
    pub(crate) fn sides(&self) -> Sides<'_> {
        (&self.left, if self.is_and { "AND" } else { "OR" }, &self.right)
    }
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.is_and == other.is_and && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Hash for Guard {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.is_and.hash(state);
        self.left.hash(state);
        self.right.hash(state);
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, if self.is_and { "AND" } else { "OR" }, self.right)
    }
}

impl PhysicalExpr for Guard {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        Ok(self.left.nullable(input)? || self.right.nullable(input)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.left.evaluate(batch)?.into_array(batch.num_rows())?;
        let Some(left) = left.as_boolean_opt() else { return exec_err!("a condition of type {}", left.data_type()) };
        let decided = !self.is_and;
        let open: BooleanArray = left.iter().map(|value| Some(value != Some(decided))).collect();
        let combine = if self.is_and { and_kleene } else { or_kleene };
        let right = match open.true_count() {
            0 => return Ok(ColumnarValue::Array(Arc::new(left.clone()))),
            all if all == left.len() => self.right.evaluate(batch)?.into_array(batch.num_rows())?,
            some => {
                let rows = filter_record_batch(batch, &open)?;
                let found = self.right.evaluate(&rows)?.into_array(some)?;
                let Some(found) = found.as_boolean_opt() else {
                    return exec_err!("a condition of type {}", found.data_type());
                };
                // Where the answer is decided, any value will do.
                let mut found = found.iter();
                let spread = open.iter().map(|open| if open == Some(true) { found.next().flatten() } else { None });
                Arc::new(spread.collect::<BooleanArray>())
            }
        };
        let Some(right) = right.as_boolean_opt() else { return exec_err!("a condition of type {}", right.data_type()) };
        Ok(ColumnarValue::Array(Arc::new(combine(left, right)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([left, right]) = <[Arc<dyn PhysicalExpr>; 2]>::try_from(children) else {
            return exec_err!("AND and OR have two sides");
        };
        Ok(Arc::new(Self { is_and: self.is_and, left, right }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
