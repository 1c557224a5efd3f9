use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use headwater_change::{
    ChangeBatch, Epoch, ErrorKind, METADATA_KEY, Options, Owner, Place, Position, Read, Reader, Receipt, Result, Sink,
    TableId, TableRequest,
};
use proptest::prelude::*;

use super::{OPTIONS, sink, source};
use crate::text::shown;

const NOW: Duration = Duration::ZERO;
const BIG: usize = 1 << 20;

pub(super) fn request(path: &Path, fields: Vec<Field>, options: &[(&str, &str)]) -> TableRequest {
    let mut given = vec![("path", path.to_str().expect("path"))];
    given.extend(options);
    if !options.iter().any(|(name, _)| *name == "format") {
        given.push(("format", "json"));
    }
    TableRequest {
        table: TableId::bare("t"),
        schema: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Options::check("filesystem", OPTIONS, given).expect("options"),
        threads: 1,
    }
}

pub(super) fn numbers() -> Vec<Field> {
    vec![Field::new("n", DataType::Int64, true)]
}

pub(super) fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// The rows as text, in order, and the position behind every batch, until there is nothing more for now.
pub(super) fn drain(reader: &mut dyn Reader, budget: usize) -> Result<(Vec<String>, Vec<Position>)> {
    let (mut rows, mut positions) = (Vec::new(), Vec::new());
    loop {
        match reader.next(budget, NOW)? {
            Read::Rows(batch) => {
                rows.extend(shown(batch.rows()));
                positions.extend(batch.runs().iter().map(|run| run.position.clone()));
            }
            Read::Idle(_) | Read::End => return Ok((rows, positions)),
            Read::Schema(_) => panic!("no schema changes here"),
        }
    }
}

fn read_all(request: TableRequest) -> Result<Vec<String>> {
    let mut reader = source(request)?.open(&[])?;
    drain(reader.as_mut(), BIG).map(|(rows, _)| rows)
}

fn texts(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn a_folder_is_read_to_the_bottom_in_order_of_paths_without_hidden_files() {
    let folder = tempfile::tempdir().expect("folder");
    fs::create_dir_all(folder.path().join("b/c")).expect("folders");
    fs::create_dir_all(folder.path().join("_d")).expect("folders");
    fs::write(folder.path().join("b/c/2.json"), lines(2..3)).expect("file");
    fs::write(folder.path().join("a.json"), "{\"n\":1}").expect("file");
    fs::write(folder.path().join("z.txt"), lines(3..4)).expect("file");
    for hidden in [".x.json", "_y.json", "_d/q.json"] {
        fs::write(folder.path().join(hidden), "not json").expect("file");
    }
    assert_eq!(read_all(request(folder.path(), numbers(), &[])).expect("read"), ["1", "2", "3"]);
    let only = [("source.path.regex-pattern", ".*/[^/]*\\.json")];
    assert_eq!(read_all(request(folder.path(), numbers(), &only)).expect("read"), ["1", "2"]);
    let url = PathBuf::from(format!("file://{}", folder.path().display()));
    assert_eq!(read_all(request(&url, numbers(), &[])).expect("read"), ["1", "2", "3"]);
}

#[test]
fn a_bounded_source_ends_and_goes_on_from_any_position() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("a"), lines(0..5)).expect("file");
    fs::write(folder.path().join("b"), lines(5..9)).expect("file");
    let source = source(request(folder.path(), numbers(), &[])).expect("source");
    let (rows, positions) = drain(source.open(&[]).expect("open").as_mut(), 1).expect("read");
    assert_eq!(rows, texts(0..9));
    assert_eq!(positions.len(), 9, "a small budget gives a line a batch");
    for taken in 0..=9 {
        // The last position of every partition is what an epoch stores.
        let mut from: Vec<Position> = Vec::new();
        for position in &positions[..taken] {
            from.retain(|known| known.partition != position.partition);
            from.push(position.clone());
        }
        let (rest, _) = drain(source.open(&from).expect("open").as_mut(), 100).expect("read");
        assert_eq!(rest, texts(i64::try_from(taken).expect("small")..9));
    }
}

