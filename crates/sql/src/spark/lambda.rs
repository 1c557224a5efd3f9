//! Functions over the items of arrays and the entries of maps: `TRANSFORM(a, x -> x + y)`.
//!
//! The rewrite makes `$lambda:transform(a, $lambda('x', $var('x') + y))` of it. Here the arrays get their types first, then
//! the variables, then the body; it is computed for all items of all rows at once, with the columns that it uses beside
//! them repeated.
//!
//! | function | result |
//! |---|---|
//! | `TRANSFORM(a, x -> e)`, `(x, i) -> e` | an array of `e`; `i` counts from 0 |
//! | `FILTER(a, x -> c)`, `(x, i) -> c` | the items for which `c` is true |
//! | `EXISTS(a, x -> c)`, `FORALL(a, x -> c)` | OR and AND of all `c`, which may be NULL |
//! | `AGGREGATE(a, zero, (s, x) -> e [, s -> f])`, `REDUCE` | `e` over the items from the left, of the type of `zero` |
//! | `ZIP_WITH(a, b, (x, y) -> e)` | an array as long as the longer one |
//! | `MAP_FILTER(m, (k, v) -> c)`, `TRANSFORM_KEYS(m, (k, v) -> e)`, `TRANSFORM_VALUES` | a map |

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column as Name, DFSchema, Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use headwater_change::{Error, Result};

use super::operators::{failed, order};
use super::types::{array_of, map_of, name as type_name};
use crate::functions::value::{Column, Value, column, entry_types, item_type};
use crate::typed::{Context, Typed, Variable};
use crate::types::SqlType;

/// What the rewrite calls a function that takes lambdas, in front of its name.
pub(crate) const CALL: &str = "$lambda:";
/// `$lambda('x', 'y', body)`.
pub(crate) const LAMBDA: &str = "$lambda";
/// `$var('x')`.
pub(crate) const VARIABLE: &str = "$var";

/// The functions by name.
pub(crate) const NAMES: &[&str] = &[
    "aggregate",
    "exists",
    "filter",
    "forall",
    "map_filter",
    "reduce",
    "transform",
    "transform_keys",
    "transform_values",
    "zip_with",
];

fn wrong(name: &str, what: &str) -> Error {
    Error::usage("sql.arguments", format!("{} takes {what}", name.to_uppercase()))
}

/// A lambda as the rewrite left it: the names of its variables, and its body.
struct Written<'a> {
    names: Vec<String>,
    body: &'a Expr,
}

fn written<'a>(name: &str, arg: Option<&'a Expr>) -> Result<Written<'a>> {
    let missing = || wrong(name, "a lambda such as x -> x + 1");
    let Some(Expr::ScalarFunction(call)) = arg else { return Err(missing()) };
    let (body, names) = call.args.split_last().filter(|_| call.func.name() == LAMBDA).ok_or_else(missing)?;
    let text = |arg: &Expr| match arg {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.clone()),
        _ => None,
    };
    let names = names.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(missing)?;
    Ok(Written { names, body })
}

/// A body with its type, and what it uses.
#[derive(Clone, Debug)]
struct Body {
    physical: Arc<dyn PhysicalExpr>,
    result: SqlType,
    /// Variables, then columns of the query.
    schema: SchemaRef,
    variables: Vec<SqlType>,
    text: String,
}

