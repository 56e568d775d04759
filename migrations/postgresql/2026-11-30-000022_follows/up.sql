-- Who follows which streamer, and since when.
CREATE TABLE follows (
    follower_id BIGINT NOT NULL REFERENCES users (id),
    streamer_id BIGINT NOT NULL REFERENCES users (id),
    since       BIGINT NOT NULL,
    PRIMARY KEY (follower_id, streamer_id),
    CHECK (follower_id <> streamer_id)
);

-- How many follow a streamer: the number of its rows in the table above, changed in the same transaction, so that a
-- page of a live with a hundred thousand followers reads one row.
CREATE TABLE follower_counts (
    streamer_id BIGINT PRIMARY KEY REFERENCES users (id),
    followers   BIGINT NOT NULL CHECK (followers >= 0)
);
