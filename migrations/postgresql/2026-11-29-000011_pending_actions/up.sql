-- Actions whose entry is not known to be in the log of its room yet. A row is written in the transaction of the action
-- and deleted once the log has the entry, so the table is empty at rest.
CREATE TABLE pending_actions (
    action_id BIGINT PRIMARY KEY REFERENCES audit (id)
);