#[test]
fn a_monitored_folder_gives_whole_lines_as_they_come_and_new_files() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a");
    let mut file = File::create(&path).expect("file");
    file.write_all(b"{\"n\":1}\n{\"n\":").expect("write");
    let request = request(folder.path(), numbers(), &[("source.monitor-interval", "1 ms")]);
    let source = source(request).expect("source");
    assert!(!source.describe().bounded);
    let mut reader = source.open(&[]).expect("open");
    assert_eq!(until(reader.as_mut(), 1), ["1"]);
    file.write_all(b"2}\n{\"n\":3}").expect("write");
    fs::write(folder.path().join("b"), lines(7..9)).expect("file");
    assert_eq!(until(reader.as_mut(), 3), ["2", "7", "8"]);
    file.write_all(b"\n").expect("write");
    assert_eq!(until(reader.as_mut(), 1), ["3"]);
    assert!(matches!(reader.next(BIG, NOW).expect("idle"), Read::Idle(_)));
}

/// Reads until so many rows came; the reader is asked often enough for its interval to pass.
fn until(reader: &mut dyn Reader, count: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for _ in 0..10_000 {
        if let Read::Rows(batch) = reader.next(BIG, Duration::from_millis(1)).expect("read") {
            rows.extend(shown(batch.rows()));
        }
        if rows.len() >= count {
            return rows;
        }
    }
    panic!("only {rows:?} came");
}

#[test]
fn the_clock_decides_when_a_monitored_folder_is_looked_at_again() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("a"), lines(0..1)).expect("file");
    let options = [("source.monitor-interval", "10 s")];
    let clock = Arc::new(headwater_change::ManualClock::new(0));
    let request = request(folder.path(), numbers(), &options);
    let config = super::config::source_config(&request).expect("config");
    let source = super::reader::FileSource::new(request, config).expect("source").with_clock(Arc::clone(&clock) as _);
    let mut reader = headwater_change::Source::open(&source, &[]).expect("open");
    assert_eq!(drain(reader.as_mut(), BIG).expect("read").0, ["0"]);
    fs::write(folder.path().join("b"), lines(1..2)).expect("file");
    clock.set(9_999);
    assert!(drain(reader.as_mut(), BIG).expect("read").0.is_empty());
    clock.set(10_000);
    assert_eq!(drain(reader.as_mut(), BIG).expect("read").0, ["1"]);
}

#[test]
fn a_file_that_shrank_or_went_away_half_read_is_fenced() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a");
    fs::write(&path, lines(0..5)).expect("file");
    let source = source(request(folder.path(), numbers(), &[])).expect("source");
    let (_, positions) = drain(source.open(&[]).expect("open").as_mut(), 1).expect("read");
    let half = &positions[2..3];
    fs::write(&path, lines(0..2)).expect("file");
    let error = source.open(half).map(|_| ()).expect_err("shrank");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "filesystem.truncated"));
    fs::remove_file(&path).expect("remove");
    let error = source.open(half).map(|_| ()).expect_err("gone");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "filesystem.truncated"));
    source.open(&positions[4..]).expect("one that was read to its end may go");
}

#[test]
fn an_error_names_file_and_line_also_on_many_threads_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.json");
    fs::write(&path, format!("{}oops\n{}", lines(0..1000), lines(0..10))).expect("file");
    for threads in [1, 3] {
        let mut request = request(&path, numbers(), &[]);
        request.threads = threads;
        let source = source(request).expect("source");
        // As versions that knew paths only remembered it.
        let middle = Position::new(path.to_str().expect("path"), "8", 8);
        for from in [vec![], vec![middle]] {
            let error = drain(source.open(&from).expect("open").as_mut(), 500).expect_err("bad line");
            assert_eq!(error.code(), "json.parse");
            let place = Place::File { path: path.display().to_string(), line: 1001 };
            assert_eq!(error.place(), Some(&place));
        }
    }
}

#[test]
fn a_missing_path_is_an_error_with_a_hint() {
    let error = read_all(request(Path::new("/nowhere/at/all"), numbers(), &[])).expect_err("missing");
    assert_eq!(error.code(), "filesystem.read");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("'path'")), "{error:?}");
    let error = source(request(Path::new("s3://bucket/x"), numbers(), &[])).map(|_| ()).expect_err("remote");
    assert_eq!(error.code(), "filesystem.path");
}

