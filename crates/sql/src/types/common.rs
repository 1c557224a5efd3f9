//! The common type of operands, branches, rows of VALUES and inputs of UNION, by Flink's rules (Calcite's
//! `leastRestrictive`, with Flink's type system). There is no other place that decides it.

use super::{SqlType, UNBOUNDED};

/// Most digits of a decimal.
const DIGITS_MAX: u8 = 38;

/// The type that values of all `types` are given as, or `None` where Flink has none: such an expression is refused.
pub(crate) fn common_type<'a>(types: impl IntoIterator<Item = &'a SqlType>) -> Option<SqlType> {
    let mut types = types.into_iter();
    let first = types.next()?.clone();
    types.try_fold(first, |common, next| common_of_two(&common, next))
}

fn common_of_two(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use SqlType::{Binary, Char, Decimal, Double, Float, Null, Time, Timestamp, TimestampLtz, VarBinary, VarChar};
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (Null, other) | (other, Null) => other.clone(),
        (Char(a) | VarChar(a), Char(b) | VarChar(b)) => VarChar(*a.max(b)),
        (Binary(a) | VarBinary(a), Binary(b) | VarBinary(b)) => VarBinary(*a.max(b)),
        (Float | Double, Float | Double) => Double,
        (approximate, exact) | (exact, approximate) if approximate.is_approximate() && exact.digits().is_some() => {
            // Calcite keeps FLOAT beside whole numbers and takes DOUBLE beside decimals.
            if matches!(exact, Decimal(..)) { Double } else { approximate.clone() }
        }
        (a, b) if a.is_integer() && b.is_integer() => {
            if a.digits() > b.digits() {
                a.clone()
            } else {
                b.clone()
            }
        }
        (a, b) if a.digits().is_some() && b.digits().is_some() => {
            let ((p1, s1), (p2, s2)) = (a.digits()?, b.digits()?);
            // Whole digits are kept where not both fit.
            let whole = (p1 - s1).max(p2 - s2);
            let scale = s1.max(s2).min(DIGITS_MAX - whole);
            Decimal(whole + scale, scale)
        }
        (Time(a), Time(b)) => Time(*a.max(b)),
        (Timestamp(a), Timestamp(b)) => Timestamp(*a.max(b)),
        (TimestampLtz(a), TimestampLtz(b)) => TimestampLtz(*a.max(b)),
        // The one with more digits, and the one with a zone where both have as many.
        (TimestampLtz(a), Timestamp(b)) | (Timestamp(b), TimestampLtz(a)) => {
            if a >= b {
                TimestampLtz(*a)
            } else {
                Timestamp(*b)
            }
        }
        _ => return None,
    })
}

/// Length in characters of a text type, `UNBOUNDED` for others.
pub(crate) fn character_length(sql_type: &SqlType) -> u32 {
    match sql_type {
        SqlType::Char(length) | SqlType::VarChar(length) => *length,
        _ => UNBOUNDED,
    }
}

/// Length in bytes of a binary type, `UNBOUNDED` for others.
pub(crate) fn binary_length(sql_type: &SqlType) -> u32 {
    match sql_type {
        SqlType::Binary(length) | SqlType::VarBinary(length) => *length,
        _ => UNBOUNDED,
    }
}
