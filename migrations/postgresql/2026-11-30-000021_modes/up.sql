-- The modes of each live, by their names in one JSON object: it is read and written whole, and a later mode is one more
-- field. A live gets a row when it starts, or when its modes are set before that.
CREATE TABLE live_modes (
    live_id    BIGINT PRIMARY KEY REFERENCES lives (id),
    -- counts the changes: of two at the same time the higher one holds
    version    BIGINT NOT NULL,
    modes      TEXT   NOT NULL,
    updated_at BIGINT NOT NULL
);

-- What the next live of a streamer starts with: the modes that were set last in one of its lives.
CREATE TABLE streamer_modes (
    streamer_id BIGINT PRIMARY KEY REFERENCES users (id),
    modes       TEXT   NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- Rooms are compared with it, as they are with the status and the title.
CREATE TRIGGER note_modes_change AFTER INSERT OR UPDATE OF version ON live_modes
FOR EACH ROW EXECUTE FUNCTION note_change('live', 'live_id');
