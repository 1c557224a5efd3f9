//! What all branches of an OR ask for, in front of it: `(a AND b) OR (a AND c)` is `a AND (b OR c)`, also where they are
//! NULL. A join whose keys stand in every branch is a join by these keys then, and a table is filtered before it.

use datafusion::logical_expr::utils::{split_binary_owned, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Operator, and, or};

use crate::typed::fallible;

/// The conditions that together are the given one.
pub(super) fn conditions(condition: Expr) -> Vec<Expr> {
    let branches: Vec<Vec<Expr>> =
        split_binary_owned(condition.clone(), Operator::Or).into_iter().map(split_conjunction_owned).collect();
    let Some((first, rest)) = branches.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return vec![condition];
    };
    let in_all = |wanted: &&Expr| !fallible(wanted) && rest.iter().all(|branch| branch.contains(wanted));
    let mut common: Vec<Expr> = Vec::new();
    for found in first.iter().filter(in_all) {
        if !common.contains(found) {
            common.push(found.clone());
        }
    }
    if common.is_empty() {
        return vec![condition];
    }
    let left = branches.iter().map(|branch| branch.iter().filter(|part| !common.contains(part)).cloned().reduce(and));
    // A branch with nothing else is true wherever what is common is.
    let others = left.collect::<Option<Vec<_>>>().and_then(|branches| branches.into_iter().reduce(or));
    common.extend(others);
    common
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn what_all_branches_have_stands_in_front() {
        let (key, a, b) = (col("k").eq(col("l")), col("a").eq(lit(1)), col("b").eq(lit(2)));
        let all = |left: &Expr, right: &Expr| and(left.clone(), right.clone());
        let shown = |condition: Expr| conditions(condition).iter().map(Expr::to_string).collect::<Vec<_>>();
        assert_eq!(shown(or(all(&key, &a), all(&b, &key))), ["k = l", "a = Int32(1) OR b = Int32(2)"]);
        assert_eq!(shown(or(key.clone(), all(&key, &a))), ["k = l"]);
        assert_eq!(shown(or(a.clone(), all(&key, &b))).len(), 1);
        assert_eq!(shown(a), ["a = Int32(1)"]);
    }
}
