//! Tests that cannot run here say so, loudly: on stderr, in the list that `scripts/test` prints at its end, and by
//! failing where nothing may be missing.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use headwater_change::{Error, Result};

/// Environment variable with the file that collects what was skipped.
const SKIPS_FILE: &str = "HEADWATER_SKIPS";

/// Says that `test` did not run and why. The test returns afterwards.
///
/// # Panics
/// Where `CI` is `true` (nothing may be skipped there), or when the list cannot be written.
#[track_caller]
#[expect(clippy::panic, reason = "a skipped test fails where it is required")]
pub fn skipped(test: &str, reason: &str) {
    // Written to directly, past the test harness, which hides what a passing test prints.
    let mut stderr = std::io::stderr();
    if let Err(error) = skip(&mut stderr, test, reason, crate::servers::required(), std::env::var_os(SKIPS_FILE)) {
        panic!("{error:?}");
    }
}

fn skip(out: &mut dyn Write, test: &str, reason: &str, required: bool, list: Option<OsString>) -> Result<()> {
    let line = format!("SKIPPED: {test} ({})", reason.replace(['\n', '\r'], " "));
    let _ = writeln!(out, "{line}");
    if let Some(list) = list.filter(|list| !list.is_empty()) {
        append(Path::new(&list), &line).map_err(|error| {
            Error::remote("testkit.skips", format!("cannot write {}", list.display())).caused_by(error)
        })?;
    }
    if required {
        return Err(Error::usage("testkit.required", format!("{test} must run here: {reason}"))
            .hint("CI=true allows no skipped tests; install what is missing with scripts/install"));
    }
    Ok(())
}

/// One write call a line, so that lines of tests that run at the same time stay whole.
fn append(list: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(list)?.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_listed_and_refused_where_they_are_required() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("skips");
        let mut out = Vec::new();
        let file = || Some(list.clone().into_os_string());
        skip(&mut out, "a", "no\nserver", false, file()).expect("allowed");
        assert_eq!(skip(&mut out, "b", "none", true, file()).expect_err("required").code(), "testkit.required");
        let text = std::fs::read_to_string(&list).expect("the list");
        assert_eq!(text, "SKIPPED: a (no server)\nSKIPPED: b (none)\n");
        let nowhere = Some(folder.path().as_os_str().to_owned());
        assert_eq!(skip(&mut out, "c", "x", false, nowhere).expect_err("a folder is no file").code(), "testkit.skips");
        let said = String::from_utf8(out).expect("text");
        assert_eq!(said, format!("{text}SKIPPED: c (x)\n"), "the same lines for the eye");
    }
}
