//! [`KeyCodec`]: group columns as bytes and back. Equal keys have equal bytes; NULL is one value like any other.
//!
//! The bytes name a group in stored state, so an encoding is fixed by the columns' types:
//!
//! | columns | bytes |
//! |---|---|
//! | none | nothing |
//! | one string | its UTF-8; `FF`, which UTF-8 never has, for NULL |
//! | one integer, date, time, timestamp or decimal | the value, little endian; nothing for NULL |
//! | any other | arrow-row |
//!
//! The first three borrow from the Arrow buffers: nothing is copied per row.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, StringArray, StringBuilder, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use headwater_change::{Error, Result};

const NULL_TEXT: &[u8] = &[0xFF];

/// Encodes and decodes the keys of one set of group columns.
pub(crate) struct KeyCodec(Layout);

enum Layout {
    Nothing,
    Text,
    Fixed { kind: DataType, width: usize },
    Rows(RowConverter),
}

/// The keys of one batch.
pub(crate) enum Keys {
    /// No group columns.
    Nothing(usize),
    /// One string column.
    Text(StringArray),
    /// One column of values of one width.
    Fixed {
        /// Values of all rows.
        bytes: Buffer,
        /// Bytes of a value.
        width: usize,
        /// Number of rows.
        rows: usize,
        /// Rows that are not NULL.
        nulls: Option<NullBuffer>,
    },
    /// All else.
    Rows(Rows),
}

impl KeyCodec {
    /// A codec for group columns of these types.
    pub(crate) fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self(match types {
            [] => Layout::Nothing,
            [DataType::Utf8] => Layout::Text,
            [kind] if plain(kind) => Layout::Fixed { kind: kind.clone(), width: kind.primitive_width().unwrap_or(0) },
            _ => Layout::Rows(converter(types.iter().cloned())?),
        }))
    }

    /// The keys of rows; `count` is their number.
    pub(crate) fn encode(&self, columns: &[ArrayRef], count: usize) -> Result<Keys> {
        Ok(match (&self.0, columns.first()) {
            (Layout::Text, Some(column)) => Keys::Text(column.as_string::<i32>().clone()),
            (Layout::Fixed { width, .. }, Some(column)) => {
                let data = column.to_data();
                let values = data.buffers().first().cloned().unwrap_or_default();
                Keys::Fixed {
                    bytes: values.slice_with_length(data.offset() * width, count * width),
                    width: *width,
                    rows: count,
                    nulls: column.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
                }
            }
            (Layout::Rows(converter), Some(_)) => Keys::Rows(converter.convert_columns(columns).map_err(unencodable)?),
            _ => Keys::Nothing(count),
        })
    }

    /// The group columns of keys.
    pub(crate) fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        match &self.0 {
            Layout::Nothing => Ok(Vec::new()),
            Layout::Text => {
                let mut texts = StringBuilder::new();
                for key in keys {
                    match std::str::from_utf8(key) {
                        Ok(text) => texts.append_value(text),
                        Err(_) if key == NULL_TEXT => texts.append_null(),
                        Err(_) => return Err(undecodable("a text key is not UTF-8")),
                    }
                }
                Ok(vec![Arc::new(texts.finish())])
            }
            Layout::Fixed { kind, width } => {
                let mut bytes = Vec::new();
                let mut valid = Vec::new();
                for key in keys {
                    valid.push(!key.is_empty());
                    bytes.extend_from_slice(key);
                    bytes.resize(valid.len() * width, 0);
                }
                let data = ArrayData::builder(kind.clone())
                    .len(valid.len())
                    .nulls(Some(NullBuffer::from(valid)))
                    .add_buffer(Buffer::from_vec(bytes))
                    .align_buffers(true)
                    .build()
                    .map_err(|error| undecodable(&error.to_string()))?;
                Ok(vec![make_array(data)])
            }
            Layout::Rows(converter) => {
                let parser = converter.parser();
                converter
                    .convert_rows(keys.map(|key| parser.parse(key)))
                    .map_err(|error| undecodable(&error.to_string()))
            }
        }
    }
}

