CREATE INDEX IF NOT EXISTS comments_by_live ON comments (live_id, created_at, id);
CREATE INDEX IF NOT EXISTS comments_shown ON comments (live_id, id) WHERE removed_at IS NULL;
ALTER TABLE comments
    ADD CONSTRAINT comments_live_id_fkey FOREIGN KEY (live_id) REFERENCES lives (id),
    ADD CONSTRAINT comments_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
DROP INDEX comments_sort_key;
DROP INDEX comments_removed;
DROP INDEX comments_history;
ALTER TABLE comments DROP COLUMN sort_key;