/// A body bound over variables of these types; the columns that it uses join `captured`.
fn bound(
    context: Context<'_>,
    lambda: &Written<'_>,
    types: &[SqlType],
    schema: &DFSchema,
    captured: &mut Vec<(Expr, SqlType)>,
) -> Result<Body> {
    let depth = context.variables.map_or(0, |outer| outer.depth + lambda.names.len());
    let mut chain: Vec<Variable<'_>> = Vec::with_capacity(lambda.names.len());
    for (index, (name, sql_type)) in lambda.names.iter().zip(types).enumerate() {
        let column = format!("${name}#{}", depth + index);
        chain.push(Variable { name, column, sql_type: sql_type.clone(), depth: depth + index, outer: None });
    }
    let typed = with_variables(context, &chain, &mut |inner| inner.expr(lambda.body, schema))?;
    let columns: Vec<String> = chain.iter().map(|variable| variable.column.clone()).collect();
    let beside = captured.len();
    // Columns of the query under numbers: two tables may have one of a name.
    let replaced = typed.expr.clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        if column.relation.is_none() && columns.contains(&column.name) {
            return Ok(Transformed::no(expr));
        }
        let known = captured.iter().position(|(held, _)| *held == expr);
        let at = known.unwrap_or_else(|| {
            captured.push((expr.clone(), SqlType::Null));
            captured.len() - 1
        });
        Ok(Transformed::yes(Expr::Column(Name::new_unqualified(format!("$c{at}")))))
    });
    let replaced = replaced.map_err(|error| Error::bug("sql.lambda", "the columns of a lambda").caused_by(error))?;
    for (expr, sql_type) in captured.iter_mut().skip(beside) {
        *sql_type = context.expr(expr, schema)?.sql_type;
    }
    let variables = chain.iter().map(|variable| variable.sql_type.field(&variable.column, true));
    let beside = captured.iter().enumerate().map(|(at, (_, sql_type))| sql_type.field(format!("$c{at}"), true));
    let fields: Vec<Field> = variables.chain(beside).collect();
    let arrow = Arc::new(Schema::new(fields));
    let physical = DFSchema::try_from(Arc::clone(&arrow)).and_then(|schema| {
        create_physical_expr(&replaced.data, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
    });
    let physical = physical.and_then(crate::guard::guarded).map_err(|error| {
        Error::usage("sql.unsupported", "such an expression in a lambda is not supported yet").caused_by(error)
    })?;
    Ok(Body {
        physical,
        result: typed.sql_type,
        schema: arrow,
        variables: types.get(..lambda.names.len()).unwrap_or_default().to_vec(),
        text: format!("{} -> {}", columns.join(", "), typed.expr),
    })
}

