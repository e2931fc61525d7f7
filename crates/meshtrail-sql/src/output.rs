//! Encoders of answers: JSON lines, CSV, Parquet, and rows for a program that renders them itself.
//!
//! - An [`Encoder`] takes batches and returns bytes as they are ready. It buffers one batch at most, and for Parquet the
//!   open row group, which is bounded by `ROW_GROUP`.
//! - Times are RFC 3339 in UTC, hashes and other bytes lower-case hex, in every text format.
//! - An answer is complete only with the bytes of [`Encoder::finish`].

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, Writer as JsonWriter, WriterBuilder as JsonWriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use meshtrail_event::text::without_formula;
use meshtrail_worker::Format;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Rows of a Parquet row group, which is buffered until it is written.
const ROW_GROUP: usize = 64 * 1024;

/// RFC 3339, with as many fractional digits as needed.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OutputError {
    #[error("the answer can't be written as {}", format.name())]
    Encode { format: Format, source: ArrowError },
    #[error("the answer can't be written as Parquet")]
    Parquet(#[source] ParquetError),
}

/// Encodes batches as bytes of one format.
pub struct Encoder {
    format: Format,
    schema: SchemaRef,
    sink: Sink,
    body: Body,
    rows: u64,
}

enum Body {
    JsonLines(Box<JsonWriter<Sink, LineDelimited>>),
    Csv(Box<arrow::csv::Writer<Sink>>),
    Parquet(Box<ArrowWriter<Sink>>),
    Rows { has_columns: bool },
}

/// The buffer that the writers fill and [`Encoder::encode`] drains.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    /// An encoder for answers of this schema.
    pub fn new(format: Format, schema: SchemaRef) -> Result<Encoder, OutputError> {
        let sink = Sink::default();
        let body = match format {
            Format::JsonLines => {
                let builder = JsonWriterBuilder::new()
                    .with_explicit_nulls(true)
                    .with_timestamp_tz_format(TIME.to_owned())
                    .with_timestamp_format(TIME.to_owned());
                Body::JsonLines(Box::new(builder.build(sink.clone())))
            }
            Format::Csv | Format::CsvSafe => {
                let builder = WriterBuilder::new()
                    .with_header(true)
                    .with_timestamp_format(TIME.to_owned())
                    .with_timestamp_tz_format(TIME.to_owned());
                let mut writer = builder.build(sink.clone());
                // Headings are written even if there are no rows.
                let headings = writer.write(&RecordBatch::new_empty(schema.clone()));
                headings.map_err(|source| OutputError::Encode { format, source })?;
                Body::Csv(Box::new(writer))
            }
            Format::Parquet => {
                let level = ZstdLevel::try_new(3).map_err(OutputError::Parquet)?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .build();
                let writer = ArrowWriter::try_new(sink.clone(), schema.clone(), Some(properties));
                Body::Parquet(Box::new(writer.map_err(OutputError::Parquet)?))
            }
            Format::Rows => Body::Rows { has_columns: false },
        };
        Ok(Encoder { format, schema, sink, body, rows: 0 })
    }

    /// Rows that were encoded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Encodes a batch; returns the bytes that are ready, possibly none.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, OutputError> {
        let format = self.format;
        let failed = |source| OutputError::Encode { format, source };
        match &mut self.body {
            Body::JsonLines(writer) => writer.write(batch).map_err(failed)?,
            Body::Csv(writer) if format == Format::CsvSafe => {
                writer.write(&without_formulas(batch).map_err(failed)?).map_err(failed)?;
            }
            Body::Csv(writer) => writer.write(batch).map_err(failed)?,
            Body::Parquet(writer) => writer.write(batch).map_err(OutputError::Parquet)?,
            Body::Rows { has_columns } => {
                if !std::mem::replace(has_columns, true) {
                    write_columns(&self.schema, &mut self.sink);
                }
                write_rows(batch, &mut self.sink).map_err(failed)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(self.sink.take())
    }

    /// Writes the end of the answer.
    pub fn finish(mut self) -> Result<Vec<u8>, OutputError> {
        let format = self.format;
        match self.body {
            Body::JsonLines(mut writer) => {
                writer.finish().map_err(|source| OutputError::Encode { format, source })?;
            }
            Body::Csv(_) => {}
            Body::Parquet(writer) => drop(writer.close().map_err(OutputError::Parquet)?),
            Body::Rows { has_columns } => {
                if !has_columns {
                    write_columns(&self.schema, &mut self.sink);
                }
                push_line(&mut self.sink, &serde_json::json!({ "rows": self.rows }));
            }
        }
        Ok(self.sink.take())
    }
}

