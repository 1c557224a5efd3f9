//! Functions before their types are known. DataFusion's planner resolves names, groups and columns; it must not decide
//! about types, because its rules are not Flink's. So every operator, function and constant of VALUES is planned as a call
//! of one of these, whose type is NULL, until `typed` puts the real one in its place.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// A scalar function called `name`.
pub(crate) fn scalar(name: &str) -> ScalarUDF {
    ScalarUDF::from(Unbound { name: name.to_owned(), signature: signature() })
}

/// An aggregate called `name`.
pub(crate) fn aggregate(name: &str) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Unbound { name: name.to_owned(), signature: signature() }))
}

/// A call of a scalar function.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    scalar(name).call(args)
}

fn signature() -> Signature {
    Signature::one_of(
        vec![datafusion::logical_expr::TypeSignature::Nullary, datafusion::logical_expr::TypeSignature::VariadicAny],
        Volatility::Immutable,
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unbound {
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for Unbound {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} has no types yet", self.name)
    }
}

impl AggregateUDFImpl for Unbound {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn supports_null_handling_clause(&self) -> bool {
        true
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        exec_err!("{} has no types yet", self.name)
    }
}
