//! Errors as people read them: code, message, the place in the SQL with a caret, detail, cause and hint.

use std::fmt::Write;
use std::process::ExitCode;

use headwater_change::{Error, ErrorKind, Place, secret};
use headwater_server::Failure;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

/// Prints a failure to standard error.
pub(crate) fn print(failure: &Failure) {
    eprint!("{}", render(failure, std::io::IsTerminal::is_terminal(&std::io::stderr())));
}

/// The exit status that belongs to an error.
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        ErrorKind::Usage => 2,
        ErrorKind::Fenced => 3,
        ErrorKind::Data | ErrorKind::Remote | ErrorKind::Bug => 1,
    })
}

fn render(failure: &Failure, colours: bool) -> String {
    let error = &failure.error;
    // Variables may have brought a secret into any text.
    secret::remember_script(&failure.text);
    let mut message = error.to_string();
    if let Some(detail) = error.detail_text() {
        let _ = write!(message, "\n{detail}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(message, "\ncaused by: {cause}");
        source = cause.source();
    }
    if error.kind() == ErrorKind::Bug {
        message.push_str("\nthis is a fault of headwater: please report it with the statement");
    }
    let mut diagnostic = MietteDiagnostic::new(secret::redact(&message)).with_code(error.code());
    if let Some(hint) = error.hint_text() {
        diagnostic = diagnostic.with_help(secret::redact(hint));
    }
    let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let report = match error.place() {
        Some(Place::Sql(span)) if span.end <= failure.text.len() => {
            let masked = secret::masked(&failure.text);
            let label = LabeledSpan::at(masked.range(span.clone()), "here");
            Report::new(diagnostic.with_label(label)).with_source_code(NamedSource::new("sql", masked.text))
        }
        _ => Report::new(diagnostic),
    };
    let mut out = String::new();
    let rendered = GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut out, report.as_ref());
    match rendered {
        Ok(()) => out,
        Err(_) => secret::redact(&format!("{}: {error}\n", error.code())).into_owned(),
    }
}