/// Types whose equality is that of their bytes and whose values lie in one buffer.
fn plain(kind: &DataType) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            DataType::Date32
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(_, _)
                | DataType::Decimal128(_, _)
        )
}

impl Keys {
    /// Visits the keys of `rows` (all where it is `None`) in order.
    #[inline]
    pub(crate) fn visit<'a>(
        &'a self,
        rows: Option<&[u32]>,
        mut visitor: impl FnMut(usize, &'a [u8]) -> Result<()>,
    ) -> Result<()> {
        match rows {
            None => self.visit_each(0..self.len(), &mut visitor),
            Some(rows) => self.visit_each(rows.iter().map(|&row| row as usize), &mut visitor),
        }
    }

    #[inline]
    fn visit_each<'a>(
        &'a self,
        mut rows: impl Iterator<Item = usize>,
        visitor: &mut impl FnMut(usize, &'a [u8]) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Nothing(_) => rows.try_for_each(|row| visitor(row, &[])),
            Self::Text(texts) if texts.null_count() == 0 => {
                let (offsets, bytes) = (texts.value_offsets(), texts.value_data());
                rows.try_for_each(|row| visitor(row, &bytes[offsets[row] as usize..offsets[row + 1] as usize]))
            }
            Self::Text(texts) => rows.try_for_each(|row| {
                visitor(row, if texts.is_valid(row) { texts.value(row).as_bytes() } else { NULL_TEXT })
            }),
            Self::Fixed { bytes, width, nulls, .. } => rows.try_for_each(|row| {
                let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                visitor(row, if valid { &bytes[row * width..(row + 1) * width] } else { &[] })
            }),
            Self::Rows(encoded) => rows.try_for_each(|row| visitor(row, encoded.row(row).data())),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Nothing(rows) | Self::Fixed { rows, .. } => *rows,
            Self::Text(texts) => texts.len(),
            Self::Rows(encoded) => encoded.num_rows(),
        }
    }
}

/// An arrow-row converter, or the reason why there is none.
pub(crate) fn converter(types: impl IntoIterator<Item = DataType>) -> Result<RowConverter> {
    RowConverter::new(types.into_iter().map(SortField::new).collect()).map_err(|error| {
        Error::usage("stream.key_type", "values of this type cannot be grouped or compared")
            .hint("group by a scalar computed from it, for example CAST(x AS STRING)")
            .detail(error.to_string())
    })
}

fn unencodable(error: arrow::error::ArrowError) -> Error {
    Error::bug("stream.key_encoding", "keys cannot be encoded").caused_by(error)
}

/// Stored bytes that are no key.
pub(crate) fn undecodable(detail: &str) -> Error {
    Error::bug("stream.key_decoding", "stored keys cannot be decoded").detail(detail)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int32Array, TimestampMillisecondArray};

    use super::*;

    fn round_trips(columns: Vec<ArrayRef>) {
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let codec = KeyCodec::new(&types).expect("codec");
        // A slice, because buffers then start before the first row.
        let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(1, column.len() - 1)).collect();
        let keys = codec.encode(&columns, columns[0].len()).expect("encode");
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        keys.visit(None, |row, key| {
            assert_eq!(row, bytes.len());
            bytes.push(key.to_vec());
            Ok(())
        })
        .expect("visit");
        assert_ne!(bytes[0], bytes[1], "NULL is a value of its own");
        assert_eq!(bytes[1], bytes[2], "and equal to itself");
        assert_eq!(codec.decode(bytes.iter().map(Vec::as_slice)).expect("decode"), columns);
    }

    #[test]
    fn keys_of_every_layout_round_trip() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some(""), None, None, Some("é")]));
        let times: ArrayRef = Arc::new(
            TimestampMillisecondArray::from(vec![Some(9), Some(0), None, None, Some(-1)]).with_timezone("UTC"),
        );
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![None, Some(false), None, None, Some(true)]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(0), None, None, Some(i32::MIN)]));
        round_trips(vec![texts.clone()]);
        round_trips(vec![times.clone()]);
        round_trips(vec![numbers.clone()]);
        round_trips(vec![flags.clone()]);
        round_trips(vec![texts, times, flags, numbers]);
    }
}
