-- Indexes for the pages of operators. Those on tables that comments and gifts write to replace others, so that a
-- comment or a gift maintains as many as before.

-- What a user has given in a live, and the top givers of a live, out of the index alone.
CREATE INDEX gift_records_totals ON gift_records (live_id, user_id, total);
DROP INDEX gift_records_of_giver;

-- Removed comments among shown ones. Only a removal pays for it.
CREATE INDEX comments_removed_order ON comments (live_id, COALESCE(sort_key, id)) WHERE removed_at IS NOT NULL;

-- Who took a comment down.
CREATE INDEX audit_take_downs ON audit (target_id, id) WHERE action = 'take_down' AND result = 'ok';

-- Users by the beginning of their name, in any case.
CREATE INDEX users_by_name ON users (lower(username), id);

-- What holds against a user on the site and with all streamers.
CREATE INDEX sanctions_of_user ON sanctions (user_id, id) WHERE lifted_at IS NULL;
