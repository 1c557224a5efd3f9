//! Character classes of Java's regular expressions: `[a-c\d]`, `\p{L}`, `\s`, written out in the syntax of `regex`. Java
//! knows no `[:alpha:]`, takes `[` inside for a class of its own, and case-insensitive means the letters of ASCII.

use std::fmt::Write;

use super::translate::Letters;

/// A set of characters in the syntax of `regex`, as it stands inside of brackets.
pub(super) type Set = String;

/// What `\h` and `\v` are.
const BLANKS: &str = r"\x20\t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}";
const BREAKS: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";

/// Names that `\p{…}` takes for characters of ASCII.
const POSIX: &[(&str, &str)] = &[
    ("Lower", "a-z"),
    ("Upper", "A-Z"),
    ("ASCII", r"\x00-\x7F"),
    ("Alpha", "a-zA-Z"),
    ("Digit", "0-9"),
    ("Alnum", "a-zA-Z0-9"),
    ("Punct", r"!-/:-@\[-`\{-~"),
    ("Graph", "!-~"),
    ("Print", r"\x20-~"),
    ("Blank", r"\x20\t"),
    ("Cntrl", r"\x00-\x1F\x7F"),
    ("XDigit", "0-9a-fA-F"),
    ("Space", r"\x20\t\n\x0B\f\r"),
];

/// General categories and scripts that both know by one name.
const CATEGORIES: &[&str] = &[
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi",
    "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp",
];
const SCRIPTS: &[&str] =
    &["Latin", "Greek", "Cyrillic", "Hangul", "Han", "Hiragana", "Katakana", "Arabic", "Hebrew", "Thai", "Devanagari"];

/// The set of `\d` and its kin; `None` where the letter is none of them.
pub(super) fn of_escape(letter: char) -> Option<Set> {
    let set = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "a-zA-Z_0-9",
        's' => r"\x20\t\n\x0B\f\r",
        'h' => BLANKS,
        'v' => BREAKS,
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() { format!("[^{set}]") } else { set.to_owned() })
}

/// The set of `\p{name}`, behind the `p` or `P`.
pub(super) fn of_property(letters: &mut Letters<'_>, negated: bool, any_case: bool) -> Result<Set, String> {
    let name: String = match letters.next() {
        Some('{') => letters.by_ref().take_while(|letter| *letter != '}').collect(),
        Some(letter) => letter.to_string(),
        None => return Err("it ends with \\p".to_owned()),
    };
    let cased = matches!(name.as_str(), "Lower" | "Upper" | "Lu" | "Ll" | "Lt");
    let script = name.strip_prefix("Is").filter(|script| SCRIPTS.contains(script));
    let set = match POSIX.iter().find(|(known, _)| *known == name) {
        _ if cased && any_case => None,
        Some((_, set)) => Some((*set).to_owned()),
        None if CATEGORIES.contains(&name.as_str()) => Some(format!(r"\p{{{name}}}")),
        None if name == "IsAlphabetic" => Some(r"\p{Alphabetic}".to_owned()),
        None => script.map(|script| format!(r"\p{{Script={script}}}")),
    };
    let set = set.ok_or_else(|| format!("\\p{{{name}}} is not supported"))?;
    Ok(if negated { format!("[^{set}]") } else { set })
}

/// The rest of a class behind its `[`, up to and with its `]`.
pub(super) fn of_brackets(letters: &mut Letters<'_>, any_case: bool) -> Result<String, String> {
    let mut out = String::from("[");
    if letters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut empty = true;
    loop {
        let letter = letters.next().ok_or("a class is not closed")?;
        match letter {
            ']' if !empty => break,
            '[' => out.push_str(&of_brackets(letters, any_case)?),
            '&' if letters.peek() == Some(&'&') => {
                return Err("operations of character classes are not supported".to_owned());
            }
            _ => match member(letter, letters, any_case)? {
                Member::Set(set) => out.push_str(&set),
                Member::One(from) => range(from, letters, any_case, &mut out)?,
            },
        }
        empty = false;
    }
    out.push(']');
    Ok(out)
}

enum Member {
    One(char),
    Set(Set),
}

fn member(letter: char, letters: &mut Letters<'_>, any_case: bool) -> Result<Member, String> {
    if letter != '\\' {
        return Ok(Member::One(letter));
    }
    let escaped = letters.next().ok_or("it ends with a backslash")?;
    if let Some(set) = of_escape(escaped) {
        return Ok(Member::Set(set));
    }
    match escaped {
        'p' | 'P' => of_property(letters, escaped == 'P', any_case).map(Member::Set),
        _ => super::translate::escaped(escaped, letters).map(Member::One),
    }
}

/// One character, or a range from it.
fn range(from: char, letters: &mut Letters<'_>, any_case: bool, out: &mut String) -> Result<(), String> {
    let mut ahead = letters.clone();
    let ranges = ahead.next() == Some('-') && !matches!(ahead.peek(), None | Some(']' | '['));
    let to = if ranges {
        letters.next();
        let letter = letters.next().ok_or("a class is not closed")?;
        match member(letter, letters, any_case)? {
            Member::One(to) if from <= to => to,
            Member::One(_) => return Err("a range of a class ends before it begins".to_owned()),
            Member::Set(_) => return Err("a range of a class ends with a class".to_owned()),
        }
    } else {
        from
    };
    push(from, to, out);
    if any_case {
        for (least, greatest, other) in [('a', 'z', 'A'), ('A', 'Z', 'a')] {
            let (low, high) = (from.max(least), to.min(greatest));
            let turned = |letter: char| char::from_u32(letter as u32 - least as u32 + other as u32);
            if let (true, Some(low), Some(high)) = (low <= high, turned(low), turned(high)) {
                push(low, high, out);
            }
        }
    }
    Ok(())
}

fn push(from: char, to: char, out: &mut String) {
    // Writing to a text does not fail.
    let _ = if from == to {
        write!(out, "\\x{{{:X}}}", from as u32)
    } else {
        write!(out, "\\x{{{:X}}}-\\x{{{:X}}}", from as u32, to as u32)
    };
}
