//! Names for DataFusion's planner: our tables and functions. What types they have is settled afterwards, by `typed`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, DFSchema, Result, TableReference, not_impl_err};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF, lit};
use datafusion::sql::planner::{NullOrdering, ParserOptions};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::catalog::{Catalog, CatalogTable, Entry};
use crate::functions::{Functions, unbound};
use crate::session::ours;
use crate::typed::{WINDOW_NAMES, operator_name, window_function};

/// Flink's reading of SQL text: identifiers as written, `1.5` a decimal, NULL the lowest value.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_support_varchar_with_length(true)
        .with_collect_spans(true)
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMin)
}

/// What the planner may look up.
pub(crate) struct Binder<'a> {
    catalog: &'a Catalog,
    functions: &'a Functions,
    config: ConfigOptions,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(catalog: &'a Catalog, functions: &'a Functions) -> Self {
        let has_fields = functions.bind(FIELD).is_some();
        let expr_planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Unbound { has_fields })];
        Self { catalog, functions, config: ConfigOptions::default(), expr_planners }
    }
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.catalog.resolve(&name) {
            Ok(Entry::Table(table)) => Ok(Arc::new(CatalogTable(Arc::clone(table)))),
            Ok(Entry::View(view)) => Ok(Arc::clone(view) as _),
            Err(error) => Err(ours(error)),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.to_lowercase();
        let known = self.functions.bind(&name).is_some() || name.starts_with('$');
        known.then(|| Arc::new(unbound::scalar(&name)))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = name.to_lowercase();
        self.functions.is_aggregate(&name).then(|| unbound::aggregate(&name))
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        window_function(&name.to_lowercase())
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().0
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.names().1
    }

    fn udwf_names(&self) -> Vec<String> {
        WINDOW_NAMES.iter().map(ToString::to_string).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Every operator as a call whose types are not known yet: DataFusion's own rules of types are not Flink's.
#[derive(Debug)]
struct Unbound {
    has_fields: bool,
}

/// The function that takes a field out of a structure.
const FIELD: &str = "$field";

impl ExprPlanner for Unbound {
    /// `column.field.field`
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        if !self.has_fields {
            return not_impl_err!("fields of structures");
        }
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let of = |value: Expr, name: &String| unbound::call(FIELD, vec![value, lit(name.as_str())]);
        Ok(PlannerResult::Planned(nested_names.iter().fold(column, of)))
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let sign = match &expr.op {
            BinaryOperator::StringConcat => "||".to_owned(),
            op => op.to_string(),
        };
        match operator_name(&sign).or_else(|| (sign == "||").then_some("$||")) {
            Some(name) => Ok(PlannerResult::Planned(unbound::call(name, vec![expr.left, expr.right]))),
            None => not_impl_err!("the operator {sign}"),
        }
    }
}
