//! Identifiers in SQL text: this quoting is the only way a name gets into a statement.

use std::fmt;

/// A name that prints itself quoted: backquotes around it, backquotes inside doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifier<'a>(&'a str);

/// `name` as an identifier.
pub fn ident(name: &str) -> Identifier<'_> {
    Identifier(name)
}

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.replace('`', "``"))
    }
}

#[cfg(test)]
mod tests {
    use super::ident;

    #[test]
    fn a_backquote_cannot_end_a_name() {
        assert_eq!(ident("a`b").to_string(), "`a``b`");
        assert_eq!(ident("order").to_string(), "`order`");
    }
}
