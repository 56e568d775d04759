//! Request bodies: bounded bytes, then named fields.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, dev, web};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::{CommentId, RequestId};

use super::error::ApiError;

/// Bytes of a body at most; more is answered with 413.
pub const BODY_BYTES_MAX: usize = 64 * 1_024;

/// How long a body may take to arrive. 64 KiB need no longer on any usable line, and a connection
/// that dribbles must not be held for ever.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// How long the body of a list may take.
const LIST_WAIT: Duration = Duration::from_secs(60);

/// A body as it came. Parsed by the handler and not while extracting, because the contract reports
/// a bad token before a bad body.
pub struct RequestBody {
    bytes: Bytes,
    content_type: String,
}

impl FromRequest for RequestBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let content_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let payload = payload.await.map_err(|_| ApiError::MalformedBody)?;
            let bytes = read(payload, BODY_BYTES_MAX, BODY_WAIT).await?;
            Ok(Self {
                bytes,
                content_type,
            })
        })
    }
}

/// A body of lines, of so many bytes at most: longer than others. More is answered with 413.
pub struct ListBody<const BYTES_MAX: usize>(pub Bytes);

impl<const BYTES_MAX: usize> FromRequest for ListBody<BYTES_MAX> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let payload = payload.await.map_err(|_| ApiError::MalformedBody)?;
            Ok(Self(read(payload, BYTES_MAX, LIST_WAIT).await?))
        })
    }
}

async fn read(payload: web::Payload, bytes_max: usize, wait: Duration) -> Result<Bytes, ApiError> {
    tokio::time::timeout(wait, payload.to_bytes_limited(bytes_max))
        .await
        .map_err(|_| ApiError::BodyTooSlow)?
        .map_err(|_| ApiError::BodyTooLarge)?
        .map_err(|_| ApiError::MalformedBody)
}

impl RequestBody {
    /// The fields of a JSON object or of a form. An empty body has none.
    pub fn fields(&self) -> Result<Fields, ApiError> {
        if self.bytes.is_empty() {
            return Ok(Fields(Map::new()));
        }
        match self.content_type.as_str() {
            "application/json" => serde_json::from_slice(&self.bytes)
                .map(Fields)
                .map_err(|_| ApiError::MalformedBody),
            "application/x-www-form-urlencoded" => self.form_fields(),
            _ => Err(ApiError::MalformedBody),
        }
    }

    /// A form is written like a query string.
    fn form_fields(&self) -> Result<Fields, ApiError> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| ApiError::MalformedBody)?;
        let form = web::Query::<HashMap<String, String>>::from_query(text)
            .map_err(|_| ApiError::MalformedBody)?;
        Ok(Fields(
            form.into_inner()
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)))
                .collect(),
        ))
    }

    /// The same for a body that may be missing.
    pub fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.bytes.is_empty() {
            Ok(T::default())
        } else {
            self.json()
        }
    }

    /// A JSON document of one shape, for the operators' API. A fault is answered in the words of
    /// the parser, which name the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.bytes).map_err(|error| match error.is_data() {
            true => ApiError::Invalid(Cow::Owned(error.to_string())),
            false => ApiError::MalformedBody,
        })
    }
}

/// An id of a query, such as the `cursor` of a list; `fault` says what is wrong with any other text.
pub fn query_id(
    request: &HttpRequest,
    name: &str,
    fault: &'static str,
) -> Result<Option<i64>, ApiError> {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|_| ApiError::BadParameter("malformed query"))?;
    match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => positive_digits(text)
            .map(Some)
            .ok_or(ApiError::BadParameter(fault)),
    }
}

/// The id of a comment in a body: a number, or a text of its digits, as clients get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct CommentIdField(pub CommentId);

impl TryFrom<Value> for CommentIdField {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => positive_digits(text),
            _ => None,
        };
        let id = number.and_then(CommentId::new);
        id.map(Self)
            .ok_or("comment_id must be a positive integer, or a text of its digits")
    }
}

