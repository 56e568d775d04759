-- When a comment was taken down. The row stays: its request_id is still used up, and operators may
-- have to show what was said.
ALTER TABLE comments ADD COLUMN removed_at INTEGER;

-- Scrolling back: a page costs its own length, however many comments were taken down.
CREATE INDEX comments_shown ON comments (live_id, id) WHERE removed_at IS NULL;
