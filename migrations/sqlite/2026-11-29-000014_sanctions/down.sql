DROP INDEX audit_purges;
DROP TABLE moderation_versions;
DROP TABLE moderators;
DROP TABLE sanctions;
