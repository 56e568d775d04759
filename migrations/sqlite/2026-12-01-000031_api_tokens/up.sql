-- Tokens of operators' scripts. A row stays when its token was revoked, for the audit names tokens by their ids.
CREATE TABLE api_tokens (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT    NOT NULL,
    -- SHA-256 in hex of the token
    digest          TEXT    NOT NULL UNIQUE,
    -- names of permissions, separated by commas
    scopes          TEXT    NOT NULL,
    created_by_kind TEXT    NOT NULL CHECK (created_by_kind IN ('operator', 'manager', 'token')),
    created_by_id   INTEGER NOT NULL,
    created_by_name TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    -- NULL: never
    expires_at      INTEGER,
    -- to a minute
    last_used_at    INTEGER,
    revoked_at      INTEGER
) STRICT;
