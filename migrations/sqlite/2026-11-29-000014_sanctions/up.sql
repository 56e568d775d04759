-- What users may not do: mutes, bans and shadows, in one live, in all lives of a streamer, or on the site. Rows are
-- only added; lifting one fills its last two columns. The newest row that is neither lifted nor expired counts, for
-- each scope, kind and user.
CREATE TABLE sanctions (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    scope          TEXT    NOT NULL CHECK (scope IN ('site', 'streamer', 'live')),
    -- the owner of the lives it is about; NULL in scope site
    streamer_id    INTEGER REFERENCES users (id),
    -- in scope live
    live_id        INTEGER REFERENCES lives (id),
    user_id        INTEGER NOT NULL REFERENCES users (id),
    kind           TEXT    NOT NULL CHECK (kind IN ('mute', 'ban', 'shadow')),
    -- exclusive; NULL: for ever
    until_at       INTEGER,
    -- whether a muted user may still give: 0 or 1
    gifts          INTEGER NOT NULL CHECK (gifts IN (0, 1)),
    -- which earlier comments were taken down with it
    purge          TEXT    NOT NULL CHECK (purge IN ('none', 'recent', 'live')),
    reason         TEXT,
    actor_kind     TEXT    NOT NULL CHECK (actor_kind IN ('operator', 'user')),
    -- users.id; 0 for the operators' common token
    actor_id       INTEGER NOT NULL,
    request_id     TEXT,
    created_at     INTEGER NOT NULL,
    lifted_at      INTEGER,
    -- users.id, 0 for operators; NULL with a time: it had expired
    lifted_by      INTEGER,
    CHECK ((scope = 'site') = (streamer_id IS NULL)),
    CHECK ((scope = 'live') = (live_id IS NOT NULL))
) STRICT;

CREATE INDEX sanctions_of_streamer ON sanctions (streamer_id, user_id) WHERE lifted_at IS NULL AND scope <> 'site';
CREATE INDEX sanctions_of_site ON sanctions (user_id) WHERE lifted_at IS NULL AND scope = 'site';

-- What took several comments of a user down, to show them again.
CREATE INDEX audit_purges ON audit (scope_id, target_id, id) WHERE action IN ('ban', 'take_down_last') AND result = 'ok';

-- Who helps a streamer in all of its lives.
CREATE TABLE moderators (
    streamer_id INTEGER NOT NULL REFERENCES users (id),
    user_id     INTEGER NOT NULL REFERENCES users (id),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (streamer_id, user_id)
) STRICT;

-- Counts the changes of the two tables above, for each streamer: a room tells by the number whether it has them all.
CREATE TABLE moderation_versions (
    streamer_id INTEGER PRIMARY KEY REFERENCES users (id),
    version     INTEGER NOT NULL
) STRICT;