#[test]
fn metadata_and_partition_columns_come_from_the_path() {
    let folder = tempfile::tempdir().expect("folder");
    for (partition, number) in [("c=a%2Fb", 1), ("c=__DEFAULT_PARTITION__", 2)] {
        fs::create_dir(folder.path().join(partition)).expect("folder");
        fs::write(folder.path().join(partition).join("f.json"), format!("{{\"n\":{number}}}\n")).expect("file");
    }
    let metadata = |name: &str, key: &str, kind: DataType| {
        Field::new(name, kind, false).with_metadata([(METADATA_KEY.to_owned(), key.to_owned())].into())
    };
    let fields = vec![
        metadata("file", "file.name", DataType::Utf8),
        Field::new("n", DataType::Int64, true),
        Field::new("c", DataType::Utf8, true),
        metadata("size", "file.size", DataType::Int64),
    ];
    let mut asked = request(folder.path(), fields, &[]);
    asked.partitioned_by = vec![2];
    assert_eq!(read_all(asked).expect("read"), ["f.json|2|NULL|8", "f.json|1|a/b|8"]);
    let wrong = request(folder.path(), vec![metadata("size", "file.size", DataType::Utf8)], &[]);
    assert_eq!(source(wrong).map(|_| ()).expect_err("type").code(), "filesystem.metadata_type");
}

fn rows(numbers: std::ops::Range<i64>) -> ChangeBatch {
    let names = numbers.clone().map(|n| match n % 3 {
        0 => Some("EUR"),
        1 => Some("a/b"),
        _ => None,
    });
    let rows = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(numbers.clone())) as _),
        ("c", Arc::new(names.collect::<StringArray>()) as _),
    ]);
    ChangeBatch::insert_only(TableId::bare("t"), rows.expect("batch"))
}

fn target(path: &Path, partitioned: bool, options: &[(&str, &str)]) -> Box<dyn Sink> {
    let mut request =
        request(path, rows(0..0).rows().schema().fields().iter().map(|f| f.as_ref().clone()).collect(), options);
    request.partitioned_by = if partitioned { vec![1] } else { vec![] };
    sink(request).expect("sink")
}

/// A pipeline that has a state.
fn owner() -> Owner {
    Owner { id: "o".to_owned(), durable: true }
}

fn other() -> Owner {
    Owner { id: "q".to_owned(), durable: true }
}

/// The visible files of a folder.
fn shown_files(folder: &Path) -> Vec<(String, String)> {
    files(folder).into_iter().filter(|(name, _)| !name.contains("/.") && !name.starts_with('.')).collect()
}

/// All files below a folder with their contents, by name.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(name, text)| {
                    (format!("{}/{name}", path.file_name().expect("name").to_string_lossy()), text)
                }),
            );
        } else {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
    found.sort();
    found
}

#[test]
fn rows_are_visible_when_their_epoch_is_published_and_publishing_again_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let mut writer = sink.open(&owner(), Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.write(&rows(3..4)).expect("write");
    assert!(files(folder.path()).iter().all(|(name, _)| name.starts_with('.')), "nothing is visible yet");
    for _ in 0..2 {
        writer.publish(&receipt).expect("publish");
        assert_eq!(shown_files(folder.path())[0], ("part-o-1-0".to_owned(), "0,EUR\n1,a/b\n2,\n".to_owned()));
    }
    let empty = writer.seal(Epoch(2)).and_then(|_| writer.seal(Epoch(3))).expect("seal");
    assert!(empty.token.is_empty(), "an epoch without rows has no files");
}

