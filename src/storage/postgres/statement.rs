//! A statement of fixed text over columns of values.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, Text};

/// A value in the place of a `?`.
pub(super) enum Bind<'a> {
    Number(i64),
    Text(&'a str),
    Numbers(Vec<i64>),
    Texts(Vec<&'a str>),
    OptionalTexts(Vec<Option<&'a str>>),
}

/// Prepared once per connection, whatever the length of its columns. diesel's `sql_query` would be
/// prepared anew each time: two more round trips, and a plan, for each statement of each batch.
pub(super) struct Statement<'a, Row = ()> {
    sql: &'static str,
    binds: Vec<Bind<'a>>,
    row: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    pub fn new(sql: &'static str, binds: Vec<Bind<'a>>) -> Self {
        debug_assert_eq!(sql.matches('?').count(), binds.len(), "{sql}");
        Self {
            sql,
            binds,
            row: PhantomData,
        }
    }
}

impl<Row> QueryFragment<Pg> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for text in self.sql.split('?') {
            out.push_sql(text);
            match binds.next() {
                Some(Bind::Number(number)) => out.push_bind_param::<BigInt, _>(number)?,
                Some(Bind::Text(text)) => out.push_bind_param::<Text, _>(text)?,
                Some(Bind::Numbers(numbers)) => out.push_bind_param::<Array<BigInt>, _>(numbers)?,
                Some(Bind::Texts(texts)) => out.push_bind_param::<Array<Text>, _>(texts)?,
                Some(Bind::OptionalTexts(texts)) => {
                    out.push_bind_param::<Array<Nullable<Text>>, _>(texts)?
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Without an id of its own, a statement is known by its text.
impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}
