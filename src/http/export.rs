//! Tables that are too long for one answer: CSV or JSON lines, read and sent one page of rows at a
//! time. The memory of an export is that of one page, whatever its length: the next page is read
//! when the connection has taken the one before.
//!
//! A client that stops reading is cut off as for any other answer (`server.stall_timeout_ms`). An
//! export that fails half way ends without the last chunk of its body, which every HTTP client
//! reports as an error: a file that is complete is whole.

use std::borrow::Cow;
use std::fmt::Write;
use std::future::Future;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// Exports of this node at once. Each keeps a connection of the store busy for most of its time;
/// beyond, the answer is 503.
const EXPORTS_MAX: usize = 4;

/// What a spreadsheet may take for the beginning of a formula. The last four are the full-width
/// forms of the first four, which spreadsheets read as those.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The exports of this node that are under way.
pub struct Exports {
    seats: Arc<Semaphore>,
}

impl Default for Exports {
    fn default() -> Self {
        Self {
            seats: Arc::new(Semaphore::new(EXPORTS_MAX)),
        }
    }
}

impl Exports {
    fn begin(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.seats
            .clone()
            .try_acquire_owned()
            .map_err(|_| ApiError::Busy("too many exports at once"))
    }

    /// Answers with a table: the rows of all pages, one after the other. `next` reads the page at a
    /// cursor, the first one for `None`. Errors: `Busy`, and that of reading the first page.
    pub async fn send<C, F, Read>(
        &self,
        table: ExportTable,
        mut next: F,
    ) -> Result<HttpResponse, ApiError>
    where
        C: 'static,
        F: FnMut(Option<C>) -> Read + 'static,
        Read: Future<Output = Result<ExportPage<C>, ApiError>> + 'static,
    {
        let seat = self.begin()?;
        // Before anything is answered, so that an error is answered as such.
        let first = next(None).await?;
        let mut response = HttpResponse::Ok();
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((CONTENT_DISPOSITION, table.disposition()))
            .content_type(table.format.content_type());
        let head = table.format.head(table.columns);
        let sending = Sending {
            first: Some(first),
            cursor: None,
            head: Some(head),
            table,
            next,
            _seat: seat,
        };
        Ok(response.streaming(stream::try_unfold(sending, Sending::chunk)))
    }
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// RFC 4180 in UTF-8, with a line of names. Texts that a spreadsheet would take for a formula
    /// have a `'` before them. Control characters other than tabs and line ends are written as
    /// `\x1b`.
    Csv,
    /// One JSON object a line, with every text as it is.
    JsonLines,
}

impl ExportFormat {
    /// Reads `format` of a query. Errors: it is neither `csv` nor `jsonl`.
    pub fn of(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl") => Ok(Self::JsonLines),
            _ => Err(ApiError::BadParameter("format must be csv or jsonl")),
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/x-ndjson; charset=utf-8",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// What comes before the first row.
    fn head(self, columns: &[&str]) -> String {
        match self {
            Self::Csv => format!("{}\r\n", columns.join(",")),
            Self::JsonLines => String::new(),
        }
    }

    fn write_row(self, columns: &[&str], row: &[Cell], out: &mut String) {
        match self {
            Self::Csv => write_csv_row(row, out),
            Self::JsonLines => write_json_row(columns, row, out),
        }
    }
}

/// The table of an export.
#[derive(Debug, Clone, Copy)]
pub struct ExportTable {
    pub format: ExportFormat,
    /// Of the file, without its extension: of `[a-z0-9_-]`.
    pub name: &'static str,
    /// The live that it is about, which the name of the file says too.
    pub live_id: Option<i64>,
    /// In the order of the cells of each row. Of `[a-z0-9_]`.
    pub columns: &'static [&'static str],
}

impl ExportTable {
    fn disposition(&self) -> String {
        let (name, extension) = (self.name, self.format.extension());
        match self.live_id {
            Some(live_id) => format!("attachment; filename=\"live-{live_id}-{name}.{extension}\""),
            None => format!("attachment; filename=\"{name}.{extension}\""),
        }
    }
}

/// Rows that were read together; each has a cell for each column.
pub struct ExportPage<C> {
    /// At most [`ExportPage::ROWS_MAX`].
    pub rows: Vec<Vec<Cell>>,
    /// Where the next page begins, unless this is the last one.
    pub next: Option<C>,
}

