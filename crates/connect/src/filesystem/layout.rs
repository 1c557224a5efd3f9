//! Which columns of a table of files come from its lines, from folders of partitions, and from the file itself.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{Error, METADATA_KEY, Place, Result, TableRequest};

use super::discover::partition_value;
use crate::column::Column;

/// Which columns come from the data and which from the file itself.
pub(super) struct Layout {
    schema: SchemaRef,
    /// The columns of the lines.
    pub(super) data: SchemaRef,
    metadata: Vec<Option<Metadata>>,
    /// The folder that stands for NULL in a partition column.
    default_name: String,
}

#[derive(Clone)]
enum Metadata {
    /// A column of `PARTITIONED BY`, whose value is in the path: `currency=EUR/`.
    Partition(String, DataType),
    Path,
    Name,
    Size,
    Modified,
}

/// What a file says of itself when it is opened.
pub(super) struct FileFacts {
    pub(super) path: String,
    name: String,
    size: i64,
    modified: i64,
}

impl FileFacts {
    pub(super) fn new(path: &Path, metadata: &std::fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            path: path.display().to_string(),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            modified: modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0),
        }
    }
}

impl Layout {
    pub(super) fn new(request: &TableRequest) -> Result<Self> {
        let schema = &request.schema;
        let mut metadata = Vec::new();
        let mut data = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if request.partitioned_by.contains(&index) {
                Column::new(field.data_type())?;
                metadata.push(Some(Metadata::Partition(field.name().clone(), field.data_type().clone())));
                continue;
            }
            let Some(key) = field.metadata().get(METADATA_KEY) else {
                metadata.push(None);
                data.push(Arc::clone(field));
                continue;
            };
            metadata.push(Some(file_metadata(key, field)?));
        }
        let default_name = request.options.text("partition.default-name").unwrap_or("__DEFAULT_PARTITION__").to_owned();
        Ok(Self { schema: Arc::clone(schema), data: Arc::new(Schema::new(data)), metadata, default_name })
    }

    /// A partition column: the same value in every row of a file.
    fn partition(&self, name: &str, data_type: &DataType, file: &FileFacts, count: usize) -> Result<ArrayRef> {
        let no_value = |what: String| {
            Error::data("filesystem.partition", what)
                .hint("partitioned tables are read from folders like 'currency=EUR'")
                .at(Place::File { path: file.path.clone(), line: 0 })
        };
        let value = partition_value(&file.path, name)
            .ok_or_else(|| no_value(format!("the path has no folder for the partition column '{name}'")))?;
        let mut column = Column::new(data_type)?;
        for _ in 0..count {
            if value == self.default_name {
                column.append_null();
            } else if !column.append_text(&value) {
                return Err(no_value(format!("'{value}' is no value of the partition column '{name}'")));
            }
        }
        column.finish()
    }

    /// Puts the file's own columns between those of its lines.
    pub(super) fn complete(&self, rows: RecordBatch, file: &FileFacts) -> Result<RecordBatch> {
        if self.metadata.iter().all(Option::is_none) {
            return Ok(rows);
        }
        let count = rows.num_rows();
        let mut data = rows.columns().iter();
        let text = |value: &str| Arc::new(StringArray::from_iter_values((0..count).map(|_| value))) as ArrayRef;
        let columns = self.metadata.iter().map(|kind| {
            Ok(match kind {
                None => Arc::clone(data.next().ok_or_else(|| Error::bug("filesystem.columns", "a column is missing"))?),
                Some(Metadata::Partition(name, data_type)) => self.partition(name, data_type, file, count)?,
                Some(Metadata::Path) => text(&file.path),
                Some(Metadata::Name) => text(&file.name),
                Some(Metadata::Size) => Arc::new(Int64Array::from_value(file.size, count)),
                Some(Metadata::Modified) => {
                    Arc::new(TimestampMillisecondArray::from_value(file.modified, count).with_timezone("UTC"))
                }
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::bug("filesystem.columns", "metadata columns do not fit").caused_by(error))
    }
}

/// The metadata that a column asks for.
fn file_metadata(key: &str, field: &Field) -> Result<Metadata> {
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let (kind, data_type, hint) = match key {
        "file.path" => (Metadata::Path, DataType::Utf8, "declare it as STRING"),
        "file.name" => (Metadata::Name, DataType::Utf8, "declare it as STRING"),
        "file.size" => (Metadata::Size, DataType::Int64, "declare it as BIGINT"),
        "file.modification-time" => (Metadata::Modified, instant, "declare it as TIMESTAMP_LTZ(3)"),
        _ => {
            return Err(Error::usage("filesystem.metadata", format!("there is no metadata '{key}'"))
                .hint("use 'file.path', 'file.name', 'file.size' or 'file.modification-time'"));
        }
    };
    if *field.data_type() != data_type {
        let message = format!("the metadata '{key}' does not fit the column '{}'", field.name());
        return Err(Error::usage("filesystem.metadata_type", message).hint(hint));
    }
    Ok(kind)
}
