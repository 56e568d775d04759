DROP TABLE follower_counts;
DROP TABLE follows;
