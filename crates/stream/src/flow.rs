//! [`Flow`]: what moves between operators, a batch and the watermarks in force before each of its rows.
//!
//! Watermarks travel per row, because whether a row is late must not depend on where a batch was cut (law 3). They rise
//! rarely compared to rows, so they are kept as steps.

use arrow::buffer::BooleanBuffer;
use headwater_change::ChangeBatch;

/// The watermark before any row: nothing is late.
pub(crate) const NO_WATERMARK: i64 = i64::MIN;

/// The watermark behind the last row of a bounded input: nothing comes any more.
pub(crate) const END_OF_TIME: i64 = i64::MAX;

/// A batch on its way through the graph.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// The changes.
    pub(crate) batch: ChangeBatch,
    /// The watermark before each row.
    pub(crate) marks: Marks,
}

/// The watermark in force before each row of a batch, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    first: i64,
    steps: Vec<(u32, i64)>,
}

impl Marks {
    /// One watermark for all rows.
    pub(crate) fn constant(watermark: i64) -> Self {
        Self { first: watermark, steps: Vec::new() }
    }

    /// `watermark` for rows from `row` on. Rows are given in rising order.
    pub(crate) fn step(&mut self, row: u32, watermark: i64) {
        if row == 0 {
            self.first = watermark;
        } else {
            self.steps.push((row, watermark));
        }
    }

    /// Reads the marks row by row.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { current: self.first, rest: &self.steps }
    }

    /// The marks of the rows that `mask` keeps.
    pub(crate) fn filter(&self, mask: &BooleanBuffer) -> Self {
        if self.steps.is_empty() {
            return self.clone();
        }
        let mut kept = Self::constant(self.first);
        let mut cursor = self.cursor();
        let mut last = self.first;
        for (new, old) in (0u32..).zip(mask.set_indices()) {
            let watermark = cursor.before(u32::try_from(old).unwrap_or(u32::MAX));
            if watermark != last || new == 0 {
                kept.step(new, watermark);
                last = watermark;
            }
        }
        kept
    }

    /// The marks after a change of each.
    pub(crate) fn map(&self, change: impl Fn(i64) -> i64) -> Self {
        Self {
            first: change(self.first),
            steps: self.steps.iter().map(|&(row, watermark)| (row, change(watermark))).collect(),
        }
    }
}

/// Reads [`Marks`] in the order of the rows.
pub(crate) struct Cursor<'a> {
    current: i64,
    rest: &'a [(u32, i64)],
}

impl Cursor<'_> {
    /// The watermark before `row`; rows must be asked in rising order.
    #[inline]
    pub(crate) fn before(&mut self, row: u32) -> i64 {
        while let Some((&(start, watermark), rest)) = self.rest.split_first()
            && start <= row
        {
            self.current = watermark;
            self.rest = rest;
        }
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(marks: &Marks, rows: u32) -> Vec<i64> {
        let mut cursor = marks.cursor();
        (0..rows).map(|row| cursor.before(row)).collect()
    }

    #[test]
    fn a_filter_takes_the_marks_of_the_rows_that_stay() {
        let mut marks = Marks::constant(NO_WATERMARK);
        for (row, watermark) in [(1, 10), (2, 20), (5, 50)] {
            marks.step(row, watermark);
        }
        assert_eq!(spelled(&marks, 6), [NO_WATERMARK, 10, 20, 20, 20, 50]);
        let mask = BooleanBuffer::from(vec![false, false, true, false, true, true]);
        assert_eq!(spelled(&marks.filter(&mask), 3), [20, 20, 50]);
    }

    #[test]
    fn a_step_at_the_first_row_replaces_the_start() {
        let mut marks = Marks::constant(1);
        marks.step(0, 2);
        assert_eq!(marks, Marks::constant(2));
    }
}
