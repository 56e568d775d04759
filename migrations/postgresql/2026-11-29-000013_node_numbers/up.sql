-- The numbers by which ids of comments of several nodes differ: a node that starts takes the one that was unseen for
-- the longest time.
CREATE TABLE node_numbers (
    number  BIGINT      PRIMARY KEY,
    -- the name of the node that took it last
    holder  TEXT        NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
);

-- As many as fit into an id.
INSERT INTO node_numbers (number, holder, seen_at) SELECT n, '', '-infinity' FROM generate_series(0, 1023) AS n;
