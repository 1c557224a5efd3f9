//! Java's regular expressions by the crate `regex`. Where both write the same and mean the same the text is kept; `\d`,
//! `\w`, `\s`, `.` are written out as Java has them; what means something else there, or has no counterpart
//! (back-references, look-around, possessive quantifiers, flags), is refused.

use datafusion::common::{Result as Planned, exec_err};
use regex::Regex;

/// Characters that end a line for `.` and `$`.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// A compiled expression.
pub(super) struct JavaRegex {
    regex: Regex,
    /// It has a `$`, which in Java also matches before a line end at the end of the text.
    dollar: bool,
}

impl JavaRegex {
    /// With `whole` the whole text must match.
    pub(super) fn compile(text: &str, whole: bool) -> Result<Self, String> {
        let (translated, dollar) = translate(text)?;
        let translated = if whole { format!(r"\A(?:{translated})\z") } else { translated };
        let regex = Regex::new(&translated).map_err(|error| {
            let shown = error.to_string();
            format!("not supported: {}", shown.lines().last().unwrap_or_default().trim_start_matches("error: "))
        })?;
        Ok(Self { regex, dollar })
    }

    fn check(&self, text: &str) -> Planned<()> {
        if self.dollar && text.ends_with(LINE_ENDS) {
            return exec_err!("a text that ends with a line end cannot be matched by an expression with $");
        }
        Ok(())
    }

    pub(super) fn is_match(&self, text: &str) -> Planned<bool> {
        self.check(text)?;
        Ok(self.regex.is_match(text))
    }

    /// A group of the first match.
    pub(super) fn group<'a>(&self, text: &'a str, group: i32) -> Planned<Option<&'a str>> {
        self.check(text)?;
        let Some(index) = usize::try_from(group).ok().filter(|index| *index < self.regex.captures_len()) else {
            return Ok(None);
        };
        Ok(self.regex.captures(text).and_then(|found| found.get(index)).map(|found| found.as_str()))
    }

    /// Appends the text with all matches replaced.
    pub(super) fn replace(&self, text: &str, replacement: &str, out: &mut String) -> Planned<()> {
        self.check(text)?;
        let parts = replacement_parts(replacement, self.regex.captures_len())?;
        let mut end = 0;
        for found in self.regex.captures_iter(text) {
            let Some(all) = found.get(0) else { continue };
            out.push_str(text.get(end..all.start()).unwrap_or_default());
            for part in &parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Group(index) => out.push_str(found.get(*index).map_or("", |group| group.as_str())),
                }
            }
            end = all.end();
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Ok(())
    }
}

enum Part {
    Text(String),
    Group(usize),
}

/// `$1` is a group, `\x` is x.
fn replacement_parts(text: &str, groups: usize) -> Planned<Vec<Part>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next) => literal.push(next),
                None => return exec_err!("the replacement '{text}' ends with a backslash"),
            },
            '$' => {
                let Some(mut group) = letters.next().and_then(|digit| digit.to_digit(10)).map(|digit| digit as usize)
                else {
                    return exec_err!("a $ of the replacement '{text}' is followed by no group's number");
                };
                // As many digits as name a group that there is.
                while let Some(digit) = letters.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer >= groups {
                        break;
                    }
                    group = longer;
                    letters.next();
                }
                if group >= groups {
                    return exec_err!("the replacement '{text}' names the group {group}, which is not there");
                }
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(Part::Group(group));
            }
            other => literal.push(other),
        }
    }
    parts.push(Part::Text(literal));
    Ok(parts)
}

/// The expression in the syntax of `regex`, and whether it has a `$`.
fn translate(text: &str) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    let (mut in_class, mut dollar, mut quantified) = (0_usize, false, false);
    while let Some(letter) = letters.next() {
        let quantifier = in_class == 0 && matches!(letter, '*' | '+' | '?' | '}');
        match letter {
            '+' if quantified => return Err("possessive quantifiers are not supported".to_owned()),
            '\\' => {
                let next = letters.next().ok_or("it ends with a backslash")?;
                out.push_str(&escape(next, in_class > 0)?);
            }
            '[' => {
                in_class += 1;
                out.push('[');
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                out.push(']');
            }
            '&' | '-' | '~' if in_class > 0 && letters.peek() == Some(&letter) => {
                return Err("operations of character classes are not supported".to_owned());
            }
            '(' if in_class == 0 && letters.peek() == Some(&'?') => {
                letters.next();
                match letters.peek() {
                    Some(':') => out.push_str("(?"),
                    _ => return Err("groups that begin with (? other than (?: are not supported".to_owned()),
                }
            }
            '.' if in_class == 0 => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            '$' if in_class == 0 => {
                dollar = true;
                out.push('$');
            }
            other => out.push(other),
        }
        // `a*?` is a reluctant quantifier in both, `a*+` a possessive one in Java alone.
        quantified = quantifier && !(quantified && letter == '?');
    }
    Ok((out, dollar))
}

fn escape(letter: char, in_class: bool) -> Result<String, String> {
    let class = |inside: &str| if in_class { inside.to_owned() } else { format!("[{inside}]") };
    Ok(match letter {
        'd' => class("0-9"),
        'w' => class("a-zA-Z_0-9"),
        's' => class(r" \t\n\x0B\f\r"),
        'D' => "[^0-9]".to_owned(),
        'W' => "[^a-zA-Z_0-9]".to_owned(),
        'S' => r"[^ \t\n\x0B\f\r]".to_owned(),
        't' | 'n' | 'r' | 'f' => format!("\\{letter}"),
        _ if letter.is_ascii_punctuation() => format!("\\{letter}"),
        _ => return Err(format!("\\{letter} is not supported")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_means_otherwise_is_refused() {
        for text in ["(a)\\1", "(?=a)b", "a*+b", "(?i)a", "\\bword", "\\p{L}", "[a&&b]", "\\"] {
            assert!(JavaRegex::compile(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn digits_and_words_are_ascii_and_a_dot_is_no_line_end() {
        let matches = |regex: &str, text: &str| JavaRegex::compile(regex, true).unwrap().is_match(text).unwrap();
        assert!(matches(r"\d+", "42") && !matches(r"\d+", "٤٢"));
        assert!(matches(r"\w+", "a_1") && !matches(r"\w+", "é"));
        assert!(matches("a.c", "abc") && !matches("a.c", "a\rc"));
        assert!(JavaRegex::compile("a$", false).unwrap().is_match("a\n").is_err());
    }

    #[test]
    fn groups_of_a_replacement_are_those_that_there_are() {
        let mut out = String::new();
        JavaRegex::compile("(a)(b)?", false).unwrap().replace("xab", "[$1$2\\$]$10", &mut out).unwrap();
        assert_eq!(out, "x[ab$]a0");
    }
}
