//! The operators: one verb of a plan each.
//!
//! An operator is synchronous, asks no clock, takes no locks, and gives the same output for the same input. What it
//! must remember it gives out at every epoch's end ([`Operator::seal`]) and takes back at a start ([`Operator::restore`]).
//!
//! * [`calc`]: filter and projection
//! * [`failure`]: what an expression failed on, in SQL's words
//! * [`watermark`]: the watermark before each row
//! * [`aggregate`]: `GROUP BY`, kept up to date by retraction
//! * [`window`]: `GROUP BY` per event-time window

use headwater_change::{ChangeBatch, Result};
use headwater_state::{Backend, Delta};

use crate::flow::{Flow, Marks};

pub(crate) mod aggregate;
pub(crate) mod calc;
pub(crate) mod failure;
pub(crate) mod keyed;
pub(crate) mod union;
pub(crate) mod watermark;
pub(crate) mod window;

/// What an operator gives in one call.
#[derive(Default)]
pub(crate) struct Output {
    flows: Vec<(ChangeBatch, Option<Marks>)>,
}

impl Output {
    /// Rows of the operator's own making; they stand behind the watermark that it last passed on.
    pub(crate) fn push(&mut self, batch: ChangeBatch) {
        if !batch.is_empty() {
            self.flows.push((batch, None));
        }
    }

    /// Rows that passed through, with their watermarks.
    pub(crate) fn pass(&mut self, flow: Flow) {
        if !flow.batch.is_empty() {
            self.flows.push((flow.batch, Some(flow.marks)));
        }
    }

    /// What was given, where rows without watermarks stand behind `watermark`.
    pub(crate) fn take(self, watermark: i64) -> impl Iterator<Item = Flow> {
        self.flows
            .into_iter()
            .map(move |(batch, marks)| Flow { batch, marks: marks.unwrap_or_else(|| Marks::constant(watermark)) })
    }
}

/// One node of a running plan.
pub(crate) trait Operator: Send {
    /// Takes rows of one input.
    fn rows(&mut self, port: usize, flow: Flow, out: &mut Output) -> Result<()>;

    /// Takes note that the watermark of all inputs together has risen.
    fn time(&mut self, _watermark: i64, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// The watermark that this operator passes on when its inputs stand at `input`.
    fn watermark(&self, input: i64) -> i64 {
        input
    }

    /// Takes back the watermark that it had passed on when the state was stored.
    fn set_watermark(&mut self, _watermark: i64) {}

    /// Gives what changed since the last seal.
    fn seal(&mut self, _deltas: &mut Vec<Delta>) -> Result<()> {
        Ok(())
    }

    /// Takes back what was stored.
    fn restore(&mut self, _backend: &mut dyn Backend) -> Result<()> {
        Ok(())
    }
}
