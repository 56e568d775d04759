-- Comments that members reported: the queue of those who keep order, as long as they are neither settled nor taken down.
CREATE TABLE reported_comments (
    -- comments.id
    comment_id BIGINT PRIMARY KEY,
    live_id    BIGINT NOT NULL REFERENCES lives (id),
    -- the number of its rows in reports
    reports    BIGINT NOT NULL CHECK (reports > 0),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- when it was decided that it stays, and by whom
    settled_at BIGINT,
    actor_kind TEXT   CHECK (actor_kind IN ('operator', 'user')),
    actor_id   BIGINT,
    CHECK ((settled_at IS NULL) = (actor_kind IS NULL) AND (settled_at IS NULL) = (actor_id IS NULL))
);

CREATE INDEX reported_comments_open ON reported_comments (live_id, comment_id) WHERE settled_at IS NULL;

-- Who reported it, each user once.
CREATE TABLE reports (
    comment_id BIGINT NOT NULL,
    user_id    BIGINT NOT NULL REFERENCES users (id),
    reason     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (comment_id, user_id)
);

CREATE INDEX reports_of_user ON reports (user_id, created_at);
