DROP TRIGGER note_live_change ON lives;
DROP TRIGGER note_account_change ON users;
DROP TRIGGER note_token_change ON session_tokens;
DROP FUNCTION note_change();
DROP TABLE changes;
