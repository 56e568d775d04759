DROP INDEX comments_sort_key;
DROP INDEX comments_removed;
DROP INDEX comments_history;
ALTER TABLE comments DROP COLUMN sort_key;
CREATE INDEX comments_shown ON comments (live_id, id) WHERE removed_at IS NULL;
CREATE INDEX comments_by_live ON comments (live_id, created_at, id);
