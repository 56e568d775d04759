DROP TABLE held_comments;
