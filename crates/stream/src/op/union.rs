//! All rows of all inputs. The graph has joined their watermarks already: the least of them holds.

use headwater_change::Result;

use super::{Operator, Output};
use crate::flow::Flow;

/// `UNION ALL`.
pub(crate) struct UnionOperator;

impl Operator for UnionOperator {
    fn rows(&mut self, _port: usize, flow: Flow, out: &mut Output) -> Result<()> {
        out.pass(flow);
        Ok(())
    }
}
