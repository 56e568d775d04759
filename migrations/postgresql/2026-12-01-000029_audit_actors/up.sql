-- The audit says which operator acted: 'operator' is the token of the configuration with actor_id 0, 'manager' has
-- managers.id and 'token' has api_tokens.id.
ALTER TABLE audit DROP CONSTRAINT audit_actor_kind_check;
ALTER TABLE audit ADD CONSTRAINT audit_actor_kind_check CHECK (actor_kind IN ('operator', 'manager', 'token', 'user'));
