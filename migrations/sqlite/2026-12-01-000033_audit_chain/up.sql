-- Seals of the audit: each covers the rows from from_id to to_id, whose digests it has, and the seal before it. What
-- changes, removes or adds such a row later, behind the triggers, is found by `liveroom audit`.
CREATE TABLE audit_seals (
    -- 1, 2, 3 and so on
    id      INTEGER PRIMARY KEY,
    from_id INTEGER NOT NULL,
    to_id   INTEGER NOT NULL CHECK (to_id >= from_id),
    -- of each row, in the order of their ids: the id in 8 bytes, the most significant first, and the SHA-256 of its columns
    leaves  BLOB    NOT NULL,
    -- SHA-256 of all of this, and of the hash of the seal before
    hash    BLOB    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_seals_no_update BEFORE UPDATE ON audit_seals
BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only'); END;
CREATE TRIGGER audit_seals_no_delete BEFORE DELETE ON audit_seals
BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only'); END;

-- Each finds the rows of one filter in the order of a list. The first one, for lists without a filter, is written so that
-- it gives no order to the others: the planner of PostgreSQL would read all rows by it for a filter that finds few. By role
-- alone rows are not found; a page then reads a bounded number of rows.
CREATE INDEX audit_by_time ON audit ((-at), (-id));
CREATE INDEX audit_by_actor ON audit (actor_kind, actor_id, at, id);
CREATE INDEX audit_by_scope ON audit (scope, scope_id, at, id);
CREATE INDEX audit_by_action ON audit (action, at, id);
CREATE INDEX audit_by_target ON audit (target_id, at, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_by_address ON audit (address, at, id) WHERE address IS NOT NULL;
CREATE INDEX audit_by_request ON audit (request_id, at, id) WHERE request_id IS NOT NULL;
CREATE INDEX audit_refused ON audit (result, at, id) WHERE result <> 'ok';