/// Calls with a context that knows the variables, the last one innermost.
fn with_variables(
    context: Context<'_>,
    chain: &[Variable<'_>],
    then: &mut dyn FnMut(Context<'_>) -> Result<Typed>,
) -> Result<Typed> {
    let Some((first, rest)) = chain.split_first() else { return then(context) };
    let variable = Variable { outer: context.variables, ..first.clone() };
    with_variables(Context { variables: Some(&variable), ..context }, rest, then)
}

/// A variable by its name.
pub(crate) fn variable(context: Context<'_>, name: &str) -> Result<Typed> {
    let mut open = context.variables;
    while let Some(variable) = open {
        if variable.name == name {
            let column = Expr::Column(Name::new_unqualified(&variable.column));
            return Ok(Typed::new(column, variable.sql_type.clone(), true));
        }
        open = variable.outer;
    }
    Err(Error::usage("sql.unknown_column", format!("there is no variable '{name}'")))
}

/// The type of a variable's column, where it is one.
pub(crate) fn variable_type(context: Context<'_>, column: &Name) -> Option<SqlType> {
    let mut open = context.variables.filter(|_| column.relation.is_none());
    while let Some(variable) = open {
        if variable.column == column.name {
            return Some(variable.sql_type.clone());
        }
        open = variable.outer;
    }
    None
}

/// Binds a call.
pub(crate) fn bind(context: Context<'_>, name: &str, args: &[Expr], schema: &DFSchema) -> Result<Typed> {
    let typed = |index: usize| match args.get(index) {
        Some(arg) => context.expr(arg, schema),
        None => Err(wrong(name, "more arguments")),
    };
    let array = |index: usize| {
        let found = typed(index)?;
        let item = item_type(&found.sql_type);
        item.map(|item| (found, item)).ok_or_else(|| wrong(name, "an array"))
    };
    let map = || {
        let found = typed(0)?;
        let entry = entry_types(&found.sql_type);
        entry.map(|entry| (found, entry)).ok_or_else(|| wrong(name, "a map"))
    };
    let mut captured = Vec::new();
    let mut lambda = |index: usize, types: &[SqlType], least: usize| -> Result<Body> {
        let found = written(name, args.get(index))?;
        if !(least..=types.len()).contains(&found.names.len()) {
            return Err(wrong(name, &format!("a lambda of {} variables", types.len())));
        }
        bound(context, &found, types, schema, &mut captured)
    };
    let condition = |body: Body| match body.result {
        SqlType::Boolean => Ok(body),
        _ => Err(wrong(name, "a lambda that is a condition")),
    };
    let count = |wanted: std::ops::RangeInclusive<usize>| match wanted.contains(&args.len()) {
        true => Ok(()),
        false => Err(wrong(name, "other arguments")),
    };
    let (inputs, bodies, result) = match name {
        "transform" | "filter" => {
            count(2..=2)?;
            let (input, item) = array(0)?;
            let body = lambda(1, &[item, SqlType::Int], 1)?;
            let body = if name == "filter" { condition(body)? } else { body };
            let result = if name == "filter" { input.sql_type.clone() } else { array_of(&body.result) };
            (vec![input], vec![body], result)
        }
        "exists" | "forall" => {
            count(2..=2)?;
            let (input, item) = array(0)?;
            let body = condition(lambda(1, &[item], 1)?)?;
            (vec![input], vec![body], SqlType::Boolean)
        }
        "aggregate" | "reduce" => {
            count(3..=4)?;
            let ((input, item), zero) = (array(0)?, typed(1)?);
            let state = zero.sql_type.clone();
            let merge = lambda(2, &[state.clone(), item], 2)?;
            if merge.result != state {
                let shown = |sql_type: &SqlType| type_name(sql_type).to_uppercase();
                return Err(Error::usage(
                    "sql.types",
                    format!(
                        "{} begins with {} and goes on with {}",
                        name.to_uppercase(),
                        shown(&state),
                        shown(&merge.result)
                    ),
                )
                .hint("CAST the second argument to the type of the lambda's result"));
            }
            let mut bodies = vec![merge];
            if args.len() == 4 {
                bodies.push(lambda(3, std::slice::from_ref(&state), 1)?);
            }
            let result = bodies.last().filter(|_| args.len() == 4).map_or(state, |finish| finish.result.clone());
            (vec![input, zero], bodies, result)
        }
        "zip_with" => {
            count(3..=3)?;
            let ((left, a), (right, b)) = (array(0)?, array(1)?);
            let body = lambda(2, &[a, b], 2)?;
            let result = array_of(&body.result);
            (vec![left, right], vec![body], result)
        }
        _ => {
            count(2..=2)?;
            let (input, (key, value)) = map()?;
            let body = lambda(1, &[key.clone(), value.clone()], 2)?;
            let body = if name == "map_filter" { condition(body)? } else { body };
            let result = match name {
                "map_filter" => input.sql_type.clone(),
                "transform_keys" => map_of(&body.result, &value),
                _ => map_of(&key, &body.result),
            };
            (vec![input], vec![body], result)
        }
    };
    let types = inputs.iter().map(|input| input.sql_type.clone()).chain(captured.iter().map(|(_, kind)| kind.clone()));
    let function = Lambda {
        name: name.to_owned(),
        inputs: inputs.len(),
        types: types.collect(),
        bodies,
        result: result.clone(),
        signature: Signature::variadic_any(Volatility::Immutable),
    };
    let args = inputs.into_iter().map(|input| input.expr).chain(captured.into_iter().map(|(expr, _)| expr));
    Ok(Typed::new(ScalarUDF::from(function).call(args.collect()), result, true))
}

/// A call whose types are settled. Two are the same if what they are called with and their bodies are.
#[derive(Clone, Debug)]
struct Lambda {
    name: String,
    /// How many arguments are arrays and the like; the others are columns that bodies use.
    inputs: usize,
    types: Vec<SqlType>,
    bodies: Vec<Body>,
    result: SqlType,
    signature: Signature,
}

impl Lambda {
    fn key(&self) -> (&str, &[SqlType], Vec<&str>, &SqlType) {
        (&self.name, &self.types, self.bodies.iter().map(|body| body.text.as_str()).collect(), &self.result)
    }
}

impl PartialEq for Lambda {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Lambda {}

impl Hash for Lambda {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// What one call works on.
struct Rows<'a> {
    /// The arrays and the like, a value a row.
    inputs: Vec<Vec<Value>>,
    /// The columns that bodies use.
    captured: &'a [ArrayRef],
}

impl Body {
    /// The value for each of some items: those of the variables, and the row that each belongs to.
    fn evaluate(&self, variables: Vec<Vec<Value>>, of_row: &[usize], rows: &Rows<'_>) -> Planned<Vec<Value>> {
        if of_row.is_empty() {
            return Ok(Vec::new());
        }
        let indices = UInt64Array::from_iter_values(of_row.iter().map(|row| *row as u64));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (values, sql_type) in variables.iter().zip(&self.variables) {
            columns.push(column(values, sql_type)?);
        }
        // A body knows the columns that were captured before it and with it, not those that came later.
        let beside = self.schema.fields().len() - columns.len();
        for captured in rows.captured.iter().take(beside) {
            columns.push(take(captured, &indices, None)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let found = self.physical.evaluate(&batch)?.into_array(of_row.len())?;
        let found = Column::new(&found, &self.result)?;
        (0..of_row.len()).map(|row| found.at(row)).collect()
    }
}

impl Lambda {
    /// The items of all rows: those of the variables, the row of each, and how many each row has; none where it is NULL.
    fn items(&self, rows: &Rows<'_>, body: &Body) -> (Vec<Vec<Value>>, Vec<usize>, Vec<Option<usize>>) {
        let mut variables = vec![Vec::new(); body.variables.len()];
        let (mut of_row, mut lengths) = (Vec::new(), Vec::new());
        let mut push = |values: [&Value; 2], row: usize| {
            for (held, value) in variables.iter_mut().zip(values) {
                held.push(value.clone());
            }
            of_row.push(row);
        };
        let first = rows.inputs.first().map(Vec::as_slice).unwrap_or_default();
        for (row, value) in first.iter().enumerate() {
            let other = rows.inputs.get(1).and_then(|input| input.get(row));
            if value.is_null() || self.name == "zip_with" && other.is_none_or(Value::is_null) {
                lengths.push(None);
                continue;
            }
            let length = match (value, other) {
                (Value::Map(entries), _) => {
                    entries.iter().for_each(|(key, value)| push([key, value], row));
                    entries.len()
                }
                (left, Some(right)) => {
                    let length = left.list().len().max(right.list().len());
                    let at = |side: &'_ Value, index: usize| side.list().get(index).cloned().unwrap_or(Value::Null);
                    (0..length).for_each(|index| push([&at(left, index), &at(right, index)], row));
                    length
                }
                (list, None) => {
                    let items = list.list();
                    (0_i64..).zip(items).for_each(|(index, item)| push([item, &Value::Int(index)], row));
                    items.len()
                }
            };
            lengths.push(Some(length));
        }
        (variables, of_row, lengths)
    }

    fn each(&self, rows: &Rows<'_>, body: &Body) -> Planned<Vec<Value>> {
        let (variables, of_row, lengths) = self.items(rows, body);
        let computed = body.evaluate(variables, &of_row, rows)?;
        let mut computed = computed.into_iter();
        let inputs = rows.inputs.first().map(Vec::as_slice).unwrap_or_default();
        let row = |(input, length): (&Value, Option<usize>)| match length {
            None => Ok(Value::Null),
            Some(length) => self.row(input, computed.by_ref().take(length).collect()),
        };
        inputs.iter().zip(lengths).map(row).collect()
    }

    /// The result of a row: its input, and what the body gave for each item.
    fn row(&self, input: &Value, found: Vec<Value>) -> Planned<Value> {
        let kept = |found: &[Value]| found.iter().map(Value::truth).collect::<Vec<_>>();
        let any = |wanted: &dyn Fn(&Value) -> bool| found.iter().any(wanted);
        Ok(match (self.name.as_str(), input) {
            ("filter", input) => {
                let items = input.list().iter().zip(kept(&found)).filter(|(_, kept)| *kept);
                Value::List(items.map(|(item, _)| item.clone()).collect())
            }
            ("exists", _) if any(&Value::truth) => Value::Bool(true),
            ("forall", _) if any(&|value| *value == Value::Bool(false)) => Value::Bool(false),
            ("exists" | "forall", _) if any(&Value::is_null) => Value::Null,
            ("exists", _) => Value::Bool(false),
            ("forall", _) => Value::Bool(true),
            ("map_filter", Value::Map(entries)) => {
                let entries = entries.iter().zip(kept(&found)).filter(|(_, kept)| *kept);
                Value::Map(entries.map(|(entry, _)| entry.clone()).collect())
            }
            ("transform_values", Value::Map(entries)) => {
                Value::Map(entries.iter().map(|(key, _)| key.clone()).zip(found).collect())
            }
            ("transform_keys", Value::Map(entries)) => {
                let entries: Vec<(Value, Value)> =
                    found.into_iter().zip(entries.iter().map(|(_, value)| value.clone())).collect();
                unique_keys(&entries)?;
                Value::Map(entries)
            }
            _ => Value::List(found),
        })
    }

    /// From the left, the items of all rows in step.
    fn aggregate(&self, rows: &Rows<'_>) -> Planned<Vec<Value>> {
        let ([arrays, zeros], Some(merge)) = (rows.inputs.as_slice(), self.bodies.first()) else {
            return exec_err!("an aggregate of nothing");
        };
        let mut states = zeros.clone();
        for index in 0.. {
            let open: Vec<usize> = (0..arrays.len())
                .filter(|row| arrays.get(*row).is_some_and(|array| array.list().len() > index))
                .collect();
            if open.is_empty() {
                break;
            }
            let of = |values: &[Value], row: usize| values.get(row).cloned().unwrap_or(Value::Null);
            let held = open.iter().map(|row| of(&states, *row)).collect();
            let items = open.iter().map(|row| arrays.get(*row).map_or(Value::Null, |array| of(array.list(), index)));
            let next = merge.evaluate(vec![held, items.collect()], &open, rows)?;
            for (row, state) in open.into_iter().zip(next) {
                if let Some(held) = states.get_mut(row) {
                    *held = state;
                }
            }
        }
        if let Some(finish) = self.bodies.get(1) {
            let all: Vec<usize> = (0..states.len()).collect();
            states = finish.evaluate(vec![states], &all, rows)?;
        }
        for (state, array) in states.iter_mut().zip(arrays) {
            if array.is_null() {
                *state = Value::Null;
            }
        }
        Ok(states)
    }
}

fn unique_keys(entries: &[(Value, Value)]) -> Planned<()> {
    for (index, (key, _)) in entries.iter().enumerate() {
        if key.is_null() {
            return Err(failed("sql.map_key", "a key of the map is NULL", "filter the entries before"));
        }
        let before = entries.get(..index).unwrap_or_default();
        if before.iter().any(|(other, _)| order(other, key) == std::cmp::Ordering::Equal) {
            return Err(failed("sql.map_key", "a key of the map comes twice", "make the keys different"));
        }
    }
    Ok(())
}

impl ScalarUDFImpl for Lambda {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Planned<DataType> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Planned<FieldRef> {
        Ok(Arc::new(self.result.field(self.name.as_str(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Planned<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Planned<Vec<_>>>()?;
        let (inputs, captured) = arrays.split_at_checked(self.inputs).unwrap_or((&arrays, &[]));
        let read = |(array, sql_type): (&ArrayRef, &SqlType)| {
            let read = Column::new(array, sql_type)?;
            (0..array.len()).map(|row| read.at(row)).collect::<Planned<Vec<_>>>()
        };
        let inputs = inputs.iter().zip(&self.types).map(read).collect::<Planned<Vec<_>>>()?;
        let rows = Rows { inputs, captured };
        let found = match (self.name.as_str(), self.bodies.first()) {
            ("aggregate" | "reduce", _) => self.aggregate(&rows)?,
            (_, Some(body)) => self.each(&rows, body)?,
            _ => return exec_err!("{} has no body", self.name),
        };
        Ok(ColumnarValue::Array(column(&found, &self.result)?))
    }
}
