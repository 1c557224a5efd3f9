//! What functions take: the check of number and types of arguments, and their conversion to what the kernels read.

use headwater_change::Result;

use super::kernel::{Kernel, Run};
use super::{arity, refused};
use crate::typed::{Context, Typed, convert, null};
use crate::types::{STRING, SqlType};

/// What a function takes at one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// CHAR, VARCHAR, STRING.
    Text,
    /// The same or a bare NULL.
    TextOrNull,
    /// BINARY, VARBINARY, BYTES.
    Bytes,
    /// Text or bytes.
    TextOrBytes,
    /// TINYINT, SMALLINT, INT; read as INT. A BIGINT is refused, as Flink does.
    Int,
    /// Any integer; read as BIGINT.
    Whole,
    /// Any number; read as DOUBLE.
    Double,
    /// Any number, as it is.
    Number,
}

impl Takes {
    fn accepts(self, sql_type: &SqlType) -> bool {
        match self {
            Self::Text => sql_type.is_text(),
            Self::TextOrNull => sql_type.is_text() || *sql_type == SqlType::Null,
            Self::Bytes => sql_type.is_bytes(),
            Self::TextOrBytes => sql_type.is_text() || sql_type.is_bytes(),
            Self::Int => sql_type.is_integer() && *sql_type != SqlType::BigInt,
            Self::Whole => sql_type.is_integer(),
            Self::Double | Self::Number => sql_type.is_numeric(),
        }
    }

    fn converted(self, context: Context<'_>, arg: Typed) -> Result<Typed> {
        match self {
            Self::TextOrNull if arg.sql_type == SqlType::Null => null(&STRING),
            Self::Text | Self::TextOrNull | Self::Bytes | Self::TextOrBytes | Self::Number => Ok(arg),
            Self::Int => convert(context, arg, &SqlType::Int),
            Self::Whole => convert(context, arg, &SqlType::BigInt),
            Self::Double => convert(context, arg, &SqlType::Double),
        }
    }
}

/// The arguments of a function that takes at least `least` of `takes`, converted.
pub(super) fn taken(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    takes: &[Takes],
    least: usize,
) -> Result<Vec<Typed>> {
    if args.len() < least || args.len() > takes.len() {
        return Err(arity(name, &counted(least, takes.len())));
    }
    if !args.iter().zip(takes).all(|(arg, takes)| takes.accepts(&arg.sql_type)) {
        return Err(refused(name, &args));
    }
    args.into_iter().zip(takes).map(|(arg, takes)| takes.converted(context, arg)).collect()
}

fn counted(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "no argument".to_owned(),
        (1, 1) => "one argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    }
}

/// Whether any argument can be NULL.
pub(super) fn nullable(args: &[Typed]) -> bool {
    args.iter().any(|arg| arg.nullable)
}

/// The type of argument `index`.
pub(super) fn type_of(args: &[Typed], index: usize) -> SqlType {
    args.get(index).map_or(SqlType::Null, |arg| arg.sql_type.clone())
}

/// The call of a kernel.
pub(super) fn called(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    result: SqlType,
    nullable: bool,
    run: Run,
) -> Result<Typed> {
    let kernel = Kernel::new(name, result.clone(), nullable, context.zone, run);
    let args = args.into_iter().map(|arg| (arg.expr, arg.sql_type));
    Ok(Typed::new(kernel.call(args), result, nullable))
}