impl ExportPage<()> {
    /// Rows to read for one page, of a few hundred bytes each.
    pub const ROWS_MAX: u32 = 1_000;
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// `null`, or nothing between two commas.
    Null,
    /// Never taken for a formula, also where it is negative.
    Number(i64),
    Text(String),
    /// A JSON document: nested in JSON lines, a text in CSV.
    Json(String),
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }
}

/// An export that is under way.
struct Sending<C, F> {
    head: Option<String>,
    /// The first page, until it is sent.
    first: Option<ExportPage<C>>,
    /// Where the page after those begins; `None` after the last one.
    cursor: Option<C>,
    table: ExportTable,
    next: F,
    _seat: OwnedSemaphorePermit,
}

impl<C, F, Read> Sending<C, F>
where
    F: FnMut(Option<C>) -> Read,
    Read: Future<Output = Result<ExportPage<C>, ApiError>>,
{
    async fn chunk(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        let mut out = self.head.take().unwrap_or_default();
        // A page may be empty and have a next one. An empty chunk would end the body.
        while let Some(page) = self.page().await? {
            let ExportTable {
                format, columns, ..
            } = self.table;
            for row in &page.rows {
                format.write_row(columns, row, &mut out);
            }
            self.cursor = page.next;
            if !out.is_empty() {
                break;
            }
        }
        Ok((!out.is_empty()).then(|| (Bytes::from(out), self)))
    }

    async fn page(&mut self) -> Result<Option<ExportPage<C>>, ApiError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.cursor.take() {
            Some(cursor) => (self.next)(Some(cursor)).await.map(Some),
            None => Ok(None),
        }
    }
}

fn write_csv_row(row: &[Cell], out: &mut String) {
    for (index, cell) in row.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match cell {
            Cell::Null => {}
            Cell::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Cell::Text(text) | Cell::Json(text) => write_csv_text(text, out),
        }
    }
    out.push_str("\r\n");
}

/// Writes a text so that it is neither a formula nor more than one cell, and an empty one so that
/// it differs from none.
fn write_csv_text(text: &str, out: &mut String) {
    let is_formula = text.starts_with(FORMULA_STARTS);
    let needs_quotes = text.is_empty() || text.contains([',', '"', '\r', '\n']) || is_formula;
    if !needs_quotes {
        out.push_str(&without_controls(text));
        return;
    }
    out.push('"');
    if is_formula {
        out.push('\'');
    }
    out.push_str(&without_controls(text).replace('"', "\"\""));
    out.push('"');
}

