DROP INDEX sanctions_of_user;
DROP INDEX users_by_name;
DROP INDEX audit_take_downs;
DROP INDEX comments_removed_order;
CREATE INDEX ledger_entries_by_account ON ledger_entries (account, account_id);
DROP INDEX ledger_entries_of_account;
CREATE INDEX gift_records_of_giver ON gift_records (live_id, user_id);
DROP INDEX gift_records_totals;
