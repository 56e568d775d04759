//! The query of a list that operators read in pages: `cursor`, `limit`, and what it is searched
//! for.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};

use super::error::ApiError;
use super::fields::positive_digits;

/// Entries of a page unless the query says how many.
const LIMIT_DEFAULT: u32 = 50;
/// Entries of a page at most.
pub const LIMIT_MAX: u32 = 100;
/// Characters of what is searched for.
const SEARCH_CHARS_MAX: usize = 64;

/// Which page of a list is asked for.
pub struct PageQuery {
    query: HashMap<String, String>,
    /// Where it begins; `None`: at the beginning.
    pub cursor: Option<i64>,
    /// 1 to [`LIMIT_MAX`].
    pub limit: u32,
}

impl PageQuery {
    /// Errors: a query that cannot be read, a `cursor` that no page gave, a `limit` out of range.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
            .map_err(|_| ApiError::BadParameter("malformed query"))?
            .into_inner();
        let number = |name: &str| match query.get(name).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(text) => positive_digits(text).map(Some).ok_or(()),
        };
        let cursor = number("cursor")
            .map_err(|()| ApiError::BadParameter("cursor must be the next of a page"))?;
        let out_of_range = ApiError::BadParameter("limit must be 1 to 100");
        let limit = match number("limit") {
            Ok(None) => LIMIT_DEFAULT,
            Ok(Some(limit)) if limit <= i64::from(LIMIT_MAX) => {
                u32::try_from(limit).unwrap_or(LIMIT_MAX)
            }
            _ => return Err(out_of_range),
        };
        Ok(Self {
            query,
            cursor,
            limit,
        })
    }

    /// Whether a flag is `1`.
    pub fn has(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value == "1")
    }

    /// What is searched for; empty: everything.
    pub fn search(&self) -> Result<&str, ApiError> {
        let text = self.query.get("search").map_or("", |text| text.trim());
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(ApiError::BadParameter(
                "search is longer than 64 characters",
            ));
        }
        Ok(text)
    }

    /// Where the page behind this one begins, after the last of its entries; `None` if it is not
    /// full.
    pub fn next(&self, length: usize, last: Option<i64>) -> Option<String> {
        let is_full = length >= self.limit as usize;
        last.filter(|_| is_full).map(|id| id.to_string())
    }
}
