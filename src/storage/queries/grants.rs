//! Coins given and taken by operators.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::super::lock_user_coin;
use super::{Conn, audit_rows};
use crate::domain::{Coins, RequestId};
use crate::storage::schema::{ledger_entries, ledger_transfers, users};
use crate::storage::{AuditRow, CoinGrant, GrantOutcome, StoreError};

/// Grants, with a row of the audit for what was done or refused. A repeated grant does nothing, and
/// is no row.
pub async fn grant(conn: &mut Conn, grant: CoinGrant) -> Result<GrantOutcome, StoreError> {
    if grant.delta.get() == 0 {
        return Err(StoreError::Fault("a grant moves at least one coin".into()));
    }
    let outcome = move_coins(conn, &grant).await?;
    let (result, coin) = match outcome {
        GrantOutcome::Granted {
            duplicate: true, ..
        } => return Ok(outcome),
        GrantOutcome::Granted { coin, .. } => (AuditRow::OK, Some(coin.get())),
        GrantOutcome::UserNotFound => ("user_not_found", None),
        GrantOutcome::CoinsInsufficient => ("coins_out_of_range", None),
        GrantOutcome::Conflict => ("duplicate_conflict", None),
    };
    let delta = grant.delta.get();
    let row = AuditRow {
        target_id: Some(grant.user_id.get()),
        arguments: json!({"delta": delta}),
        before: coin.map(|coin| json!({"coin": coin - delta})),
        after: coin.map(|coin| json!({"coin": coin})),
        request_id: Some(grant.request_id),
        result,
        ..AuditRow::new(grant.by, "grant", grant.at)
    };
    audit_rows::add(conn, &row).await?;
    Ok(outcome)
}

async fn move_coins(conn: &mut Conn, grant: &CoinGrant) -> Result<GrantOutcome, StoreError> {
    let delta = grant.delta.get();
    // Locked first: of two retries at once the second then sees what the first wrote.
    let coin = lock_user_coin(conn, grant.user_id).await?;
    if let Some(earlier) = earlier(conn, &grant.request_id).await? {
        return Ok(earlier.outcome(grant));
    }
    let Some(coin) = coin else {
        return Ok(GrantOutcome::UserNotFound);
    };
    let Some(coin_after) = balance_after(coin, delta) else {
        return Ok(GrantOutcome::CoinsInsufficient);
    };

    let transfer_id: Option<i64> = diesel::insert_into(ledger_transfers::table)
        .values((
            ledger_transfers::kind.eq("grant"),
            ledger_transfers::user_id.eq(grant.user_id.get()),
            ledger_transfers::request_id.eq(grant.request_id.as_str()),
            ledger_transfers::user_coin_after.eq(coin_after),
            ledger_transfers::created_at.eq(grant.at.0),
        ))
        .on_conflict_do_nothing()
        .returning(ledger_transfers::id)
        .get_result(conn)
        .await
        .optional()?;
    // The same request for another user, whose lock is not ours, came between.
    let Some(transfer_id) = transfer_id else {
        return Ok(GrantOutcome::Conflict);
    };
    // The mint is what the coins came from; its balance is what was ever granted, negated. The
    // smallest i64 cannot be negated, but no balance can lose that much.
    for (account, account_id, amount) in [("mint", 0, -delta), ("user", grant.user_id.get(), delta)]
    {
        diesel::insert_into(ledger_entries::table)
            .values((
                ledger_entries::transfer_id.eq(transfer_id),
                ledger_entries::account.eq(account),
                ledger_entries::account_id.eq(account_id),
                ledger_entries::amount.eq(amount),
            ))
            .execute(conn)
            .await?;
    }
    diesel::update(users::table.find(grant.user_id.get()))
        .set((users::coin.eq(coin_after), users::updated_at.eq(grant.at.0)))
        .execute(conn)
        .await?;
    Ok(GrantOutcome::Granted {
        coin: Coins::new(coin_after),
        duplicate: false,
    })
}

/// `None` if the balance would leave its range. One that was above it before there was a limit may
/// be lowered.
fn balance_after(coin: i64, delta: i64) -> Option<i64> {
    coin.checked_add(delta)
        .filter(|after| *after >= 0 && (delta < 0 || *after <= Coins::MAX.get()))
}

/// A grant that is in the books.
#[derive(Queryable)]
struct EarlierGrant {
    user_id: i64,
    delta: i64,
    coin_after: i64,
}

impl EarlierGrant {
    fn outcome(&self, grant: &CoinGrant) -> GrantOutcome {
        if self.user_id != grant.user_id.get() || self.delta != grant.delta.get() {
            return GrantOutcome::Conflict;
        }
        GrantOutcome::Granted {
            coin: Coins::new(self.coin_after),
            duplicate: true,
        }
    }
}

async fn earlier(
    conn: &mut Conn,
    request_id: &RequestId,
) -> Result<Option<EarlierGrant>, StoreError> {
    Ok(ledger_transfers::table
        .inner_join(ledger_entries::table)
        // A literal, because SQLite does not match a bound value with the condition of the index.
        .filter(sql::<Bool>("ledger_transfers.kind = 'grant'"))
        .filter(ledger_transfers::request_id.eq(request_id.as_str()))
        .filter(ledger_entries::account.eq("user"))
        .select((
            ledger_transfers::user_id,
            ledger_entries::amount,
            ledger_transfers::user_coin_after,
        ))
        .get_result(conn)
        .await
        .optional()?)
}
