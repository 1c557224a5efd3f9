//! Forms of the grammar that the dialect and the rewrite hand on as calls: CAST, literals, chains of operators, cells of
//! VALUES, bounds of windows.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use headwater_change::{Error, Result};

use super::cast::cast;
use super::window::bind_bound;
use super::{Bind, concat};
use crate::dialect::{BETWEEN_SYMMETRIC, CAST, INTERVAL, LITERAL, TRY_CAST};
use crate::typed::{Context, Typed, interval, typed_text};
use crate::types::read_type;

/// `$chain('+-', a, b, c)`.
pub(crate) const CHAIN: &str = "$chain";
/// `$cell(value)`: a value of VALUES, so that the planner makes no type out of the column.
pub(crate) const CELL: &str = "$cell";

pub(super) const ALL: &[(&str, Bind)] = &[
    (CAST, |context, args| cast_form(context, args, false)),
    (TRY_CAST, |context, args| cast_form(context, args, true)),
    (LITERAL, |_, args| match texts(&args)?.as_slice() {
        [kind, text] => typed_text(kind, text),
        _ => Err(malformed()),
    }),
    (INTERVAL, |_, args| interval(&texts(&args)?)),
    (BETWEEN_SYMMETRIC, |context, args| {
        let [value, a, b] = <[Typed; 3]>::try_from(args).map_err(|_| malformed())?;
        context.between_symmetric(value, a, b)
    }),
    (CHAIN, |context, mut args| {
        if args.is_empty() {
            return Err(malformed());
        }
        let operators = args.remove(0);
        let operators = constant_text(&operators)?.to_owned();
        context.chain(&operators, args)
    }),
    (CELL, |_, mut args| args.pop().ok_or_else(malformed)),
    ("$||", concat::operator),
    (super::window::TUMBLE_START, |context, args| bind_bound(context, super::window::Bound::Start, args)),
    (super::window::TUMBLE_END, |context, args| bind_bound(context, super::window::Bound::End, args)),
    (super::window::TUMBLE_ROWTIME, |context, args| bind_bound(context, super::window::Bound::Rowtime, args)),
];

fn cast_form(context: Context<'_>, args: Vec<Typed>, lenient: bool) -> Result<Typed> {
    let [value, target] = <[Typed; 2]>::try_from(args).map_err(|_| malformed())?;
    let target = read_type(constant_text(&target)?).map_err(|_| malformed())?;
    cast(context, value, &target, lenient)
}

fn texts(args: &[Typed]) -> Result<Vec<&str>> {
    args.iter().map(constant_text).collect()
}

/// The text of a constant.
pub(crate) fn constant_text(arg: &Typed) -> Result<&str> {
    match &arg.expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::bug("sql.form", "a form of the grammar was handed on in another shape")
}
