-- Who follows which streamer, and since when.
CREATE TABLE follows (
    follower_id INTEGER NOT NULL REFERENCES users (id),
    streamer_id INTEGER NOT NULL REFERENCES users (id),
    since       INTEGER NOT NULL,
    PRIMARY KEY (follower_id, streamer_id),
    CHECK (follower_id <> streamer_id)
) STRICT;

-- How many follow a streamer: the number of its rows in the table above, changed in the same transaction, so that a
-- page of a live with a hundred thousand followers reads one row.
CREATE TABLE follower_counts (
    streamer_id INTEGER PRIMARY KEY REFERENCES users (id),
    followers   INTEGER NOT NULL CHECK (followers >= 0)
) STRICT;
