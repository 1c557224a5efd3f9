//! Rows of a table between two keys, as conditions of a WHERE clause.

use std::fmt;

use crate::ident::ident;

/// A key: the first columns of an index, each with a literal. Rows from it on are those that the index has there.
pub(super) type Key = Vec<(String, String)>;

/// Rows of a table by the values of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All of them.
    All,
    /// Up to but not with this key, and NULL.
    First { below: Key },
    /// From the first key on, below the second.
    Between { from: Key, below: Key },
    /// From this key on.
    Last { from: Key },
}

impl Range {
    /// The ranges between keys in ascending order.
    pub(super) fn between(bounds: &[Key]) -> Vec<Self> {
        let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else { return vec![Self::All] };
        let inner = bounds.windows(2).filter_map(|pair| match pair {
            [from, below] => Some(Self::Between { from: from.clone(), below: below.clone() }),
            _ => None,
        });
        std::iter::once(Self::First { below: first.clone() })
            .chain(inner)
            .chain(std::iter::once(Self::Last { from: last.clone() }))
            .collect()
    }
}

/// Rows from a key on (`>`, last `>=`), or below it (`<`): by the first column, and by the others where it is equal.
pub(super) fn compared(key: &[(String, String)], sign: char) -> String {
    let last = if sign == '>' { ">=" } else { "<" };
    match key {
        [] => "TRUE".to_owned(),
        [(column, value)] => format!("{} {last} {value}", ident(column)),
        [(column, value), rest @ ..] => {
            let column = ident(column);
            format!("({column} {sign} {value} OR ({column} = {value} AND {}))", compared(rest, sign))
        }
    }
}

/// The condition of a WHERE clause; nothing for all rows.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::First { below } => match below.as_slice() {
                [(column, _)] => write!(f, "{} OR {} IS NULL", compared(below, '<'), ident(column)),
                // The columns of a key that ranges are found for have no NULL.
                _ => f.write_str(&compared(below, '<')),
            },
            Self::Between { from, below } => write!(f, "{} AND {}", compared(from, '>'), compared(below, '<')),
            Self::Last { from } => f.write_str(&compared(from, '>')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&str]) -> Key {
        ["a", "b"].iter().zip(values).map(|(column, value)| ((*column).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ranges_leave_no_key_out() {
        let texts = |bounds: &[Key]| Range::between(bounds).iter().map(Range::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&[]), [""]);
        assert_eq!(texts(&[key(&["3"])]), ["`a` < 3 OR `a` IS NULL", "`a` >= 3"]);
        assert_eq!(
            texts(&[key(&["3"]), key(&["3", "'x'"])]),
            [
                "`a` < 3 OR `a` IS NULL",
                "`a` >= 3 AND (`a` < 3 OR (`a` = 3 AND `b` < 'x'))",
                "(`a` > 3 OR (`a` = 3 AND `b` >= 'x'))",
            ]
        );
    }
}
