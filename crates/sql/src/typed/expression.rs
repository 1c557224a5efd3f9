//! Expressions: the types of operands, branches and arguments, and what stands in their place.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{Between, Case, InList};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::create_physical_expr;
use headwater_change::{Error, Result, suggest};

use super::literal::{self, null};
use super::{Context, Typed};
use crate::dialect::Dialect;
use crate::functions::arithmetic::{self, Arithmetic};
use crate::functions::cast::cast;
use crate::functions::compare::compare;
use crate::functions::kernel::Kernel;
use crate::spark::{lambda, operators as spark};
use crate::types::{STRING, SqlType, common_type};

impl Context<'_> {
    /// An expression over the columns of `schema` with its type.
    pub(crate) fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Typed> {
        let typed = |inner: &Expr| self.expr(inner, schema);
        let truth = |inner: &Expr, build: fn(Box<Expr>) -> Expr| -> Result<Typed> {
            let inner = boolean(typed(inner)?)?;
            Ok(Typed::new(build(Box::new(inner.expr)), SqlType::Boolean, false))
        };
        Ok(match expr {
            Expr::Alias(alias) => typed(&alias.expr)?,
            Expr::Column(column) if let Some(sql_type) = lambda::variable_type(*self, column) => {
                Typed::new(expr.clone(), sql_type, true)
            }
            Expr::Column(column) => {
                let field = datafusion::common::ExprSchema::field_from_column(schema, column)
                    .map_err(|error| Error::bug("sql.column", format!("the column '{column}'")).caused_by(error))?;
                Typed::new(expr.clone(), SqlType::of(field), field.is_nullable())
            }
            Expr::Literal(value, metadata) => literal::literal(self.dialect, value, metadata.as_ref())?,
            Expr::ScalarFunction(call) if call.func.name() == lambda::VARIABLE => match call.args.first() {
                Some(Expr::Literal(ScalarValue::Utf8(Some(name)), _)) => lambda::variable(*self, name)?,
                _ => return Err(Error::bug("sql.lambda", "a variable without a name")),
            },
            Expr::ScalarFunction(call) if let Some(name) = call.func.name().strip_prefix(lambda::CALL) => {
                lambda::bind(*self, name, &call.args, schema)?
            }
            Expr::ScalarFunction(call) => {
                let args = call.args.iter().map(typed).collect::<Result<Vec<_>>>()?;
                self.call(call.func.name(), args)?
            }
            Expr::Not(inner) => {
                let inner = boolean(typed(inner)?)?;
                Typed::new(Expr::Not(Box::new(inner.expr)), SqlType::Boolean, inner.nullable)
            }
            Expr::IsNull(inner) => Typed::new(Expr::IsNull(Box::new(typed(inner)?.expr)), SqlType::Boolean, false),
            Expr::IsNotNull(inner) => {
                Typed::new(Expr::IsNotNull(Box::new(typed(inner)?.expr)), SqlType::Boolean, false)
            }
            Expr::IsTrue(inner) => truth(inner, Expr::IsTrue)?,
            Expr::IsFalse(inner) => truth(inner, Expr::IsFalse)?,
            Expr::IsUnknown(inner) => truth(inner, Expr::IsUnknown)?,
            Expr::IsNotTrue(inner) => truth(inner, Expr::IsNotTrue)?,
            Expr::IsNotFalse(inner) => truth(inner, Expr::IsNotFalse)?,
            Expr::IsNotUnknown(inner) => truth(inner, Expr::IsNotUnknown)?,
            Expr::Negative(inner) if self.dialect == Dialect::Spark => spark::negate(*self, typed(inner)?)?,
            Expr::Negative(inner) => self.folded(arithmetic::negate(*self, typed(inner)?)?),
            Expr::Between(between) => self.between(between, schema)?,
            Expr::InList(list) => self.in_list(list, schema)?,
            Expr::Case(case) => self.case(case, schema)?,
            Expr::ScalarSubquery(subquery) => self.scalar_subquery(subquery, schema)?,
            Expr::Exists(exists) => self.exists(exists, schema)?,
            Expr::InSubquery(wanted) => self.in_subquery(wanted, schema)?,
            Expr::OuterReferenceColumn(_, column) => self.outer_column(column)?,
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(*op, typed(left)?, typed(right)?)?,
            other => return Err(unsupported(&other.to_string())),
        })
    }

    /// Binds a function, an operator or a form that became a call.
    fn call(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        if let Some(operator) = operator(name) {
            return self.operands(operator, args);
        }
        let Some(bind) = self.functions.bind(name) else {
            let (names, _) = self.functions.names();
            let error = Error::usage("sql.unknown_function", format!("the function {} is not known", shown(name)));
            return Err(match suggest(name, names.iter().map(String::as_str)) {
                Some(meant) => error.hint(format!("did you mean {}?", meant.to_uppercase())),
                None => error.hint(format!("docs/reference/{} lists the functions", self.dialect.functions_page())),
            });
        };
        bind.apply(*self, args).map(|typed| self.folded(typed))
    }

    /// Operands of one operator, from the left.
    fn operands(&self, operator: Operator, args: Vec<Typed>) -> Result<Typed> {
        match operator {
            Operator::And | Operator::Or => {
                if self.dialect == Dialect::Flink && args.iter().any(|arg| arg.sql_type == SqlType::Null) {
                    return Err(Error::usage("sql.null", format!("NULL has no type beside {operator}"))
                        .hint("write CAST(NULL AS BOOLEAN)"));
                }
                let args = args.into_iter().map(boolean).collect::<Result<Vec<_>>>()?;
                let nullable = args.iter().any(|arg| arg.nullable);
                let exprs = args.into_iter().map(|arg| arg.expr).collect();
                Ok(Typed::new(balanced(operator, exprs)?, SqlType::Boolean, nullable))
            }
            _ => {
                let mut args = args.into_iter();
                let first = args.next().ok_or_else(|| Error::bug("sql.operands", "an operator without operands"))?;
                args.try_fold(first, |left, right| self.binary(operator, left, right))
            }
        }
    }

    pub(super) fn binary(&self, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
        let computes = matches!(
            operator,
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
        );
        if self.dialect == Dialect::Spark {
            return match computes {
                true => spark::arithmetic(*self, operator, left, right, spark::Manner::Session),
                false => spark::compare(*self, operator, left, right),
            };
        }
        match operator {
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                arithmetic::arithmetic(*self, operator, left, right).map(|typed| self.folded(typed))
            }
            _ => compare(*self, operator, left, right).map(|typed| self.folded(typed)),
        }
    }

    /// `a + b - c …` and `a * b / c …`: numbers in one pass, whatever their number.
    pub(crate) fn chain(&self, operators: &str, args: Vec<Typed>) -> Result<Typed> {
        let mut args = args.into_iter();
        let first = args.next().ok_or_else(|| Error::bug("sql.operands", "an operator without operands"))?;
        let mut chain = Arithmetic::begin(first);
        for (sign, right) in operators.chars().zip(args) {
            let operator = arithmetic_operator(sign).ok_or_else(|| Error::bug("sql.operator", sign.to_string()))?;
            chain = match chain.push(operator, right) {
                Ok(chain) => chain,
                Err(refused) => {
                    let (chain, right) = *refused;
                    Arithmetic::begin(arithmetic::arithmetic(*self, operator, chain.finish(*self), right)?)
                }
            };
        }
        Ok(self.folded(chain.finish(*self)))
    }

    fn between(&self, between: &Between, schema: &DFSchema) -> Result<Typed> {
        let value = self.expr(&between.expr, schema)?;
        let low = self.binary(Operator::GtEq, value.clone(), self.expr(&between.low, schema)?)?;
        let high = self.binary(Operator::LtEq, value, self.expr(&between.high, schema)?)?;
        let found = self.operands(Operator::And, vec![low, high])?;
        Ok(negated(found, between.negated))
    }

    /// `x BETWEEN SYMMETRIC a AND b`: in either order.
    pub(crate) fn between_symmetric(&self, value: Typed, a: Typed, b: Typed) -> Result<Typed> {
        let side = |low: Typed, high: Typed| {
            let low = self.binary(Operator::GtEq, value.clone(), low)?;
            let high = self.binary(Operator::LtEq, value.clone(), high)?;
            self.operands(Operator::And, vec![low, high])
        };
        let (up, down) = (side(a.clone(), b.clone())?, side(b, a)?);
        self.operands(Operator::Or, vec![up, down])
    }

    /// `x IN (…)`: one look-up where all are constants of one type, comparisons otherwise.
    fn in_list(&self, list: &InList, schema: &DFSchema) -> Result<Typed> {
        let value = self.expr(&list.expr, schema)?;
        let items = list.list.iter().map(|item| self.expr(item, schema)).collect::<Result<Vec<_>>>()?;
        if self.dialect == Dialect::Spark {
            return self.in_list_of_spark(value, items, list.negated);
        }
        // Text in the list of a number is read as one (Flink's rule for IN alone).
        let read = |item: Typed| match value.sql_type.is_numeric() && item.sql_type.is_text() {
            true => convert(*self, item, &value.sql_type),
            false => Ok(item),
        };
        let items = items.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        let types = items.iter().map(|item| &item.sql_type).chain([&value.sql_type]);
        let common = common_type(types).filter(|common| !common.is_approximate());
        if let Some(common) = common
            && items.iter().all(|item| matches!(item.expr, Expr::Literal(..)))
            && (common.is_text() || common.is_integer())
        {
            let nullable = value.nullable || items.iter().any(|item| item.nullable);
            let converted = items.into_iter().map(|item| convert(*self, item, &common).map(|item| item.expr));
            let list_exprs = converted.collect::<Result<Vec<_>>>()?;
            let value = convert(*self, value, &common)?;
            let found = Expr::InList(InList { expr: Box::new(value.expr), list: list_exprs, negated: list.negated });
            return Ok(Typed::new(found, SqlType::Boolean, nullable));
        }
        let equals = items.into_iter().map(|item| self.binary(Operator::Eq, value.clone(), item));
        let found = self.operands(Operator::Or, equals.collect::<Result<Vec<_>>>()?)?;
        Ok(negated(found, list.negated))
    }

    /// All as the type that they have in common.
    fn in_list_of_spark(&self, value: Typed, items: Vec<Typed>, negated: bool) -> Result<Typed> {
        let types = || items.iter().map(|item| &item.sql_type).chain([&value.sql_type]);
        let common = self.common(types()).ok_or_else(|| {
            let shown: Vec<String> = types().map(crate::spark::types::name).collect();
            Error::usage("sql.types", format!("the values of IN have no common type: {}", shown.join(", ")))
        })?;
        let nullable = value.nullable || items.iter().any(|item| item.nullable);
        let plain = common.is_text() || common.is_integer() || matches!(common, SqlType::Date | SqlType::Decimal(..));
        if !plain {
            let equals = items.into_iter().map(|item| self.binary(Operator::Eq, value.clone(), item));
            let found = self.operands(Operator::Or, equals.collect::<Result<Vec<_>>>()?)?;
            return Ok(self::negated(found, negated));
        }
        let items = items.into_iter().map(|item| convert(*self, item, &common).map(|item| self.fold(item).expr));
        let items = items.collect::<Result<Vec<_>>>()?;
        let value = convert(*self, value, &common)?;
        let found = Expr::InList(InList { expr: Box::new(value.expr), list: items, negated });
        Ok(Typed::new(found, SqlType::Boolean, nullable))
    }

    /// The type that values of all types are given as, by the dialect's rules.
    pub(crate) fn common<'a>(&self, types: impl IntoIterator<Item = &'a SqlType>) -> Option<SqlType> {
        match self.dialect {
            Dialect::Flink => common_type(types),
            Dialect::Spark => crate::spark::types::widest(types),
        }
    }

    /// A whole number as a constant.
    pub(crate) fn number(&self, number: i64) -> Typed {
        match i32::try_from(number) {
            Ok(number) => literal::constant(ScalarValue::Int32(Some(number)), SqlType::Int),
            Err(_) => literal::constant(ScalarValue::Int64(Some(number)), SqlType::BigInt),
        }
    }

    /// A text as a constant.
    pub(crate) fn string(&self, text: &str) -> Typed {
        literal::constant(ScalarValue::Utf8(Some(text.to_owned())), STRING)
    }

    fn case(&self, case: &Case, schema: &DFSchema) -> Result<Typed> {
        let operand = case.expr.as_ref().map(|operand| self.expr(operand, schema)).transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = self.expr(when, schema)?;
            let when = match &operand {
                Some(operand) => self.binary(Operator::Eq, operand.clone(), when)?,
                None if self.dialect == Dialect::Spark && when.sql_type == SqlType::Null => {
                    return Err(Error::usage("sql.null", "NULL is no condition").hint("write CAST(NULL AS BOOLEAN)"));
                }
                None => boolean(when)?,
            };
            branches.push((when, self.expr(then, schema)?));
        }
        let otherwise = case.else_expr.as_ref().map(|otherwise| self.expr(otherwise, schema)).transpose()?;
        self.branches(branches, otherwise)
    }

    /// CASE over conditions that are BOOLEAN; the type is what all results have in common.
    pub(crate) fn branches(&self, branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>) -> Result<Typed> {
        let results = || branches.iter().map(|(_, then)| then).chain(&otherwise);
        let common = self.common(results().map(|result| &result.sql_type));
        let common =
            common.filter(|common| self.dialect == Dialect::Spark || *common != SqlType::Null).ok_or_else(|| {
                let shown: Vec<String> = results().map(|result| result.sql_type.to_string()).collect();
                Error::usage("sql.types", format!("the results of CASE have no common type: {}", shown.join(", ")))
                    .hint("CAST the results to one type")
            })?;
        let nullable = otherwise.is_none() || results().any(|result| result.nullable);
        let mut when_then = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            when_then.push((Box::new(when.expr), Box::new(convert(*self, then, &common)?.expr)));
        }
        let otherwise = match otherwise {
            Some(otherwise) => convert(*self, otherwise, &common)?.expr,
            None => null(&common)?.expr,
        };
        let case = Case { expr: None, when_then_expr: when_then, else_expr: Some(Box::new(otherwise)) };
        Ok(Typed::new(Expr::Case(case), common, nullable))
    }

    /// An argument of an aggregate that is computed only where its filter is true.
    pub(super) fn guarded(&self, arg: Typed, filter: &Expr) -> Typed {
        let (true, Ok(none)) = (fallible(&arg.expr), null(&arg.sql_type)) else { return arg };
        let case = Case {
            expr: None,
            when_then_expr: vec![(Box::new(filter.clone()), Box::new(arg.expr))],
            else_expr: Some(Box::new(none.expr)),
        };
        Typed::new(Expr::Case(case), arg.sql_type, true)
    }

    /// A call over constants as its value. One that fails stays a call: it may stand behind a guard.
    fn folded(&self, typed: Typed) -> Typed {
        // Spark counts the digits of constants as they are written; `spark::fold` computes them later.
        if self.dialect == Dialect::Spark { typed } else { self.fold(typed) }
    }

    /// The same in every dialect.
    pub(crate) fn fold(&self, typed: Typed) -> Typed {
        let constant = match &typed.expr {
            Expr::ScalarFunction(call) => call.args.iter().all(|arg| matches!(arg, Expr::Literal(..))),
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
                matches!((left.as_ref(), right.as_ref()), (Expr::Literal(..), Expr::Literal(..)))
            }
            _ => false,
        };
        match constant.then(|| evaluate(&typed.expr)).flatten() {
            // A NULL that the type does not allow is left to the run, which says where it came from.
            Some(value) if !value.is_null() || typed.nullable => {
                let nullable = typed.nullable;
                Typed { nullable, ..literal::constant(value, typed.sql_type) }
            }
            _ => typed,
        }
    }
}

