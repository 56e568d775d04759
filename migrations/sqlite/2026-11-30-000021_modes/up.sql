-- The modes of each live, by their names in one JSON object: it is read and written whole, and a later mode is one more
-- field. A live gets a row when it starts, or when its modes are set before that.
CREATE TABLE live_modes (
    live_id    INTEGER PRIMARY KEY REFERENCES lives (id),
    -- counts the changes: of two at the same time the higher one holds
    version    INTEGER NOT NULL,
    modes      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- What the next live of a streamer starts with: the modes that were set last in one of its lives.
CREATE TABLE streamer_modes (
    streamer_id INTEGER PRIMARY KEY REFERENCES users (id),
    modes       TEXT    NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
