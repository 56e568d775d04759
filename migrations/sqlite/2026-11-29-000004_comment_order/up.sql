-- History is ordered by a key given when a comment is shown. Nearly every comment is shown when it is posted,
-- and NULL means that its key is its id, as in all rows from before this column. A comment that was held for
-- review keeps its id, under which its author knows it, and gets the next id as its key when it is approved.
ALTER TABLE comments ADD COLUMN sort_key INTEGER;

-- Some 2 s per million comments: the index is built, no row is rewritten.
--
-- One index to maintain for each comment instead of two: scrolling back, and the newest request_ids when a room
-- opens. comments_by_live had the removed ones too; those have an index of their own now.
CREATE INDEX comments_history ON comments (live_id, COALESCE(sort_key, id)) WHERE removed_at IS NULL;
CREATE INDEX comments_removed ON comments (live_id, removed_at) WHERE removed_at IS NOT NULL;
DROP INDEX comments_by_live;
DROP INDEX comments_shown;

-- No two comments share a key, and the newest key is found at once.
CREATE UNIQUE INDEX comments_sort_key ON comments (sort_key) WHERE sort_key IS NOT NULL;