#[test]
fn partitions_become_folders_and_leave_the_files() {
    let folder = tempfile::tempdir().expect("folder");
    let mut writer = target(folder.path(), true, &[("format", "json")]).open(&owner(), Epoch(0)).expect("open");
    writer.write(&rows(0..6)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.publish(&receipt).expect("publish");
    let mut contents: Vec<(String, String)> = shown_files(folder.path());
    contents.iter_mut().for_each(|(name, _)| name.truncate(name.rfind('/').expect("folder")));
    let expected = [
        ("c=EUR", "{\"n\":0}\n{\"n\":3}\n"),
        ("c=__DEFAULT_PARTITION__", "{\"n\":2}\n{\"n\":5}\n"),
        ("c=a%2Fb", "{\"n\":1}\n{\"n\":4}\n"),
    ];
    assert_eq!(contents, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn files_roll_at_their_size() {
    let folder = tempfile::tempdir().expect("folder");
    let options = [("format", "csv"), ("sink.rolling-policy.file-size", "12 b")];
    let mut writer = target(folder.path(), false, &options).open(&owner(), Epoch(0)).expect("open");
    writer.write(&rows(0..4)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.publish(&receipt).expect("publish");
    let names: Vec<String> = shown_files(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["part-o-1-0", "part-o-1-1"]);
}

#[test]
fn what_a_reader_took_away_is_not_missed_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), true, &[("format", "csv")]);
    let mut writer = sink.open(&owner(), Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.publish(&receipt).expect("publish");
    writer.end().expect("a clean end");
    drop(writer);
    for (name, _) in shown_files(folder.path()) {
        let path = folder.path().join(name);
        fs::remove_file(&path).expect("take");
        fs::remove_dir(path.parent().expect("folder")).expect("take the folder, too");
    }
    let mut writer = sink.open(&owner(), Epoch(1)).expect("open");
    writer.publish(&receipt).expect("it was published");
    writer.write(&rows(3..6)).expect("write");
    let receipt = writer.seal(Epoch(2)).expect("seal");
    writer.publish(&receipt).expect("publish");
    assert_eq!(shown_files(folder.path()).len(), 3);
}

#[test]
fn a_state_that_is_older_than_its_target_is_refused_and_nothing_is_removed() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let mut writer = sink.open(&owner(), Epoch(0)).expect("open");
    for epoch in 1..=2 {
        writer.write(&rows(0..3)).expect("write");
        let receipt = writer.seal(Epoch(epoch)).expect("seal");
        writer.publish(&receipt).expect("publish");
    }
    writer.write(&rows(3..6)).expect("write");
    writer.seal(Epoch(3)).expect("seal");
    drop(writer);
    let before = files(folder.path());
    for committed in 0..2 {
        let error = sink.open(&owner(), Epoch(committed)).map(|_| ()).expect_err("older");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "state.behind_target"));
    }
    assert_eq!(files(folder.path()), before);
    sink.open(&owner(), Epoch(2)).expect("the right one");
}

#[test]
fn two_processes_with_one_state_do_not_write_one_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let first = sink.open(&owner(), Epoch(0)).expect("open");
    assert_eq!(sink.open(&owner(), Epoch(0)).map(|_| ()).expect_err("in use").code(), "filesystem.in_use");
    drop(first);
    sink.open(&owner(), Epoch(0)).expect("free again");
}

#[test]
fn what_others_committed_and_have_not_published_yet_is_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let mut writer = sink.open(&other(), Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    drop(writer);
    sink.open(&owner(), Epoch(0)).expect("another pipeline starts while the first is down");
    let mut writer = sink.open(&other(), Epoch(1)).expect("open");
    writer.publish(&receipt).expect("publish");
    assert_eq!(shown_files(folder.path()).len(), 1);
}

#[test]
fn what_a_pipeline_without_state_left_behind_is_removed() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let dead = Owner { id: "d".to_owned(), durable: false };
    let mut writer = sink.open(&dead, Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    writer.seal(Epoch(1)).expect("seal");
    drop(writer);
    let living = Owner { id: "l".to_owned(), durable: false };
    let mut writer = sink.open(&living, Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    writer.seal(Epoch(1)).expect("seal");
    sink.open(&owner(), Epoch(0)).expect("a third one");
    let names: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".headwater-l.temporary", ".headwater-o", ".part-l-1-0.inprogress"]);
    writer.end().expect("end");
    assert!(!folder.path().join(".headwater-l.temporary").exists());
}

#[test]
fn thousands_of_partitions_do_not_need_as_many_descriptors() {
    let folder = tempfile::tempdir().expect("folder");
    let mut request = request(
        folder.path(),
        vec![Field::new("n", DataType::Int64, true), Field::new("c", DataType::Utf8, true)],
        &[("format", "csv")],
    );
    request.partitioned_by = vec![1];
    let mut writer = sink(request).expect("sink").open(&owner(), Epoch(0)).expect("open");
    let open_files = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = open_files();
    for _ in 0..2 {
        let rows = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from_iter_values(0..500)) as _),
            ("c", Arc::new((0..500).map(|n| Some(format!("p{n}"))).collect::<StringArray>()) as _),
        ]);
        writer.write(&ChangeBatch::insert_only(TableId::bare("t"), rows.expect("batch"))).expect("write");
    }
    // Other tests open files, too.
    assert!(open_files() < before + 300);
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.publish(&receipt).expect("publish");
    let texts = shown_files(folder.path());
    assert_eq!(texts.len(), 500);
    assert!(texts.iter().all(|(_, text)| text.lines().count() == 2));
}

