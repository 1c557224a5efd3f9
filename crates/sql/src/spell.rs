//! Expressions as a user would write them: for EXPLAIN, and for messages about rows that cannot be computed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::IntervalMonthDayNano;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::functions::arithmetic::ArithmeticChain;
use crate::functions::cast::CastToText;
use crate::guard::Guard;

/// An expression as SQL.
pub fn spell(expression: &dyn PhysicalExpr) -> String {
    let of = |inner: &Arc<dyn PhysicalExpr>| spell(inner.as_ref());
    if let Some(column) = expression.downcast_ref::<Column>() {
        return column.name().trim_start_matches('$').to_owned();
    }
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        return spell_value(literal.value());
    }
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        let side = |inner: &Arc<dyn PhysicalExpr>| match inner.downcast_ref::<BinaryExpr>() {
            Some(_) => format!("({})", of(inner)),
            None => of(inner),
        };
        return format!("{} {} {}", side(binary.left()), binary.op(), side(binary.right()));
    }
    if let Some(function) = expression.downcast_ref::<ScalarFunctionExpr>() {
        return spell_call(function, &function.args().iter().map(of).collect::<Vec<_>>());
    }
    if let Some((left, word, right)) = expression.downcast_ref::<Guard>().map(Guard::sides) {
        return format!("{} {word} {}", of(left), of(right));
    }
    rest(expression, &of)
}

fn rest(expression: &dyn PhysicalExpr, of: &dyn Fn(&Arc<dyn PhysicalExpr>) -> String) -> String {
    if let Some(not) = expression.downcast_ref::<NotExpr>() {
        return format!("NOT ({})", of(not.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNullExpr>() {
        return format!("{} IS NULL", of(null.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNotNullExpr>() {
        return format!("{} IS NOT NULL", of(null.arg()));
    }
    if let Some(list) = expression.downcast_ref::<InListExpr>() {
        let not = if list.negated() { "NOT " } else { "" };
        let items: Vec<String> = list.list().iter().map(of).collect();
        return format!("{} {not}IN ({})", of(list.expr()), items.join(", "));
    }
    if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        let mut text = "CASE".to_owned();
        text.extend(case.expr().map(|expression| format!(" {}", of(expression))));
        for (when, then) in case.when_then_expr() {
            text.push_str(&format!(" WHEN {} THEN {}", of(when), of(then)));
        }
        text.extend(case.else_expr().map(|otherwise| format!(" ELSE {}", of(otherwise))));
        return text + " END";
    }
    let inner: Vec<String> = expression.children().into_iter().map(of).collect();
    format!("an expression over {}", inner.join(", "))
}

fn spell_value(value: &ScalarValue) -> String {
    if let ScalarValue::IntervalMonthDayNano(Some(interval)) = value {
        return spell_interval(*interval);
    }
    let prefix = match value.data_type() {
        _ if value.is_null() => return "NULL".to_owned(),
        DataType::Utf8 => "",
        DataType::Date32 => "DATE ",
        DataType::Time32(_) | DataType::Time64(_) => "TIME ",
        DataType::Timestamp(..) => "TIMESTAMP ",
        _ => return value.to_string(),
    };
    let text = value.to_array().ok().and_then(|array| {
        let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::new()).ok()?;
        formatter.value(0).try_to_string().ok()
    });
    let text = text.unwrap_or_else(|| value.to_string());
    let text = if prefix == "TIMESTAMP " { text.replace('T', " ") } else { text };
    format!("{prefix}'{}'", text.replace('\'', "''"))
}

fn spell_interval(interval: IntervalMonthDayNano) -> String {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    if months != 0 {
        return format!("INTERVAL '{months}' MONTH");
    }
    let millis = i64::from(days) * 86_400_000 + nanoseconds / 1_000_000;
    let units = [(86_400_000, "DAY"), (3_600_000, "HOUR"), (60_000, "MINUTE"), (1_000, "SECOND")];
    match units.into_iter().find(|(size, _)| millis % size == 0) {
        Some((size, unit)) => format!("INTERVAL '{}' {unit}", millis / size),
        None => format!("INTERVAL '{}.{:03}' SECOND", millis / 1_000, (millis % 1_000).abs()),
    }
}

/// A call over arguments that are spelled already: `CAST(x AS INT)`, `(a + b)`, `UPPER(s)`.
fn spell_call(function: &ScalarFunctionExpr, args: &[String]) -> String {
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