/// The value of an expression without columns.
pub(crate) fn evaluate(expr: &Expr) -> Option<ScalarValue> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let columns: Vec<ArrayRef> = Vec::new();
    let one = RecordBatch::try_new_with_options(std::sync::Arc::new(Schema::empty()), columns, &options).ok()?;
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let physical = create_physical_expr(expr, &DFSchema::empty(), &props, &context).ok()?;
    let column = physical.evaluate(&one).and_then(|value| value.into_array(1)).ok()?;
    ScalarValue::try_from_array(&column, 0).ok()
}

/// The value as `target`, by Flink's CAST; an expression of that type as it is.
pub(crate) fn convert(context: Context<'_>, value: Typed, target: &SqlType) -> Result<Typed> {
    if value.sql_type == *target {
        return Ok(value);
    }
    if value.sql_type == SqlType::Null {
        return null(target);
    }
    if context.dialect == Dialect::Spark {
        return crate::spark::cast::cast(context, value, target, false);
    }
    cast(context, value, target, false).map(|typed| context.folded(typed))
}

/// The value, which must be BOOLEAN.
fn boolean(value: Typed) -> Result<Typed> {
    match value.sql_type {
        SqlType::Boolean => Ok(value),
        SqlType::Null => null(&SqlType::Boolean),
        other => Err(Error::usage("sql.types", format!("a condition must be BOOLEAN, not {other}"))
            .hint("compare it with a value, for example x <> 0")),
    }
}

