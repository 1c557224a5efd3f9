//! Files that are renamed, replaced, cut, taken away and packed while they are read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{ErrorKind, ManualClock, Place, Position, Read, Reader, Result, Source};

use super::reader::FileSource;
use super::tests::{lines, numbers, request};
use crate::text::shown;

/// A monitored table, its clock, and what a pipeline would remember of it.
struct Table {
    folder: tempfile::TempDir,
    source: FileSource,
    clock: Arc<ManualClock>,
    reader: Option<Box<dyn Reader>>,
    now: i64,
    positions: BTreeMap<Arc<str>, Position>,
}

impl Table {
    /// A table of a folder, or of one file in it.
    fn new(file: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("in")).expect("folder");
        let root = folder.path().join("in").join(file.unwrap_or(""));
        if file.is_some() {
            fs::write(&root, "").expect("file");
        }
        let request = request(&root, numbers(), &[("source.monitor-interval", "1 s")]);
        let config = super::config::source_config(&request).expect("config");
        let clock = Arc::new(ManualClock::new(0));
        let source = FileSource::new(request, config).expect("source").with_clock(Arc::clone(&clock) as _);
        Self { folder, source, clock, reader: None, now: 0, positions: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("append");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("rename");
    }

    /// Whatever can be read by now; `seconds` pass before.
    fn after(&mut self, seconds: i64) -> Result<Vec<String>> {
        self.now += seconds * 1000;
        self.clock.set(self.now);
        if self.reader.is_none() {
            let from: Vec<Position> = self.positions.values().cloned().collect();
            self.reader = Some(self.source.open(&from)?);
        }
        let mut rows = Vec::new();
        let reader = self.reader.as_mut().expect("reader");
        let mut idle = 0;
        while idle < 2 {
            match reader.next(1 << 20, Duration::ZERO)? {
                Read::Rows(batch) => {
                    rows.extend(shown(batch.rows()));
                    let position = batch.runs().last().expect("run").position.clone();
                    self.positions.insert(Arc::clone(&position.partition), position);
                }
                Read::Idle(Some(position)) if position.is_retired() => {
                    self.positions.remove(&position.partition).expect("known");
                }
                Read::Idle(None) => idle += 1,
                other => panic!("{other:?}"),
            }
        }
        Ok(rows)
    }

    fn read(&mut self) -> Vec<String> {
        self.after(1).expect("read")
    }

    /// The process is killed; what was remembered stays.
    fn kill(&mut self) {
        self.reader = None;
    }
}

fn texts(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_beginning() {
    for (file, killed) in [(None, false), (None, true), (Some("a.log"), false), (Some("a.log"), true)] {
        let mut table = Table::new(file);
        table.append("a.log", &lines(0..5));
        assert_eq!(table.read(), texts(0..5));
        table.append("a.log", &lines(5..7));
        if killed {
            table.kill();
        }
        table.rename("a.log", "a.log.1");
        table.append("a.log.1", &lines(7..9));
        table.append("a.log", &lines(9..20));
        assert_eq!(table.read(), texts(5..20), "{file:?} {killed}");
        // Whoever wrote the old file has not let go of it yet.
        table.append("a.log.1", &lines(20..21));
        assert_eq!(table.read(), texts(20..21));
    }
}

#[test]
fn a_replaced_file_is_read_from_its_beginning_and_the_rest_of_the_old_one_is_not_lost() {
    for file in [None, Some("a")] {
        let mut table = Table::new(file);
        table.append("a", &lines(0..5));
        assert_eq!(table.read(), texts(0..5));
        table.append("a", &lines(5..6));
        fs::write(table.folder.path().join("new"), lines(6..20)).expect("file");
        fs::rename(table.folder.path().join("new"), table.path("a")).expect("replace");
        assert_eq!(table.read(), texts(5..20));
        assert!(table.read().is_empty());
    }
}

#[test]
fn a_replaced_file_is_new_also_when_it_begins_as_the_old_one_did() {
    let mut table = Table::new(None);
    table.append("a", &lines(0..5));
    assert_eq!(table.read(), texts(0..5));
    table.kill();
    fs::write(table.folder.path().join("new"), lines(0..7)).expect("file");
    fs::rename(table.folder.path().join("new"), table.path("a")).expect("replace");
    assert_eq!(table.read(), texts(0..7));
}

#[test]
fn a_file_that_is_written_anew_in_its_place_is_told() {
    for killed in [false, true] {
        for text in [lines(100..120), lines(5..10)] {
            let mut table = Table::new(None);
            table.append("a", &lines(0..5));
            assert_eq!(table.read(), texts(0..5));
            if killed {
                table.kill();
            }
            fs::write(table.path("a"), text).expect("in place");
            // The time of change has the file system's own steps.
            File::open(table.path("a")).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).expect("time");
            let error = table.after(1).expect_err("told");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "filesystem.rewritten"));
            // The way out that the hint names.
            fs::copy(table.path("a"), table.path("b")).expect("copy");
            table.rename("b", "a");
            table.kill();
            assert!(!table.read().is_empty());
        }
    }
}

