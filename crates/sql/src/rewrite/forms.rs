//! Special forms of SQL as plain calls.
//!
//! | form | call |
//! |---|---|
//! | `1.5`, `1e3`, `x'0a'` | `$literal('DECIMAL', '1.5')`, `$cast('1e3', 'DOUBLE')`, `$literal('BINARY', '0a')` |
//! | `SUBSTRING(s FROM a FOR b)` | `SUBSTRING(s, a, b)` |
//! | `POSITION(a IN b)`, `OVERLAY(a PLACING b FROM c FOR d)` | `POSITION(a, b)`, `OVERLAY(a, b, c, d)` |
//! | `EXTRACT(unit FROM t)`, `FLOOR(t TO unit)`, `CEIL(t TO unit)` | `$extract('UNIT', t)`, `$floor('UNIT', t)`, `$ceil('UNIT', t)` |
//! | `FLOOR(x)`, `CEIL(x)` | `FLOOR(x)`, `CEIL(x)` |
//! | `a [NOT] LIKE b ESCAPE c`, `a SIMILAR TO b` | `[NOT] $like(a, b, c)`, `$similar(a, b)` |

use datafusion::sql::sqlparser::ast::{CeilFloorKind, DateTimeField, Expr, UnaryOperator, Value, ValueWithSpan};
use headwater_change::{Error, Result};

use crate::dialect::{CAST, LITERAL, plain_call, text};

/// The call that stands for a form, or `None` for what is plain already.
pub(super) fn plain(expr: &Expr) -> Result<Option<Expr>> {
    let boxed = |inner: &Expr| inner.clone();
    Ok(Some(match expr {
        Expr::Value(value) => return literal(&value.value),
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("UNKNOWN") => {
            plain_call(CAST, vec![Expr::Value(Value::Null.into()), text("BOOLEAN")])
        }
        Expr::Prefixed { prefix, value } if prefix.value.eq_ignore_ascii_case("_UTF8") => boxed(value),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => boxed(expr),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            // Without a place to begin the function says what it takes.
            let mut args = vec![boxed(expr)];
            if let Some(from) = substring_from.as_deref() {
                args.push(from.clone());
                args.extend(substring_for.as_deref().cloned());
            }
            plain_call("substring", args)
        }
        Expr::Position { expr, r#in } => plain_call("position", vec![boxed(expr), boxed(r#in)]),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![boxed(expr), boxed(overlay_what), boxed(overlay_from)];
            args.extend(overlay_for.as_deref().cloned());
            plain_call("overlay", args)
        }
        Expr::Extract { field, expr, .. } => plain_call("$extract", vec![text(&unit(field)), boxed(expr)]),
        Expr::Ceil { expr, field } => rounding("ceil", expr, field)?,
        Expr::Floor { expr, field } => rounding("floor", expr, field)?,
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            matching("$like", *negated, expr, pattern, escape_char.as_ref())
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            matching("$similar", *negated, expr, pattern, escape_char.as_ref())
        }
        _ => return Ok(None),
    }))
}

/// `TIMESTAMPDIFF(unit, a, b)`: the unit, which the parser reads as a column, as text.
pub(super) fn with_unit(name: &str, unit: &Expr, rest: &[Expr]) -> Option<Expr> {
    let Expr::Identifier(unit) = unit else { return None };
    let mut args = vec![text(&unit.value.to_ascii_uppercase())];
    args.extend(rest.iter().cloned());
    Some(plain_call(&format!("${}", name.to_ascii_lowercase()), args))
}

fn literal(value: &Value) -> Result<Option<Expr>> {
    Ok(match value {
        Value::Number(digits, _) if digits.contains(['e', 'E']) => {
            let in_range = digits.parse::<f64>().is_ok_and(f64::is_finite);
            if !in_range {
                return Err(out_of_range(digits));
            }
            Some(plain_call(CAST, vec![text(digits), text("DOUBLE")]))
        }
        Value::Number(digits, _) => match digits.strip_suffix('.') {
            Some(whole) => Some(Expr::Value(Value::Number(whole.to_owned(), false).into())),
            None if digits.contains('.') => Some(plain_call(LITERAL, vec![text("DECIMAL"), text(digits)])),
            // The least BIGINT is written as the negative of a number that is none.
            None => match digits.parse::<u64>() {
                Ok(value) if value <= 1 << 63 => None,
                _ => return Err(out_of_range(digits)),
            },
        },
        Value::HexStringLiteral(digits) => Some(plain_call(LITERAL, vec![text("BINARY"), text(digits)])),
        Value::NationalStringLiteral(found) => Some(text(found)),
        _ => None,
    })
}

fn out_of_range(digits: &str) -> Error {
    Error::usage("sql.literal", format!("the number '{digits}' is out of range"))
        .hint("DECIMAL holds 38 digits: write CAST('…' AS DECIMAL(38, 0))")
}

fn rounding(function: &str, value: &Expr, field: &CeilFloorKind) -> Result<Expr> {
    Ok(match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => plain_call(function, vec![value.clone()]),
        CeilFloorKind::DateTimeField(field) => {
            plain_call(&format!("${function}"), vec![text(&unit(field)), value.clone()])
        }
        CeilFloorKind::Scale(_) => {
            let name = function.to_uppercase();
            return Err(Error::usage("sql.arguments", format!("{name} takes one number, or {name}(t TO unit)")));
        }
    })
}

fn unit(field: &DateTimeField) -> String {
    field.to_string().to_ascii_uppercase()
}

fn matching(function: &str, negated: bool, value: &Expr, pattern: &Expr, escape: Option<&ValueWithSpan>) -> Expr {
    let mut args = vec![value.clone(), pattern.clone()];
    args.extend(escape.map(|escape| Expr::Value(escape.clone())));
    let found = plain_call(function, args);
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found }
}
