//! Tokens of operators' scripts.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use serde_json::json;

use super::super::{Backend, Conn};
use super::audit_rows;
use crate::domain::{Actor, Permission, Timestamp, TokenId};
use crate::storage::error::require_storable;
use crate::storage::rows::actor_of;
use crate::storage::schema::api_tokens;
use crate::storage::{
    API_TOKEN_USE_MS, API_TOKENS_MAX, ActAuthor, ApiToken, ApiTokenStore, AuditRow, NewApiToken,
    StoreError, Stored,
};

impl ApiTokenStore for Backend {
    fn add_api_token(&self, token: NewApiToken, by: ActAuthor) -> Stored<'_, Option<ApiToken>> {
        self.write(move |conn| add(conn, token, by).boxed())
    }

    fn api_tokens(&self) -> Stored<'_, Vec<ApiToken>> {
        self.read(move |conn| all(conn).boxed())
    }

    fn api_token(&self, digest: String) -> Stored<'_, Option<ApiToken>> {
        self.read(move |conn| by_digest(conn, digest).boxed())
    }

    fn note_api_token_use(&self, id: TokenId, at: Timestamp) -> Stored<'_, ()> {
        self.write(move |conn| note_use(conn, id, at).boxed())
    }

    fn revoke_api_token(&self, id: TokenId, at: Timestamp, by: ActAuthor) -> Stored<'_, bool> {
        self.write(move |conn| revoke(conn, id, at, by).boxed())
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_tokens)]
struct ApiTokenRecord {
    id: i64,
    name: String,
    scopes: String,
    created_by_kind: String,
    created_by_id: i64,
    created_by_name: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<ApiTokenRecord> for ApiToken {
    type Error = StoreError;

    fn try_from(row: ApiTokenRecord) -> Result<Self, StoreError> {
        let fault = || StoreError::Fault(format!("api_tokens {}: impossible row", row.id));
        let id = TokenId::new(row.id).ok_or_else(fault)?;
        let created_by = match actor_of(&row.created_by_kind, row.created_by_id) {
            Some(Actor::Operator(operator)) => operator,
            _ => return Err(fault()),
        };
        Ok(Self {
            id,
            // A permission of a later version is one that this version cannot grant.
            scopes: row
                .scopes
                .split(',')
                .filter_map(Permission::from_name)
                .collect(),
            created_by,
            name: row.name,
            created_by_name: row.created_by_name,
            created_at: Timestamp(row.created_at),
            expires_at: row.expires_at.map(Timestamp),
            last_used_at: row.last_used_at.map(Timestamp),
        })
    }
}

async fn add(
    conn: &mut Conn,
    token: NewApiToken,
    by: ActAuthor,
) -> Result<Option<ApiToken>, StoreError> {
    require_storable(&[&token.name, &token.created_by_name])?;
    let count: i64 = api_tokens::table
        .filter(api_tokens::revoked_at.is_null())
        .count()
        .get_result(conn)
        .await?;
    if count >= API_TOKENS_MAX {
        return Ok(None);
    }
    let (kind, id) = Actor::Operator(token.created_by).kind_and_id();
    let scopes: Vec<_> = token.scopes.iter().map(Permission::name).collect();
    let mut created = AuditRow {
        after: Some(json!({
            "name": &token.name,
            "scopes": &scopes,
            "expires_at": token.expires_at.map(|at| at.0),
        })),
        ..AuditRow::new(by, "create_token", token.at)
    };
    let row: ApiTokenRecord = diesel::insert_into(api_tokens::table)
        .values((
            api_tokens::name.eq(token.name),
            api_tokens::digest.eq(token.digest),
            api_tokens::scopes.eq(scopes.join(",")),
            api_tokens::created_by_kind.eq(kind),
            api_tokens::created_by_id.eq(id),
            api_tokens::created_by_name.eq(token.created_by_name),
            api_tokens::created_at.eq(token.at.0),
            api_tokens::expires_at.eq(token.expires_at.map(|at| at.0)),
        ))
        .returning(ApiTokenRecord::as_returning())
        .get_result(conn)
        .await?;
    created.target_id = Some(row.id);
    audit_rows::add(conn, &created).await?;
    row.try_into().map(Some)
}

async fn all(conn: &mut Conn) -> Result<Vec<ApiToken>, StoreError> {
    let rows: Vec<ApiTokenRecord> = api_tokens::table
        .filter(api_tokens::revoked_at.is_null())
        .order(api_tokens::id.desc())
        .select(ApiTokenRecord::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(ApiToken::try_from).collect()
}

async fn by_digest(conn: &mut Conn, digest: String) -> Result<Option<ApiToken>, StoreError> {
    let row: Option<ApiTokenRecord> = api_tokens::table
        .filter(api_tokens::digest.eq(digest))
        .filter(api_tokens::revoked_at.is_null())
        .select(ApiTokenRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    row.map(ApiToken::try_from).transpose()
}

async fn note_use(conn: &mut Conn, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
    let is_unknown = api_tokens::last_used_at
        .is_null()
        .or(api_tokens::last_used_at.le(at.0.saturating_sub(API_TOKEN_USE_MS)));
    diesel::update(api_tokens::table.find(id.get()))
        .filter(is_unknown)
        .set(api_tokens::last_used_at.eq(at.0))
        .execute(conn)
        .await?;
    Ok(())
}

async fn revoke(
    conn: &mut Conn,
    id: TokenId,
    at: Timestamp,
    by: ActAuthor,
) -> Result<bool, StoreError> {
    let revoked = diesel::update(api_tokens::table.find(id.get()))
        .filter(api_tokens::revoked_at.is_null())
        .set(api_tokens::revoked_at.eq(at.0))
        .execute(conn)
        .await?;
    if revoked > 0 {
        let row = AuditRow {
            target_id: Some(id.get()),
            ..AuditRow::new(by, "revoke_token", at)
        };
        audit_rows::add(conn, &row).await?;
    }
    Ok(revoked > 0)
}
