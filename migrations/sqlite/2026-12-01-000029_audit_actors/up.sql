-- The audit says which operator acted. SQLite changes no constraint: the table is written again, and with it the one
-- that refers to it, whose rows would keep it from being dropped.
CREATE TABLE pending_kept AS SELECT action_id FROM pending_actions;
DROP TABLE pending_actions;

CREATE TABLE audit_rebuilt (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('operator', 'manager', 'token', 'user')),
    -- 0 for operator, the token of the configuration; managers.id, api_tokens.id or users.id
    actor_id   INTEGER NOT NULL,
    role       TEXT    NOT NULL,
    -- of the client, if it is known
    address    TEXT,
    scope      TEXT    NOT NULL CHECK (scope IN ('live', 'streamer', 'site')),
    -- lives.id in scope live, users.id in scope streamer
    scope_id   INTEGER,
    action     TEXT    NOT NULL,
    -- comments.id or users.id, as the action has it
    target_id  INTEGER,
    -- JSON: what else was asked for, and what the action found and left behind
    arguments  TEXT    NOT NULL,
    before     TEXT,
    after      TEXT,
    reason     TEXT,
    request_id TEXT,
    -- ok, or the code of the refusal
    result     TEXT    NOT NULL
) STRICT;
INSERT INTO audit_rebuilt SELECT * FROM audit;
DROP TABLE audit;
ALTER TABLE audit_rebuilt RENAME TO audit;

CREATE UNIQUE INDEX audit_request ON audit (actor_kind, actor_id, action, request_id)
WHERE request_id IS NOT NULL AND result = 'ok';
CREATE INDEX audit_purges ON audit (scope_id, target_id, id) WHERE action IN ('ban', 'take_down_last') AND result = 'ok';

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

CREATE TABLE pending_actions (
    action_id INTEGER PRIMARY KEY REFERENCES audit (id)
) STRICT;
INSERT INTO pending_actions SELECT action_id FROM pending_kept;
DROP TABLE pending_kept;
