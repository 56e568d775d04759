-- What nodes must learn within a second, whoever changed it and how: which users' tokens and accounts, and which
-- lives. Nodes poll the newest rows; those of ten minutes ago are deleted. Creating the triggers waits for transactions
-- that write to the three tables, and reads no rows.
CREATE TABLE changes (
    -- Ids are given before commits, so neither their order nor that of transactions says what a node has seen:
    -- a snapshot does.
    xact       XID8        NOT NULL DEFAULT pg_current_xact_id(),
    kind       TEXT        NOT NULL CHECK (kind IN ('token', 'account', 'live')),
    -- users.id or lives.id
    subject_id BIGINT      NOT NULL,
    at         TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX changes_by_xact ON changes (xact);

-- The arguments: the kind, and the column of the subject.
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed JSONB := to_jsonb(COALESCE(NEW, OLD));
BEGIN
    INSERT INTO changes (kind, subject_id) VALUES (TG_ARGV[0], (changed ->> TG_ARGV[1])::BIGINT);
    RETURN NULL;
END
$$;

CREATE TRIGGER note_token_change AFTER INSERT OR UPDATE OR DELETE ON session_tokens
FOR EACH ROW EXECUTE FUNCTION note_change('token', 'user_id');

-- Updates of other columns, those of gifts above all, do not get as far as the condition.
CREATE TRIGGER note_account_change AFTER UPDATE OF status ON users
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION note_change('account', 'id');

CREATE TRIGGER note_live_change AFTER UPDATE OF status, title ON lives
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.title IS DISTINCT FROM NEW.title)
EXECUTE FUNCTION note_change('live', 'id');
