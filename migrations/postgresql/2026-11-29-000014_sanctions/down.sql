DROP INDEX audit_purges;
DROP TABLE moderation_versions;
DROP TABLE moderators;
DROP TABLE sanctions;
DELETE FROM changes WHERE kind = 'moderation';
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('token', 'account', 'live'));