/// Named values, not yet believed. Forms only know strings, so numbers may come as digits.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// A string that is there and not empty; `label` is the field's name in messages.
    pub fn text(&self, name: &str, label: &'static str) -> Result<&str, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Err(missing(label)),
            Some(Value::String(text)) if text.is_empty() => Err(missing(label)),
            // PostgreSQL's text cannot hold NUL, and nobody means to send one.
            Some(Value::String(text)) if text.contains('\0') => Err(with_nul(label)),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(malformed(label)),
        }
    }

    /// A string that may be missing, or empty; `null` is as good as an empty one.
    pub fn optional_text(&self, name: &str, label: &'static str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some("")),
            Some(Value::String(text)) if text.is_empty() => Ok(Some("")),
            Some(_) => self.text(name, label).map(Some),
        }
    }

    /// A name for the request, by which a retry is recognised, if it has one.
    pub fn request_id(&self, label: &'static str) -> Result<Option<RequestId>, ApiError> {
        match self.0.get("request_id") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => RequestId::parse(text)
                .map(Some)
                .ok_or_else(|| malformed(label)),
            Some(_) => Err(malformed(label)),
        }
    }

    /// True or false, or one of these words.
    pub fn flag(&self, name: &str, label: &'static str) -> Result<bool, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Err(missing(label)),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => match text.as_str() {
                "" => Err(missing(label)),
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(malformed(label)),
            },
            Some(_) => Err(malformed(label)),
        }
    }

    /// A positive integer or a string of its digits.
    pub fn positive(&self, name: &str, label: &'static str) -> Result<i64, ApiError> {
        let number = match self.0.get(name) {
            None | Some(Value::Null) => return Err(missing(label)),
            Some(Value::String(text)) if text.is_empty() => return Err(missing(label)),
            Some(Value::String(text)) => positive_digits(text),
            Some(Value::Number(number)) => number.as_i64().filter(|number| *number > 0),
            Some(_) => None,
        };
        number.ok_or_else(|| malformed(label))
    }
}

/// Reads digits, and only digits, as a number above 0. One too large for 64 bits is the largest:
/// well-formed, and the id of nothing.
pub fn positive_digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(i64::MAX)).filter(|number| *number > 0)
}

/// Refuses a text longer than `chars_max` code points.
pub fn at_most_chars<'a>(
    text: &'a str,
    chars_max: usize,
    label: &'static str,
) -> Result<&'a str, ApiError> {
    if text.chars().count() > chars_max {
        return Err(ApiError::Invalid(Cow::Owned(format!(
            "{label} 的长度 必须 在 1 和 {chars_max} 之间"
        ))));
    }
    Ok(text)
}

fn missing(label: &str) -> ApiError {
    ApiError::Invalid(Cow::Owned(format!("{label}不能为空")))
}

fn with_nul(label: &str) -> ApiError {
    ApiError::Invalid(Cow::Owned(format!("{label} 不能包含空字符（U+0000）")))
}

fn malformed(label: &str) -> ApiError {
    ApiError::Invalid(Cow::Owned(format!("{label} 格式不正确")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &'static str, content_type: &str) -> Result<Fields, ApiError> {
        RequestBody {
            bytes: Bytes::from_static(bytes.as_bytes()),
            content_type: content_type.to_owned(),
        }
        .fields()
    }

    #[test]
    fn json_and_form_say_the_same() {
        let bodies = [
            fields(r#"{"id":7,"name":"小 花","on":true}"#, "application/json"),
            fields(
                "id=7&name=%E5%B0%8F+%E8%8A%B1&on=true",
                "application/x-www-form-urlencoded",
            ),
        ];
        for body in bodies {
            let body = body.unwrap();
            assert_eq!(body.positive("id", "编号").unwrap(), 7);
            assert_eq!(body.text("name", "名称").unwrap(), "小 花");
            assert!(body.flag("on", "开关").unwrap());
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for (bytes, content_type) in [
            ("[1]", "application/json"),
            ("{", "application/json"),
            ("a=1", "text/plain"),
        ] {
            assert!(
                matches!(fields(bytes, content_type), Err(ApiError::MalformedBody)),
                "{bytes}"
            );
        }
        assert!(fields("", "").is_ok());
    }

    #[test]
    fn ids_are_digits_and_nothing_else() {
        assert_eq!(positive_digits("7"), Some(7));
        assert_eq!(positive_digits("99999999999999999999"), Some(i64::MAX));
        for text in ["", "0", "-1", "+1", "7abc", "1.0", " 7", "七"] {
            assert_eq!(positive_digits(text), None, "{text}");
        }
    }

    #[test]
    fn wrong_types_are_distinguished_from_missing_ones() {
        let body = fields(
            r#"{"a":5,"b":null,"c":"","d":"x\u0000"}"#,
            "application/json",
        )
        .unwrap();
        let text = |name| body.text(name, "标题").unwrap_err().to_string();
        assert_eq!(
            [text("a"), text("d")],
            ["标题 格式不正确", "标题 不能包含空字符（U+0000）"]
        );
        assert_eq!(
            [text("b"), text("c"), text("e")],
            ["标题不能为空", "标题不能为空", "标题不能为空"]
        );
    }
}