#[test]
fn a_head_that_stays_does_not_hide_a_file_that_is_written_anew() {
    let mut table = Table::new(None);
    let head = lines(0..300);
    table.append("a", &format!("{head}{}", lines(1000..1003)));
    assert_eq!(table.read().len(), 303);
    fs::write(table.path("a"), format!("{head}{}", lines(2000..2010))).expect("in place");
    assert_eq!(table.after(1).expect_err("told").code(), "filesystem.rewritten");
}

#[test]
fn a_file_that_was_cut_is_told() {
    for killed in [false, true] {
        let mut table = Table::new(None);
        table.append("a", &lines(0..5));
        assert_eq!(table.read(), texts(0..5));
        if killed {
            table.kill();
        }
        fs::write(table.path("a"), lines(7..8)).expect("cut");
        let error = table.after(1).expect_err("told");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "filesystem.truncated"));
    }
}

#[test]
fn files_that_change_their_names_among_each_other_are_read_once() {
    for killed in [false, true] {
        let mut table = Table::new(None);
        for (name, from) in [("a", 0), ("b", 100), ("c", 200)] {
            table.append(name, &lines(from..from + 3));
        }
        assert_eq!(table.read().len(), 9);
        if killed {
            table.kill();
        }
        for (from, to) in [("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")] {
            table.rename(from, to);
        }
        table.append("c", &lines(3..4));
        fs::create_dir(table.path("deep")).expect("folder");
        table.rename("a", "deep/d");
        table.append("deep/d", &lines(103..104));
        assert_eq!(table.read(), ["3", "103"]);
        assert!(table.read().is_empty());
    }
}

#[test]
fn a_file_that_is_gone_for_a_moment_goes_on_where_it_was() {
    let mut table = Table::new(None);
    table.append("a", &lines(0..3));
    assert_eq!(table.read(), texts(0..3));
    let elsewhere = table.folder.path().join("elsewhere");
    for round in 0..2 {
        fs::rename(table.path("a"), &elsewhere).expect("away");
        assert!(table.read().is_empty());
        if round == 1 {
            table.kill();
            assert!(table.read().is_empty(), "archived before the start");
        }
        fs::rename(&elsewhere, table.path("a")).expect("back");
        table.append("a", &lines(3 + round..4 + round));
        assert_eq!(table.read(), texts(3 + round..4 + round));
    }
    // The whole folder, as when a disk is not mounted for a while.
    fs::rename(table.path(""), &elsewhere).expect("away");
    assert!(table.read().is_empty());
    table.kill();
    assert!(table.read().is_empty());
    fs::rename(&elsewhere, table.path("")).expect("back");
    table.append("a", &lines(5..6));
    assert_eq!(table.read(), ["5"]);
}

#[test]
fn the_rest_of_a_removed_file_is_read_and_then_nobody_remembers_it() {
    let mut table = Table::new(None);
    table.append("a", &lines(0..3));
    table.append("b", &lines(10..12));
    assert_eq!(table.read().len(), 5);
    table.append("a", "{\"n\":3}\n{\"n\":4}");
    fs::remove_file(table.path("a")).expect("remove");
    assert_eq!(table.read(), ["3"]);
    assert_eq!(table.positions.len(), 2);
    assert_eq!(table.after(60).expect("read"), ["4"], "nobody will end the line");
    table.read();
    assert_eq!(table.positions.len(), 1, "its position is retired");
    fs::rename(table.path("b"), table.folder.path().join("b")).expect("archive");
    table.read();
    table.append("c", &lines(20..21));
    assert_eq!(table.after(3600).expect("read"), ["20"]);
    assert_eq!(table.positions.len(), 1, "only the last one is remembered");
    fs::remove_dir_all(table.path("")).expect("all is gone");
    table.after(60).expect("read");
    table.after(60).expect("read");
    table.kill();
    assert!(table.after(60).expect("a path that was there once is waited for").is_empty());
}

