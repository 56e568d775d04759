DROP INDEX comments_shown;
ALTER TABLE comments DROP COLUMN removed_at;
