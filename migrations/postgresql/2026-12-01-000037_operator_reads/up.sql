-- Nodes of the version before wait for the locks of this transaction: better to fail soon, and to be started
-- again, than to queue behind a long transaction with everybody else behind it. Building the indexes takes some
-- 2 s per million gifts, which may be longer than other statements may take. No row is rewritten.
-- IF NOT EXISTS: an operator may have prepared a large table.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = 0;

-- Indexes for the pages of operators. Those on tables that comments and gifts write to replace others, so that a
-- comment or a gift maintains as many as before.

-- What a user has given in a live, and the top givers of a live, out of the index alone.
CREATE INDEX IF NOT EXISTS gift_records_totals ON gift_records (live_id, user_id, total);
DROP INDEX IF EXISTS gift_records_of_giver;

-- The entries of an account by page. SQLite has the id in every index.
CREATE INDEX IF NOT EXISTS ledger_entries_of_account ON ledger_entries (account, account_id, id);
DROP INDEX IF EXISTS ledger_entries_by_account;

-- Removed comments among shown ones. Only a removal pays for it.
CREATE INDEX IF NOT EXISTS comments_removed_order ON comments (live_id, COALESCE(sort_key, id))
WHERE removed_at IS NOT NULL;

-- Who took a comment down.
CREATE INDEX IF NOT EXISTS audit_take_downs ON audit (target_id, id) WHERE action = 'take_down' AND result = 'ok';

-- Users by the beginning of their name, in any case.
CREATE INDEX IF NOT EXISTS users_by_name ON users ((lower(username) COLLATE "C"), id);

-- What holds against a user on the site and with all streamers.
CREATE INDEX IF NOT EXISTS sanctions_of_user ON sanctions (user_id, id) WHERE lifted_at IS NULL;