#[test]
fn a_second_name_of_a_file_says_nothing_new() {
    let mut table = Table::new(None);
    table.append("a", &lines(0..3));
    fs::hard_link(table.path("a"), table.path("b")).expect("link");
    std::os::unix::fs::symlink(table.path("a"), table.path("c")).expect("link");
    assert_eq!(table.read(), texts(0..3));
    table.append("b", &lines(3..4));
    assert_eq!(table.read(), ["3"]);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(text.as_bytes()).and_then(|()| out.finish()).expect("gzip")
}

fn packed(name: &str, text: &str) -> Vec<u8> {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("gz") => gzip(text),
        Some("zst") => zstd::encode_all(text.as_bytes(), 0).expect("zstd"),
        _ => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            out.write_all(text.as_bytes()).and_then(|()| out.finish()).expect("bzip2")
        }
    }
}

#[test]
fn compressed_files_are_read_also_of_several_parts_and_from_the_middle() {
    for name in ["a.gz", "a.zst", "a.bz2"] {
        let folder = tempfile::tempdir().expect("folder");
        let two = [packed(name, &lines(0..50_000)), packed(name, &lines(50_000..60_000))].concat();
        fs::write(folder.path().join(name), two).expect("file");
        let source = super::source(request(folder.path(), numbers(), &[])).expect("source");
        let (rows, positions) = super::tests::drain(source.open(&[]).expect("open").as_mut(), 100_000).expect("read");
        assert_eq!(rows, texts(0..60_000), "{name}");
        let half = source.open(&positions[1..2]).expect("open");
        let (rest, _) = super::tests::drain({ half }.as_mut(), 1 << 20).expect("read");
        assert_eq!(rest.last(), rows.last());
        assert!(rest.len() < rows.len() && rows.ends_with(&rest), "{name}");
    }
}

#[test]
fn a_rotated_file_that_was_packed_is_not_read_a_second_time() {
    for killed in [false, true] {
        let mut table = Table::new(None);
        table.append("a.1", &lines(0..5));
        assert_eq!(table.read(), texts(0..5));
        table.append("a.1", &lines(5..8));
        let whole = gzip(&lines(0..8));
        // It is being made while the old one is still there.
        fs::write(table.path("a.1.gz"), &whole[..whole.len() / 2]).expect("file");
        if killed {
            table.kill();
        } else {
            assert_eq!(table.read(), texts(5..8));
        }
        fs::write(table.path("a.1.gz"), &whole).expect("file");
        fs::remove_file(table.path("a.1")).expect("remove");
        assert_eq!(table.read(), if killed { texts(5..8) } else { texts(0..0) });
        assert!(table.read().is_empty());
        table.append("b", &lines(100..101));
        fs::write(table.path("c.gz"), gzip(&lines(200..202))).expect("another one");
        assert_eq!(table.read(), ["100", "200", "201"]);
    }
}

#[test]
fn a_file_that_is_packed_before_it_was_read_is_read_once() {
    for seen in [false, true] {
        let mut table = Table::new(None);
        if seen {
            table.append("a", "");
            assert!(table.read().is_empty());
        }
        table.append("a", &lines(0..5));
        fs::write(table.path("a.gz"), gzip(&lines(0..5))).expect("file");
        assert_eq!(table.read(), texts(0..5));
        fs::remove_file(table.path("a")).expect("remove");
        assert!(table.read().is_empty(), "{seen}");
        // Seen under neither name while it was renamed, and then again.
        fs::write(table.path("b.gz"), gzip(&lines(10..15))).expect("file");
        assert_eq!(table.read(), texts(10..15));
        table.append("b", &lines(10..15));
        assert!(table.read().is_empty());
    }
}

