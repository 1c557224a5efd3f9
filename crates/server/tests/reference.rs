//! The reference pages are made from the same tables that the program checks options with, so they cannot be out of
//! date: this test fails when they are. `HEADWATER_UPDATE_DOCS=1 cargo test -p headwater-server --test reference` writes
//! them anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;

use headwater_change::{Metric, OptionKind, OptionSpec};
use headwater_server::connectors::CONNECTORS;
use headwater_sql::{Dialect, SETTINGS, function_names};
use headwater_testkit::repository;

fn check(name: &str, text: &str) {
    let path = repository().join("docs/reference").join(name);
    if std::env::var_os("HEADWATER_UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/reference/{name} is out of date: run with HEADWATER_UPDATE_DOCS=1");
}

fn kind(kind: OptionKind) -> String {
    match kind {
        OptionKind::Text => "text".to_owned(),
        OptionKind::Secret => "secret text".to_owned(),
        OptionKind::Bool => "`true` or `false`".to_owned(),
        OptionKind::Integer => "whole number".to_owned(),
        OptionKind::Number => "number".to_owned(),
        OptionKind::Duration => "duration (`200 ms`, `30s`, `5 min`)".to_owned(),
        OptionKind::Size => "size (`64kb`, `128mb`)".to_owned(),
        OptionKind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        OptionKind::Unsupported => "not supported yet".to_owned(),
    }
}

fn options(specs: &[OptionSpec], out: &mut String) {
    out.push_str("| option | value | default | |\n|---|---|---|---|\n");
    for spec in specs.iter().filter(|spec| spec.kind != OptionKind::Unsupported) {
        let default = match (spec.required, spec.default) {
            (_, Some(value)) => format!("`{value}`"),
            (true, None) => "required".to_owned(),
            (false, None) => String::new(),
        };
        writeln!(out, "| `{}` | {} | {default} | {} |", spec.name, kind(spec.kind), spec.about).unwrap();
    }
    let unsupported: Vec<String> = specs
        .iter()
        .filter(|spec| spec.kind == OptionKind::Unsupported)
        .map(|spec| format!("`{}`", spec.name))
        .collect();
    if !unsupported.is_empty() {
        writeln!(out, "\nKnown but not supported yet, an error when given: {}.", unsupported.join(", ")).unwrap();
    }
}

#[test]
fn connectors_page_is_what_the_program_checks() {
    let mut page =
        "# Connectors\n\nMade from the tables that options are checked with. An option that is not listed is an \
                    error that names the listed ones.\n"
            .to_owned();
    for connector in CONNECTORS {
        let use_ = match (connector.reads(), connector.writes()) {
            (true, true) => "source and sink",
            (true, false) => "source",
            _ => "sink",
        };
        writeln!(page, "\n## `{}` ({use_})\n", connector.name).unwrap();
        if connector.options.is_empty() {
            page.push_str("No options.\n");
        } else {
            options(connector.options, &mut page);
        }
    }
    check("connectors.md", &page);
}

#[test]
fn settings_page_is_what_set_accepts() {
    let mut page = "# Settings\n\nKeys of `SET 'key' = 'value'`, with Flink's names.\n\n".to_owned();
    options(SETTINGS, &mut page);
    check("settings.md", &page);
}

/// A case that Flink or Spark answered: its full name, and the query in upper case.
fn compared_cases(dialect: &str) -> Vec<(String, String)> {
    let folder = repository().join(format!("tests/compat/{dialect}/expr"));
    let mut cases = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let (text, family) = (std::fs::read_to_string(file).unwrap(), file.file_stem().unwrap().to_str().unwrap());
        let mut before = "";
        for part in text.split("\"sql\": \"") {
            if !before.is_empty() {
                // The name is the last string before the braces, the query ends at a quote that is not escaped.
                let name =
                    before.trim_end().trim_end_matches(['{', ' ', '\n']).trim_end_matches(':').trim_end_matches('"');
                let name = name.rsplit_once(['\n', '{']).map_or(name, |(_, name)| name).trim().trim_start_matches('"');
                let mut ends = part.match_indices('"').filter(|(at, _)| !part[..*at].ends_with('\\'));
                let end = ends.next().map_or(part.len(), |(at, _)| at);
                cases.push((format!("{family}/{}", name.replace("\\\"", "\"")), part[..end].to_uppercase()));
            }
            before = part;
        }
    }
    cases
}

