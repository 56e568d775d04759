DROP TABLE follower_counts;
DROP TABLE follows;
DELETE FROM changes WHERE kind = 'followers';
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('token', 'account', 'live', 'moderation'));
