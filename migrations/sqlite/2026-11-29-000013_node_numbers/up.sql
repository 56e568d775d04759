-- One node needs no number.
SELECT 1;
