-- Every action by an operator or a streamer, and every attempt of theirs that was refused: one row, written in the
-- transaction of the change. Nothing refers to users or lives, because an attempt may name one that does not exist.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('operator', 'user')),
    -- users.id; 0 for the operators' common token
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

-- Each actor names its own requests. A refused attempt does not use its name up.
CREATE UNIQUE INDEX audit_request ON audit (actor_kind, actor_id, action, request_id)
WHERE request_id IS NOT NULL AND result = 'ok';

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
