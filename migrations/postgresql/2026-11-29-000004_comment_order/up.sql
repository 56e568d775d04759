-- Nodes of the version before wait for the locks of this transaction: better to fail soon, and to be started
-- again, than to queue behind a long transaction with everybody else behind it. Building the indexes takes some
-- 1.5 s per million comments, which may be longer than other statements may take. No row is rewritten.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = 0;

-- History is ordered by a key given when a comment is shown. Nearly every comment is shown when it is posted,
-- and NULL means that its key is its id, as in all rows from before this column and in those of nodes that do
-- not know it. A comment that was held for review keeps its id, under which its author knows it, and gets the
-- next id as its key when it is approved. IF NOT EXISTS: an operator may have prepared a large table.
ALTER TABLE comments ADD COLUMN IF NOT EXISTS sort_key BIGINT;

-- For scrolling back, and for the newest request_ids when a room opens; of removed comments the latter alone.
CREATE INDEX IF NOT EXISTS comments_history ON comments (live_id, COALESCE(sort_key, id))
WHERE removed_at IS NULL;
CREATE INDEX IF NOT EXISTS comments_removed ON comments (live_id, removed_at) WHERE removed_at IS NOT NULL;

-- No two comments share a key, and the newest key is found at once.
CREATE UNIQUE INDEX IF NOT EXISTS comments_sort_key ON comments (sort_key) WHERE sort_key IS NOT NULL;

-- The check of a key locks the rows of the user and the live, against each other and against operators, and
-- costs as much as an index. The program never deletes users or lives; by hand it is refused for whoever was
-- seen in a live, and for that live (live_views), and who comments was seen.
ALTER TABLE comments DROP CONSTRAINT comments_live_id_fkey, DROP CONSTRAINT comments_user_id_fkey;

-- Nodes of the version before read by these two indexes: a table with rows keeps them until the next version.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM comments) THEN
        DROP INDEX comments_by_live, comments_shown;
    END IF;
END
$$;
