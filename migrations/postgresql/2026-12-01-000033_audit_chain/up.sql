-- Seals of the audit: each covers the rows from from_id to to_id, whose digests it has, and the seal before it. What
-- changes, removes or adds such a row later, behind the triggers, is found by `liveroom audit`.
CREATE TABLE audit_seals (
    -- 1, 2, 3 and so on
    id      BIGINT PRIMARY KEY,
    from_id BIGINT NOT NULL,
    to_id   BIGINT NOT NULL CHECK (to_id >= from_id),
    -- of each row, in the order of their ids: the id in 8 bytes, the most significant first, and the SHA-256 of its columns
    leaves  BYTEA  NOT NULL,
    -- SHA-256 of all of this, and of the hash of the seal before
    hash    BYTEA  NOT NULL,
    at      BIGINT NOT NULL
);

CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- A transaction has its own number before it gets the id of a row. So whoever reads the last id, and then takes a number,
-- knows that every row up to that id is of a transaction with a lower number.
ALTER TABLE audit ALTER COLUMN id DROP IDENTITY;
CREATE SEQUENCE audit_ids OWNED BY audit.id;
SELECT setval('audit_ids', COALESCE(max(id), 0) + 1, false) FROM audit;
ALTER TABLE audit ALTER COLUMN id SET DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('audit_ids') END;

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
