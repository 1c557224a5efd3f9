//! `CREATE SCHEDULE`, `DROP SCHEDULE`, `SHOW SCHEDULES`: statements that run at the times of a pattern.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Parsed, Reader, Statement, expect_word, word};

/// `CREATE SCHEDULE name CRON '…' [TIME ZONE '…'] [CATCH UP ALL | ONE | NONE] AS statement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSchedule {
    /// Its name.
    pub name: String,
    /// Whether one of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name stays as it is.
    pub if_not_exists: bool,
    /// Five fields, or six with seconds first.
    pub cron: String,
    /// IANA name; UTC without.
    pub time_zone: Option<String>,
    /// `ALL`, `ONE` or `NONE`.
    pub catch_up: Option<String>,
    /// The statement, with its variables.
    pub statement: String,
}

/// A statement of schedules, where one begins here.
pub(super) fn statement(parser: &mut Reader<'_>) -> Parsed<Option<Statement>> {
    let is = |parser: &Reader<'_>, at: usize, wanted: &str| matches!(&parser.peek_nth_token(at).token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted));
    if is(parser, 0, "SHOW") && is(parser, 1, "SCHEDULES") {
        parser.next_token();
        parser.next_token();
        return Ok(Some(Statement::ShowSchedules));
    }
    if is(parser, 0, "DROP") && is(parser, 1, "SCHEDULE") {
        parser.next_token();
        parser.next_token();
        let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        return Ok(Some(Statement::DropSchedule { name: parser.parse_identifier()?.value, if_exists }));
    }
    let replaces = is(parser, 1, "OR") && is(parser, 2, "REPLACE");
    if is(parser, 0, "CREATE") && is(parser, if replaces { 3 } else { 1 }, "SCHEDULE") {
        return create(parser).map(Some);
    }
    Ok(None)
}

fn create(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    parser.next_token();
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_identifier()?.value;
    expect_word(parser, "CRON")?;
    let cron = parser.parse_literal_string()?;
    let mut time_zone = None;
    if parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
        time_zone = Some(parser.parse_literal_string()?);
    }
    let mut catch_up = None;
    if word(parser, "CATCH") {
        expect_word(parser, "UP")?;
        let token = parser.peek_token();
        catch_up = ["ALL", "ONE", "NONE"].into_iter().find(|manner| word(parser, manner)).map(str::to_owned);
        if catch_up.is_none() {
            return parser.expected("ALL, ONE or NONE", token);
        }
    }
    parser.expect_keyword(Keyword::AS)?;
    let first = parser.peek_token();
    let (begins, statement) = parser.with_text(|parser| {
        let begins = ["INSERT", "EXECUTE", "BEGIN", "WITH", "SELECT"].iter().any(
            |verb| matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case(verb)),
        );
        while parser.peek_token_ref().token != Token::EOF {
            parser.next_token();
        }
        Ok(begins)
    })?;
    if !begins {
        return parser.expected("an INSERT, a statement set or a query", first);
    }
    let created = CreateSchedule {
        name,
        or_replace,
        if_not_exists,
        cron,
        time_zone,
        catch_up,
        statement: statement.trim().to_owned(),
    };
    Ok(Statement::CreateSchedule(Box::new(created)))
}
