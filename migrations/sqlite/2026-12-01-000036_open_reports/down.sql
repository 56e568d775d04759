DROP INDEX reported_comments_queue;
