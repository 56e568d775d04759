-- Instants are milliseconds since the Unix epoch; money is whole coins.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    username      TEXT    NOT NULL UNIQUE,
    nickname      TEXT,
    avatar        TEXT,
    password_hash TEXT    NOT NULL,
    coin          INTEGER NOT NULL DEFAULT 0 CHECK (coin >= 0),
    -- 0 disabled, 1 enabled
    status        INTEGER NOT NULL DEFAULT 1 CHECK (status IN (0, 1)),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- At most one current token a user.
CREATE TABLE session_tokens (
    user_id    INTEGER PRIMARY KEY REFERENCES users (id),
    digest     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE lives (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    title      TEXT    NOT NULL,
    cover      TEXT    NOT NULL,
    key        TEXT    NOT NULL UNIQUE,
    -- 0 scheduled, 1 on air, 2 paused, 3 ended
    status     INTEGER NOT NULL DEFAULT 0 CHECK (status IN (0, 1, 2, 3)),
    coin       INTEGER NOT NULL DEFAULT 0 CHECK (coin >= 0),
    look_count INTEGER NOT NULL DEFAULT 0 CHECK (look_count >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Who was counted in lives.look_count.
CREATE TABLE live_views (
    live_id INTEGER NOT NULL REFERENCES lives (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (live_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE gifts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    image      TEXT    NOT NULL,
    coin       INTEGER NOT NULL CHECK (coin > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- The id is the room's, not the database's.
CREATE TABLE comments (
    id         INTEGER PRIMARY KEY,
    live_id    INTEGER NOT NULL REFERENCES lives (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    content    TEXT    NOT NULL,
    request_id TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX comments_by_live ON comments (live_id, created_at, id);

-- One movement of coins. Its entries sum to zero.
CREATE TABLE ledger_transfers (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            TEXT    NOT NULL CHECK (kind IN ('gift', 'grant')),
    user_id         INTEGER NOT NULL REFERENCES users (id),
    request_id      TEXT    NOT NULL,
    -- The user's balance right after it: what a retry is answered with.
    user_coin_after INTEGER NOT NULL CHECK (user_coin_after >= 0),
    created_at      INTEGER NOT NULL
) STRICT;

-- A giver names its own gifts; all operators share one space of names.
CREATE UNIQUE INDEX ledger_transfers_gift_request ON ledger_transfers (user_id, request_id) WHERE kind = 'gift';
CREATE UNIQUE INDEX ledger_transfers_grant_request ON ledger_transfers (request_id) WHERE kind = 'grant';

CREATE TABLE ledger_entries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    transfer_id INTEGER NOT NULL REFERENCES ledger_transfers (id),
    account     TEXT    NOT NULL CHECK (account IN ('user', 'live', 'mint')),
    -- users.id or lives.id; 0 for the mint, which has no row
    account_id  INTEGER NOT NULL,
    amount      INTEGER NOT NULL CHECK (amount <> 0)
) STRICT;

CREATE INDEX ledger_entries_by_transfer ON ledger_entries (transfer_id);
CREATE INDEX ledger_entries_by_account ON ledger_entries (account, account_id);

CREATE TABLE gift_records (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    transfer_id     INTEGER NOT NULL UNIQUE REFERENCES ledger_transfers (id),
    live_id         INTEGER NOT NULL REFERENCES lives (id),
    user_id         INTEGER NOT NULL REFERENCES users (id),
    gift_id         INTEGER NOT NULL REFERENCES gifts (id),
    num             INTEGER NOT NULL CHECK (num > 0),
    price           INTEGER NOT NULL CHECK (price > 0),
    total           INTEGER NOT NULL CHECK (total > 0),
    live_coin_after INTEGER NOT NULL CHECK (live_coin_after >= total),
    created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX gift_records_by_live ON gift_records (live_id, id);

CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'ledger_transfers is append-only'); END;
CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'ledger_transfers is append-only'); END;
CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END;
CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END;
CREATE TRIGGER gift_records_no_update BEFORE UPDATE ON gift_records
BEGIN SELECT RAISE(ABORT, 'gift_records is append-only'); END;
CREATE TRIGGER gift_records_no_delete BEFORE DELETE ON gift_records
BEGIN SELECT RAISE(ABORT, 'gift_records is append-only'); END;
