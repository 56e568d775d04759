CREATE INDEX gift_records_by_live ON gift_records (live_id, id);
DROP INDEX gift_records_of_giver;