#[test]
fn opening_takes_back_what_was_not_committed_and_keeps_what_was() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), true, &[("format", "csv")]);
    let mut writer = sink.open(&owner(), Epoch(0)).expect("open");
    writer.write(&rows(0..3)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    writer.write(&rows(3..9)).expect("write");
    writer.seal(Epoch(2)).expect("seal");
    drop(writer);
    // Epoch 1 was committed, the crash came before it was published.
    let mut writer = sink.open(&owner(), Epoch(1)).expect("open");
    writer.publish(&receipt).expect("publish");
    writer.publish(&receipt).expect("again");
    let text: String = shown_files(folder.path()).into_iter().map(|(_, text)| text).collect();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "1", "2"]);
}

#[test]
fn a_second_writer_leaves_the_files_of_a_living_one_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let mut first = sink.open(&owner(), Epoch(0)).expect("open");
    first.write(&rows(0..1)).expect("write");
    let receipt = first.seal(Epoch(1)).expect("seal");
    let mut second = sink.open(&other(), Epoch(0)).expect("open");
    second.write(&rows(1..2)).expect("write");
    let other = second.seal(Epoch(1)).expect("seal");
    first.publish(&receipt).expect("publish");
    second.publish(&other).expect("publish");
    let texts: Vec<String> = shown_files(folder.path()).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["0,EUR\n", "1,a/b\n"]);
}

#[test]
fn rows_that_are_gone_before_they_were_published_are_told() {
    let folder = tempfile::tempdir().expect("folder");
    let mut writer = target(folder.path(), false, &[("format", "csv")]).open(&owner(), Epoch(0)).expect("open");
    let receipt = Receipt { epoch: Epoch(1), token: b".part-o-1-0.inprogress".to_vec() };
    let error = writer.publish(&receipt).expect_err("gone");
    assert_eq!(error.code(), "filesystem.publish_lost");
    drop(writer);
    // The way out that the hint names.
    assert!(error.hint_text().is_some_and(|hint| hint.contains(".headwater-o")), "{error:?}");
    fs::write(folder.path().join(".headwater-o"), "").expect("empty");
    let sink = target(folder.path(), false, &[("format", "csv")]);
    let mut writer = sink.open(&owner(), Epoch(1)).expect("open");
    writer.publish(&receipt).expect("somebody says that it was published");
    let receipt = Receipt { epoch: Epoch(1), token: b"other".to_vec() };
    assert_eq!(writer.publish(&receipt).expect_err("foreign").kind(), ErrorKind::Bug);
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("file");
    let error = target(&file, false, &[("format", "csv")]).open(&owner(), Epoch(0)).map(|_| ()).expect_err("a file");
    assert_eq!(error.code(), "filesystem.write");
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).expect("folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).expect("permissions");
    // The superuser may write anyway.
    if OpenOptions::new().create(true).truncate(true).write(true).open(closed.join("probe")).is_err() {
        let mut writer = target(&closed, false, &[("format", "csv")]).open(&owner(), Epoch(0)).expect("open");
        assert_eq!(writer.write(&rows(0..1)).expect_err("closed").code(), "filesystem.write");
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
    let error = super::writer::unwritable(Path::new("/dev/full"), (&full).write_all(b"x").expect_err("full"));
    assert_eq!(error.code(), "filesystem.write");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("room")), "{error:?}");
}

#[test]
fn a_table_of_partition_columns_alone_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let mut request = request(folder.path(), numbers(), &[]);
    request.partitioned_by = vec![0];
    assert_eq!(sink(request).map(|_| ()).expect_err("nothing left").code(), "filesystem.partitions");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn law_threads_and_budgets_change_nothing(
        counts in prop::collection::vec(0_i64..400, 1..4),
        threads in 1_usize..5,
        budget in 1_usize..3000,
        open_end in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let mut expected = Vec::new();
        for (index, count) in counts.iter().enumerate() {
            let mut text = lines(0..*count);
            if open_end {
                text.pop();
            }
            fs::write(folder.path().join(index.to_string()), text).expect("file");
            expected.extend(texts(0..*count));
        }
        let mut request = request(folder.path(), numbers(), &[]);
        request.threads = threads;
        let source = source(request).expect("source");
        let (rows, positions) = drain(source.open(&[]).expect("open").as_mut(), budget).expect("read");
        prop_assert_eq!(&rows, &expected);
        let mut last: Vec<Position> = Vec::new();
        for position in positions {
            last.retain(|known| known.partition != position.partition);
            last.push(position);
        }
        prop_assert!(drain(source.open(&last).expect("open").as_mut(), budget).expect("read").0.is_empty());
    }
}