/// A text whose control characters do nothing to a terminal.
fn without_controls(text: &str) -> Cow<'_, str> {
    let is_active = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_active(c) {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn write_json_row(columns: &[&str], row: &[Cell], out: &mut String) {
    for (index, (column, cell)) in columns.iter().zip(row).enumerate() {
        let before = if index == 0 { '{' } else { ',' };
        let _ = write!(out, "{before}\"{column}\":");
        match cell {
            Cell::Null => out.push_str("null"),
            Cell::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Cell::Text(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Cell::Json(json) => out.push_str(json),
        }
    }
    out.push_str("}\n");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;
    use std::pin::Pin;
    use std::rc::Rc;

    use actix_web::body::{BodySize, BoxBody, MessageBody, to_bytes};
    use futures_util::future::poll_fn;

    use super::*;
    use crate::storage::StoreError;

    const TABLE: ExportTable = ExportTable {
        format: ExportFormat::Csv,
        name: "things",
        live_id: Some(7),
        columns: &["id", "text"],
    };

    fn csv(text: &str) -> String {
        let mut out = String::new();
        write_csv_text(text, &mut out);
        out
    }

    fn row(id: i64, text: &str) -> Vec<Cell> {
        vec![Cell::Number(id), Cell::Text(text.to_owned())]
    }

    type ReadPage = std::future::Ready<Result<ExportPage<i64>, ApiError>>;

    /// Pages of two rows, `count` rows in all, and how many of them were read.
    fn pages(count: i64) -> (Rc<Counter<i64>>, impl FnMut(Option<i64>) -> ReadPage) {
        let read = Rc::new(Counter::new(0));
        let counted = read.clone();
        let next = move |from: Option<i64>| {
            counted.set(counted.get() + 1);
            let from = from.unwrap_or(0);
            let until = (from + 2).min(count);
            std::future::ready(Ok(ExportPage {
                rows: (from..until).map(|id| row(id, "x")).collect(),
                next: (until < count).then_some(until),
            }))
        };
        (read, next)
    }

    async fn chunk(body: &mut BoxBody) -> Option<Result<Bytes, String>> {
        let chunk = poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await;
        chunk.map(|chunk| chunk.map_err(|error| error.to_string()))
    }

    #[test]
    fn a_text_stays_one_cell_and_is_never_a_formula() {
        for (text, written) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "\"'＝1\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("a=1", "a=1"),
            ("弹幕", "弹幕"),
        ] {
            assert_eq!(csv(text), written, "{text:?}");
        }
    }

    #[test]
    fn control_characters_do_nothing_to_a_terminal() {
        assert_eq!(csv("\u{1b}[31mred\u{7f}\u{9b}"), "\\x1b[31mred\\x7f\\x9b");
    }

    #[test]
    fn numbers_are_numbers_also_where_they_are_negative() {
        let mut out = String::new();
        write_csv_row(
            &[Cell::Number(-5), Cell::Null, Cell::Text("-5".into())],
            &mut out,
        );
        assert_eq!(out, "-5,,\"'-5\"\r\n");
    }

    #[test]
    fn a_line_of_json_is_one_object_with_texts_as_they_are() {
        let mut out = String::new();
        let cells = [
            Cell::Text("=1\n\u{1b}\"".into()),
            Cell::Json(r#"{"a":1}"#.into()),
            Cell::Null,
        ];
        write_json_row(&["text", "json", "none"], &cells, &mut out);
        assert_eq!(out.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"text": "=1\n\u{1b}\"", "json": {"a": 1}, "none": null})
        );
    }

    #[actix_web::test]
    async fn pages_are_read_one_at_a_time_as_the_client_takes_them() {
        let (read, next) = pages(5);
        let response = Exports::default().send(TABLE, next).await.unwrap();
        let disposition = response.headers().get(CONTENT_DISPOSITION).unwrap();
        assert_eq!(disposition, "attachment; filename=\"live-7-things.csv\"");
        let mut body = response.into_body();
        assert_eq!((body.size(), read.get()), (BodySize::Stream, 1));
        let first = chunk(&mut body).await.unwrap().unwrap();
        assert_eq!(
            (&first[..], read.get()),
            (&b"id,text\r\n0,x\r\n1,x\r\n"[..], 1)
        );
        assert_eq!(&to_bytes(body).await.unwrap()[..], b"2,x\r\n3,x\r\n4,x\r\n");
        assert_eq!(read.get(), 3);
    }

    #[actix_web::test]
    async fn a_page_without_rows_does_not_end_an_export() {
        let table = ExportTable {
            format: ExportFormat::JsonLines,
            ..TABLE
        };
        let next = |from: Option<i64>| {
            let from = from.unwrap_or(0);
            std::future::ready(Ok(ExportPage {
                rows: if from == 3 {
                    vec![row(3, "x")]
                } else {
                    Vec::new()
                },
                next: (from < 5).then_some(from + 1),
            }))
        };
        let response = Exports::default().send(table, next).await.unwrap();
        let body = to_bytes(response.into_body()).await.unwrap();
        assert_eq!(&body[..], b"{\"id\":3,\"text\":\"x\"}\n");
    }

    #[actix_web::test]
    async fn an_export_that_fails_is_not_taken_for_a_whole_one() {
        let fault = || ApiError::Store(StoreError::Unavailable("gone".to_owned()));
        let failing = move |_: Option<i64>| std::future::ready(Err(fault()));
        let exports = Exports::default();
        assert!(
            exports.send(TABLE, failing).await.is_err(),
            "at its first page"
        );

        let next = move |from: Option<i64>| {
            std::future::ready(match from {
                None => Ok(ExportPage {
                    rows: vec![row(0, "x")],
                    next: Some(1),
                }),
                Some(_) => Err(fault()),
            })
        };
        let mut body = exports.send(TABLE, next).await.unwrap().into_body();
        assert!(matches!(chunk(&mut body).await, Some(Ok(_))));
        assert!(matches!(chunk(&mut body).await, Some(Err(_))), "half way");
    }

    #[actix_web::test]
    async fn exports_beyond_the_limit_are_refused_until_one_ends() {
        let exports = Exports::default();
        let mut under_way = Vec::new();
        for _ in 0..EXPORTS_MAX {
            under_way.push(exports.send(TABLE, pages(1).1).await.unwrap());
        }
        let refused = exports.send(TABLE, pages(1).1).await;
        assert!(matches!(refused, Err(ApiError::Busy(_))));
        under_way.pop();
        assert!(exports.send(TABLE, pages(1).1).await.is_ok());
    }
}
