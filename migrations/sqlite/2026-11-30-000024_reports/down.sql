DROP TABLE reports;
DROP TABLE reported_comments;
