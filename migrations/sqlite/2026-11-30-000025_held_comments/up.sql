-- Comments that are not shown yet: those that wait for a moderator, and those that wait for the end of the delay that
-- moderators have in their room; and, for a day, those that were decided. A comment that is shown gets a row in
-- comments under the same id.
CREATE TABLE held_comments (
    comment_id INTEGER PRIMARY KEY,
    live_id    INTEGER NOT NULL,
    user_id    INTEGER NOT NULL,
    -- as members will see it
    content    TEXT    NOT NULL,
    request_id TEXT,
    rule       TEXT    NOT NULL CHECK (rule IN ('term', 'link', 'young_account', 'delay')),
    created_at INTEGER NOT NULL,
    -- when it is decided if nobody has decided it: of the rule 'delay' it is shown, of any other it expires
    due_at     INTEGER NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'shown', 'denied', 'expired')),
    decided_at INTEGER,
    reason     TEXT,
    -- whether the log of its room is known to say its state: 0 or 1
    is_logged  INTEGER NOT NULL DEFAULT 0 CHECK (is_logged IN (0, 1)),
    CHECK ((state = 'waiting') = (decided_at IS NULL))
) STRICT;

CREATE INDEX held_comments_waiting ON held_comments (live_id) WHERE state = 'waiting';
CREATE INDEX held_comments_due ON held_comments (due_at) WHERE state = 'waiting';
-- By these a retry is recognised: by the next node that holds it, and by a room that opens.
CREATE INDEX held_comments_requests ON held_comments (live_id, user_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX held_comments_recent ON held_comments (live_id, created_at) WHERE request_id IS NOT NULL;
CREATE INDEX held_comments_unlogged ON held_comments (comment_id) WHERE NOT is_logged;
CREATE INDEX held_comments_decided ON held_comments (decided_at) WHERE decided_at IS NOT NULL;
