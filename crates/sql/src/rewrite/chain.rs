//! Chains of operators as one call: `a OR b OR c` is a list, not a tower. Queries made by programs have thousands of
//! terms, and a tower of them would need a stack as high.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use crate::dialect::{plain_call, text};
use crate::functions::forms::CHAIN;

/// Operators that stand on one level and are evaluated from the left.
fn level(op: &BinaryOperator) -> Option<u8> {
    Some(match op {
        BinaryOperator::And => 0,
        BinaryOperator::Or => 1,
        BinaryOperator::StringConcat => 2,
        BinaryOperator::Plus | BinaryOperator::Minus => 3,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => 4,
        _ => return None,
    })
}

/// Puts a call in the place of an expression that is a chain of two operators or more.
pub(crate) fn flatten(expr: &mut Expr) {
    let Expr::BinaryOp { op, left, .. } = expr else { return };
    let Some(wanted) = level(op) else { return };
    let chained = matches!(left.as_ref(), Expr::BinaryOp { op, .. } if level(op) == Some(wanted));
    if !chained {
        return;
    }
    let mut rest = std::mem::replace(expr, Expr::Value(Value::Null.into()));
    // From the right end to the left, without recursion.
    let (mut operators, mut operands) = (String::new(), Vec::new());
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if level(&op) == Some(wanted) => {
                operators.push_str(&op.to_string());
                operands.push(*right);
                rest = *left;
            }
            first => {
                operands.push(first);
                break;
            }
        }
    }
    operands.reverse();
    *expr = match wanted {
        0 => plain_call("$and", operands),
        1 => plain_call("$or", operands),
        2 => plain_call("$||", operands),
        _ => {
            let operators: String = operators.chars().rev().collect();
            operands.insert(0, text(&operators));
            plain_call(CHAIN, operands)
        }
    };
}
