//! Spark's functions by name. What is listed gives what Spark gives; what is not is refused by name.
//!
//! * `conditional`, `math`, `text`, `pattern`, `time`, `collection`, `json`, `hash`: functions by family
//! * `forms`: what the grammar hands on as calls
//! * `aggregate`: aggregates; `sliding`: over frames of a window

pub(crate) mod aggregate;
pub(crate) mod collection;
mod conditional;
mod forms;
mod hash;
mod json;
mod math;
mod pattern;
pub(crate) mod sliding;
mod text;
mod time;

use headwater_change::{Error, Result};

use super::cast::{cast, castable};
use super::types::{BINARY, TIMESTAMP, name, widest};
use crate::functions::kernel::{Kernel, RowRun};
use crate::functions::{Bind, Entry, arity};
use crate::typed::{Context, Typed, null};
use crate::types::{STRING, SqlType};

/// What a function takes at one place. Other types are cast where Spark casts by itself: text to anything, numbers to
/// wider ones, everything to text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Text,
    Bytes,
    TextOrBytes,
    Int,
    Long,
    Double,
    /// Any number as it is; text as DOUBLE.
    Number,
    Bool,
    Date,
    Timestamp,
    Array,
    Map,
    Any,
}

/// The type of a result.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    Is(SqlTypeOf),
    /// That of an argument.
    Like(usize),
    By(fn(&[SqlType]) -> Option<SqlType>),
}

/// Types that are written in tables of functions.
#[derive(Clone, Copy)]
pub(crate) enum SqlTypeOf {
    Text,
    Bytes,
    TinyInt,
    Int,
    Long,
    Double,
    Bool,
    Date,
    Timestamp,
}

impl SqlTypeOf {
    fn sql_type(self) -> SqlType {
        match self {
            Self::Text => STRING,
            Self::Bytes => BINARY,
            Self::TinyInt => SqlType::TinyInt,
            Self::Int => SqlType::Int,
            Self::Long => SqlType::BigInt,
            Self::Double => SqlType::Double,
            Self::Bool => SqlType::Boolean,
            Self::Date => SqlType::Date,
            Self::Timestamp => TIMESTAMP,
        }
    }
}

pub(crate) const TEXT: Gives = Gives::Is(SqlTypeOf::Text);
pub(crate) const BYTES: Gives = Gives::Is(SqlTypeOf::Bytes);
pub(crate) const TINY: Gives = Gives::Is(SqlTypeOf::TinyInt);
pub(crate) const INT: Gives = Gives::Is(SqlTypeOf::Int);
pub(crate) const LONG: Gives = Gives::Is(SqlTypeOf::Long);
pub(crate) const DOUBLE: Gives = Gives::Is(SqlTypeOf::Double);
pub(crate) const BOOL: Gives = Gives::Is(SqlTypeOf::Bool);
pub(crate) const DATE: Gives = Gives::Is(SqlTypeOf::Date);
pub(crate) const STAMP: Gives = Gives::Is(SqlTypeOf::Timestamp);

/// A function that is computed row by row.
pub(crate) struct Def {
    pub(crate) name: &'static str,
    pub(crate) takes: &'static [Takes],
    /// How many arguments it takes at least.
    pub(crate) least: usize,
    pub(crate) gives: Gives,
    /// It looks at NULL itself, and may give what is not NULL.
    pub(crate) nulls: bool,
    pub(crate) run: RowRun,
}

/// A function of as many arguments as kinds, NULL where one of them is.
pub(crate) const fn def(name: &'static str, takes: &'static [Takes], gives: Gives, run: RowRun) -> Def {
    Def { name, takes, least: takes.len(), gives, nulls: false, run }
}