fn negated(value: Typed, negated: bool) -> Typed {
    if negated { Typed { expr: Expr::Not(Box::new(value.expr)), ..value } } else { value }
}

/// A tree of low height, in the order of the operands: thousands of conditions must not need a deep stack.
fn balanced(operator: Operator, mut exprs: Vec<Expr>) -> Result<Expr> {
    while exprs.len() > 1 {
        let mut paired = Vec::with_capacity(exprs.len().div_ceil(2));
        let mut rest = exprs.into_iter();
        while let Some(left) = rest.next() {
            paired.push(match rest.next() {
                Some(right) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))),
                None => left,
            });
        }
        exprs = paired;
    }
    exprs.pop().ok_or_else(|| Error::bug("sql.operands", "a condition without operands"))
}

/// Whether evaluating an expression can fail for some values.
pub(crate) fn fallible(expr: &Expr) -> bool {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    let walked = expr.apply(|inner| {
        if let Expr::ScalarFunction(call) = inner {
            found |= call.func.inner().downcast_ref::<Kernel>().is_none_or(Kernel::is_fallible);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// The operators as the planner hands them on.
const OPERATORS: &[(&str, Operator)] = &[
    ("$+", Operator::Plus),
    ("$-", Operator::Minus),
    ("$*", Operator::Multiply),
    ("$/", Operator::Divide),
    ("$%", Operator::Modulo),
    ("$=", Operator::Eq),
    ("$<>", Operator::NotEq),
    ("$<", Operator::Lt),
    ("$<=", Operator::LtEq),
    ("$>", Operator::Gt),
    ("$>=", Operator::GtEq),
    ("$and", Operator::And),
    ("$or", Operator::Or),
];

fn operator(name: &str) -> Option<Operator> {
    OPERATORS.iter().find(|(found, _)| *found == name).map(|(_, operator)| *operator)
}

fn arithmetic_operator(sign: char) -> Option<Operator> {
    OPERATORS.iter().find(|(name, _)| name.chars().eq(['$', sign])).map(|(_, operator)| *operator)
}

/// The name of an operator's function.
pub(crate) fn operator_name(sign: &str) -> Option<&'static str> {
    let sign = sign.to_ascii_lowercase();
    OPERATORS.iter().map(|(name, _)| *name).find(|name| name.get(1..) == Some(sign.as_str()))
}

/// A function's name as users write it.
fn shown(name: &str) -> String {
    name.trim_start_matches('$').to_uppercase()
}

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("not supported yet: {}", what.replace('$', "")))
}
