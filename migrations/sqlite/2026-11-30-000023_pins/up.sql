-- The comment that is pinned in each live that ever had one.
CREATE TABLE pins (
    live_id    INTEGER PRIMARY KEY REFERENCES lives (id),
    -- NULL: nothing is pinned any more. A comment that is taken down is not pinned, whatever stands here.
    comment_id INTEGER,
    -- who decided that
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('operator', 'user')),
    actor_id   INTEGER NOT NULL,
    -- audit.id of the action that decided it: actions on one live's pin lock this row first, so that these ids rise
    action_id  INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
