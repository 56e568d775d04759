-- All operators are one again. Names of requests were unique for each operator and are not for all of them together.
ALTER TABLE audit DISABLE TRIGGER audit_append_only;
UPDATE audit SET actor_kind = 'operator', actor_id = 0, request_id = NULL WHERE actor_kind IN ('manager', 'token');
ALTER TABLE audit ENABLE TRIGGER audit_append_only;
ALTER TABLE audit DROP CONSTRAINT audit_actor_kind_check;
ALTER TABLE audit ADD CONSTRAINT audit_actor_kind_check CHECK (actor_kind IN ('operator', 'user'));
