//! Java's regular expressions by the crate `regex`, which takes time in proportion to text and expression whatever they are.
//! [`translate`](super::translate) writes them in its syntax; here is what depends on the text.

use datafusion::common::{Result as Planned, exec_err};
use regex::Regex;

use super::translate::{Dollar, translate};

/// Characters that end a line for `.` and `$`.
pub(super) const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// Where the groups of a match begin and end, the whole match first.
pub(crate) type Groups = Vec<Option<(usize, usize)>>;

/// A compiled expression.
pub(crate) struct JavaRegex {
    regex: Regex,
    groups: usize,
    dollar: Dollar,
    /// What `\b` takes for a part of a word and Java does not, or the other way round.
    disputed: Option<Regex>,
    halves: bool,
}

/// Characters that are two in Java.
fn beyond(letter: char) -> bool {
    letter > '\u{FFFF}'
}

fn compiled(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        let shown = error.to_string();
        format!("not supported: {}", shown.lines().last().unwrap_or_default().trim_start_matches("error: "))
    })
}

impl JavaRegex {
    /// With `whole` the whole text must match.
    pub(crate) fn compile(text: &str, whole: bool) -> Result<Self, String> {
        let translated = translate(text)?;
        let groups = compiled(&translated.regex)?.captures_len();
        let regex = match translated.dollar {
            // Before the last line end, or at the end.
            Dollar::Last if !whole => {
                let before = translated.regex.strip_suffix('$').unwrap_or_default();
                format!(r"(?:{before})([\n\r\x{{85}}\x{{2028}}\x{{2029}}])?\z")
            }
            _ if whole => format!(r"\A(?:{})\z", translated.regex),
            _ => translated.regex,
        };
        let disputed =
            if translated.words { Some(compiled(r"[\w--[\p{L}\p{Nd}_]]|[\p{L}\p{Nd}_--\w]")?) } else { None };
        Ok(Self { regex: compiled(&regex)?, groups, dollar: translated.dollar, disputed, halves: translated.halves })
    }

    fn check(&self, text: &str, dollar_is_told: bool) -> Planned<()> {
        if self.halves && text.chars().any(beyond) {
            return exec_err!("a text with characters beyond U+FFFF cannot be matched by such an expression");
        }
        let told = self.dollar == Dollar::Last && dollar_is_told && !text.ends_with("\r\n");
        if self.dollar != Dollar::None && !told && text.ends_with(LINE_ENDS) {
            return exec_err!("a text that ends with a line end cannot be matched by such an expression with $");
        }
        if let Some(found) = self.disputed.as_ref().and_then(|disputed| disputed.find(text)) {
            return exec_err!("a text with {:?} cannot be matched by an expression with \\b", found.as_str());
        }
        Ok(())
    }

    pub(crate) fn is_match(&self, text: &str) -> Planned<bool> {
        self.check(text, true)?;
        Ok(self.regex.is_match(text))
    }