#[test]
fn a_compressed_file_that_is_still_written_is_waited_for() {
    let mut table = Table::new(None);
    let whole = gzip(&lines(0..5000));
    fs::write(table.path("a.gz"), &whole[..whole.len() / 2]).expect("file");
    let mut rows = table.read();
    assert!(rows.len() < 5000);
    fs::write(table.path("a.gz"), &whole).expect("file");
    rows.extend(table.read());
    assert_eq!(rows, texts(0..5000));
}

#[test]
fn a_compressed_file_that_is_broken_or_of_a_kind_that_is_not_read_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let code = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("file");
        let source = super::source(request(&path, numbers(), &[])).expect("source");
        let mut reader = source.open(&[]).expect("open");
        super::tests::drain(reader.as_mut(), 1 << 20).expect_err("told").code()
    };
    assert_eq!(code("a.gz", lines(0..100).as_bytes()), "filesystem.decompress");
    let whole = gzip(&lines(0..5000));
    assert_eq!(code("b.gz", &whole[..whole.len() / 2]), "filesystem.cut_off");
    assert_eq!(code("c.xz", b"x"), "filesystem.compression");
}

#[test]
fn lines_come_out_of_a_pipe_until_its_writer_closes_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    let source = super::source(request(&path, numbers(), &[])).expect("source");
    let mut reader = source.open(&[]).expect("open");
    assert!(matches!(reader.next(1 << 20, Duration::ZERO).expect("nobody writes yet"), Read::Idle(None)));
    let mut writer = OpenOptions::new().write(true).open(&path).expect("writer");
    writer.write_all(b"{\"n\":1}\n{\"n\":").expect("write");
    let mut rows = Vec::new();
    let mut position = None;
    let mut more = |rows: &mut Vec<String>| match reader.next(1 << 20, Duration::ZERO).expect("read") {
        Read::Rows(batch) => {
            rows.extend(shown(batch.rows()));
            position = batch.runs().last().map(|run| run.position.clone());
            true
        }
        Read::Idle(None) => true,
        _ => false,
    };
    assert!(more(&mut rows) && more(&mut rows));
    assert_eq!(rows, ["1"]);
    writer.write_all(b"2}\n{\"n\":3}").expect("write");
    drop(writer);
    while more(&mut rows) {}
    assert_eq!(rows, ["1", "2", "3"]);
    let error = source.open(&[position.expect("position")]).map(|_| ()).expect_err("again");
    assert_eq!(error.code(), "filesystem.pipe");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line_and_lines_are_counted_behind_it() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, pack) in [("a", false), ("b.gz", true)] {
        let path = folder.path().join(name);
        let text = format!("\u{FEFF}{}\noops\n", lines(0..2));
        fs::write(&path, if pack { gzip(&text) } else { text.into_bytes() }).expect("file");
        let source = super::source(request(&path, numbers(), &[])).expect("source");
        let error = super::tests::drain(source.open(&[]).expect("open").as_mut(), 1).expect_err("bad line");
        assert_eq!(error.place(), Some(&Place::File { path: path.display().to_string(), line: 4 }));
    }
}

#[test]
fn a_missing_value_is_told_with_its_line_and_rows_know_their_lines() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a");
    fs::write(&path, format!("\n{}\n\n{}", lines(0..3), lines(3..5))).expect("file");
    let mut fields = numbers();
    let source = super::source(request(&path, fields.clone(), &[])).expect("source");
    let mut reader = source.open(&[]).expect("open");
    assert!(matches!(reader.next(1 << 20, Duration::ZERO), Ok(Read::Rows(_))));
    assert_eq!(reader.locate(0), Some(Place::File { path: path.display().to_string(), line: 2 }));
    assert_eq!(reader.locate(3), Some(Place::File { path: path.display().to_string(), line: 7 }));
    assert_eq!(reader.locate(5), None);

    fs::write(&path, format!("{}{{}}\n{}", lines(0..3), lines(3..5))).expect("file");
    fields[0] = fields[0].clone().with_nullable(false);
    let source = super::source(request(&path, fields, &[])).expect("source");
    let error = super::tests::drain(source.open(&[]).expect("open").as_mut(), 1 << 20).expect_err("NULL");
    assert_eq!(error.place(), Some(&Place::File { path: path.display().to_string(), line: 4 }));
}
