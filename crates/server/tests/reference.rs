//! The reference pages are made from the same tables that the program checks options with, so they cannot be out of
//! date: this test fails when they are. `HEADWATER_UPDATE_DOCS=1 cargo test -p headwater-server --test reference` writes
//! them anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;

use headwater_change::{Metric, OptionKind, OptionSpec};
use headwater_server::connectors::CONNECTORS;
use headwater_sql::{SETTINGS, function_names};
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

#[test]
fn functions_page_is_what_queries_may_call() {
    let (scalar, aggregate) = function_names();
    let list = |names: Vec<String>| {
        names.iter().map(|name| format!("`{}`", name.to_uppercase())).collect::<Vec<_>>().join(", ")
    };
    let page = format!(
        "# Functions\n\nWith Flink's meaning; a function that is not listed is refused by name.\n\n\
         Scalar: {}, and `CASE`, `CAST`, `IF`, `IFNULL`, `MOD`, `IN`, `BETWEEN`, `LIKE`, `IS [NOT] NULL`, `IS [NOT] TRUE`, \
         `||`, arithmetic and comparison.\n\n\
         Aggregates: {}, each with `DISTINCT` and `FILTER (WHERE …)`.\n\n\
         Windows: `TUMBLE` in `GROUP BY` with `TUMBLE_START`, `TUMBLE_END`, `TUMBLE_ROWTIME`, and as a table function \
         `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND [, offset]))`.\n",
        list(scalar),
        list(aggregate)
    );
    check("functions.md", &page);
}

#[test]
fn metrics_page_lists_every_metric() {
    let mut page = "# Metrics\n\nThe names that telemetry uses; `headwater_<noun>_<what>_<unit>[_total]`.\n\n| metric | kind |\n|---|---|\n".to_owned();
    for metric in Metric::ALL {
        writeln!(page, "| `{}` | {:?} |", metric.name(), metric.kind()).unwrap();
    }
    check("metrics.md", &page);
}
