//! Text functions.

use headwater_change::Result;

use super::kernel::Kernel;
use super::{Bind, concat};
use crate::typed::{Context, Typed, convert};
use crate::types::STRING;

pub(super) const ALL: &[(&str, Bind)] = &[("concat", concatenate)];

/// `CONCAT(…)`: NULL if any argument is NULL.
fn concatenate(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() || !args.iter().all(|arg| arg.sql_type.is_text()) {
        return Err(super::refused("CONCAT", &args));
    }
    let nullable = args.iter().any(|arg| arg.nullable);
    let args = args.into_iter().map(|arg| convert(context, arg, &STRING)).collect::<Result<Vec<_>>>()?;
    let kernel = Kernel::new("CONCAT", STRING, nullable, context.zone, concat::run_text);
    Ok(Typed::new(kernel.call(args.into_iter().map(|arg| (arg.expr, arg.sql_type))), STRING, nullable))
}
