//! `JOIN … USING (x)` and `NATURAL JOIN` as `JOIN … ON`. A shared column comes once, in front, and is the left side's in
//! an inner or left join, the right side's in a right join, and whichever is there in a full join. The engine below
//! takes the left side's always, which is NULL for the rows of the right side only.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart, OrderBy, Query, Select,
    SelectItem, Value, VisitMut, VisitorMut,
};
use headwater_change::{Error, Result};

use crate::dialect::plain_call;

/// A column that `*` stands for: its name and the expression it is.
#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) expr: Expr,
    /// Whether it is the one column of both sides of a join.
    pub(super) shared: bool,
}

/// The columns of a table or join in the order of `*`; `None` where they are not known here.
pub(super) type Known = Option<Vec<Column>>;

/// Whose rows a join returns, and whose columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Matches,
    Left,
    Right,
    Both,
    OnlyLeft,
    OnlyRight,
}

/// The columns of a join; its `USING` or `NATURAL` becomes an `ON`.
pub(super) fn joined(left: Known, join: &mut Join, right: Known) -> Result<Known> {
    let kept = kept(&join.join_operator);
    let Some(constraint @ (JoinConstraint::Using(_) | JoinConstraint::Natural)) = constraint(&mut join.join_operator)
    else {
        return Ok(match kept {
            Kept::OnlyLeft => left,
            Kept::OnlyRight => right,
            _ => left.zip(right).map(|(left, right)| [left, right].concat()),
        });
    };
    let (Some(left), Some(right)) = (left, right) else {
        return Err(refused("USING or NATURAL over a table whose columns are not known before planning"));
    };
    let wanted = wanted(constraint, &left, &right)?;
    let mut shared = Vec::with_capacity(wanted.len());
    let mut conditions = Vec::with_capacity(wanted.len());
    for name in &wanted {
        let (ours, theirs) = (one(&left, name, "left")?, one(&right, name, "right")?);
        conditions.push(binary(ours.clone(), BinaryOperator::Eq, theirs.clone()));
        let expr = match kept {
            Kept::Matches | Kept::Left | Kept::OnlyLeft => ours,
            Kept::Right | Kept::OnlyRight => theirs,
            Kept::Both => plain_call("COALESCE", vec![ours, theirs]),
        };
        shared.push(Column { name: name.clone(), expr, shared: true });
    }
    let condition = conditions.into_iter().reduce(|before, next| binary(before, BinaryOperator::And, next));
    *constraint = JoinConstraint::On(condition.unwrap_or_else(|| Expr::value(Value::Boolean(true))));
    let sides = match kept {
        Kept::OnlyLeft => left,
        Kept::OnlyRight => right,
        _ => [left, right].concat(),
    };
    let rest = sides.into_iter().filter(|column| !wanted.contains(&column.name));
    Ok(Some(shared.into_iter().chain(rest).collect()))
}

/// The names that both sides share.
fn wanted(constraint: &JoinConstraint, left: &[Column], right: &[Column]) -> Result<Vec<String>> {
    let JoinConstraint::Using(names) = constraint else {
        let common = left.iter().filter(|column| right.iter().any(|other| other.name == column.name));
        return Ok(common.map(|column| column.name.clone()).collect());
    };
    let plain = |part: &[ObjectNamePart]| match part {
        [part] => part.as_ident().map(|ident| ident.value.clone()),
        _ => None,
    };
    names.iter().map(|name| plain(&name.0).ok_or_else(|| refused("a qualified name in USING"))).collect()
}

fn one(columns: &[Column], name: &str, side: &str) -> Result<Expr> {
    let mut found = columns.iter().filter(|column| column.name == name);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column.expr.clone()),
        (None, _) => Err(Error::usage(
            "sql.column",
            format!("USING names the column '{name}', which the {side} side of the join does not have"),
        )
        .hint(format!("the {side} side has {}", list(columns)))),
        (Some(_), Some(_)) => Err(Error::usage(
            "sql.ambiguous",
            format!("USING names the column '{name}', which the {side} side of the join has twice"),
        )
        .hint("write the condition with ON and qualified names")),
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn refused(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet")).hint("write the condition with ON")
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn kept(operator: &JoinOperator) -> Kept {
    match operator {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Kept::Left,
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Kept::Right,
        JoinOperator::FullOuter(_) => Kept::Both,
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) => {
            Kept::OnlyLeft
        }
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => Kept::OnlyRight,
        _ => Kept::Matches,
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint) => Some(constraint),
        _ => None,
    }
}

/// Whether a join inside parentheses shares columns by name.
pub(super) fn shares(join: &mut Join) -> Result<()> {
    match constraint(&mut join.join_operator) {
        Some(JoinConstraint::Using(_) | JoinConstraint::Natural) => Err(refused("USING or NATURAL inside parentheses")),
        _ => Ok(()),
    }
}

/// Puts the one column of both sides where a query names it without a table.
pub(super) fn resolve(select: &mut Select, columns: &[Column]) {
    if !columns.iter().any(|column| column.shared) {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(ident)) = item
            && columns.iter().any(|column| column.shared && column.name == ident.value)
        {
            let alias = Ident::with_quote('`', ident.value.as_str());
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(ident.clone()), alias };
        }
    }
    let _ = select.visit(&mut Shared { columns, depth: 0 });
}

/// The same in the order of a query.
pub(super) fn resolve_order(order: &mut OrderBy, columns: &[Column]) {
    let _ = order.visit(&mut Shared { columns, depth: 0 });
}

/// Replaces names in a query's own expressions, not in the queries inside it.
struct Shared<'a> {
    columns: &'a [Column],
    depth: usize,
}

impl VisitorMut for Shared<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && self.depth == 0
            && let Some(column) = self.columns.iter().find(|column| column.shared && column.name == ident.value)
        {
            *expr = column.expr.clone();
        }
        ControlFlow::Continue(())
    }
}
