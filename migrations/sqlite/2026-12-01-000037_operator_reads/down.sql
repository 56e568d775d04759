DROP INDEX sanctions_of_user;
DROP INDEX users_by_name;
DROP INDEX audit_take_downs;
DROP INDEX comments_removed_order;
CREATE INDEX gift_records_of_giver ON gift_records (live_id, user_id);
DROP INDEX gift_records_totals;