impl Def {
    /// The last arguments may be left out.
    pub(crate) const fn least(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// It is called with NULLs, too.
    pub(crate) const fn nulls(self) -> Self {
        Self { nulls: true, ..self }
    }
}

/// All functions, and those that are bound in a way of their own.
pub(crate) fn all() -> Vec<(&'static str, Entry)> {
    let own: [&[(&'static str, Bind)]; 7] =
        [conditional::OWN, math::OWN, text::OWN, time::OWN, collection::OWN, forms::OWN, hash::OWN];
    let rows: [&'static [Def]; 7] =
        [math::ROWS, text::ROWS, pattern::ROWS, time::ROWS, collection::ROWS, json::ROWS, conditional::ROWS];
    let own = own.into_iter().flatten().map(|(name, bind)| (*name, Entry::Bind(*bind)));
    let rows = rows.into_iter().flatten().map(|def| (def.name, Entry::Rows(def)));
    own.chain(rows).chain(json::OWN.iter().map(|(name, bind)| (*name, Entry::Bind(*bind)))).collect()
}

/// An argument of a kind, or `None` where it is none.
pub(crate) fn taken(context: Context<'_>, arg: Typed, takes: Takes) -> Result<Option<Typed>> {
    let to = |arg: Typed, target: &SqlType| cast(context, arg, target, false).map(Some);
    let found = arg.sql_type.clone();
    let is_null = found == SqlType::Null;
    Ok(match takes {
        Takes::Any => Some(arg),
        Takes::Text if found.is_text() => Some(arg),
        Takes::Text if castable(&found, &STRING) && !matches!(found, SqlType::Other(_)) => to(arg, &STRING)?,
        Takes::Bytes if found.is_bytes() => Some(arg),
        Takes::Bytes if is_null || found.is_text() => to(arg, &BINARY)?,
        Takes::TextOrBytes if found.is_text() || found.is_bytes() => Some(arg),
        Takes::TextOrBytes if !matches!(found, SqlType::Other(_)) => to(arg, &STRING)?,
        Takes::Int if found == SqlType::Int => Some(arg),
        Takes::Int if is_null || found.is_text() || matches!(found, SqlType::TinyInt | SqlType::SmallInt) => {
            to(arg, &SqlType::Int)?
        }
        Takes::Long if found == SqlType::BigInt => Some(arg),
        Takes::Long if is_null || found.is_text() || found.is_integer() => to(arg, &SqlType::BigInt)?,
        Takes::Double if found == SqlType::Double => Some(arg),
        Takes::Double if is_null || found.is_text() || found.is_numeric() => to(arg, &SqlType::Double)?,
        Takes::Number if found.is_numeric() => Some(arg),
        Takes::Number if is_null || found.is_text() => to(arg, &SqlType::Double)?,
        Takes::Bool if found == SqlType::Boolean => Some(arg),
        Takes::Bool if is_null || found.is_text() => to(arg, &SqlType::Boolean)?,
        Takes::Date if found == SqlType::Date => Some(arg),
        Takes::Date if is_null || found.is_text() || found.is_timestamp() => to(arg, &SqlType::Date)?,
        Takes::Timestamp if found == TIMESTAMP => Some(arg),
        Takes::Timestamp if is_null || found.is_text() || found == SqlType::Date || found.is_timestamp() => {
            to(arg, &TIMESTAMP)?
        }
        Takes::Array if crate::functions::value::item_type(&found).is_some() => Some(arg),
        Takes::Map if crate::functions::value::entry_types(&found).is_some() => Some(arg),
        _ => None,
    })
}

/// Arguments of types that a function does not take.
pub(crate) fn refused(function: &str, types: &[SqlType]) -> Error {
    let shown: Vec<String> = types.iter().map(|sql_type| name(sql_type).to_uppercase()).collect();
    let function = function.trim_start_matches('$').to_uppercase();
    Error::usage("sql.types", format!("{function}({}) is not defined", shown.join(", ")))
        .hint("CAST the arguments to types that it takes; docs/reference/spark.md lists the functions")
}

/// Binds a function that is computed row by row.
pub(crate) fn bind(context: Context<'_>, def: &'static Def, args: Vec<Typed>) -> Result<Typed> {
    let most = def.takes.len();
    if args.len() < def.least || args.len() > most {
        let shown = def.name.trim_start_matches('$').to_uppercase();
        let wanted =
            if def.least == most { format!("{most} arguments") } else { format!("{} to {most} arguments", def.least) };
        return Err(arity(&shown, &wanted));
    }
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let mut found = Vec::with_capacity(args.len());
    for (index, arg) in args.into_iter().enumerate() {
        let takes = def.takes.get(index).or(def.takes.last()).copied().unwrap_or(Takes::Any);
        found.push(taken(context, arg, takes)?.ok_or_else(|| refused(def.name, &types))?);
    }
    let types: Vec<SqlType> = found.iter().map(|arg| arg.sql_type.clone()).collect();
    let result = match def.gives {
        Gives::Is(sql_type) => Some(sql_type.sql_type()),
        Gives::Like(index) => types.get(index).cloned(),
        Gives::By(by) => by(&types),
    };
    let result = result.ok_or_else(|| refused(def.name, &types))?;
    rows(context, def.name, found, result, def.nulls, def.run)
}

/// The call of a function that is computed row by row.
pub(crate) fn rows(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    result: SqlType,
    nulls: bool,
    run: RowRun,
) -> Result<Typed> {
    let kernel = Kernel::rows(name, result.clone(), true, context, run);
    let kernel = if nulls { kernel.with_nulls() } else { kernel };
    Ok(Typed::new(kernel.call(args.into_iter().map(|arg| (arg.expr, arg.sql_type))), result, true))
}

/// Arguments as the one type that they have in common.
pub(crate) fn common(context: Context<'_>, function: &str, args: Vec<Typed>) -> Result<(Vec<Typed>, SqlType)> {
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let common = widest(&types).ok_or_else(|| {
        let shown: Vec<String> = types.iter().map(|sql_type| name(sql_type).to_uppercase()).collect();
        let function = function.to_uppercase();
        Error::usage("sql.types", format!("the arguments of {function} have no common type: {}", shown.join(", ")))
            .hint("CAST them to one type")
    })?;
    let args = args.into_iter().map(|arg| as_type(context, arg, &common)).collect::<Result<Vec<_>>>()?;
    Ok((args, common))
}

/// An argument in a type; NULL of no type stays what it is where that has none either.
pub(crate) fn as_type(context: Context<'_>, arg: Typed, target: &SqlType) -> Result<Typed> {
    if arg.sql_type == SqlType::Null && *target != SqlType::Null {
        return null(target);
    }
    cast(context, arg, target, false)
}
