//! A job as SQL: its statements run in the transaction that completes the job, so what they write is there exactly once.
//!
//! `:name` stands for a member of the payload's object, `:job_id` and `:payload` for what they say. Values are always
//! parameters of prepared statements, never text of the statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_change::{Error, Result};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Params, TxOpts, Value};
use serde_json::value::RawValue;

use crate::context::Context;
use crate::handler::{Failure, Handler, Outcome, Run};
use crate::job::Job;
use crate::queue::Queue;

/// What may be run: nothing that commits by itself.
const VERBS: [&str; 9] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "CALL", "DO", "SET"];

/// Runs statements for each job.
#[derive(Debug)]
pub struct Sql(Arc<[Statement]>);

/// A statement as the server prepares it.
#[derive(Debug, PartialEq)]
struct Statement {
    /// With `?` for each parameter.
    text: String,
    /// The names of the parameters.
    names: Vec<String>,
}

impl Sql {
    /// One statement each.
    ///
    /// # Errors
    /// `jobs.sql`: there is no statement, several in one text, one that would commit by itself, or a `?`.
    pub fn new(statements: &[String]) -> Result<Self> {
        if statements.is_empty() {
            return Err(Error::usage("jobs.sql", "there is no statement").hint("write one, or a list of them"));
        }
        statements.iter().map(|text| parse(text)).collect::<Result<_>>().map(Self)
    }
}

impl Handler for Sql {
    fn run(&self, job: Job, context: Context) -> Run {
        let statements = Arc::clone(&self.0);
        Box::pin(async move { run(&statements, &job, &context).await })
    }
}

async fn run(statements: &[Statement], job: &Job, context: &Context) -> Outcome {
    let values = bind(statements, job)?;
    let queue = context.queue();
    let mut conn = queue.session().await?;
    let number = conn.id();
    let done = tokio::select! {
        // A commit that has just come through counts.
        biased;
        done = in_transaction(&mut conn, statements, values, context) => done,
        reason = context.cancelled() => {
            kill(queue, number).await;
            return Err(Failure::Retry(format!("its transaction was rolled back ({reason:?})")));
        }
    };
    // A session that saw an error is dropped: what state it is in does not matter then.
    done?;
    queue.give_back(conn);
    Ok(())
}

async fn in_transaction(
    conn: &mut Conn,
    statements: &[Statement],
    values: Vec<Params>,
    context: &Context,
) -> Result<(), Failure> {
    let mut transaction =
        conn.start_transaction(TxOpts::default()).await.map_err(|error| query_error("begin a transaction", error))?;
    for (statement, values) in statements.iter().zip(values) {
        if let Err(error) = transaction.exec_drop(&statement.text, values).await {
            // The server rolls back at the end of the session at the latest.
            let _ = transaction.rollback().await;
            let text = super::head(&statement.text, 200);
            return Err(Failure::Retry(format!("the server refused the statement: {error}; {text}")));
        }
    }
    if let Err(error) = context.complete_in(&mut transaction).await {
        let _ = transaction.rollback().await;
        return Err(error.into());
    }
    transaction.commit().await.map_err(|error| query_error("commit the job", error))?;
    Ok(())
}

/// Ends a session whose statement still runs, so that its locks are gone before the job's next try.
async fn kill(queue: &Queue, session: u32) {
    if let Ok(mut conn) = queue.session().await
        && conn.query_drop(format!("KILL {session}")).await.is_ok()
    {
        queue.give_back(conn);
    }
}

/// The values of all statements; what is missing is known before anything runs.
fn bind(statements: &[Statement], job: &Job) -> Result<Vec<Params>> {
    let members = members(&job.payload);
    let value = |name: &String| match name.as_str() {
        "job_id" => Ok(Value::UInt(job.id)),
        "payload" => Ok(Value::Bytes(job.payload.as_bytes().to_vec())),
        name => match members.get(name) {
            Some(member) => value(member),
            None => Err(Error::data("jobs.parameter", format!("the payload has no member '{name}'"))
                .detail(format!("it is used by the statement of {}", job.job_type))),
        },
    };
    let bind = |statement: &Statement| match statement.names.as_slice() {
        [] => Ok(Params::Empty),
        names => names.iter().map(value).collect::<Result<_>>().map(Params::Positional),
    };
    statements.iter().map(bind).collect()
}

/// The top-level members of a payload, unread; none where it is no object.
fn members(payload: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(payload).unwrap_or_default()
}

/// A member as SQL: nothing is rounded, so a number that is not a 64-bit integer goes as its digits.
fn value(member: &RawValue) -> Result<Value> {
    let text = member.get();
    let as_text = || Value::Bytes(text.as_bytes().to_vec());
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::NULL,
        Some(b't') => Value::Int(1),
        Some(b'f') => Value::Int(0),
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|error| {
                Error::data("jobs.parameter", "a text of the payload cannot be read").detail(error.to_string())
            })?;
            Value::Bytes(text.into_bytes())
        }
        Some(b'{' | b'[') => as_text(),
        _ => text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::UInt)).unwrap_or_else(|_| as_text()),
    })
}

/// Reads `:name` outside of quotes and comments.
fn parse(sql: &str) -> Result<Statement> {
    let mut statement = Statement { text: String::with_capacity(sql.len()), names: Vec::new() };
    let mut rest = sql.trim();
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let length = match first {
            '\'' | '"' | '`' => quoted(rest, first),
            '#' => line(rest),
            '-' if rest.starts_with("--") && rest.chars().nth(2).is_none_or(|c| c.is_whitespace()) => line(rest),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '?' => {
                return Err(Error::usage("jobs.sql", "a statement has a parameter without a name")
                    .hint("write :name, which is taken from the payload"));
            }
            ';' if after.trim().is_empty() => break,
            ';' => {
                return Err(Error::usage("jobs.sql", "there are several statements in one text")
                    .hint("write a list: sql = [\"…\", \"…\"]"));
            }
            ':' if name_length(after) > 0 => {
                let length = name_length(after);
                statement.text.push('?');
                statement.names.push(after.get(..length).unwrap_or_default().to_owned());
                rest = after.get(length..).unwrap_or_default();
                continue;
            }
            other => other.len_utf8(),
        };
        statement.text.push_str(rest.get(..length).unwrap_or(rest));
        rest = rest.get(length..).unwrap_or_default();
    }
    let word = statement.text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let verb = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
    let variable =
        verb != "SET" || word.get(3..).is_some_and(|rest| rest.trim_start().starts_with('@') && !rest.contains("@@"));
    if !VERBS.contains(&verb.as_str()) || !variable {
        return Err(Error::usage("jobs.sql", format!("'{}' may not be run by a job", super::head(word, 40)))
            .detail(format!(
                "it may begin with {}, as it must not commit by itself or change its session",
                VERBS.join(", ")
            ))
            .hint("use a command for other statements"));
    }
    Ok(statement)
}

/// Bytes of a quoted part with its quotes; to the end where it is not closed, which the server will tell.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            // A doubled quote ends one part and begins the next one.
            _ if c == quote && !escaped => return at + 1,
            '\\' if quote != '`' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

fn name_length(text: &str) -> usize {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { word }
}

#[cfg(test)]
mod tests;
