-- What a user has given in a live, which rooms read where only those speak who gave. It serves for all gifts of a live as
-- well, so there is one index to maintain as before.
CREATE INDEX gift_records_of_giver ON gift_records (live_id, user_id);
DROP INDEX gift_records_by_live;