fn calls(query: &str, function: &str) -> bool {
    let call = format!("{function}(");
    query
        .match_indices(&call)
        .any(|(at, _)| !query[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_'))
}

#[test]
fn functions_page_is_what_queries_may_call() {
    let mut page = "# Functions\n\nWith Flink's meaning; a function that is not listed is refused by name. *Compared* counts the \
                    answers of Flink 2.3 in `tests/compat/flink/expr` in which the function is called; each is an answer of ours, \
                    too, or is listed there with a reason. `CASE`, `CAST`, `TRY_CAST`, `IN`, `BETWEEN`, `LIKE`, `SIMILAR TO`, \
                    `IS [NOT] …`, `||`, arithmetic and comparison are compared in the same place.\n"
        .to_owned();
    functions(Dialect::Flink, "flink", &mut page);
    page.push_str(
        "\n## Windows\n\n`TUMBLE` in `GROUP BY` with `TUMBLE_START`, `TUMBLE_END`, `TUMBLE_ROWTIME`, and as a table function \
         `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND [, offset]))`. Functions OVER a window of rows, in batch \
         mode: [SQL](sql.md).\n",
    );
    check("functions.md", &page);
}

#[test]
fn spark_page_is_what_queries_of_spark_may_call() {
    let mut page = "# Functions of the Spark dialect\n\nWith Spark's meaning (4.x, ANSI on unless `spark.sql.ansi.enabled` is \
                    false); a function that is not listed is refused by name. *Compared* counts the answers of Spark 4.3 in \
                    `tests/compat/spark/expr` in which the function is called; each is an answer of ours, too, or is listed \
                    there with a reason. Statements and forms of queries: [SQL](sql.md).\n"
        .to_owned();
    functions(Dialect::Spark, "spark", &mut page);
    check("spark.md", &page);
}

/// The tables of a dialect's functions, with how often each was compared.
fn functions(dialect: Dialect, folder: &str, page: &mut String) {
    let (scalar, aggregate) = function_names(dialect);
    let cases = compared_cases(folder);
    let path = repository().join(format!("tests/compat/{folder}/expr/differences.tsv"));
    let listed = std::fs::read_to_string(path).unwrap();
    let differences: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut unknown = Vec::new();
    for (title, names) in [("Scalar", &scalar), ("Aggregates, each with `DISTINCT` and `FILTER (WHERE …)`", &aggregate)]
    {
        write!(page, "\n## {title}\n\n| function | compared | differs on purpose |\n|---|---|---|\n").unwrap();
        for name in names.iter().map(|name| name.to_uppercase()) {
            let of_it: Vec<&str> =
                cases.iter().filter(|(_, query)| calls(query, &name)).map(|(case, _)| case.as_str()).collect();
            if of_it.is_empty() {
                unknown.push(name.clone());
            }
            let mut reasons: Vec<&str> =
                differences.iter().filter(|(case, _)| of_it.contains(case)).map(|(_, reason)| *reason).collect();
            reasons.sort_unstable();
            reasons.dedup();
            let refused = reasons.iter().filter(|reason| reason.starts_with("refused by name")).count();
            reasons.retain(|reason| !reason.starts_with("refused by name"));
            let refused = match refused {
                0 => String::new(),
                1 => "one form is refused by name".to_owned(),
                forms => format!("{forms} forms are refused by name"),
            };
            let shown: Vec<&str> =
                reasons.into_iter().chain((!refused.is_empty()).then_some(refused.as_str())).collect();
            writeln!(page, "| `{name}` | {} | {} |", of_it.len(), shown.join("; ").replace('|', "\\|")).unwrap();
        }
    }
    let unknown = unknown.join(", ");
    assert!(unknown.is_empty(), "never compared with {folder}: ask it, or take them off the list: {unknown}");
}

#[test]
fn metrics_page_lists_every_metric() {
    let mut page = "# Metrics\n\nThe names that telemetry uses; `headwater_<noun>_<what>_<unit>[_total]`.\n\n| metric | kind |\n|---|---|\n".to_owned();
    for metric in Metric::ALL {
        writeln!(page, "| `{}` | {:?} |", metric.name(), metric.kind()).unwrap();
    }
    check("metrics.md", &page);
}
