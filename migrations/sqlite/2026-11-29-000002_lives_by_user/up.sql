-- Lives of one user that have not ended are counted before it creates another.
CREATE INDEX lives_by_user ON lives (user_id, status);