/// The same rows, with an apostrophe before each text that a spreadsheet would take for a formula.
fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !is_text {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        let texts = arrow::compute::cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter().map(|text| text.map(without_formula));
        columns.push(Arc::new(texts.collect::<StringArray>()));
        fields.push(Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn push_line(sink: &mut Sink, value: &serde_json::Value) {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    sink.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut line);
}

fn write_columns(schema: &SchemaRef, sink: &mut Sink) {
    let columns = schema.fields().iter().map(|field| {
        let of = match field.data_type() {
            of if of.is_numeric() => "number",
            DataType::Timestamp(..) => "time",
            _ => "text",
        };
        serde_json::json!({ "name": field.name(), "type": of })
    });
    let columns: Vec<_> = columns.collect();
    push_line(sink, &serde_json::json!({ "columns": columns }));
}

fn write_rows(batch: &RecordBatch, sink: &mut Sink) -> Result<(), ArrowError> {
    let options = FormatOptions::new().with_timestamp_format(Some(TIME)).with_timestamp_tz_format(Some(TIME));
    let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cells = batch.columns().iter().zip(&formatters).map(|(column, formatter)| {
            if column.is_null(row) {
                return Ok(serde_json::Value::Null);
            }
            formatter.value(row).try_to_string().map(serde_json::Value::String)
        });
        let cells: Vec<_> = cells.collect::<Result<_, _>>()?;
        push_line(sink, &serde_json::Value::Array(cells));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampNanosecondArray};
    use arrow::datatypes::{Field, TimeUnit};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch() -> RecordBatch {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("who", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
            Field::new("at", time, true),
        ]);
        let who = StringArray::from(vec![Some("a \"b\", c\nd"), None]);
        let at = TimestampNanosecondArray::from(vec![Some(1_500_000_000), None]).with_timezone("UTC");
        let n = Int64Array::from(vec![Some(7), None]);
        let columns: Vec<ArrayRef> = vec![Arc::new(who), Arc::new(n), Arc::new(at)];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn encode_all(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut encoder = Encoder::new(format, batch().schema()).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(encoder.encode(batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    #[test]
    fn texts_come_out_whole_in_every_format() {
        let text = |format| String::from_utf8(encode_all(format, &[batch()])).unwrap();
        assert_eq!(
            text(Format::JsonLines),
            "{\"who\":\"a \\\"b\\\", c\\nd\",\"n\":7,\"at\":\"1970-01-01T00:00:01.500Z\"}\n\
             {\"who\":null,\"n\":null,\"at\":null}\n"
        );
        assert_eq!(text(Format::Csv), "who,n,at\n\"a \"\"b\"\", c\nd\",7,1970-01-01T00:00:01.500Z\n,,\n");
        assert_eq!(
            text(Format::Rows),
            "{\"columns\":[{\"name\":\"who\",\"type\":\"text\"},{\"name\":\"n\",\"type\":\"number\"},\
             {\"name\":\"at\",\"type\":\"time\"}]}\n[\"a \\\"b\\\", c\\nd\",\"7\",\"1970-01-01T00:00:01.500Z\"]\n\
             [null,null,null]\n{\"rows\":2}\n"
        );
    }

    #[test]
    fn a_text_is_no_formula_in_a_file_for_spreadsheets() {
        let schema = Arc::new(Schema::new(vec![Field::new("command", DataType::Utf8View, true)]));
        let texts = ["=cmd|' /C calc'!A1", "-1", "+x", "@sum", "\tx", "ls -l", ""];
        let column: ArrayRef = Arc::new(arrow::array::StringViewArray::from(texts.to_vec()));
        let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let encode_all = |format| {
            let mut encoder = Encoder::new(format, schema.clone()).unwrap();
            let mut bytes = encoder.encode(&batch).unwrap();
            bytes.extend(encoder.finish().unwrap());
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(
            encode_all(Format::CsvSafe),
            "command\n'=cmd|' /C calc'!A1\n'-1\n'+x\n'@sum\n'\tx\nls -l\n\"\"\n"
        );
        assert!(encode_all(Format::Csv).contains("\n=cmd|"), "exact where it is not asked for");
    }

    #[test]
    fn an_answer_without_rows_still_names_its_columns() {
        assert_eq!(encode_all(Format::Csv, &[]), b"who,n,at\n");
        assert!(encode_all(Format::Rows, &[]).ends_with(b"{\"rows\":0}\n"));
        assert!(encode_all(Format::JsonLines, &[]).is_empty());
    }

    #[test]
    fn a_parquet_answer_reads_back() {
        for batches in [vec![], vec![batch(), batch()]] {
            let bytes = bytes::Bytes::from(encode_all(Format::Parquet, &batches));
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
            assert_eq!(rows, 2 * batches.len());
        }
    }
}