    /// How many groups there are, the whole match included.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// All matches, each with where its groups begin and end.
    pub(crate) fn matches(&self, text: &str) -> Planned<Vec<Groups>> {
        self.check(text, false)?;
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(captures) = (from <= text.len()).then(|| self.regex.captures_at(text, from)).flatten() {
            let Some(whole) = captures.get(0) else { break };
            if whole.is_empty() && text.get(whole.start()..).is_some_and(|rest| rest.starts_with(beyond)) {
                return exec_err!("nothing cannot be found before a character beyond U+FFFF");
            }
            let group = |index| captures.get(index).map(|group| (group.start(), group.end()));
            found.push((0..self.groups).map(group).collect());
            let next = text.get(whole.end()..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            from = if whole.is_empty() { whole.end() + next } else { whole.end() };
        }
        Ok(found)
    }

    /// A group of the first match.
    pub(super) fn group<'a>(&self, text: &'a str, group: i32) -> Planned<Option<&'a str>> {
        self.check(text, true)?;
        let Some(index) = usize::try_from(group).ok().filter(|index| *index < self.groups) else {
            return Ok(None);
        };
        let Some(found) = self.regex.captures(text) else { return Ok(None) };
        let Some(group) = found.get(index) else { return Ok(None) };
        // The line end behind a match is not a part of it.
        let end = match found.get(self.groups) {
            Some(line_end) if index == 0 => line_end.start(),
            _ => group.end(),
        };
        Ok(text.get(group.start()..end))
    }

    /// Appends the text with all matches replaced by the replacement as it is.
    pub(super) fn replace(&self, text: &str, replacement: &str, out: &mut String) -> Planned<()> {
        self.check(text, false)?;
        // As in Java nothing may be found right behind a match, but not twice at one place.
        let (mut end, mut from) = (0, 0);
        while let Some(found) = (from <= text.len()).then(|| self.regex.find_at(text, from)).flatten() {
            if found.is_empty() && text.get(found.start()..).is_some_and(|rest| rest.starts_with(beyond)) {
                // Java goes on between the halves of the character.
                return exec_err!("nothing cannot be replaced before a character beyond U+FFFF");
            }
            out.push_str(text.get(end..found.start()).unwrap_or_default());
            out.push_str(replacement);
            end = found.end();
            let next = text.get(end..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            from = if found.is_empty() { end + next } else { end };
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(regex: &str, text: &str) -> bool {
        JavaRegex::compile(regex, true).unwrap().is_match(text).unwrap()
    }

    #[test]
    fn what_java_means_otherwise_is_refused() {
        let refused = [
            "(a)\\1",
            "(?=a)b",
            "(?<=a)b",
            "(?>a)",
            "a*+b",
            "a**",
            "{2}",
            "a{,2}",
            "(?m)^a",
            "(?x)a",
            "(a*)*",
            "(|a)+",
            "\\p{Foo}",
            "(?i)\\p{Lu}",
            "a{2",
            "[a&&b]",
            "\\",
            "[b-a]",
            "[",
            "(",
            ")",
            "\\Z",
            "\\G",
            "\\y",
            "^*",
        ];
        for text in refused {
            assert!(JavaRegex::compile(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn digits_and_words_are_ascii_and_a_dot_is_no_line_end() {
        assert!(matches(r"\d+", "42") && !matches(r"\d+", "٤٢"));
        assert!(matches(r"\w+", "a_1") && !matches(r"\w+", "é"));
        assert!(matches("a.c", "abc") && !matches("a.c", "a\rc") && matches("(?s)a.c", "a\rc"));
    }

    #[test]
    fn case_is_that_of_ascii_and_flags_end_with_their_group() {
        assert!(matches("(?i)ab", "AB") && !matches("(?i)é", "É"));
        assert!(matches("(?i:a)b", "Ab") && !matches("(?i:a)b", "AB"));
        assert!(matches("(?i)[b-d]", "C") && matches("(?i)[^b]", "C") && !matches("(?i)[^b]", "B"));
    }

    #[test]
    fn brackets_hold_brackets_and_no_names() {
        assert!(matches("[[:alpha:]]", "l") && !matches("[[:alpha:]]", "b"));
        assert!(matches("[]a]", "]") && matches("[a-]", "-") && matches("[a[bc]]", "c") && matches("[\\d.]", "."));
    }

    #[test]
    fn a_dollar_also_stands_before_the_last_line_end() {
        let regex = JavaRegex::compile("(b)c$", false).unwrap();
        assert_eq!(regex.group("abc\n", 0).unwrap(), Some("bc"));
        assert_eq!(regex.group("abc\n", 1).unwrap(), Some("b"));
        assert_eq!(regex.group("abc\n", 2).unwrap(), None);
        assert!(!regex.is_match("abc\n\n").unwrap());
        assert!(regex.is_match("abc\r\n").is_err() && regex.replace("abc\n", "", &mut String::new()).is_err());
        assert!(JavaRegex::compile("a$|b", false).unwrap().is_match("a\n").is_err());
    }

    #[test]
    fn a_replacement_is_taken_as_it_is() {
        let mut out = String::new();
        JavaRegex::compile("(a)(b)?", false).unwrap().replace("xab", "[$1\\]", &mut out).unwrap();
        assert_eq!(out, "x[$1\\]");
        assert!(JavaRegex::compile("b*", false).unwrap().replace("😀", "", &mut out).is_err());
        out.clear();
        JavaRegex::compile(".*", false).unwrap().replace("😀", "<>", &mut out).unwrap();
        assert_eq!(out, "<><>");
        assert!(JavaRegex::compile("[^\\p{L}]", false).unwrap().is_match("𝒜").is_err());
    }
}
