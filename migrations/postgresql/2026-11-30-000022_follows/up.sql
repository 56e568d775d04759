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

ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
    CHECK (kind IN ('token', 'account', 'live', 'moderation', 'followers'));

-- The subject is the streamer, whose rooms then read again who follows: of many who do at once nodes read one change.
CREATE TRIGGER note_follow AFTER INSERT OR DELETE ON follows
FOR EACH ROW EXECUTE FUNCTION note_change('followers', 'streamer_id');
