-- One node has no others that could change its rows.
SELECT 1;
