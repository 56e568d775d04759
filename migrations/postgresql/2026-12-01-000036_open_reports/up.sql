-- The queue over all lives, newest first.
CREATE INDEX reported_comments_queue ON reported_comments (comment_id) WHERE settled_at IS NULL;
