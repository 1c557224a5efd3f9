//! Bound functions as a user would write them: for messages about rows that cannot be computed.

use std::sync::Arc;

use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::functions::arithmetic::ArithmeticChain;
use crate::functions::cast::CastToText;
use crate::guard::Guard;

/// A call over arguments that are spelled already: `CAST(x AS INT)`, `(a + b)`, `UPPER(s)`.
pub fn spell_call(function: &ScalarFunctionExpr, args: &[String]) -> String {
    if let Some(chain) = function.fun().inner().downcast_ref::<ArithmeticChain>() {
        return chain.spell(args);
    }
    if let Some(cast) = function.fun().inner().downcast_ref::<CastToText>() {
        return format!("CAST({} AS {})", args.join(", "), cast.target());
    }
    let name = function.name().trim_start_matches('$');
    if let Some((cast, target)) = name.split_once(" AS ") {
        return format!("{cast}({} AS {target})", args.join(", "));
    }
    match args {
        [only] if name == "-" => format!("-{only}"),
        _ if name.chars().all(|letter| letter.is_ascii_punctuation()) || name.starts_with("IS ") => {
            args.join(&format!(" {name} "))
        }
        _ => format!("{}({})", name.to_uppercase(), args.join(", ")),
    }
}

/// The left side, AND or OR, and the right side.
pub(crate) type Sides<'a> = (&'a Arc<dyn PhysicalExpr>, &'static str, &'a Arc<dyn PhysicalExpr>);

/// The sides of an AND or OR that guards its right one, with its name between them.
pub fn guard_sides(expr: &dyn PhysicalExpr) -> Option<Sides<'_>> {
    expr.downcast_ref::<Guard>().map(Guard::sides)
}
