-- Operators' accounts. None is there before somebody with the configuration adds the first one.
CREATE TABLE managers (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    -- in small letters: names that differ in their case alone are one name
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL CHECK (role IN ('viewer', 'moderator', 'operator', 'finance')),
    is_admin      INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    -- argon2id; NULL until the link was used
    password_hash TEXT,
    created_at    INTEGER  NOT NULL,
    last_login_at INTEGER
) STRICT;

-- The newest link by which a manager sets its password, until it is used.
CREATE TABLE manager_links (
    manager_id INTEGER PRIMARY KEY REFERENCES managers (id),
    -- SHA-256 in hex of the secret in the link
    digest     TEXT   NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

-- Sessions of managers in browsers. A row that is gone has ended.
CREATE TABLE manager_sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    manager_id INTEGER NOT NULL REFERENCES managers (id),
    -- SHA-256 in hex of the secret in the cookie
    digest     TEXT   NOT NULL UNIQUE,
    address    TEXT   NOT NULL,
    user_agent TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    -- when its manager last did something, as exactly as it matters
    used_at    INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX manager_sessions_of_manager ON manager_sessions (manager_id);

-- From where each manager logged in, as login_networks has it for users.
CREATE TABLE manager_networks (
    manager_id INTEGER NOT NULL REFERENCES managers (id),
    network    TEXT   NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (manager_id, network)
) STRICT;
