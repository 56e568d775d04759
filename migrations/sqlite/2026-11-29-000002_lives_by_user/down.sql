DROP INDEX lives_by_user;
