-- The terms of the word filter: one list of the site, and one of each streamer that has any. A list is one row, because
-- it is replaced whole, and rooms must never wait for twenty thousand rows to be written.
CREATE TABLE term_lists (
    -- users.id; 0 for the site
    streamer_id BIGINT PRIMARY KEY,
    -- a term on each line, as lists are imported and exported
    lines       TEXT   NOT NULL,
    -- counts the changes of this list: nodes read a list again when it has another one
    version     BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
