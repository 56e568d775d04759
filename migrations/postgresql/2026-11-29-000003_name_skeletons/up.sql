-- What is left of a username to the eye (Unicode Technical Standard 39): of names that look alike only one is
-- given out. SQL cannot compute it, so the program fills it in when it starts. NULL: not filled in yet, or a
-- name from before this rule that looks like an older one; such a name stays valid.
ALTER TABLE users ADD COLUMN skeleton TEXT;

CREATE UNIQUE INDEX users_skeleton ON users (skeleton);
