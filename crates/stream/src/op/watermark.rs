//! Gives every row the watermark in force before it: the greatest value of the watermark expression over the rows
//! before it. It is the expression itself, without a further millisecond (Flink's rule); NULL leaves it where it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::physical_expr::PhysicalExpr;
use headwater_change::{Error, Result};
use headwater_sql::Watermark;

use super::calc::evaluate;
use super::{Operator, Output};
use crate::flow::{END_OF_TIME, Flow, Marks, NO_WATERMARK};

/// Runs a [`Watermark`].
pub(crate) struct WatermarkOperator {
    delayed: Arc<dyn PhysicalExpr>,
    greatest: i64,
}

impl WatermarkOperator {
    /// An operator that has seen no row.
    pub(crate) fn new(watermark: &Watermark) -> Self {
        Self { delayed: Arc::clone(&watermark.delayed), greatest: NO_WATERMARK }
    }
}

impl Operator for WatermarkOperator {
    fn rows(&mut self, _port: usize, flow: Flow, out: &mut Output) -> Result<()> {
        let delayed = evaluate(&self.delayed, flow.batch.rows())?;
        let values = millis(&delayed)?;
        let mut marks = Marks::constant(self.greatest);
        let mut greatest = self.greatest;
        let nulls = delayed.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, &value) in (1u32..).zip(values.iter()) {
            if value > greatest && nulls.is_none_or(|nulls| nulls.is_valid(row as usize - 1)) {
                greatest = value;
                marks.step(row, value);
            }
        }
        self.greatest = greatest;
        out.pass(Flow { batch: flow.batch, marks });
        Ok(())
    }

    fn watermark(&self, input: i64) -> i64 {
        if input == END_OF_TIME { END_OF_TIME } else { self.greatest }
    }

    fn set_watermark(&mut self, watermark: i64) {
        self.greatest = watermark;
    }
}

/// The values of a timestamp column in milliseconds, rounded down; a zone's values are UTC.
pub(crate) fn millis(column: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    let scaled =
        |values: &ScalarBuffer<i64>, change: fn(i64) -> i64| values.iter().map(|&value| change(value)).collect();
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(column.as_primitive::<TimestampSecondType>().values(), |value| value.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scaled(column.as_primitive::<TimestampMicrosecondType>().values(), |value| value.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            scaled(column.as_primitive::<TimestampNanosecondType>().values(), |value| value.div_euclid(1_000_000))
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().values().clone(),
        other => return Err(Error::bug("stream.time_type", format!("a time column of type {other}"))),
    })
}
